//! A user's question to an assistant, from the attributes that were drawn for the record.
//!
//! Texts of the drawn language are combined until they are about as long as requested: a greeting in the drawn tone, a few
//! words on the user's situation, the question about the topic. The answer is that text alone. The texts are in `wording`.

use std::sync::LazyLock;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use serde_json::Value;

use super::draft::capitalized;
use super::wording::{CountedText, Tone, UserInputTexts, count_words, fill, instructions};
use crate::draw::Draws;
use crate::record::Record;

/// The number of words if no length is requested.
const USUAL_WORDS: usize = 15;
/// Attributes that are the topic, in order of precedence.
const TOPICS: [&str; 5] = ["topic", "subject", "theme", "task", "product"];
/// Attributes that describe the manner and are never the topic.
const MANNERS: [&str; 6] = ["tone", "mood", "language", "additional_instruction", "instruction", "style"];

static DRAWS: LazyLock<Draws> = LazyLock::new(|| Draws::new(0, "user_input".into()));

/// The question of a record with `injections`; `None` for other records.
pub(super) fn text(record: &Record) -> Option<String> {
    let injections = record.get("injections")?.as_object()?;
    let named = |names: &[&str]| {
        let mut found = names.iter().filter_map(|name| injections.get(*name)?.as_str());
        found.find(|text| !text.trim().is_empty())
    };
    let manner =
        named(&["additional_instruction", "instruction", "style"]).unwrap_or_default().to_lowercase();
    let other = || {
        let mut others = injections.iter().filter(|(name, _)| !MANNERS.contains(&name.as_str()));
        others.find_map(|(_, value)| value.as_str().filter(|text| !text.trim().is_empty()))
    };
    let words = record.get("target_words").and_then(Value::as_u64);
    let texts = UserInputTexts::of(named(&["language"]).unwrap_or_default())?;
    let mut writer = InputWriter {
        texts,
        tone: Tone::of(named(&["tone", "mood"]).unwrap_or_default()),
        topic: named(&TOPICS).or_else(other).map(|topic| texts.quoted(topic.trim())),
        target: words.map_or(USUAL_WORDS, |words| usize::try_from(words).unwrap_or(usize::MAX)),
        // The list distinguishes records of different runs that have the same id.
        rng: DRAWS
            .rng("text", format_args!("{} {}", record.id, record.text("injection_list").unwrap_or_default())),
    };
    let text = writer.text(&manner);
    Some(writer.apply_instruction(text, &manner))
}

/// The attributes and choices of one text.
struct InputWriter {
    texts: &'static UserInputTexts,
    tone: Tone,
    topic: Option<String>,
    /// The requested number of words.
    target: usize,
    rng: ChaCha8Rng,
}

/// Whether an instruction contains one of the words that ask for something.
fn asks_for(manner: &str, words: &[String]) -> bool {
    words.iter().any(|word| manner.contains(word.as_str()))
}

impl InputWriter {
    /// The greeting, the situation, the question, the closing.
    fn text(&mut self, manner: &str) -> String {
        let words = &instructions().instructions;
        let texts = self.texts;
        let mut question = self.question();
        if asks_for(manner, &words.second_question) {
            let second = self.pick(&texts.second, usize::MAX).map_or("", |second| &second.text);
            question = format!("{} {second}", question.trim_end_matches(['?', ' ']));
        }
        let mut room = self.target.saturating_sub(count_words(&question));
        let greeting = self.fitting(texts.greetings.of(self.tone), &mut room);
        let mut before: Vec<&str> = Vec::new();
        if asks_for(manner, &words.story) {
            before.push(self.fitting(&texts.stories, &mut room));
        }
        if asks_for(manner, &words.concrete) {
            before.push(self.fitting(&texts.concrete, &mut room));
        }
        let closing = self.fitting(texts.closings.of(self.tone), &mut room);
        let mut details: Vec<&CountedText> =
            [&texts.details, &texts.concrete, &texts.stories].into_iter().flatten().collect();
        details.shuffle(&mut self.rng);
        for detail in details {
            if detail.words <= room && !before.contains(&detail.text.as_str()) {
                room -= detail.words;
                before.push(&detail.text);
            }
        }
        let mut parts = vec![greeting];
        parts.extend(before);
        parts.extend([question.as_str(), closing]);
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    }

    /// The question itself, within the requested length if one is that short.
    fn question(&mut self) -> String {
        let wordings = match self.topic {
            Some(_) => &self.texts.about,
            None => &self.texts.open,
        };
        let topic_words = self.topic.as_deref().map_or(0, count_words);
        // The placeholder counts as one word itself.
        let room = (self.target + usize::from(self.topic.is_some())).saturating_sub(topic_words);
        let wording = self.pick(wordings, room).map_or("", |wording| &wording.text);
        let topic = self.topic.as_deref().unwrap_or_default();
        capitalized(&fill(wording, &[("topic", topic)]))
    }

    /// One of `wordings` of at most `room` words, or the shortest.
    fn pick(&mut self, wordings: &'static [CountedText], room: usize) -> Option<&'static CountedText> {
        let fitting = || wordings.iter().filter(|wording| wording.words <= room);
        match fitting().count() {
            0 => wordings.iter().min_by_key(|wording| wording.words),
            count => fitting().nth(self.rng.random_range(0..count)),
        }
    }

    /// One of `wordings` if it fits into `room`, which is reduced by its number of words; otherwise an empty text.
    fn fitting(&mut self, wordings: &'static [CountedText], room: &mut usize) -> &'static str {
        match self.pick(wordings, *room) {
            Some(chosen) if chosen.words <= *room => {
                *room -= chosen.words;
                &chosen.text
            }
            _ => "",
        }
    }

    /// The text with the mistakes or the missing punctuation that an instruction asks for.
    fn apply_instruction(&mut self, text: String, manner: &str) -> String {
        let words = &instructions().instructions;
        let mut text = text;
        if asks_for(manner, &words.typing_mistakes) {
            text = self.with_typing_mistakes(&text);
        }
        if asks_for(manner, &words.little_punctuation) {
            text = text.replace(['.', '!', ',', ';'], "").to_lowercase();
        }
        text
    }

    /// One or two words with two letters swapped.
    fn with_typing_mistakes(&mut self, text: &str) -> String {
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let long = |word: &String| word.chars().filter(|c| c.is_alphabetic()).count() > 4;
        let mut places: Vec<usize> = (0..words.len()).filter(|place| long(&words[*place])).collect();
        places.shuffle(&mut self.rng);
        for place in places.into_iter().take(1 + self.rng.random_range(0..2)) {
            let mut letters: Vec<char> = words[place].chars().collect();
            let last = letters.len() - 3;
            let at = 1 + self.rng.random_range(0..last);
            letters.swap(at, at + 1);
            words[place] = letters.into_iter().collect();
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(item: u64, injections: Value, words: u64) -> Record {
        let mut record = Record { id: crate::record::RecordId::item(item), ..Record::default() };
        record.set("injections", injections);
        record.set("target_words", words);
        record
    }

    fn texts(injections: &Value, words: u64) -> Vec<String> {
        (0..200).map(|item| text(&record(item, injections.clone(), words)).unwrap()).collect()
    }

    #[test]
    fn texts_are_about_as_long_as_asked() {
        for language in ["English", "German", "Spanish", "French"] {
            let injections = json!({"topic": "late fees", "tone": "friendly", "language": language});
            for words in [3, 5, 8, 14, 20, 40, 80, 120] {
                let total: usize = texts(&injections, words).iter().map(|text| count_words(text)).sum();
                let mean = total as f64 / 200.0;
                let near = (mean - words as f64).abs() <= (0.15 * words as f64).max(2.5);
                assert!(near, "{language}: {mean} words instead of {words}");
            }
        }
    }

    #[test]
    fn texts_vary_and_hold_the_topic() {
        let mut texts = texts(&json!({"topic": "late fees", "tone": "", "language": "English"}), 20);
        for text in &texts {
            assert!(text.to_lowercase().contains("late fees") && text.contains('?'), "{text}");
            assert!(!text.contains(['{', '\n']), "{text}");
        }
        texts.sort();
        texts.dedup();
        assert!(texts.len() > 150, "{} different texts of 200", texts.len());
    }

    #[test]
    fn tone_language_and_instructions_show() {
        let with = |tone: &str, language: &str, instruction: &str| {
            let injections = json!({"topic": "x", "tone": tone, "language": language,
                "additional_instruction": instruction});
            texts(&injections, 30).join("\n")
        };
        let plain = with("", "English", "");
        assert_ne!(plain, with("impatient and annoyed", "English", ""));
        assert!(with("formal and very polite", "German", "").contains("Sehr geehrte"));
        assert!(with("", "Spanish", "").contains('¿'));
        assert!(with("", "French", "").contains(" ?"));
        assert!(with("", "Turkish", "").is_ascii(), "a language without wordings gets English");
        let phone = with("", "English", "Write as people type on a phone: little punctuation.");
        assert!(!phone.contains(['.', '!', ',']) && phone == phone.to_lowercase());
        assert_ne!(plain, with("", "English", "Include one or two typing mistakes."));
    }

    #[test]
    fn records_without_injections_are_left_to_others() {
        assert_eq!(text(&Record::default()), None);
        let empty = text(&record(0, json!({"topic": ""}), 10)).unwrap();
        assert!(empty.contains('?'), "{empty}");
    }
}

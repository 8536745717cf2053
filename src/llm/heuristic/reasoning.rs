//! The three reasoning steps of a draft: what is asked and about what, the fact that matters, the step from
//! there to the answer.
//!
//! They are thought as by someone who knows the subject: facts are said, not cited, and nothing points to a
//! source that a reader would not see. The words are the language's; `draft` asks here once for each pair.

use super::draft::{Asking, Draft, capitalized};
use super::english::is_verb;
use super::fact::row_said;
use super::language::Language;
use super::passage::Passage;
use super::phrases::Aim;
use super::sentences::Sentence;
use super::terms::{Term, terms};
use super::words::is_content;

/// A shorter beginning of a sentence says too little to stand for it.
const CLAUSE: usize = 24;

impl Asking<'_> {
    /// The steps that lead to the draft's answer.
    pub(super) fn steps(&self, draft: &Draft) -> [String; 3] {
        let facts = self.facts(draft);
        let first = facts.first().map_or(self.passage.title.as_str(), String::as_str);
        let last = facts.last().filter(|_| facts.len() > 1).map(String::as_str);
        let steps = [self.aimed_at(draft), self.known(draft, first), self.concluded(draft, first, last)];
        let [aim, fact, end] = steps.map(|step| step.trim().to_owned());
        // A fact said by itself may begin with a name that has no capital.
        let fact = if fact == first { fact } else { capitalized(&fact) };
        [capitalized(&aim), fact, capitalized(&end)]
    }

    /// The wider field and the subject by name, and what is to be found out.
    fn aimed_at(&self, draft: &Draft) -> String {
        let (passage, phrases) = (self.passage, self.passage.phrases);
        let aim = self.fill(phrases.aim(draft.aim), &values(draft, &self.term(draft), ""));
        let says = |name: &str| aim.to_lowercase().contains(&name.to_lowercase());
        let document = passage.document.as_str();
        let field = match (says(&passage.title), document.is_empty() || says(document)) {
            (true, true) => return self.word(phrases.aim_alone, &[("aim", &aim)]),
            (true, false) => document.to_owned(),
            (false, true) => passage.title.clone(),
            (false, false) => self.fill(phrases.within, &[("doc", document)]),
        };
        self.word(phrases.aim_within, &[("field", &field), ("aim", &aim)])
    }

    /// The first fact, said as it is.
    fn known(&self, draft: &Draft, first: &str) -> String {
        let phrases = self.passage.phrases;
        let wordings: &[&str] = match draft.aim {
            Aim::Link | Aim::Comparison => phrases.one_side,
            Aim::Order => phrases.starts,
            Aim::Code => phrases.code_starts,
            _ => phrases.known,
        };
        self.word(wordings, &values(draft, &self.term(draft), first))
    }

    /// What follows from the first fact, or from it and the last.
    fn concluded(&self, draft: &Draft, first: &str, last: Option<&str>) -> String {
        let phrases = self.passage.phrases;
        let detail = self.detail(draft, first);
        let term = self.term(draft);
        let mut all = values(draft, &term, last.unwrap_or(first));
        let rest = if last.is_none() { self.rest(draft) } else { None };
        let tail = rest.as_ref().map_or("", |(_, tail)| tail.as_str());
        all.push(("tail", tail));
        all.push(("detail", detail.as_deref().unwrap_or_default()));
        if let Some((said, right)) = &draft.change {
            all.extend([("said", said.as_str()), ("right", right.as_str())]);
            return self.fill(phrases.wrong, &all);
        }
        match (draft.aim, last, &detail) {
            (Aim::Blank, _, _) => self.word(phrases.filled, &all),
            (Aim::Truth, Some(_), _) => self.fill(phrases.agrees, &all),
            (Aim::Truth, None, _) => self.fill(phrases.right, &all),
            (Aim::Link, Some(_), _) => self.word(phrases.linked, &all),
            (Aim::Comparison, Some(_), _) => self.word(phrases.contrasted, &all),
            (Aim::Order, Some(_), _) => self.fill(phrases.ordered, &all),
            (Aim::Code, Some(_), _) => self.fill(phrases.code_ends, &all),
            (Aim::Code, None, _) => self.fill(phrases.code_line, &all),
            (_, Some(_), _) => self.word(phrases.joined, &all),
            (_, None, _) if rest.is_some() => {
                self.fill(rest.as_ref().map_or("", |(wording, _)| wording), &all)
            }
            (_, None, Some(_)) => self.word(phrases.direct, &all),
            (_, None, None) => self.fill(phrases.plain, &all),
        }
    }

    /// What the draft is about: its term, else the best term of its first sentence that the question names.
    fn term(&self, draft: &Draft) -> String {
        let passage = self.passage;
        if !draft.term.is_empty() {
            return draft.term.clone();
        }
        if draft.aim == Aim::Fact || draft.aim == Aim::Cause {
            let asked = draft.question.to_lowercase();
            let sentence = passage.sentences.iter().find(|one| draft.quotes.first() == Some(&one.text));
            let found = sentence.map(|sentence| terms(passage, sentence)).unwrap_or_default();
            if let Some(term) = found.into_iter().find(|term| asked.contains(&term.text.to_lowercase())) {
                return term.shown;
            }
        }
        passage.title.clone()
    }

    /// The sentences the answer rests on as facts that can be said: whole, or their main clause where the rest
    /// comes with the answer.
    fn facts(&self, draft: &Draft) -> Vec<String> {
        let mut facts: Vec<String> = Vec::new();
        for (index, quote) in draft.quotes.iter().enumerate() {
            let fact = self.fact_said(quote);
            let fact = match self.cut(draft, &fact) {
                Some((at, _)) if index == 0 || draft.aim != Aim::Cause => {
                    format!("{}.", fact[..at].trim_end())
                }
                _ => fact,
            };
            // A sentence that leans on one that was said brings it along no more.
            let said = facts.iter().find_map(|known| fact.strip_prefix(known.as_str()));
            let fact = said.map_or(fact.as_str(), str::trim).to_owned();
            if !fact.is_empty() && !facts.iter().any(|known| known.contains(&fact) || fact.contains(known)) {
                facts.push(fact);
            }
        }
        facts
    }

    /// Where the main clause of a fact ends, and the joint there with its wording.
    fn cut(&self, draft: &Draft, fact: &str) -> Option<(usize, &'static (&'static str, &'static str))> {
        let whole = [Aim::Truth, Aim::Blank, Aim::Code].contains(&draft.aim);
        let alone = draft.quotes.len() < 2 || draft.aim != Aim::Cause;
        if whole || !alone { None } else { main_clause(fact, self.passage.phrases.joints) }
    }

    /// What stands behind the main clause of the only fact, and the wording that says it.
    fn rest(&self, draft: &Draft) -> Option<(&'static str, String)> {
        let fact = self.fact_said(draft.quotes.first()?);
        let (at, (joint, wording)) = self.cut(draft, &fact)?;
        let tail = fact[at + joint.len()..].trim();
        (!wording.is_empty() && tail.contains(' ')).then(|| (*wording, tail.to_owned()))
    }

    /// A sentence as a fact: an item with what introduces it, a leaning sentence with the one before it.
    fn fact_said(&self, quote: &str) -> String {
        let passages = [Some(self.passage), self.companion];
        let found = passages.into_iter().flatten().find_map(|passage| {
            let index = passage.sentences.iter().position(|sentence| sentence.text == quote)?;
            Some((passage, index))
        });
        let Some((passage, index)) = found else { return quote.trim().to_owned() };
        let sentence = &passage.sentences[index];
        if sentence.complete {
            return passage.compose(&[index]);
        }
        match passage.introduction(sentence) {
            Some(introduction) => format!("{introduction} {}", sentence.closed()),
            None => row_said(&sentence.text).map_or_else(|| sentence.closed(), |row| format!("{row}.")),
        }
    }

    /// What of the first fact the question leaves open: a figure, else the best term, else a word.
    fn detail(&self, draft: &Draft, first: &str) -> Option<String> {
        let passage = self.passage;
        let asked = draft.question.to_lowercase();
        let open = |text: &str| !text.is_empty() && !asked.contains(&text.to_lowercase());
        let sentence = passage.sentences.iter().find(|one| draft.quotes.first() == Some(&one.text))?;
        if let Some(figure) = figure(passage, &sentence.text).filter(|figure| open(figure)) {
            return Some(figure);
        }
        let mut left = terms(passage, sentence);
        // The name of a column or a label is no detail.
        let label = |term: &Term| sentence.text[term.at.end..].starts_with(": ");
        left.retain(|term| open(&term.text) && !label(term));
        // What the first fact was cut short of tells more than what it has said.
        let best = left.iter().position(|term| !first.contains(&term.text)).unwrap_or(0);
        let Some(best) = left.get(best) else { return last_word(passage, sentence, open) };
        // New things tend to come last.
        let last = left.iter().max_by_key(|term| term.at.start).filter(|last| last.at != best.at);
        let mut named = vec![best];
        named.extend(last);
        named.sort_by_key(|term| term.at.start);
        let shown: Vec<String> = named.into_iter().map(|term| signed(&sentence.text, term)).collect();
        Some(self.series(&shown))
    }
}

/// The names that steps may use.
fn values<'d>(draft: &'d Draft, term: &'d str, fact: &'d str) -> Vec<(&'static str, &'d str)> {
    let (a, b) = draft.sides.as_ref().map_or(("", ""), |(a, b)| (a.as_str(), b.as_str()));
    vec![("term", term), ("fact", fact), ("a", a), ("b", b)]
}

/// A term with the signs that an option or a variable has before it.
fn signed(sentence: &str, term: &Term) -> String {
    let before = sentence.get(..term.at.start).unwrap_or_default();
    let own = before.trim_end_matches(['-', '$', '@', '.', '/']);
    let alone = own.is_empty() || own.ends_with([' ', '(']);
    let signs = if alone && term.shown == term.text { &before[own.len()..] } else { "" };
    format!("{signs}{}", term.shown)
}

/// The last word with content that the question leaves open, quoted; no verb where verbs are known.
fn last_word(passage: &Passage, sentence: &Sentence, open: impl Fn(&str) -> bool) -> Option<String> {
    let word = sentence.words.iter().rev().find(|word| {
        let english = passage.language == Language::English;
        let verb = english && (is_verb(&word.lower) || word.lower.ends_with("ly"));
        is_content(&word.lower, passage.language) && !verb && open(&word.lower)
    })?;
    let text = sentence.text.get(word.at.clone())?;
    // French runs an article or preposition into its noun.
    let text =
        text.split_once(['\'', '’']).map_or(text, |(front, noun)| if front.len() < 3 { noun } else { text });
    Some(super::phrases::fill(passage.phrases.quoted, &[("text", text)]))
}

/// The first number of a text with the word behind it: "300 kilometers".
fn figure(passage: &Passage, text: &str) -> Option<String> {
    let words = super::words::words(text);
    let alone = |at: usize| text[..at].chars().next_back().is_none_or(char::is_whitespace);
    let is_number = |lower: &str| lower.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
    let index = words.iter().position(|word| !word.code && is_number(&word.lower) && alone(word.at.start))?;
    let at = words[index].at.clone();
    if text[..at.start].ends_with("§ ") {
        return text.get(at.start - "§ ".len()..at.end).map(str::to_owned);
    }
    let number = &text[at];
    let Some(unit) = words.get(index + 1) else { return Some(number.to_owned()) };
    let between = &text[words[index].at.end..unit.at.start];
    let spaced = between == " " || between == "\u{a0}";
    // "2 to 3 weeks" is one figure.
    let range = words
        .get(index + 2)
        .filter(|end| spaced && is_number(&end.lower) && passage.language.is_stop(&unit.lower));
    if let Some(end) = range {
        let unit = words
            .get(index + 3)
            .filter(|unit| text[end.at.end..unit.at.start] == *" " && !passage.language.is_stop(&unit.lower));
        return text.get(words[index].at.start..unit.unwrap_or(end).at.end).map(str::to_owned);
    }
    let plain = !passage.language.is_stop(&unit.lower) && !unit.code && !is_number(&unit.lower);
    if spaced && plain && passage.language != Language::Japanese {
        return Some(format!("{number} {}", &text[unit.at.clone()]));
    }
    (between.trim().is_empty() && spaced).then(|| number.to_owned())
}

/// Where the first of the joints stands that leaves a whole clause before it.
fn main_clause(
    sentence: &str,
    joints: &'static [(&'static str, &'static str)],
) -> Option<(usize, &'static (&'static str, &'static str))> {
    let whole = |at: usize| {
        let head = &sentence[..at];
        let paired = |open: char, close: char| head.matches(open).count() == head.matches(close).count();
        head.chars().count() >= CLAUSE
            && head.matches('`').count().is_multiple_of(2)
            && head.matches('"').count().is_multiple_of(2)
            && paired('(', ')')
            && paired('«', '»')
            && paired('„', '“')
            && !head.contains(": ")
    };
    let cuts = joints.iter().filter_map(|joint| Some((sentence.find(joint.0)?, joint)));
    cuts.filter(|(at, _)| whole(*at)).min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_number_with_its_unit() {
        let section = serde_json::json!({"title": "T", "text": "The dough rests in the bowl."});
        let passage = Passage::of(&section, "", None);
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(figure(&passage, text).as_deref(), expected, "{text}");
        };
        check("Check it every 300 kilometers.", Some("300 kilometers"));
        check("It rests for 4 to 6 hours at least.", Some("4 to 6 hours"));
        check("It follows § 65 of the law.", Some("§ 65"));
        check("Version v1.2 is out.", None);
        check("It opened in 1966 and closed.", Some("1966"));
    }

    #[test]
    fn a_long_sentence_is_said_by_its_main_clause() {
        let joints = Language::English.phrases().joints;
        let check = |sentence: &str, expected: Option<&str>| {
            assert_eq!(main_clause(sentence, joints).map(|(at, _)| &sentence[..at]), expected);
        };
        check(
            "Salt is left out of the autolyse at first because it tightens the gluten.",
            Some("Salt is left out of the autolyse at first"),
        );
        check("Bake it, because it must.", None);
        check("The long starter (which is fed each day; always) rises for hours.", None);
    }
}

//! The three reasoning steps of a draft: its subject and wider field, a fact about it, and what follows from that or
//! is related to it.
//!
//! The steps read like the thoughts of someone who knows the subject: facts are stated, not cited, no step refers to a
//! source that the reader does not see, and none mentions the question or the answer. Called once per pair, by `draft`.

use super::draft::{QaDraft, QuestionContext, QuestionGoal, capitalized};
use super::fact::row_as_statement;
use super::language::Language;
use super::passage::Passage;
use super::sentences::Sentence;
use super::terms::{KeyTerm, key_terms, terms};

/// The minimum length, in characters, of a main clause that can replace its sentence.
const CLAUSE: usize = 24;
/// The maximum length, in bytes, of a sentence that is added to the first fact.
const ASIDE: usize = 320;

impl QuestionContext<'_> {
    /// The steps that lead to the draft's answer.
    pub(super) fn steps(&self, draft: &QaDraft) -> [String; 3] {
        let facts = self.facts(draft);
        let first = facts.first().map_or(self.passage.title.as_str(), String::as_str);
        let last = facts.last().filter(|_| facts.len() > 1).map(String::as_str);
        let term = self.term(draft);
        let steps = [
            self.first_step(draft, &term),
            self.second_step(draft, first),
            self.last_step(draft, &term, first, last),
        ];
        let [place, fact, end] = steps.map(|step| step.trim().to_owned());
        // A fact by itself may begin with a name that has no capital.
        let own = |step: String, fact: &str| if step == fact { step } else { capitalized(&step) };
        [capitalized(&place), own(fact, first), own(end, last.unwrap_or_default())]
    }

    /// Names what the draft is about and the wider field it belongs to.
    fn first_step(&self, draft: &QaDraft, term: &str) -> String {
        let (passage, phrases) = (self.passage, self.passage.phrases);
        let (title, document) = (passage.title.as_str(), passage.document.as_str());
        let holds = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        if let Some((a, b)) = &draft.sides {
            let inner = !document.is_empty() && !holds(a, document) && !holds(b, document);
            let wording = if inner { &phrases.both } else { &phrases.both_alone };
            return self.fill(wording, &[("doc", document), ("a", a), ("b", b)]);
        }
        let wide = !document.is_empty() && !holds(title, document);
        if !term.is_empty() && !holds(title, term) && !holds(document, term) {
            let field = if wide {
                self.fill(&phrases.within, &[("title", title), ("doc", document)])
            } else {
                title.to_owned()
            };
            return match holds(term, title) {
                true => self.fill(&phrases.alone, &[("term", term)]),
                false => self.phrase(&phrases.aspect, &[("field", &field), ("term", term)]),
            };
        }
        match wide {
            true => self.phrase(&phrases.part, &[("title", title), ("doc", document)]),
            false => self.fill(&phrases.alone, &[("term", title)]),
        }
    }

    /// States the first fact.
    fn second_step(&self, draft: &QaDraft, first: &str) -> String {
        let phrases = self.passage.phrases;
        let wording: &str = match draft.goal {
            QuestionGoal::Link | QuestionGoal::Comparison => &phrases.one_side,
            QuestionGoal::Order => &phrases.starts,
            QuestionGoal::Code => &phrases.code_starts,
            _ => "{fact}",
        };
        self.fill(wording, &values(draft, "", first))
    }

    /// What is related to the first fact: the last fact or the first one's consequence, otherwise its reason, another
    /// fact about the same things, its figure, or another of its terms.
    fn last_step(&self, draft: &QaDraft, term: &str, first: &str, last: Option<&str>) -> String {
        let phrases = self.passage.phrases;
        let blank = if draft.goal == QuestionGoal::Blank { draft.term.as_str() } else { term };
        let named = if blank.is_empty() { self.passage.title.as_str() } else { blank };
        let mut all = values(draft, named, last.unwrap_or(first));
        if let Some((said, right)) = &draft.change {
            all.extend([("said", said.as_str()), ("right", right.as_str())]);
            return self.fill(&phrases.wrong, &all);
        }
        match (draft.goal, last) {
            (QuestionGoal::Blank, _) => return self.phrase(&phrases.filled, &all),
            (QuestionGoal::Link, Some(_)) => return self.fill(&phrases.other, &all),
            (QuestionGoal::Comparison, Some(_)) => return self.fill(&phrases.contrasted, &all),
            (QuestionGoal::Order, Some(_)) => return self.fill(&phrases.ordered, &all),
            (QuestionGoal::Code, Some(_)) => return self.fill(&phrases.code_ends, &all),
            (QuestionGoal::Code, None) => return self.fill(&phrases.code_line, &all),
            (_, Some(fact)) => return fact.to_owned(),
            (_, None) => {}
        }
        if let Some((wording, tail)) = self.rest(draft) {
            all.push(("tail", &tail));
            return self.fill(wording, &all);
        }
        let detail = self.detail(draft, first, named);
        let (detail, wording) = match (self.related(draft, first), detail) {
            (Some(fact), _) => return fact,
            (None, Some((detail, true))) => (detail, &phrases.figure),
            (None, detail) => match (self.nearest_other(draft, first), detail) {
                (Some(fact), _) => return fact,
                (None, Some((detail, _))) => (detail, &phrases.tied),
                (None, None) => return self.fill(&phrases.plain, &all),
            },
        };
        all.push(("detail", &detail));
        self.phrase(wording, &all)
    }

    /// What the draft is about besides the subject: its term, otherwise the best term of its first sentence,
    /// preferably one that the question names, otherwise the best of the section. Never the words of a blank or the
    /// referent of a pronoun, which would reveal the answer.
    fn term(&self, draft: &QaDraft) -> String {
        let passage = self.passage;
        let hidden = [QuestionGoal::Blank, QuestionGoal::Reference].contains(&draft.goal);
        if draft.sides.is_some() || !draft.term.is_empty() && !hidden {
            return draft.term.clone();
        }
        let asked = draft.question.to_lowercase();
        let title = passage.title.to_lowercase();
        let own = draft.term.to_lowercase();
        let fits = |term: &KeyTerm| {
            let lower = term.text.to_lowercase();
            let given = !own.is_empty() && (lower.contains(&own) || own.contains(&lower));
            term.score() > 0.0 && !title.contains(&lower) && !given
        };
        let sentence = passage.sentences.iter().find(|one| draft.quotes.first() == Some(&one.text));
        let mut found = sentence.map(|sentence| terms(passage, sentence)).unwrap_or_default();
        found.retain(fits);
        let named = found.iter().position(|term| asked.contains(&term.text.to_lowercase())).unwrap_or(0);
        let own = found.into_iter().nth(named);
        let best = || key_terms(passage, &passage.all()).into_iter().find(fits);
        own.or_else(best).map(|term| term.shown).unwrap_or_default()
    }

    /// What the section says in relation to the first fact: the next sentence if it depends on it, the next item of
    /// its list, otherwise the sentence that shares most important words with it, or the nearest of several.
    fn related(&self, draft: &QaDraft, first: &str) -> Option<String> {
        let passage = self.passage;
        let index = self.position(draft)?;
        let own = &passage.sentences[index];
        let next = passage.sentences.get(index + 1);
        let follows = |next: &&Sentence| {
            next.complete && next.depends_on_previous(passage.language) && self.is_aside(index + 1, first)
        };
        if let Some(next) = next.filter(follows) {
            return Some(next.text.clone());
        }
        let list = passage.introduction(own);
        let item = |other: &usize| {
            list.is_some()
                && passage.introduction(&passage.sentences[*other]) == list
                && self.is_aside(*other, first)
        };
        let items = passage.all().into_iter().filter(|other| *other != index).filter(item);
        if let Some(item) = items.min_by_key(|other| (*other < index, other.abs_diff(index))) {
            return Some(self.as_statement(&passage.sentences[item].text));
        }
        let shared = |other: usize| {
            let theirs: Vec<&str> = passage.sentences[other].content(passage.language).collect();
            own.content(passage.language).filter(|word| theirs.contains(word)).count()
        };
        let asides = passage.standalone().into_iter().filter(|other| self.is_aside(*other, first));
        let found = asides.map(|other| (shared(other), other)).filter(|(shared, _)| *shared > 0);
        found
            .max_by_key(|(shared, other)| (*shared, std::cmp::Reverse(other.abs_diff(index))))
            .map(|(_, other)| passage.sentences[other].text.clone())
    }

    /// The sentence or item of the section that is nearest to the first fact.
    fn nearest_other(&self, draft: &QaDraft, first: &str) -> Option<String> {
        let passage = self.passage;
        let index = self.position(draft)?;
        let aside = |other: &usize| self.is_aside(*other, first);
        let standing =
            passage.standalone().into_iter().filter(aside).min_by_key(|other| other.abs_diff(index));
        let any = || passage.all().into_iter().filter(aside).min_by_key(|other| other.abs_diff(index));
        let found = standing.or_else(any)?;
        let said = self.as_statement(&passage.sentences[found].text);
        (!said.contains(first)).then_some(said)
    }

    /// The index of the draft's first sentence in the section.
    fn position(&self, draft: &QaDraft) -> Option<usize> {
        let quote = draft.quotes.first()?;
        self.passage.sentences.iter().position(|one| one.text == *quote)
    }

    /// Whether a sentence can be added to the first fact: it is short and says something else.
    fn is_aside(&self, index: usize, first: &str) -> bool {
        let sentence = &self.passage.sentences[index];
        let text = sentence.text.as_str();
        let new = !first.contains(text.trim_end_matches('.')) && !text.contains(first.trim_end_matches('.'));
        new && text.len() <= ASIDE && !text.ends_with(':') && !sentence.is_cross_reference
    }

    /// The sentences that support the answer, as facts that can be stated: whole, or their main clause if the rest
    /// comes with the answer.
    fn facts(&self, draft: &QaDraft) -> Vec<String> {
        let mut facts: Vec<String> = Vec::new();
        for (index, quote) in draft.quotes.iter().enumerate() {
            let fact = self.as_statement(quote);
            let fact = match self.cut(draft, &fact) {
                Some((at, _)) if index == 0 || draft.goal != QuestionGoal::Cause => {
                    format!("{}.", fact[..at].trim_end())
                }
                _ => fact,
            };
            // A sentence that depends on one that was stated does not repeat it.
            let said = facts.iter().find_map(|known| fact.strip_prefix(known.as_str()));
            let fact = said.map_or(fact.as_str(), str::trim).to_owned();
            if !fact.is_empty() && !facts.iter().any(|known| known.contains(&fact) || fact.contains(known)) {
                facts.push(fact);
            }
        }
        facts
    }

    /// Where the main clause of a fact ends, and the joint there with its wording.
    fn cut(&self, draft: &QaDraft, fact: &str) -> Option<(usize, &'static (String, String))> {
        let whole = [QuestionGoal::Truth, QuestionGoal::Blank, QuestionGoal::Code].contains(&draft.goal);
        let alone = draft.quotes.len() < 2 || draft.goal != QuestionGoal::Cause;
        if whole || !alone { None } else { main_clause(fact, &self.passage.phrases.joints) }
    }

    /// What follows the main clause of the only fact, and the wording for it.
    fn rest(&self, draft: &QaDraft) -> Option<(&'static str, String)> {
        let fact = self.as_statement(draft.quotes.first()?);
        let (at, (joint, wording)) = self.cut(draft, &fact)?;
        let tail = fact[at + joint.len()..].trim();
        (!wording.is_empty() && tail.contains(' ')).then(|| (wording.as_str(), tail.to_owned()))
    }

    /// A sentence as a fact: an item with its introduction, a dependent sentence with the one before it.
    fn as_statement(&self, quote: &str) -> String {
        let passages = [Some(self.passage), self.companion];
        let found = passages.into_iter().flatten().find_map(|passage| {
            let index = passage.sentences.iter().position(|sentence| sentence.text == quote)?;
            Some((passage, index))
        });
        let Some((passage, index)) = found else { return quote.trim().to_owned() };
        let sentence = &passage.sentences[index];
        if sentence.complete || passage.introduction(sentence).is_some() {
            return passage.compose(&[index]);
        }
        row_as_statement(&sentence.text).map_or_else(|| sentence.with_full_stop(), |row| format!("{row}."))
    }

    /// A part of the first fact that has not been named: a figure, in which case the flag is set, otherwise a term.
    fn detail(&self, draft: &QaDraft, first: &str, named: &str) -> Option<(String, bool)> {
        let passage = self.passage;
        let sentence = passage.sentences.iter().find(|one| draft.quotes.first() == Some(&one.text))?;
        let asked = draft.question.to_lowercase();
        let open = |text: &str| !text.is_empty() && !asked.contains(&text.to_lowercase());
        // A number without a unit may be part of a name.
        let told = |figure: &String| open(figure) && figure.contains([' ', '\u{a0}']);
        if let Some(figure) = figure(passage, &sentence.text).filter(told) {
            return Some((figure, true));
        }
        let mut left = terms(passage, sentence);
        // The name of a column or a label is not a detail.
        let label = |term: &KeyTerm| sentence.text[term.at.end..].starts_with(": ");
        let new = |term: &KeyTerm| !named.to_lowercase().contains(&term.text.to_lowercase());
        left.retain(|term| new(term) && !label(term));
        // The part that was cut off the first fact is more informative than the part that was stated, and an open detail more than the rest.
        left.sort_by_key(|term| (first.contains(&term.text), !open(&term.text)));
        left.first().map(|term| (signed(&sentence.text, term), false))
    }
}

/// The names that the phrases of steps may use, with their values.
fn values<'d>(draft: &'d QaDraft, term: &'d str, fact: &'d str) -> Vec<(&'static str, &'d str)> {
    let (a, b) = draft.sides.as_ref().map_or(("", ""), |(a, b)| (a.as_str(), b.as_str()));
    vec![("term", term), ("fact", fact), ("a", a), ("b", b)]
}

/// A term with the signs before it that belong to an option or a variable.
fn signed(sentence: &str, term: &KeyTerm) -> String {
    let before = sentence.get(..term.at.start).unwrap_or_default();
    let own = before.trim_end_matches(['-', '$', '@', '.', '/']);
    let alone = own.is_empty() || own.ends_with([' ', '(']);
    let signs = if alone && term.shown == term.text { &before[own.len()..] } else { "" };
    format!("{signs}{}", term.shown)
}

/// The first number of a text with its unit: "300 kilometers".
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

/// The position of the first joint after a complete clause, and the joint.
fn main_clause(
    sentence: &str,
    joints: &'static [(String, String)],
) -> Option<(usize, &'static (String, String))> {
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
    // "but is not limited to" has no subject of its own.
    let clause = |at: usize, joint: &str| {
        let next = sentence[at + joint.len()..].split(' ').next().unwrap_or_default();
        !joint.contains("but") || !["is", "are", "was", "were", "not", "also"].contains(&next)
    };
    let cuts = joints.iter().filter_map(|joint| Some((sentence.find(joint.0.as_str())?, joint)));
    cuts.filter(|(at, joint)| whole(*at) && clause(*at, &joint.0)).min_by_key(|(at, _)| *at)
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
        let joints = &Language::English.wording().phrases.joints;
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

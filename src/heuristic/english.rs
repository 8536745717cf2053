//! English grammar: forms of verbs, and questions derived from plain statements.
//!
//! A statement such as "The journal keeps every answer." becomes "What does the journal keep?". A statement that matches no
//! pattern gets a question about a key term instead.

use super::language::Language::English;
use super::sentences::Sentence;
use super::wording::{WordList, english_grammar};
use super::words::Word;

/// Whether a lower-case word is some form of a listed verb.
pub(super) fn is_verb(lower: &str) -> bool {
    base(lower, &english_grammar().verbs).is_some()
}

/// Whether a sentence starts with a command: a base form, not followed by "of" or a verb.
pub(super) fn is_command(sentence: &Sentence) -> bool {
    let words = &sentence.words;
    let follows = words.get(1).map_or("", |word| word.lower.as_str());
    let split = words.get(1).is_some_and(|word| sentence.text[words[0].at.end..word.at.start] != *" ");
    let noun = ["of", "is", "are", "and", "can", "must", "has", "may", "will", "was"].contains(&follows);
    let listed = english_grammar().verbs.contains(&words[0].lower);
    listed && !noun && !split && !words[0].code
}

/// The base form of a word in third person, past or -ing form, if it is in `list`.
fn base(lower: &str, list: &'static WordList) -> Option<&'static str> {
    let is = |candidate: &str| list.get(candidate);
    if let Some(verb) = is(lower) {
        return Some(verb);
    }
    if let Some(stem) = lower.strip_suffix("ies").or_else(|| lower.strip_suffix("ied")) {
        return is(&format!("{stem}y"));
    }
    for ending in ["s", "es", "d", "ed", "ing"] {
        let Some(stem) = lower.strip_suffix(ending) else { continue };
        let dropped_e = if ending == "ing" { is(&format!("{stem}e")) } else { None };
        let doubled = stem.len() > 3 && stem.as_bytes()[stem.len() - 1] == stem.as_bytes()[stem.len() - 2];
        let undoubled =
            if doubled && ending.len() > 1 { stem.get(..stem.len() - 1).and_then(is) } else { None };
        if let Some(verb) = is(stem).or(dropped_e).or(undoubled) {
            return Some(verb);
        }
    }
    None
}

/// The question that a plain statement answers, in lower case at the front and without a question mark; nothing if
/// the statement fits no pattern. `common` means that its first word is not a name.
pub(super) fn question(sentence: &Sentence, common: bool) -> Option<String> {
    let words = &sentence.words;
    if is_command(sentence) {
        return purpose(sentence);
    }
    let first = words.first()?;
    let pronoun = [
        "it", "they", "this", "these", "that", "those", "there", "he", "she", "we", "i", "which", "what",
        "who",
    ];
    if pronoun.contains(&first.lower.as_str()) || !sentence.complete {
        return None;
    }
    if let Some(question) = by_means(sentence).or_else(|| duration(sentence, common)) {
        return Some(question);
    }
    for index in 1..words.len().min(8) {
        let subject = sentence.text[..words[index].at.start].trim_end();
        if subject.contains([',', ';', ':', '(']) || subject.ends_with(['-', '–', '—']) {
            return None;
        }
        let word = words[index].lower.as_str();
        let next = words.get(index + 1).map_or("", |next| next.lower.as_str());
        if !is_subject(&words[..index]) {
            return None;
        }
        let subject = opening(sentence, subject, common);
        if let Some(question) = auxiliary(&subject, word, next, &words[index..]) {
            return Some(question);
        }
        if ["that", "which", "who", "if", "when", "where", "because", "whose"].contains(&word) {
            return None;
        }
        if let Some(question) = transitive(&subject, word, next, index) {
            return Some(question);
        }
    }
    None
}

/// "Run `x` to build the program." asks "how do you build the program"; other commands are asked for
/// their time, their temperature, or what is done with their object.
fn purpose(sentence: &Sentence) -> Option<String> {
    let text = sentence.text.as_str();
    let points =
        |part: &str| part.split(' ').any(|word| ["it", "them", "this", "that", "these"].contains(&word));
    if let Some(whole) = text.strip_suffix(':') {
        return (!points(whole)).then(|| format!("how do you {}", super::subject::lower_first(whole)));
    }
    if let Some((_, goal)) = text.split_once(" to ") {
        let goal = goal.split([',', ';', '.', ':']).next().unwrap_or(goal).trim();
        let first = goal.split(' ').next()?.to_lowercase();
        let verb = english_grammar().verbs.contains(&first);
        if verb && (2..=10).contains(&goal.split(' ').count()) && !points(goal) && sentence.complete {
            return Some(format!("how do you {goal}"));
        }
    }
    if text.split([',', ';']).next().is_some_and(points) {
        return None;
    }
    if let Some((before, _)) =
        measure(text, " for ", &["minutes", "hours", "days", "weeks", "seconds", "minute", "hour"])
    {
        return Some(format!("how long should you {}", super::subject::lower_first(before)));
    }
    if let Some((before, _)) = measure(text, " to ", &["°", "degrees"]) {
        return Some(format!("to what temperature should you {}", super::subject::lower_first(before)));
    }
    object(sentence).map(|object| format!("what should be done with {object}"))
}

/// The text before and after `lead`, if a number and one of `units` follow it.
fn measure<'s>(text: &'s str, lead: &str, units: &[&str]) -> Option<(&'s str, &'s str)> {
    let (before, after) = text.split_once(lead)?;
    let mut words = after.trim_start_matches("about ").split(' ');
    let number = words
        .next()
        .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()) || NUMBERS.contains(&word));
    let unit = words.next().is_some_and(|word| units.iter().any(|unit| word.starts_with(unit)));
    (number && unit && !before.contains([',', ';'])).then_some((before, after))
}

const NUMBERS: [&str; 9] = ["two", "three", "four", "five", "six", "ten", "twelve", "twenty", "thirty"];

/// The object directly after a command's verb, up to a preposition or similar word.
fn object(sentence: &Sentence) -> Option<String> {
    let words = &sentence.words;
    let article =
        words.get(1).filter(|word| ["the", "a", "an", "your", "all"].contains(&word.lower.as_str()))?;
    let mut end = 2;
    while end < words.len().min(5) {
        let word = &words[end];
        let joined = &sentence.text[words[end - 1].at.end..word.at.start] == " ";
        let function = English.is_stop(&word.lower) || NUMBERS.contains(&word.lower.as_str());
        if !joined || function {
            break;
        }
        end += 1;
    }
    (end > 2 && article.lower != "all")
        .then(|| sentence.text[article.at.start..words[end - 1].at.end].to_owned())
}

/// Whether the words can be a subject: no adverb or preposition in front, no verb inside.
fn is_subject(words: &[Word]) -> bool {
    let opens = ["all", "most", "some", "many", "both", "you", "one", "only", "several"];
    let first = &words[0].lower;
    if English.is_stop(first) && !English.is_determiner(first) && !opens.contains(&first.as_str()) {
        return false;
    }
    let verb = |index: usize| is_verb(&words[index].lower) && !English.is_determiner(&words[index - 1].lower);
    !(1..words.len()).any(|index| verb(index) && !words[index].lower.ends_with("ing"))
}

/// Questions out of "X is a Y", "X must Y", "X can Y".
fn auxiliary(subject: &str, word: &str, next: &str, rest: &[Word]) -> Option<String> {
    let after = rest.get(2).map_or("", |word| word.lower.as_str());
    // "is formed by cooling" explains how; "is needed" does not.
    let manner = ["by", "with", "from", "through", "using", "into", "in", "as"].contains(&after)
        && !["needed", "required", "based", "limited", "allowed", "called", "interested"].contains(&next);
    let plural =
        |one: &'static str, many: &'static str| if word == "are" || word == "were" { many } else { one };
    let negative = next == "not" || next == "never";
    match (word, next) {
        _ if rest.len() < 3 || subject == "you" => None,
        ("is" | "are", "a" | "an" | "the" | "one") => Some(format!("what {} {subject}", plural("is", "are"))),
        ("is" | "are", "called" | "known") => Some(format!("what {} {subject} {next}", plural("is", "are"))),
        ("is" | "are", "used" | "meant" | "intended") => {
            Some(format!("what {} {subject} {next} for", plural("is", "are")))
        }
        ("is" | "are", "made") => Some(format!("how {} {subject} made", plural("is", "are"))),
        ("must" | "should" | "shall", _) if negative => Some(format!("what must be avoided with {subject}")),
        ("must" | "should" | "shall", "be") => Some(format!("what {word} be done with {subject}")),
        ("must" | "should" | "shall", _) => Some(format!("what {word} {subject} do")),
        ("can" | "may", _) if negative => Some(format!("what is not possible with {subject}")),
        ("can" | "may", "be") => Some(format!("what {word} be done with {subject}")),
        ("can" | "may", _) => Some(format!("what {word} {subject} do")),
        ("cannot", _) => Some(format!("what is not possible with {subject}")),
        ("has", "a" | "an" | "two" | "three" | "four" | "no") => Some(format!("what does {subject} have")),
        ("have", "a" | "an" | "two" | "three" | "four" | "no") if subject != "you" => {
            Some(format!("what do {subject} have"))
        }
        ("is" | "are" | "was" | "were", _) if negative => {
            Some(format!("what {} not true of {subject}", plural("is", "is")))
        }
        ("is" | "are", _) if manner && next.ends_with("ed") => Some(format!("how {word} {subject} {next}")),
        ("is" | "are", _) => Some(format!("what can be said about {subject}")),
        _ => None,
    }
}

/// "You can set the address with the variable `X`." asks how you can set the address.
fn by_means(sentence: &Sentence) -> Option<String> {
    let rest = sentence.text.strip_prefix("You ")?;
    let (modal, rest) =
        rest.split_once(' ').filter(|(modal, _)| ["can", "must", "should", "may"].contains(modal))?;
    let end = [" with ", " by ", " using ", " via ", " through ", " in ", " from "]
        .iter()
        .filter_map(|word| rest.find(word))
        .min()?;
    let deed = &rest[..end];
    let whole = deed.contains(' ')
        && !deed.contains([',', ';'])
        && !deed.split(' ').any(|word| ["it", "them", "this", "not", "also"].contains(&word));
    whole.then(|| format!("how {modal} you {deed}"))
}

/// "A loaf takes about 24 hours." asks how long a loaf takes.
fn duration(sentence: &Sentence, common: bool) -> Option<String> {
    let (subject, _) = measure(
        &sentence.text,
        " takes ",
        &["minutes", "hours", "days", "weeks", "seconds", "months", "years"],
    )?;
    (subject.split(' ').count() <= 6)
        .then(|| format!("how long does {} take", opening(sentence, subject, common)))
}

/// Questions out of "X contains Y".
fn transitive(subject: &str, word: &str, next: &str, index: usize) -> Option<String> {
    let object = !next.is_empty() && (English.is_determiner(next) || !English.is_stop(next));
    let bare = index == 1 && ["the", "a", "an", "your", "each", "every"].contains(&subject);
    let verb = base(word, &english_grammar().transitive_verbs).filter(|_| object && !bare)?;
    if word == verb {
        let plural = subject == "you" || subject.ends_with('s');
        return plural.then(|| format!("what do {subject} {verb}"));
    }
    word.ends_with('s').then(|| format!("what does {subject} {verb}"))
}

/// The subject at the beginning of a sentence, in lower case unless its capital is its own.
fn opening(sentence: &Sentence, subject: &str, common: bool) -> String {
    let first = &sentence.words[0];
    let small = [
        "the", "a", "an", "your", "each", "every", "all", "most", "some", "no", "you", "many", "any", "both",
    ];
    let lone = subject.chars().filter(|c| c.is_uppercase()).count() == 1;
    let plural = subject.contains(' ') && subject.ends_with('s');
    let common =
        lone && (common || small.contains(&first.lower.as_str()) || first.lower.ends_with("ing") || plural);
    if common { super::subject::lower_first(subject) } else { subject.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(statement: &str, expected: Option<&str>) {
        let sentence = Sentence::of(statement).unwrap();
        assert_eq!(question(&sentence, false).as_deref(), expected, "{statement}");
    }

    #[test]
    fn statements_turn_into_questions() {
        check("The journal keeps every answer of the model.", Some("what does the journal keep"));
        check("Sourdough is a mixture of flour and water.", Some("what is Sourdough"));
        check("You need a dry bowl and a scale.", Some("what do you need"));
        check("Run `make` to build the program.", Some("how do you build the program"));
        check("The dough must be covered overnight.", Some("what must be done with the dough"));
        check("The oven cannot be opened before that.", Some("what is not possible with the oven"));
        check("A dry bowl is needed for this.", Some("what can be said about a dry bowl"));
        check("Large crystals are formed by slow cooling.", Some("how are large crystals formed"));
    }

    #[test]
    fn what_fits_no_pattern_is_left() {
        check("It keeps every answer.", None);
        check("The use of salt, for example, is old.", None);
        check("Salt, sugar and flour", None);
        check("Igneous rocks form when molten rock cools.", None);
        check("The delay doubles each time and is limited.", None);
        check("After five attempts the job is moved away.", None);
    }

    #[test]
    fn verbs_are_known_by_their_endings() {
        for form in ["keeps", "creating", "tried", "dropped", "mixes", "baked"] {
            assert!(is_verb(form), "{form}");
        }
        assert!(!is_verb("flour") && !is_verb("settings"));
    }
}

//! Questions about the words of one sentence: true or false, a blank to fill, what a word refers to.

use super::draft::{QaDraft, QuestionContext, QuestionGoal, capitalized};
use super::language::Language;
use super::sentences::Sentence;
use super::terms::{KeyTerm, key_terms, terms};
use super::words::Word;

/// A statement that is true or false, or a sentence with a blank.
pub(super) fn true_false_or_blank(context: &QuestionContext<'_>) -> QaDraft {
    let index = sentence(context);
    // A language without words for true and false gets blanks.
    let worded = context.passage.language != Language::Other;
    let kind = if worded { (context.choose("judge", 3) + context.variant) % 3 } else { 2 };
    let false_statement = if kind == 0 { false_statement(context, index) } else { None };
    if let Some(statement) = false_statement {
        return judged(context, index, &statement, false);
    }
    if kind != 1
        && let Some(draft) = blank(context, index)
    {
        return draft;
    }
    let statement = with_introduction(context, index, &context.passage.sentences[index].with_full_stop());
    judged(context, index, &statement, true)
}

/// The sentence to ask about: a different one for each variant.
fn sentence(context: &QuestionContext<'_>) -> usize {
    let passage = context.passage;
    let mut among = passage.candidates();
    let weighty = |index: &usize| passage.sentences[*index].content(passage.language).nth(3).is_some();
    if among.iter().any(weighty) {
        among.retain(weighty);
    }
    among[(context.choose("sentence", among.len()) + context.variant) % among.len()]
}

/// A statement from sentence `index`, with the line that introduces it if it is an item.
fn with_introduction(context: &QuestionContext<'_>, index: usize, statement: &str) -> String {
    match context.passage.introduction(&context.passage.sentences[index]) {
        Some(line) => format!("{line} {statement}"),
        None => statement.to_owned(),
    }
}

fn judged(context: &QuestionContext<'_>, index: usize, statement: &str, truth: bool) -> QaDraft {
    let passage = context.passage;
    let question = context.phrase(&passage.phrases.judge, &[("statement", statement)]);
    let sentence = passage.compose(&[index]);
    let wording = if truth { &passage.phrases.yes } else { &passage.phrases.no };
    let mut picked = vec![index];
    let mut full = sentence.clone();
    // A true statement is better supported by its neighbours than by itself alone.
    let own = &passage.sentences[index];
    let related = |next: &&Sentence| {
        let shares =
            next.content(passage.language).any(|word| own.content(passage.language).any(|one| one == word));
        next.complete && !next.is_cross_reference && (next.depends_on_previous(passage.language) || shares)
    };
    let next = passage.sentences.get(index + 1).filter(related);
    if next.is_some() && truth {
        picked.push(index + 1);
        full = passage.compose(&picked);
    }
    let answers = vec![
        context.fill(wording, &[("sentence", &full)]),
        context.fill(wording, &[("sentence", &sentence)]),
    ];
    let mut draft = context.draft(question, "", &picked, answers).with_goal(QuestionGoal::Truth);
    draft.change = (!truth).then(|| changed(statement, &passage.sentences[index].with_full_stop()));
    draft
}

/// The words in which a false statement differs from its sentence: the wrong ones and the right ones. If a word was only
/// inserted or removed, its neighbours are included.
fn changed(statement: &str, sentence: &str) -> (String, String) {
    let (said, right): (Vec<char>, Vec<char>) = (statement.chars().collect(), sentence.chars().collect());
    let is_bound = |c: char| c == ' ';
    let mut start = said.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let rest = said.len().min(right.len()) - start;
    let mut end = said.iter().rev().zip(right.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let grow = |start: &mut usize, end: &mut usize| {
        while *start > 0 && !is_bound(said[*start - 1]) {
            *start -= 1;
        }
        while *end > 0 && !is_bound(said[said.len() - *end]) {
            *end -= 1;
        }
    };
    grow(&mut start, &mut end);
    if start + end >= said.len().min(right.len()) {
        start = start.saturating_sub(1);
        end = end.saturating_sub(1);
        grow(&mut start, &mut end);
    }
    let part = |text: &[char]| {
        let text: String = text[start..text.len() - end].iter().collect();
        text.trim().trim_end_matches(['.', '。', ',', ';']).to_owned()
    };
    (part(&said), part(&right))
}

/// The sentence with one detail changed so that it is false.
fn false_statement(context: &QuestionContext<'_>, index: usize) -> Option<String> {
    let sentence = &context.passage.sentences[index];
    // Under "these are not supported:", the opposite of an item might be true.
    if context.passage.introduction(sentence).is_some() {
        return None;
    }
    let text = sentence.with_full_stop();
    if let Some(changed) = other_number(context, sentence, &text) {
        return Some(changed);
    }
    for (there, instead) in &context.passage.phrases.negations {
        // Only the first clause: a later negation may not make the whole sentence false.
        let clause = text.find([',', ';']).unwrap_or(text.len());
        if let Some(at) = text[..clause].find(there) {
            let after = &text[at + there.len()..];
            let negated = [" ne", " no", " not"].iter().any(|word| text[..at].ends_with(word));
            if negated || after.starts_with("not ") || after.starts_with("nicht ") {
                continue;
            }
            return Some(format!("{}{instead}{after}", &text[..at]));
        }
    }
    other_term(context, index, &text)
}

/// Whether a word is a whole number by itself, not one of an issue, path or version.
fn is_number(word: &Word, text: &str) -> bool {
    let alone = text[..word.at.start].chars().next_back().is_none_or(char::is_whitespace);
    alone && !word.code && word.lower.len() <= 6 && word.lower.chars().all(|c| c.is_ascii_digit())
}

/// A whole number of the sentence replaced by another one.
fn other_number(context: &QuestionContext<'_>, sentence: &Sentence, text: &str) -> Option<String> {
    let word = sentence.words.iter().find(|word| is_number(word, text))?;
    let number: u32 = word.lower.parse().ok()?;
    let step = if (1000..2100).contains(&number) {
        7 + context.choose("year", 30) as u32
    } else {
        (number / 2).max(1)
    };
    let other =
        if context.choose("number", 2) == 0 || number <= step { number + step } else { number - step };
    Some(format!("{}{other}{}", &text[..word.at.start], &text[word.at.end..]))
}

/// A code span of the sentence replaced by another one of the section. Nouns are left alone: their
/// genders and articles would not fit.
fn other_term(context: &QuestionContext<'_>, index: usize, text: &str) -> Option<String> {
    let passage = context.passage;
    let own = passage.sentences[index].words.iter().find(|word| word.code)?;
    let others: Vec<String> = key_terms(passage, &passage.all())
        .into_iter()
        .map(|term| term.text)
        .filter(|term| term.starts_with('`') && !text.contains(term.as_str()))
        .collect();
    if others.is_empty() {
        return None;
    }
    let other = &others[context.choose("other", others.len())];
    Some(format!("{}{other}{}", &text[..own.at.start], &text[own.at.end..]))
}

/// The sentence with its best term left out.
fn blank(context: &QuestionContext<'_>, index: usize) -> Option<QaDraft> {
    let passage = context.passage;
    let sentence = &passage.sentences[index];
    let number = sentence.words.iter().find(|word| is_number(word, &sentence.text));
    let found = terms(passage, sentence);
    let (at, term) = match (number, found.get(context.variant / 3 % found.len().max(1))) {
        (Some(number), term) if term.is_none() || context.choose("blank", 2) == 0 => {
            (number.at.clone(), number.lower.clone())
        }
        (_, Some(term)) => (term.at.clone(), term.text.clone()),
        _ => return None,
    };
    // The term elsewhere in the sentence would reveal the answer.
    let statement = format!("{}____{}", &sentence.text[..at.start], &sentence.text[at.end..]);
    if statement.to_lowercase().contains(&term.to_lowercase()) || sentence.words.len() < 4 {
        return None;
    }
    let statement = with_introduction(context, index, &statement);
    let question = context.phrase(&passage.phrases.blank, &[("statement", &statement)]);
    let whole = with_introduction(context, index, &sentence.with_full_stop());
    let shown = term.trim_matches('`');
    let shown = if shown == term { shown.to_owned() } else { term.clone() };
    let answer = context.fill(&passage.phrases.blank_answer, &[("term", &shown), ("sentence", &whole)]);
    let plain = format!("**{shown}**. {whole}");
    let draft = context.draft(question, &shown, &[index], vec![answer, plain, whole]);
    Some(draft.with_goal(QuestionGoal::Blank))
}

/// What a pronoun refers to, or what a term means in its sentence.
pub(super) fn ambiguity(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let phrases = passage.phrases;
    let pronoun = |index: &usize| {
        let sentence = &passage.sentences[*index];
        let first = &sentence.words[0].lower;
        let is_pronoun = phrases.pronouns.contains(first);
        // German and Spanish demonstratives before a noun are articles, not pronouns.
        let follows = sentence.words.get(1).is_some_and(|word| {
            passage.language == Language::English
                && ["is", "are", "can", "must", "should", "has", "have", "was", "will", "may"]
                    .contains(&word.lower.as_str())
                || passage.language.is_stop(&word.lower)
        });
        *index > 0 && is_pronoun && follows && sentence.complete && passage.sentences[*index - 1].complete
    };
    let found: Vec<usize> = passage.all().into_iter().filter(pronoun).collect();
    if found.is_empty() || phrases.refer.is_empty() {
        return meaning(context);
    }
    let index = found[(context.choose("pronoun", found.len()) + context.variant) % found.len()];
    let sentence = &passage.sentences[index];
    let before = passage.compose(&[index - 1]);
    let word = &sentence.words[0];
    let values =
        [("pronoun", word.lower.as_str()), ("statement", sentence.text.as_str()), ("before", &before)];
    let question = context.phrase(&phrases.refer, &values);
    let answer = context.fill(&phrases.refer_answer, &[("pronoun", values[0].1), ("sentence", &before)]);
    let word = super::wording::fill(&phrases.quoted, &[("text", values[0].1)]);
    let answers = vec![capitalized(&answer), before.clone()];
    let draft = context.draft(question, &word, &[index - 1], answers);
    draft.with_goal(QuestionGoal::Reference)
}

/// What a term means: answered by the other sentences that contain it, or by its own and the next.
fn meaning(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let among = passage.candidates();
    let term: Option<KeyTerm> = context.key_term(&among);
    let Some(term) = term else { return true_false_or_blank(context) };
    let places = passage.without_cross_references(passage.containing(&term.text));
    let index = places.iter().copied().find(|index| among.contains(index)).unwrap_or(among[0]);
    let mut picked: Vec<usize> = passage.most_central(&places, 3);
    if picked.len() < 2 {
        picked = vec![index];
        picked.extend((index + 1 < passage.sentences.len()).then_some(index + 1));
    }
    let statement = super::sentences::shorten(&passage.sentences[index].text, 160);
    let bare = term.text.trim_matches('`');
    let question = context.phrase(&passage.phrases.meaning, &[("term", bare), ("statement", &statement)]);
    context
        .draft(question, &term.shown, &picked, vec![passage.compose(&picked)])
        .with_goal(QuestionGoal::Meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_told_in_whole_words() {
        let check = |statement: &str, sentence: &str, said: &str, right: &str| {
            assert_eq!(changed(statement, sentence), (said.to_owned(), right.to_owned()));
        };
        check("Check it at 450 km.", "Check it at 300 km.", "450", "300");
        check("The dough is not warm.", "The dough is warm.", "not warm", "warm");
        check("The dough is warm.", "The dough is not warm.", "warm", "not warm");
        check("It never rests.", "It always rests.", "never", "always");
    }
}

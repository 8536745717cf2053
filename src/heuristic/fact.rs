//! Questions about one fact: derived from its sentence if that matches a pattern, otherwise about its key terms.

use super::draft::{QaDraft, QuestionContext, capitalized};
use super::english;
use super::language::Language;
use super::sentences::Sentence;
use super::subject::lower_first;
use super::terms::terms;

/// The preferred form of a question about a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuestionShape {
    /// A question that the fact's sentence answers word for word.
    Statement,
    /// A question that names a key term and leaves the rest open.
    Term,
}

/// A question about the record's fact, or about the most central sentence of the section.
pub(super) fn fact(context: &QuestionContext<'_>, shape: QuestionShape) -> QaDraft {
    let passage = context.passage;
    let central = || passage.most_central(&passage.all(), 1).first().copied().unwrap_or(0);
    let index = context.fact.filter(|index| *index < passage.sentences.len()).unwrap_or_else(central);
    let sentence = &passage.sentences[index];
    let shaped = statement_question(context, sentence);
    let introduction = passage.introduction(sentence);
    let prefers_term = shape == QuestionShape::Term && context.choose("taste", 3) > 0 && sentence.complete;
    let (question, term) = match shaped {
        Some(question) if !prefers_term => (question, String::new()),
        _ => term_question(context, index),
    };
    let mut answers = Vec::new();
    if introduction.is_none()
        && !sentence.complete
        && sentence.words.len() < 12
        && !sentence.text.contains(": ")
    {
        answers.push(format!("{}: {}", plain_title(context), sentence.with_full_stop()));
    }
    answers.push(passage.compose(&[index]));
    let mut draft = context.draft(question, &term, &[index], answers);
    if sentence.depends_on_previous(passage.language) && index > 0 {
        draft.quotes.insert(0, passage.sentences[index - 1].text.clone());
    }
    draft
}

/// The subject as a label before an item that has no introduction.
fn plain_title(context: &QuestionContext<'_>) -> String {
    capitalized(context.passage.title.trim_matches(['"', '„', '“', '«', '»', '「', '」', ' ']))
}

/// A question derived from the structure of the sentence.
fn statement_question(context: &QuestionContext<'_>, sentence: &Sentence) -> Option<String> {
    if let Some(question) = label_question(context, sentence) {
        return Some(question);
    }
    let introduced = context.passage.introduction(sentence).is_some();
    let whole = sentence.complete && !introduced || sentence.text.ends_with(':');
    if !whole || sentence.depends_on_previous(context.passage.language) {
        return None;
    }
    if let Some(question) = opening_question(context, sentence) {
        return Some(question);
    }
    if let Some(question) = reason_of(context, sentence) {
        return Some(question);
    }
    if context.passage.language == Language::English {
        let question = english::question(sentence, context.passage.is_common(sentence))?;
        return Some(context.fill(&format!("{{ctx}}{question}?"), &[]));
    }
    copula_question(context, sentence)
}

/// The value of the first cell of a table row such as "Name: salt; Amount: 10 g".
fn row(text: &str) -> Option<&str> {
    let cells: Vec<&str> = text.split("; ").collect();
    let named = cells.len() > 1 && cells.iter().all(|cell| cell.contains(": "));
    let (_, first) = cells[0].split_once(": ").filter(|_| named)?;
    (!first.trim().is_empty() && first.len() <= 60).then_some(first)
}

/// A table row as a statement about its first cell: "salt: 10 g"; with the column names if the row has more than one
/// other cell.
pub(super) fn row_as_statement(text: &str) -> Option<String> {
    let first = row(text)?;
    let (_, rest) = text.split_once("; ")?;
    let (_, value) = rest.split_once(": ").filter(|_| !rest.contains("; ")).unwrap_or(("", rest));
    Some(format!("{first}: {value}"))
}

/// "Salt: 10 g" asks about salt.
fn label_question(context: &QuestionContext<'_>, sentence: &Sentence) -> Option<String> {
    let passage = context.passage;
    if let Some(name) = row(&sentence.text) {
        return Some(context.phrase(&passage.phrases.label, &[("label", name)]));
    }
    let (label, rest) = [": ", " - ", " – ", " — "]
        .iter()
        .filter_map(|sign| sentence.text.split_once(sign))
        .min_by_key(|(label, _)| label.len())?;
    let words = label.split(' ').count();
    let empty = label.is_empty() || passage.phrases.empty_labels.contains(&label.to_lowercase());
    if empty || words > 5 || rest.trim().is_empty() || label.contains(['.', ',', '"', '„', '«', '(', ';'])
    {
        return None;
    }
    let same = passage
        .sentences
        .iter()
        .filter(|other| other.text.to_lowercase().starts_with(&label.to_lowercase()))
        .count();
    let single = label.chars().filter(|c| c.is_uppercase()).count() == 1 && !label.contains(' ');
    let shown = if passage.phrases.bare_titles && single { lower_first(label) } else { label.to_owned() };
    let label = shown.as_str();
    let item = Sentence::of(rest)?;
    let term = terms(passage, &item).into_iter().next();
    Some(match term.filter(|_| same > 1) {
        Some(term) => context.phrase(&passage.phrases.label_term, &[("label", label), ("term", &term.shown)]),
        None => context.phrase(&passage.phrases.label, &[("label", label)]),
    })
}

/// "If the dough sticks, add flour." asks what follows if the dough sticks.
fn opening_question(context: &QuestionContext<'_>, sentence: &Sentence) -> Option<String> {
    for (opening, wording) in &context.passage.phrases.openings {
        let Some(rest) = sentence.text.strip_prefix(opening).and_then(|rest| rest.strip_prefix(' ')) else {
            continue;
        };
        let (clause, result) = clause(context, rest)?;
        let long_enough = clause.split(' ').count() >= 2 && result.split(' ').count() >= 2;
        if !long_enough || clause.len() > 110 || refers(context.passage.language, clause) {
            return None;
        }
        return Some(context.fill(wording, &[("clause", clause)]));
    }
    None
}

/// The clause up to its comma, and what follows. In German a subclause may hold commas of its own, so
/// the comma is the one a verb follows; elsewhere it is the first.
fn clause<'s>(context: &QuestionContext<'_>, rest: &'s str) -> Option<(&'s str, &'s str)> {
    let (clause, result) = rest.split_once(", ")?;
    let inner = [" und ", " oder ", "dass ", "die ", "der ", "das "]
        .iter()
        .any(|word| result.starts_with(word.trim_start()));
    let nested = context.passage.language == Language::German && inner;
    (!nested).then_some((clause, result))
}

/// Whether a clause refers to something outside it.
fn refers(language: Language, clause: &str) -> bool {
    let pointing = &language.wording().words.pointing;
    clause.split(' ').any(|word| pointing.contains(&word.to_lowercase()))
}

/// "Der Sauerteig ist eine Mischung" asks what der Sauerteig is.
fn copula_question(context: &QuestionContext<'_>, sentence: &Sentence) -> Option<String> {
    let mut found = None;
    for (copula, wording) in &context.passage.phrases.copulas {
        if let Some((subject, _)) = sentence.text.split_once(copula)
            && found.is_none_or(|(known, _): (&str, &str)| subject.len() < known.len())
        {
            found = Some((subject, wording));
        }
    }
    let (subject, wording) = found?;
    let japanese = context.passage.language == Language::Japanese;
    let short = (!japanese || subject.chars().count() <= 14 && !subject.contains('、'))
        && subject.split(' ').count() <= 5
        && !subject.contains([',', ';', ':', '(']);
    let articled = context.passage.language.is_determiner(&sentence.words[0].lower);
    let general = wording.contains("über {subject}")
        || wording.contains("sobre {subject}")
        || wording.contains("sur {subject}");
    // Such a question says too little about a bare pronoun or adverb, and a subject of one word has a term.
    if general && !articled {
        return None;
    }
    let subject = if articled { lower_first(subject) } else { subject.to_owned() };
    let subject = if general { accusative(context.passage.language, &subject)? } else { subject };
    (short && !refers(context.passage.language, &subject))
        .then(|| context.fill(wording, &[("subject", &subject)]))
}

/// A German subject as object; nothing if an adjective would have to change too.
fn accusative(language: Language, subject: &str) -> Option<String> {
    let (article, noun) = subject.split_once(' ')?;
    let object = match article {
        _ if language != Language::German => return Some(subject.to_owned()),
        "der" => "den",
        "ein" => "einen",
        other => return Some(format!("{other} {noun}")),
    };
    (!noun.contains(' ')).then(|| format!("{object} {noun}"))
}

/// A question about the sentence's best term, or its two best; and that term.
fn term_question(context: &QuestionContext<'_>, index: usize) -> (String, String) {
    let sentence = &context.passage.sentences[index];
    let phrases = context.passage.phrases;
    let found = terms(context.passage, sentence);
    if found.is_empty() && sentence.depends_on_previous(context.passage.language) && index > 0 {
        return term_question(context, index - 1);
    }
    let Some(first) = found.first() else {
        return (context.phrase(&phrases.summary, &[]), String::new());
    };
    let introduced = context.passage.introduction(sentence).is_some();
    let second = found.get(1).filter(|second| !second.text.eq_ignore_ascii_case(&first.text));
    let question = match second {
        _ if !sentence.complete || introduced => context.phrase(&phrases.listed, &[("term", &first.shown)]),
        Some(second) => {
            let (one, two) =
                if first.at.start <= second.at.start { (first, second) } else { (second, first) };
            context.phrase(&phrases.fact_two, &[("term", &one.shown), ("other", &two.shown)])
        }
        None => context.phrase(&phrases.fact, &[("term", &first.shown)]),
    };
    (question, first.shown.clone())
}

/// A question for the reason that sentence `index` states; `None` if it states none.
pub(super) fn reason(context: &QuestionContext<'_>, index: usize) -> Option<String> {
    reason_of(context, &context.passage.sentences[index])
}

fn reason_of(context: &QuestionContext<'_>, sentence: &Sentence) -> Option<String> {
    for (word, wording) in &context.passage.phrases.reasons {
        let Some((effect, _)) = sentence.text.split_once(word) else { continue };
        let effect = effect.trim_end_matches(',');
        if refers(context.passage.language, effect) || effect.split(' ').count() < 3 {
            return None;
        }
        let quoted = wording.contains("„{effect}") || wording.contains("« {effect}");
        let first = &sentence.words[0].lower;
        let lower = !quoted
            && (context.passage.is_common(sentence)
                || context.passage.language.is_stop(first)
                || context.passage.language.is_determiner(first));
        let effect = if lower { lower_first(effect) } else { effect.to_owned() };
        return Some(context.fill(wording, &[("effect", &effect)]));
    }
    None
}

//! Questions about two sections: what connects them, how they compare.

use super::draft::{QaDraft, QuestionContext, QuestionGoal, capitalized};
use super::passage::Passage;
use super::terms::key_terms;
use super::words::is_content;

/// A question that needs a sentence of each section.
pub(super) fn multi_hop(context: &QuestionContext<'_>, other: &Passage) -> QaDraft {
    let passage = context.passage;
    let (first, second) = linked(context, other);
    let (a, b) = titles(passage, other);
    let shared = key_terms(passage, &[first]).into_iter().find(|term| {
        let words = super::words::words(&term.text);
        let held = &other.sentences[second].words;
        words.iter().all(|word| held.iter().any(|one| one.lower == word.lower))
    });
    let field = field(context, &a, &b);
    let names = [("a", a.as_str()), ("b", b.as_str()), ("pre", field.as_str())];
    let term = shared.as_ref().map(|term| {
        term.shown.strip_prefix("a ").map_or_else(|| term.shown.clone(), |bare| format!("the {bare}"))
    });
    let question = match &term {
        Some(term) => context.phrase(&passage.phrases.hop, &[names[0], names[1], names[2], ("term", term)]),
        None => context.phrase(&passage.phrases.hop_plain, &names),
    };
    let answer = format!("{} {}", passage.compose(&[first]), other.compose(&[second]));
    let titled = listed(&a, &passage.compose(&[first]), &b, &other.compose(&[second]));
    let answers = if shared.is_some() { vec![answer] } else { vec![titled, answer] };
    let quotes = vec![passage.sentences[first].text.clone(), other.sentences[second].text.clone()];
    let (goal, term) = (QuestionGoal::Link, term.unwrap_or_default());
    QaDraft { question, answers, term, quotes, goal, sides: Some((a, b)), change: None }
}

/// The pair of sentences, one of each section, that share most important words; a different pair for each variant if
/// there are several.
fn linked(context: &QuestionContext<'_>, other: &Passage) -> (usize, usize) {
    let passage = context.passage;
    let candidates = |one: &Passage| one.most_central(&one.candidates(), 12);
    let (left, right) = (candidates(passage), candidates(other));
    let mut scored: Vec<(usize, usize, usize)> = Vec::new();
    for &one in &left {
        for &two in &right {
            let theirs = &other.sentences[two].words;
            let common = |word: &&str| theirs.iter().any(|held| held.lower == **word);
            scored.push((passage.sentences[one].content(passage.language).filter(common).count(), one, two));
        }
    }
    scored.sort_by_key(|one| std::cmp::Reverse(one.0));
    let best = scored.first().map_or(0, |one| one.0);
    let good = scored.iter().take_while(|one| one.0 > 0 && one.0 + 1 >= best).count().clamp(1, 4);
    let (_, first, second) =
        scored.get((context.choose("link", good) + context.variant) % good).copied().unwrap_or_default();
    (first, second)
}

/// How two sections compare: the most central sentences of each, and their common terms.
pub(super) fn comparison(context: &QuestionContext<'_>, other: &Passage) -> QaDraft {
    let passage = context.passage;
    let (a, b) = titles(passage, other);
    let skip = context.variant % 2;
    let pick = |one: &Passage| {
        let mut picked = one.most_central(&one.candidates(), 2 + skip);
        picked.drain(..skip.min(picked.len() - 1));
        picked
    };
    let (left, right) = (pick(passage), pick(other));
    let (one, two) = (passage.compose(&left), other.compose(&right));
    let both = shared(context, other);
    let end = if both.is_empty() {
        String::new()
    } else {
        format!("\n\n{}", context.fill(&passage.phrases.shared, &[("terms", &context.series(&both))]))
    };
    let titled = listed(&a, &one, &b, &two);
    let plain = if one.contains('\n') || two.contains('\n') {
        format!("{one}\n\n{two}")
    } else {
        format!("- {one}\n- {two}")
    };
    let field = field(context, &a, &b);
    let question = context.phrase(&passage.phrases.compare, &[("a", &a), ("b", &b), ("pre", &field)]);
    let quotes = vec![passage.sentences[left[0]].text.clone(), other.sentences[right[0]].text.clone()];
    let answers = vec![format!("{titled}{end}"), titled, format!("{plain}{end}"), plain];
    let (goal, term) = (QuestionGoal::Comparison, String::new());
    QaDraft { question, answers, term, quotes, goal, sides: Some((a, b)), change: None }
}

/// Two texts as list items under their titles, or as paragraphs if one of them contains a list.
fn listed(a: &str, one: &str, b: &str, two: &str) -> String {
    let (a, b) = (heading(a), heading(b));
    if one.contains('\n') || two.contains('\n') {
        return format!("**{a}**\n\n{one}\n\n**{b}**\n\n{two}");
    }
    format!("- **{a}**: {one}\n- **{b}**: {two}")
}

fn heading(title: &str) -> String {
    capitalized(title.trim_matches(['"', '„', '“', '«', '»', '”', '「', '」', ' ']))
}

/// Up to three key terms that both sections have.
fn shared(context: &QuestionContext<'_>, other: &Passage) -> Vec<String> {
    let passage = context.passage;
    let both = |text: &str| {
        let words = super::words::words(text);
        !words.is_empty()
            && words.iter().all(|word| {
                other.counts.contains_key(&word.lower) && is_content(&word.lower, passage.language)
            })
    };
    key_terms(passage, &passage.all())
        .into_iter()
        .map(|term| term.text)
        .filter(|text| both(text))
        .take(3)
        .collect()
}

/// The wider field as the opening of a question; empty if one of the two subjects is the field.
fn field(context: &QuestionContext<'_>, a: &str, b: &str) -> String {
    let passage = context.passage;
    let name = if passage.document.is_empty() { &passage.title } else { &passage.document };
    let named = [a, b].iter().any(|one| one.to_lowercase().contains(&name.to_lowercase()));
    if named { String::new() } else { super::wording::fill(&passage.phrases.pre, &[("doc", name)]) }
}

/// The two subjects; with the headings above them if they could not be distinguished otherwise.
fn titles(passage: &Passage, other: &Passage) -> (String, String) {
    let own = |one: &Passage| {
        let parts: Vec<&str> = one.path.split(" > ").collect();
        match parts.as_slice() {
            // A heading that names no subject is replaced by its document's title, which is also that of the other section.
            [_, .., heading] if one.document.is_empty() => one.named(heading),
            _ => one.title.clone(),
        }
    };
    let (a, b) = (own(passage), own(other));
    if a != b {
        return (a, b);
    }
    let above = |one: &Passage| {
        let parts: Vec<&str> = one.path.split(" > ").collect();
        match parts.as_slice() {
            [.., above, heading] => one.named(&format!("{heading} ({above})")),
            _ => one.named(&one.path),
        }
    };
    (above(passage), above(other))
}

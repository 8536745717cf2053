//! From a planned question to its pair: dispatches each question type, and writes the types about one section.
//!
//! `fact` writes questions about one fact, `sentence_questions` those about the words of one sentence, `two_sections`
//! those about two sections. A type that the user declared gets a question about a key term.

use serde_json::Value;

use super::draft::{QaDraft, QaPair, QuestionContext, QuestionGoal};
use super::english::is_command;
use super::evidence::evidence;
use super::language::Language;
use super::recent_passages::RecentPassages;
use super::terms::{KeyTerm, key_terms};
use super::{fact, sentence_questions, two_sections};
use crate::draw::Draws;
use crate::record::Record;

/// The pair for a record with `question_type` and `section`; nothing for other records.
pub(super) fn pair(record: &Record, recent: &RecentPassages) -> Option<QaPair> {
    let kind = record.text("question_type")?;
    let section = record.get("section").filter(|section| section.is_object())?;
    let document = record.text("document.title").unwrap_or("");
    let passage = recent.of(section, document, None);
    let companion = record.get("companion").filter(|other| other.is_object());
    let companion = companion.map(|other| recent.of(other, document, Some(passage.language)));
    let number =
        |name: &str| record.get(name).and_then(Value::as_u64).and_then(|one| usize::try_from(one).ok());
    let text = record.text("section.text").unwrap_or("");
    let place = record.text("section.key").map_or_else(|| record.id.to_string(), str::to_owned);
    let fact = record.text("fact").and_then(|fact| passage.position(fact));
    let key = format!("{place} {} {kind} {}", text.len(), number("question_number").unwrap_or(0));
    let companion = companion.filter(|other| !other.sentences.is_empty());
    let context = QuestionContext {
        passage: &passage,
        companion: companion.as_deref(),
        kind,
        fact,
        variant: number("variant").unwrap_or(1).saturating_sub(1),
        key,
        draws: Draws::new(0, "heuristic".into()),
    };
    let draft = draft(&context);
    let other = if context.companion.is_some() { record.text("companion.text").unwrap_or("") } else { "" };
    let evidence = evidence(&draft.quotes, &[text, other]);
    Some(context.finish(draft, evidence))
}

fn draft(context: &QuestionContext<'_>) -> QaDraft {
    if context.passage.sentences.is_empty() {
        return code(context);
    }
    match (context.kind, context.companion) {
        ("FACT_BASED", _) => fact::fact(context, fact::QuestionShape::Statement),
        ("FACTUAL_RECALL", _) => fact::fact(context, fact::QuestionShape::Term),
        ("SECTION_SUMMARY", _) => summary(context),
        ("SUMMARIZATION", _) => short_summary(context),
        ("INFERENCE", _) => inference(context),
        ("MULTI_HOP_REASONING", Some(other)) => two_sections::multi_hop(context, other),
        (_, Some(other)) => two_sections::comparison(context, other),
        ("APPLICATION", _) => application(context),
        ("CAUSE_EFFECT", _) => cause(context),
        ("HYPOTHETICAL", _) => hypothetical(context),
        ("CRITICAL_ANALYSIS", _) => critique(context),
        ("TECHNICAL_EXPLANATION", _) => explanation(context),
        ("PROCESS_WORKFLOW", _) => process(context),
        ("TRUE_FALSE_FILL_BLANK", _) => sentence_questions::true_false_or_blank(context),
        ("CONTEXTUAL_AMBIGUITY", _) => sentence_questions::ambiguity(context),
        _ => explanation(context),
    }
}

impl QuestionContext<'_> {
    /// The key term this question is about, among sentences `among`: a different one for each kind and variant, but
    /// only one of the important ones.
    pub(super) fn key_term(&self, among: &[usize]) -> Option<KeyTerm> {
        let mut terms = key_terms(self.passage, among);
        let best = terms.first()?.score();
        // A score may be negative.
        terms.retain(|term| term.score() >= best - best.abs() * 0.6);
        let count = terms.len().min(6);
        Some(terms.swap_remove((self.choose("focus", count) + self.variant) % count))
    }

    /// The sentences with the term, or the sentence nearest to it.
    fn sentences_about(&self, term: &KeyTerm, count: usize) -> Vec<usize> {
        let mut found = self.passage.without_cross_references(self.passage.containing(&term.text));
        let complete = |index: &usize| self.passage.sentences[*index].complete;
        if found.iter().any(complete) {
            found.retain(complete);
        }
        if found.is_empty() {
            self.passage.most_central(&self.passage.without_cross_references(self.passage.all()), count)
        } else {
            self.passage.most_central(&found, count)
        }
    }

    pub(super) fn draft(
        &self,
        question: String,
        term: &str,
        picked: &[usize],
        answers: Vec<String>,
    ) -> QaDraft {
        let quotes = picked.iter().map(|index| self.passage.sentences[*index].text.clone()).collect();
        QaDraft {
            question,
            answers,
            term: term.to_owned(),
            quotes,
            goal: QuestionGoal::Fact,
            sides: None,
            change: None,
        }
    }
}

fn summary(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let all = passage.without_cross_references(passage.all());
    let complete: Vec<usize> =
        all.iter().copied().filter(|index| passage.sentences[*index].complete).collect();
    let among = if complete.len() < 3 { all.clone() } else { complete };
    let picked = if all.len() <= 5 { all.clone() } else { passage.most_central(&among, 5) };
    let text = passage.compose(&picked);
    let rest: Vec<usize> = all.iter().copied().filter(|index| !picked.contains(index)).collect();
    let lower = text.to_lowercase();
    let others: Vec<String> = key_terms(passage, &rest)
        .into_iter()
        .filter(|term| !lower.contains(&term.text.to_lowercase()))
        .take(4)
        .map(|term| term.text)
        .collect();
    let full = if others.is_empty() {
        text.clone()
    } else {
        let listed = text.rsplit('\n').next().is_some_and(|line| line.starts_with("- "));
        let also = context.fill(&passage.phrases.also, &[("terms", &context.series(&others))]);
        format!("{text}{}{also}", if listed { "\n\n" } else { " " })
    };
    context
        .draft(context.phrase(&passage.phrases.summary, &[]), "", &picked, vec![full, text])
        .with_goal(QuestionGoal::Overview)
}

fn short_summary(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let focus = if context.variant > 0 { context.key_term(&passage.all()) } else { None };
    let all = || passage.without_cross_references(passage.all());
    let among = focus.as_ref().map_or_else(all, |term| context.sentences_about(term, 6));
    let mut picked = Vec::new();
    let mut words = 0;
    for count in 1..=among.len() {
        let candidate = passage.most_central(&among, count);
        words = candidate.iter().map(|index| passage.sentences[*index].words.len()).sum();
        if words > 80 && !picked.is_empty() {
            break;
        }
        picked = candidate;
        if words > 60 {
            break;
        }
    }
    let mut text = passage.compose(&picked);
    if words > 95 {
        text = text.split_inclusive(' ').take(95).collect::<String>().trim_end().to_owned() + " …";
    }
    let question = match &focus {
        Some(term) => context.phrase(&passage.phrases.summarize_term, &[("term", &term.shown)]),
        None => context.phrase(&passage.phrases.summarize, &[]),
    };
    let term = focus.map(|term| term.shown).unwrap_or_default();
    context.draft(question, &term, &picked, vec![text]).with_goal(QuestionGoal::Overview)
}

fn inference(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    // A term that two statements share relates one to the other.
    let among = passage.candidates();
    let shared: Vec<KeyTerm> = key_terms(passage, &among)
        .into_iter()
        .filter(|term| passage.containing(&term.text).len() > 1)
        .take(5)
        .collect();
    if shared.is_empty() {
        return explanation(context);
    }
    let term = &shared[(context.choose("term", shared.len()) + context.variant) % shared.len()];
    let picked = context.sentences_about(term, 2);
    if picked.len() < 2 {
        return explanation(context);
    }
    let (first, second) = (passage.compose(&picked[..1]), passage.compose(&picked[1..]));
    // A second sentence that depends on the first already includes it.
    if second.starts_with(&first) {
        return explanation(context);
    }
    let lead = context.phrase(&passage.phrases.infer_answer, &[("first", &first), ("second", &second)]);
    let question = context.phrase(&passage.phrases.infer, &[("term", &term.shown)]);
    context
        .draft(question, &term.shown, &picked, vec![lead, passage.compose(&picked)])
        .with_goal(QuestionGoal::Inference)
}

fn application(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let english = passage.language == Language::English;
    let mut duties = passage.containing_any(&passage.phrases.duties);
    let command = |index: &usize| {
        let sentence = &passage.sentences[*index];
        english && is_command(sentence) && !sentence.is_cross_reference
    };
    duties.extend(passage.all().into_iter().filter(command));
    duties.sort_unstable();
    duties.dedup();
    let general = context.variant == 0 && duties.len() > 1;
    let wordings = if duties.is_empty() { &passage.phrases.apply_plain } else { &passage.phrases.apply_term };
    let among = if duties.is_empty() { passage.candidates() } else { duties };
    let focus = if general { None } else { context.key_term(&among) };
    let picked = match &focus {
        Some(term) => context.sentences_about(term, 2),
        None => passage.most_central(&among, 3),
    };
    let question = match &focus {
        Some(term) => context.phrase(wordings, &[("term", &term.shown)]),
        None => context.phrase(&passage.phrases.apply, &[]),
    };
    let term = focus.map(|term| term.shown).unwrap_or_default();
    let text = passage.compose(&picked);
    let short = |code: &&str| code.lines().count() <= 14 && !text.contains(*code);
    let answers = match passage.code().filter(short).filter(|_| general) {
        Some(code) => vec![format!("{text}\n\n{code}"), text],
        None => vec![text],
    };
    context.draft(question, &term, &picked, answers).with_goal(QuestionGoal::Practice)
}

fn cause(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let reasoned: Vec<(usize, String)> = passage
        .standalone()
        .into_iter()
        .filter_map(|index| Some((index, fact::reason(context, index)?)))
        .collect();
    if !reasoned.is_empty() {
        let (index, question) =
            &reasoned[(context.choose("cause", reasoned.len()) + context.variant) % reasoned.len()];
        return context
            .draft(question.clone(), "", &[*index], vec![passage.compose(&[*index])])
            .with_goal(QuestionGoal::Cause);
    }
    let marked = passage.containing_any(&passage.phrases.causal);
    let wordings = if marked.is_empty() { &passage.phrases.circumstances } else { &passage.phrases.effect };
    let among = if marked.is_empty() { passage.candidates() } else { marked };
    let Some(term) = context.key_term(&among) else { return summary(context) };
    let mut picked: Vec<usize> =
        passage.containing(&term.text).into_iter().filter(|index| among.contains(index)).collect();
    picked =
        if picked.is_empty() { passage.most_central(&among, 1) } else { passage.most_central(&picked, 2) };
    let question = context.phrase(wordings, &[("term", &term.shown)]);
    context
        .draft(question, &term.shown, &picked, vec![passage.compose(&picked)])
        .with_goal(QuestionGoal::Cause)
}

fn hypothetical(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let Some(term) = context.key_term(&passage.candidates()) else { return summary(context) };
    let picked = context.sentences_about(&term, 2);
    let first = passage.compose(&picked);
    let lead = context.phrase(&passage.phrases.suppose_answer, &[("first", &first)]);
    let question = context.phrase(&passage.phrases.suppose, &[("term", &term.shown)]);
    context.draft(question, &term.shown, &picked, vec![lead, first]).with_goal(QuestionGoal::Loss)
}

fn critique(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let limits = passage.containing_any(&passage.phrases.limits);
    let wordings = if limits.is_empty() { &passage.phrases.support } else { &passage.phrases.criticize };
    let among = if limits.is_empty() { passage.candidates() } else { limits };
    let Some(term) = context.key_term(&among) else { return summary(context) };
    let mut picked: Vec<usize> = among
        .iter()
        .copied()
        .filter(|index| passage.containing(&term.text).contains(index))
        .take(2)
        .collect();
    for index in context.sentences_about(&term, 3) {
        if picked.len() < 2 && !picked.contains(&index) {
            picked.push(index);
        }
    }
    picked.sort_unstable();
    let question = context.phrase(wordings, &[("term", &term.shown)]);
    context
        .draft(question, &term.shown, &picked, vec![passage.compose(&picked)])
        .with_goal(QuestionGoal::Limits)
}

fn explanation(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let Some(term) = context.key_term(&passage.candidates()) else { return summary(context) };
    let mut picked = context.sentences_about(&term, 3);
    // A sentence that opens with the term most likely says what it is.
    let opens = |index: &usize| {
        !passage.sentences[*index]
            .text
            .get(..term.text.len() + 4)
            .is_some_and(|front| front.contains(&term.text))
    };
    picked.sort_by_key(opens);
    let question = context.phrase(&passage.phrases.explain, &[("term", &term.shown)]);
    context
        .draft(question, &term.shown, &picked, vec![passage.compose(&picked)])
        .with_goal(QuestionGoal::Meaning)
}

fn process(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let english = passage.language == Language::English;
    let open = |index: &usize| !passage.sentences[*index].text.ends_with(':');
    let command = |index: &usize| english && is_command(&passage.sentences[*index]);
    let mut steps = passage.numbered();
    if steps.len() < 2 {
        steps = passage.without_cross_references(
            passage.all().into_iter().filter(|one| open(one) && command(one)).collect(),
        );
    }
    let wordings = if steps.len() < 2 { &passage.phrases.points } else { &passage.phrases.process };
    if steps.len() < 2 {
        let among = passage.without_cross_references(passage.all().into_iter().filter(open).collect());
        steps = passage.most_central(&among, 7);
    }
    steps.truncate(12);
    let mut answer = String::new();
    let introductions: Vec<Option<&str>> =
        steps.iter().map(|index| passage.introduction(&passage.sentences[*index])).collect();
    // A single list is introduced once; items of several lists come with their introductions.
    let common = introductions
        .first()
        .copied()
        .flatten()
        .filter(|line| introductions.iter().all(|other| *other == Some(*line)));
    answer.extend(common.iter().flat_map(|line| [line, "\n\n"]));
    for (number, index) in steps.iter().enumerate() {
        let own = introductions[number].filter(|_| common.is_none());
        let lead = own.map(|line| format!("{line} ")).unwrap_or_default();
        answer.push_str(&format!(
            "{}{}. {lead}{}",
            if number > 0 { "\n" } else { "" },
            number + 1,
            passage.sentences[*index].text
        ));
    }
    if steps.len() < 2 {
        answer = passage.compose(&passage.all());
    }
    if steps.is_empty() {
        steps = passage.all();
    }
    let question = context.phrase(wordings, &[]);
    context.draft(question, "", &steps, vec![answer]).with_goal(QuestionGoal::Order)
}

/// For a section without sentences: its code, or whatever text it has.
fn code(context: &QuestionContext<'_>) -> QaDraft {
    let passage = context.passage;
    let wordings = if passage.code().is_some() { &passage.phrases.code } else { &passage.phrases.summary };
    let question = context.phrase(wordings, &[]);
    let code = passage.code().unwrap_or(&passage.text).to_owned();
    let code = if code.is_empty() { passage.path.clone() } else { code };
    let lines = code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("```"));
    let mut quotes: Vec<String> = lines.map(str::to_owned).collect();
    if quotes.len() > 2 {
        quotes.drain(1..quotes.len() - 1);
    }
    let goal = if passage.code().is_some() { QuestionGoal::Code } else { QuestionGoal::Overview };
    QaDraft { question, answers: vec![code], term: String::new(), quotes, goal, sides: None, change: None }
}

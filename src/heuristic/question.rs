//! From a planned question to its pair: which writer a type goes to, and the writers of one-section types.
//!
//! `fact` writes questions about one fact, `judge` those about one sentence's wording, `pair` those over two
//! sections. Types of the user's own get the question about a key term.

use serde_json::Value;

use super::draft::{Aim, Asking, Draft, Pair};
use super::english::is_command;
use super::evidence::evidence;
use super::language::Language;
use super::passage::Passage;
use super::terms::{Term, key_terms};
use super::{fact, judge, pair};
use crate::draw::Draws;
use crate::record::Record;

/// The pair for a record with `question_type` and `section`; nothing for other records.
pub(super) fn pair(record: &Record) -> Option<Pair> {
    let kind = record.text("question_type")?;
    let section = record.get("section").filter(|section| section.is_object())?;
    let document = record.text("document.title").unwrap_or("");
    let passage = Passage::of(section, document, None);
    let companion = record.get("companion").filter(|other| other.is_object());
    let companion = companion.map(|other| Passage::of(other, document, Some(passage.language)));
    let number =
        |name: &str| record.get(name).and_then(Value::as_u64).and_then(|one| usize::try_from(one).ok());
    let text = record.text("section.text").unwrap_or("");
    let place = record.text("section.key").map_or_else(|| record.id.to_string(), str::to_owned);
    let fact = record.text("fact").and_then(|fact| passage.position(fact));
    let key = format!("{place} {} {kind} {}", text.len(), number("question_number").unwrap_or(0));
    let companion = companion.filter(|other| !other.sentences.is_empty());
    let asking = Asking {
        passage: &passage,
        companion: companion.as_ref(),
        kind,
        fact,
        variant: number("variant").unwrap_or(1).saturating_sub(1),
        key,
        draws: Draws::new(0, "heuristic".into()),
    };
    let draft = draft(&asking);
    let other = if asking.companion.is_some() { record.text("companion.text").unwrap_or("") } else { "" };
    let evidence = evidence(&draft.quotes, &[text, other]);
    Some(asking.finish(draft, evidence))
}

fn draft(asking: &Asking<'_>) -> Draft {
    if asking.passage.sentences.is_empty() {
        return code(asking);
    }
    match (asking.kind, asking.companion) {
        ("FACT_BASED", _) => fact::fact(asking, fact::Taste::Statement),
        ("FACTUAL_RECALL", _) => fact::fact(asking, fact::Taste::Term),
        ("SECTION_SUMMARY", _) => summary(asking),
        ("SUMMARIZATION", _) => short_summary(asking),
        ("INFERENCE", _) => inference(asking),
        ("MULTI_HOP_REASONING", Some(other)) => pair::hop(asking, other),
        (_, Some(other)) => pair::comparison(asking, other),
        ("APPLICATION", _) => application(asking),
        ("CAUSE_EFFECT", _) => cause(asking),
        ("HYPOTHETICAL", _) => hypothetical(asking),
        ("CRITICAL_ANALYSIS", _) => critique(asking),
        ("TECHNICAL_EXPLANATION", _) => explanation(asking),
        ("PROCESS_WORKFLOW", _) => process(asking),
        ("TRUE_FALSE_FILL_BLANK", _) => judge::judge(asking),
        ("CONTEXTUAL_AMBIGUITY", _) => judge::ambiguity(asking),
        _ => explanation(asking),
    }
}

impl Asking<'_> {
    /// The key term this question is about, among sentences `among`: another one for each kind and variant,
    /// but only of those that carry the section.
    pub(super) fn focus(&self, among: &[usize]) -> Option<Term> {
        let mut terms = key_terms(self.passage, among);
        let best = terms.first()?.score();
        // A score may be below nought.
        terms.retain(|term| term.score() >= best - best.abs() * 0.6);
        let count = terms.len().min(6);
        Some(terms.swap_remove((self.choose("focus", count) + self.variant) % count))
    }

    /// The sentences with the term, or the sentence nearest to it.
    fn about(&self, term: &Term, count: usize) -> Vec<usize> {
        let mut found = self.passage.saying(self.passage.with(&term.text));
        let complete = |index: &usize| self.passage.sentences[*index].complete;
        if found.iter().any(complete) {
            found.retain(complete);
        }
        if found.is_empty() {
            self.passage.central(&self.passage.saying(self.passage.all()), count)
        } else {
            self.passage.central(&found, count)
        }
    }

    pub(super) fn stated(
        &self,
        question: String,
        term: &str,
        picked: &[usize],
        answers: Vec<String>,
    ) -> Draft {
        let quotes = picked.iter().map(|index| self.passage.sentences[*index].text.clone()).collect();
        Draft { question, answers, term: term.to_owned(), quotes, aim: Aim::Fact, sides: None, change: None }
    }
}

fn summary(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let all = passage.saying(passage.all());
    let complete: Vec<usize> =
        all.iter().copied().filter(|index| passage.sentences[*index].complete).collect();
    let among = if complete.len() < 3 { all.clone() } else { complete };
    let picked = if all.len() <= 5 { all.clone() } else { passage.central(&among, 5) };
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
        let also = asking.fill(&passage.phrases.also, &[("terms", &asking.series(&others))]);
        format!("{text}{}{also}", if listed { "\n\n" } else { " " })
    };
    asking
        .stated(asking.word(&passage.phrases.summary, &[]), "", &picked, vec![full, text])
        .aimed(Aim::Overview)
}

fn short_summary(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let focus = if asking.variant > 0 { asking.focus(&passage.all()) } else { None };
    let all = || passage.saying(passage.all());
    let among = focus.as_ref().map_or_else(all, |term| asking.about(term, 6));
    let mut picked = Vec::new();
    let mut words = 0;
    for count in 1..=among.len() {
        let candidate = passage.central(&among, count);
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
        Some(term) => asking.word(&passage.phrases.summarize_term, &[("term", &term.shown)]),
        None => asking.word(&passage.phrases.summarize, &[]),
    };
    let term = focus.map(|term| term.shown).unwrap_or_default();
    asking.stated(question, &term, &picked, vec![text]).aimed(Aim::Overview)
}

fn inference(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    // A term that two statements share lets one be read in the light of the other.
    let among = passage.base();
    let shared: Vec<Term> = key_terms(passage, &among)
        .into_iter()
        .filter(|term| passage.with(&term.text).len() > 1)
        .take(5)
        .collect();
    if shared.is_empty() {
        return explanation(asking);
    }
    let term = &shared[(asking.choose("term", shared.len()) + asking.variant) % shared.len()];
    let picked = asking.about(term, 2);
    if picked.len() < 2 {
        return explanation(asking);
    }
    let (first, second) = (passage.compose(&picked[..1]), passage.compose(&picked[1..]));
    // A second sentence that leans on the first has brought it along.
    if second.starts_with(&first) {
        return explanation(asking);
    }
    let lead = asking.word(&passage.phrases.infer_answer, &[("first", &first), ("second", &second)]);
    let question = asking.word(&passage.phrases.infer, &[("term", &term.shown)]);
    asking.stated(question, &term.shown, &picked, vec![lead, passage.compose(&picked)]).aimed(Aim::Inference)
}

fn application(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let english = passage.language == Language::English;
    let mut duties = passage.marked(&passage.phrases.duties);
    let command = |index: &usize| {
        let sentence = &passage.sentences[*index];
        english && is_command(sentence) && !sentence.points_elsewhere()
    };
    duties.extend(passage.all().into_iter().filter(command));
    duties.sort_unstable();
    duties.dedup();
    let general = asking.variant == 0 && duties.len() > 1;
    let wordings = if duties.is_empty() { &passage.phrases.apply_plain } else { &passage.phrases.apply_term };
    let among = if duties.is_empty() { passage.base() } else { duties };
    let focus = if general { None } else { asking.focus(&among) };
    let picked = match &focus {
        Some(term) => asking.about(term, 2),
        None => passage.central(&among, 3),
    };
    let question = match &focus {
        Some(term) => asking.word(wordings, &[("term", &term.shown)]),
        None => asking.word(&passage.phrases.apply, &[]),
    };
    let term = focus.map(|term| term.shown).unwrap_or_default();
    let text = passage.compose(&picked);
    let short = |code: &&str| code.lines().count() <= 14 && !text.contains(*code);
    let answers = match passage.code().filter(short).filter(|_| general) {
        Some(code) => vec![format!("{text}\n\n{code}"), text],
        None => vec![text],
    };
    asking.stated(question, &term, &picked, answers).aimed(Aim::Practice)
}

fn cause(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let reasoned: Vec<(usize, String)> = passage
        .standing()
        .into_iter()
        .filter_map(|index| Some((index, fact::reason(asking, index)?)))
        .collect();
    if !reasoned.is_empty() {
        let (index, question) =
            &reasoned[(asking.choose("cause", reasoned.len()) + asking.variant) % reasoned.len()];
        return asking
            .stated(question.clone(), "", &[*index], vec![passage.compose(&[*index])])
            .aimed(Aim::Cause);
    }
    let marked = passage.marked(&passage.phrases.causal);
    let wordings = if marked.is_empty() { &passage.phrases.circumstances } else { &passage.phrases.effect };
    let among = if marked.is_empty() { passage.base() } else { marked };
    let Some(term) = asking.focus(&among) else { return summary(asking) };
    let mut picked: Vec<usize> =
        passage.with(&term.text).into_iter().filter(|index| among.contains(index)).collect();
    picked = if picked.is_empty() { passage.central(&among, 1) } else { passage.central(&picked, 2) };
    let question = asking.word(wordings, &[("term", &term.shown)]);
    asking.stated(question, &term.shown, &picked, vec![passage.compose(&picked)]).aimed(Aim::Cause)
}

fn hypothetical(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let Some(term) = asking.focus(&passage.base()) else { return summary(asking) };
    let picked = asking.about(&term, 2);
    let first = passage.compose(&picked);
    let lead = asking.word(&passage.phrases.suppose_answer, &[("first", &first)]);
    let question = asking.word(&passage.phrases.suppose, &[("term", &term.shown)]);
    asking.stated(question, &term.shown, &picked, vec![lead, first]).aimed(Aim::Loss)
}

fn critique(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let limits = passage.marked(&passage.phrases.limits);
    let wordings = if limits.is_empty() { &passage.phrases.support } else { &passage.phrases.criticize };
    let among = if limits.is_empty() { passage.base() } else { limits };
    let Some(term) = asking.focus(&among) else { return summary(asking) };
    let mut picked: Vec<usize> =
        among.iter().copied().filter(|index| passage.with(&term.text).contains(index)).take(2).collect();
    for index in asking.about(&term, 3) {
        if picked.len() < 2 && !picked.contains(&index) {
            picked.push(index);
        }
    }
    picked.sort_unstable();
    let question = asking.word(wordings, &[("term", &term.shown)]);
    asking.stated(question, &term.shown, &picked, vec![passage.compose(&picked)]).aimed(Aim::Limits)
}

fn explanation(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let Some(term) = asking.focus(&passage.base()) else { return summary(asking) };
    let mut picked = asking.about(&term, 3);
    // A sentence that opens with the term most likely says what it is.
    let opens = |index: &usize| {
        !passage.sentences[*index]
            .text
            .get(..term.text.len() + 4)
            .is_some_and(|front| front.contains(&term.text))
    };
    picked.sort_by_key(opens);
    let question = asking.word(&passage.phrases.explain, &[("term", &term.shown)]);
    asking.stated(question, &term.shown, &picked, vec![passage.compose(&picked)]).aimed(Aim::Meaning)
}

fn process(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let english = passage.language == Language::English;
    let open = |index: &usize| !passage.sentences[*index].text.ends_with(':');
    let command = |index: &usize| english && is_command(&passage.sentences[*index]);
    let mut steps = passage.numbered();
    if steps.len() < 2 {
        steps = passage.saying(passage.all().into_iter().filter(|one| open(one) && command(one)).collect());
    }
    let wordings = if steps.len() < 2 { &passage.phrases.points } else { &passage.phrases.process };
    if steps.len() < 2 {
        let among = passage.saying(passage.all().into_iter().filter(open).collect());
        steps = passage.central(&among, 7);
    }
    steps.truncate(12);
    let mut answer = String::new();
    let introductions: Vec<Option<&str>> =
        steps.iter().map(|index| passage.introduction(&passage.sentences[*index])).collect();
    // One list is introduced once; what comes of several lists brings its introduction along.
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
    let question = asking.word(wordings, &[]);
    asking.stated(question, "", &steps, vec![answer]).aimed(Aim::Order)
}

/// For a section without sentences: its code, or whatever text it has.
fn code(asking: &Asking<'_>) -> Draft {
    let passage = asking.passage;
    let wordings = if passage.code().is_some() { &passage.phrases.code } else { &passage.phrases.summary };
    let question = asking.word(wordings, &[]);
    let code = passage.code().unwrap_or(&passage.text).to_owned();
    let code = if code.is_empty() { passage.path.clone() } else { code };
    let lines = code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("```"));
    let mut quotes: Vec<String> = lines.map(str::to_owned).collect();
    if quotes.len() > 2 {
        quotes.drain(1..quotes.len() - 1);
    }
    let aim = if passage.code().is_some() { Aim::Code } else { Aim::Overview };
    Draft { question, answers: vec![code], term: String::new(), quotes, aim, sides: None, change: None }
}

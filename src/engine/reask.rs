//! What comes after an answer that will not do: the next step of `on_error`, and how a question is put again.
//!
//! `ask` takes the steps. Servers differ in which turns they take: none without text, and no two of
//! one side in a row, hold everywhere. What was asked stands unchanged before what is added, so that a server that
//! keeps what it has read goes on from there.

use crate::llm::Message;
use crate::stage::OnError;

/// Characters of a wrong answer that are shown to the model when it is asked again.
const SHOWN_ANSWER: usize = 2000;

/// The chain of `on_error`, taken step by step.
pub(super) struct OnErrorSteps<'a> {
    steps: &'a [OnError],
    used: u32,
}

impl<'a> OnErrorSteps<'a> {
    pub(super) fn new(steps: &'a [OnError]) -> Self {
        Self { steps, used: 0 }
    }

    /// What to do after a failure; a request that failed for good is not asked again.
    pub(super) fn next(&mut self, can_retry: bool) -> OnError {
        while let Some(step) = self.steps.first() {
            match step {
                OnError::Retry(times) if can_retry && self.used < *times => {
                    self.used += 1;
                    return *step;
                }
                OnError::Retry(_) => self.steps = &self.steps[1..],
                OnError::Heuristic | OnError::Reject => {
                    self.steps = &self.steps[1..];
                    return *step;
                }
            }
        }
        OnError::Reject
    }
}

/// How a question is put again: the wrong answer and what is wrong with it stand behind it; only the last one, so that
/// the conversation does not grow with each try.
pub(super) struct ReaskTurns {
    /// Messages of the question itself.
    question: usize,
    /// Its last message, which may be added to.
    last: Option<Message>,
}

impl ReaskTurns {
    pub(super) fn new(messages: &[Message]) -> Self {
        Self { question: messages.len(), last: None }
    }

    pub(super) fn append(&mut self, messages: &mut Vec<Message>, answer: &str, error: &str) {
        self.restore(messages);
        self.last = messages.last().cloned();
        let shown: String = answer.chars().take(SHOWN_ANSWER).collect();
        if shown.trim().is_empty() {
            // Many servers refuse a turn without text.
            let words =
                "Your last answer was empty. Answer with the JSON that is asked for and nothing else.";
            add(messages, "user", words);
            return;
        }
        add(messages, "assistant", &shown);
        let words = "Answer again, with the corrected JSON and nothing else.";
        add(messages, "user", &format!("That answer cannot be used: {error}\n{words}"));
    }

    /// Leaves the question alone again.
    pub(super) fn restore(&mut self, messages: &mut Vec<Message>) {
        messages.truncate(self.question);
        if let (Some(last), Some(place)) = (self.last.take(), messages.last_mut()) {
            *place = last;
        }
    }
}

/// Adds a turn. Some servers refuse two of one side in a row, so one that goes on with the last is joined with it: a
/// user's behind a blank line, an assistant's right behind the words it was to begin with.
fn add(messages: &mut Vec<Message>, role: &str, text: &str) {
    match messages.last_mut().filter(|last| last.role == role) {
        Some(last) => {
            if role == "user" {
                last.content.push_str("\n\n");
            }
            last.content.push_str(text);
        }
        None => messages.push(Message::new(role, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_alternate_and_are_taken_back() {
        let check = |question: &[(&str, &str)], answer: &str, expected: &[(&str, &str)]| {
            let messages = |turns: &[(&str, &str)]| -> Vec<Message> {
                turns.iter().map(|(role, text)| Message::new(role, *text)).collect()
            };
            let mut asked = messages(question);
            let mut reask = ReaskTurns::new(&asked);
            for _ in 0..2 {
                reask.append(&mut asked, answer, "no JSON");
                let told: Vec<(&str, &str)> =
                    asked.iter().map(|turn| (&*turn.role, turn.content.lines().next().unwrap())).collect();
                assert_eq!(told, expected);
                assert!(asked.iter().all(|turn| !turn.content.trim().is_empty()));
            }
            assert_ne!(asked, messages(question));
            for (turn, (role, text)) in asked.iter().zip(question) {
                assert!(turn.role == *role && turn.content.starts_with(text), "{turn:?}");
            }
            reask.restore(&mut asked);
            assert_eq!(asked, messages(question));
        };
        let wrong = ("user", "That answer cannot be used: no JSON");
        let system = ("system", "Be brief.");
        check(&[system, ("user", "Why?")], "So.", &[system, ("user", "Why?"), ("assistant", "So."), wrong]);
        check(&[system, ("user", "Why?")], "", &[system, ("user", "Why?")]);
        check(&[("user", "Why?")], " \n", &[("user", "Why?")]);
        let begun = [("user", "Why?"), ("assistant", "{")];
        check(&begun, "So.", &[("user", "Why?"), ("assistant", "{So."), wrong]);
        let empty =
            ("user", "Your last answer was empty. Answer with the JSON that is asked for and nothing else.");
        check(&begun, "", &[begun[0], begun[1], empty]);
    }

    fn steps(list: &[OnError], failures: &[bool]) -> Vec<OnError> {
        let mut chain = OnErrorSteps::new(list);
        failures.iter().map(|can_retry| chain.next(*can_retry)).collect()
    }

    #[test]
    fn a_chain_is_taken_in_order() {
        use OnError::{Heuristic, Reject, Retry};
        let chain = [Retry(2), Heuristic];
        assert_eq!(steps(&chain, &[true; 4]), [Retry(2), Retry(2), Heuristic, Reject]);
        assert_eq!(steps(&chain, &[false; 2]), [Heuristic, Reject]);
        assert_eq!(steps(&[], &[true]), [Reject]);
        assert_eq!(steps(&[Retry(1), Reject, Heuristic], &[true; 2]), [Retry(1), Reject]);
    }
}

//! What follows an invalid answer: the next step of `on_error`, and the messages of a re-ask.
//!
//! `ask` takes the steps. Servers differ in the turns they accept; all accept conversations without empty turns and
//! without two turns of one role in a row. The question stays unchanged before the added turns, so that a server with a
//! prefix cache continues from there.

use crate::llm::Message;
use crate::stage::OnError;

/// The most characters of an invalid answer that a re-ask shows to the model.
const MAX_SHOWN_CHARS: usize = 2000;

/// The steps of `on_error`, taken one after another.
pub(super) struct OnErrorCursor<'a> {
    steps: &'a [OnError],
    used: u32,
}

impl<'a> OnErrorCursor<'a> {
    pub(super) fn new(steps: &'a [OnError]) -> Self {
        Self { steps, used: 0 }
    }

    /// The next step after a failure. Without `can_retry`, as after a request that finally failed, there is no re-ask.
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

/// The turns of a re-ask: the invalid answer, and why it is invalid, follow the question. Only the last answer is
/// shown, so that the conversation does not grow with each re-ask.
pub(super) struct ReaskTurns {
    /// The number of messages of the question itself.
    question: usize,
    /// Its last message, which an added turn may be joined to.
    last: Option<Message>,
}

impl ReaskTurns {
    pub(super) fn new(messages: &[Message]) -> Self {
        Self { question: messages.len(), last: None }
    }

    /// Appends the turns for an answer with this error, in place of those of an earlier answer.
    pub(super) fn append(&mut self, messages: &mut Vec<Message>, answer: &str, error: &str) {
        self.restore(messages);
        self.last = messages.last().cloned();
        let shown: String = answer.chars().take(MAX_SHOWN_CHARS).collect();
        if shown.trim().is_empty() {
            // Many servers refuse an empty turn.
            let words =
                "Your last answer was empty. Answer with the JSON that is asked for and nothing else.";
            add(messages, "user", words);
            return;
        }
        add(messages, "assistant", &shown);
        let words = "Answer again, with the corrected JSON and nothing else.";
        add(messages, "user", &format!("That answer cannot be used: {error}\n{words}"));
    }

    /// Removes the turns that were appended.
    pub(super) fn restore(&mut self, messages: &mut Vec<Message>) {
        messages.truncate(self.question);
        if let (Some(last), Some(place)) = (self.last.take(), messages.last_mut()) {
            *place = last;
        }
    }
}

/// Adds a turn. Some servers refuse two turns of one role in a row, so a turn of the last one's role is joined to it: a
/// user's after a blank line, an assistant's directly after the words that its answer was to begin with.
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
    fn turns_alternate_and_are_removed_again() {
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
        let mut chain = OnErrorCursor::new(list);
        failures.iter().map(|can_retry| chain.next(*can_retry)).collect()
    }

    #[test]
    fn steps_are_taken_in_order() {
        use OnError::{Heuristic, Reject, Retry};
        let chain = [Retry(2), Heuristic];
        assert_eq!(steps(&chain, &[true; 4]), [Retry(2), Retry(2), Heuristic, Reject]);
        assert_eq!(steps(&chain, &[false; 2]), [Heuristic, Reject]);
        assert_eq!(steps(&[], &[true]), [Reject]);
        assert_eq!(steps(&[Retry(1), Reject, Heuristic], &[true; 2]), [Retry(1), Reject]);
    }
}

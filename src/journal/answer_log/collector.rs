//! The task between those that store answers and the log's thread: it groups what is ready at the same time.
//!
//! Waking a thread costs more than appending an answer. While one group is being written the next one gathers, and the
//! acknowledgement of a group wakes this task alone, which passes it on without leaving the runtime.

use tokio::sync::{mpsc, oneshot};

use super::writer::{AnswerLogCommand, AnswerToStore};

/// The most answers of a group.
const GROUP: usize = 64;
/// The most bytes of a group, before packing, unless a single answer has more.
const GROUP_BYTES: usize = 1 << 20;

/// An answer, and the channel on which to report that it is stored.
pub(super) type PendingAnswer = (AnswerToStore, oneshot::Sender<()>);

/// The task that groups answers for the log's thread. It must run for answers to be stored.
pub struct AnswerCollector {
    pub(super) incoming: mpsc::Receiver<PendingAnswer>,
    pub(super) log: mpsc::Sender<AnswerLogCommand>,
}

impl AnswerCollector {
    /// Passes answers on until every handle of the log is dropped, or the log fails: answers that are then not
    /// acknowledged are not stored.
    pub async fn run(mut self) {
        while let Some(first) = self.incoming.recv().await {
            // Lets tasks that are ready bring their answers as well.
            tokio::task::yield_now().await;
            let (answers, waiting) = self.group(first);
            let (written, ack) = oneshot::channel();
            let sent = self.log.send(AnswerLogCommand::Answers(answers, written)).await;
            if sent.is_err() || ack.await.is_err() {
                return;
            }
            for waiting in waiting {
                let _ = waiting.send(());
            }
        }
    }

    /// Takes the answers that wait after `first`.
    fn group(&mut self, first: PendingAnswer) -> (Vec<AnswerToStore>, Vec<oneshot::Sender<()>>) {
        let (mut answers, mut waiting) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some((answer, written)) = next {
            bytes += answer.bytes.len();
            answers.push(answer);
            waiting.push(written);
            let is_full = answers.len() >= GROUP || bytes >= GROUP_BYTES;
            next = if is_full { None } else { self.incoming.try_recv().ok() };
        }
        (answers, waiting)
    }
}

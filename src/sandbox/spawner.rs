//! The thread that starts programs.
//!
//! Starting one takes the time of a system call or two, for which the threads of the runtime are not there. And the kernel
//! ends a sandbox when the thread that started it ends: this one lives as long as our process.

use std::process::Command;
use std::sync::OnceLock;

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Programs that wait to be started.
const WAITING: usize = 64;

static SPAWNER: OnceLock<Option<async_channel::Sender<SpawnRequest>>> = OnceLock::new();

struct SpawnRequest {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<std::io::Result<Child>>,
}

/// Starts a program. If nobody waits for it any more when it has started, it is killed.
pub(super) async fn spawn(command: Command) -> std::io::Result<Child> {
    let gone = || std::io::Error::other("the thread that starts programs is gone");
    let requests = SPAWNER.get_or_init(start).as_ref().ok_or_else(gone)?;
    let (answer, answered) = oneshot::channel();
    let request = SpawnRequest { command, runtime: Handle::current(), answer };
    requests.send(request).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

fn start() -> Option<async_channel::Sender<SpawnRequest>> {
    let (sender, requests) = async_channel::bounded(WAITING);
    let thread = std::thread::Builder::new().name("programs".to_owned());
    thread.spawn(move || serve(&requests)).ok().map(|_| sender)
}

fn serve(requests: &async_channel::Receiver<SpawnRequest>) {
    while let Ok(SpawnRequest { command, runtime, answer }) = requests.recv_blocking() {
        if answer.is_closed() {
            continue;
        }
        let _inside = runtime.enter();
        let started = tokio::process::Command::from(command).spawn();
        if let Err(Ok(mut child)) = answer.send(started) {
            let _ = child.start_kill();
        }
    }
}

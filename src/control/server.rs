//! The end of the process that trains: a socket, a thread that waits for connections, and the hub.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::ControlError;
use super::hub::{Hub, Message, Setup};
use super::peer;
use super::socket::Bound;
use super::wire::Line;
use crate::protocol::{Event, EventKind, Remote, WeakCommandSender};
use crate::run::Logged;

/// Connections at a time.
const MOST_CLIENTS: usize = 32;
/// Events that wait for the hub, beyond which those that come many times a second are left out. It waits for nobody, so
/// this is a machine on which a thread does not run for minutes.
const DEEPEST: usize = 1 << 13;

/// What the training thread publishes through. Never waits.
#[derive(Debug, Clone)]
pub struct Tee {
    hub: Sender<Message>,
    depth: Arc<AtomicUsize>,
    lost: Arc<AtomicBool>,
}

impl Tee {
    pub fn publish(&self, event: &Event) {
        let often = matches!(
            event.kind,
            EventKind::Steps(_) | EventKind::SamplePiece { .. } | EventKind::Health { .. }
        );
        if often && self.depth.load(Ordering::Relaxed) > DEEPEST {
            self.lost.store(true, Ordering::Relaxed);
            return;
        }
        self.send(Message::Event(event.clone()));
    }

    /// Everything published so far is in the logs, which are that long.
    pub fn logged(&self, logged: Logged) {
        self.send(Message::Logged(logged));
    }

    fn send(&self, message: Message) {
        self.depth.fetch_add(1, Ordering::Relaxed);
        // Without a hub there is nobody to tell.
        let _ = self.hub.send(message);
    }
}

/// Open while it lives. Dropping it tells the clients what is still to be told.
#[derive(Debug)]
pub struct Server {
    tee: Tee,
    heard: Receiver<Remote>,
    socket: Option<Bound>,
    closing: Arc<AtomicBool>,
    hub: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the socket of the run in `run`, whose lock this process holds. `logged` is how far its logs are.
    ///
    /// # Errors
    /// [`ControlError::Make`].
    pub fn open(
        run: &Path,
        logged: Logged,
        commands: WeakCommandSender,
    ) -> Result<Self, ControlError> {
        let error = |source| ControlError::Make {
            path: run.join(crate::run::RunFile::Control.name()),
            source,
        };
        let (socket, listener) = Bound::listen(run).map_err(error)?;
        let (sender, messages) = mpsc::channel();
        let (heard_sender, heard) = mpsc::channel();
        let tee = Tee {
            hub: sender.clone(),
            depth: Arc::default(),
            lost: Arc::default(),
        };
        let hub = Hub::new(Setup {
            run: run.to_path_buf(),
            logged,
            commands,
            heard: heard_sender,
            depth: Arc::clone(&tee.depth),
            lost: Arc::clone(&tee.lost),
        });
        let hub = thread::Builder::new()
            .name("fireside-control".to_string())
            .spawn(move || hub.run(&messages))
            .map_err(error)?;
        let closing = Arc::new(AtomicBool::new(false));
        let server = Self {
            tee,
            heard,
            socket: Some(socket),
            closing: Arc::clone(&closing),
            hub: Some(hub),
        };
        thread::Builder::new()
            .name("fireside-accept".to_string())
            .spawn(move || accept(&listener, &closing, &sender))
            .map_err(error)?;
        Ok(server)
    }

    pub fn tee(&self) -> Tee {
        self.tee.clone()
    }

    /// What a client did, if anything since the last call. That a command was asked for is known here before the command
    /// is.
    pub fn heard(&self) -> Option<Remote> {
        self.heard.try_recv().ok()
    }

    /// Takes the socket away: nobody can connect any more; those who are connected stay.
    pub fn take_away(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(socket) = self.socket.take() {
            socket.knock();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.take_away();
        let _ = self.tee.hub.send(Message::Close);
        if let Some(hub) = self.hub.take() {
            let _ = hub.join();
        }
    }
}

/// Until the socket is taken away. A knock that does not arrive (the folder was moved) leaves this thread waiting until the
/// process ends, which harms nobody.
fn accept(listener: &UnixListener, closing: &AtomicBool, hub: &Sender<Message>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for (id, stream) in (0..).zip(listener.incoming()) {
        if closing.load(Ordering::SeqCst) {
            return;
        }
        match stream {
            Ok(stream) => {
                if let Err(error) = welcome(stream, id, hub, &clients) {
                    tracing::warn!(%error, "a connection to the control socket was not served");
                }
            }
            Err(error) => {
                // Out of file descriptors, for example: that passes.
                tracing::warn!(%error, "a connection to the control socket was not taken");
                thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

fn welcome(
    stream: UnixStream,
    id: u64,
    hub: &Sender<Message>,
    clients: &Arc<AtomicUsize>,
) -> std::io::Result<()> {
    use std::io::Write;
    if clients.load(Ordering::SeqCst) >= MOST_CLIENTS {
        let reason = format!("{MOST_CLIENTS} processes are connected already");
        stream.set_nonblocking(true)?;
        return (&stream).write_all(&Line::Bye(reason).to_bytes());
    }
    clients.fetch_add(1, Ordering::SeqCst);
    let counted = Arc::clone(clients);
    let hub = hub.clone();
    let served = thread::Builder::new()
        .name("fireside-peer-in".to_string())
        .spawn(move || {
            if let Err(error) = peer::serve(stream, id, &hub) {
                tracing::warn!(%error, "a connection to the control socket failed");
            }
            counted.fetch_sub(1, Ordering::SeqCst);
        });
    if served.is_err() {
        clients.fetch_sub(1, Ordering::SeqCst);
    }
    served.map(drop)
}

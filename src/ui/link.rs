//! A run that another process trains: connecting to it, what it wrote so far, what it tells, and how that ends.
//!
//! One thread does all of it, from a [`super::app::Effect::Attach`] to the end of the connection, and says everything as
//! messages.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::app::{Attached, Message, Unlinked};
use crate::config::{self, Source};
use crate::control::{self, Ending, Role, Told};
use crate::protocol::{Command, Event, EventKind, Notice, NoticeLevel, RunId};
use crate::run::{self, RunFile, checkpoint};

/// How long the lock of a run may outlive the connection to its process: the system takes back what a dead process held
/// one thing after another.
const LOCK_LINGERS: Duration = Duration::from_millis(1500);

/// Until the connection ends. Commands are sent for as long as the other end of `commands` lives.
pub(super) fn follow(
    run: RunId,
    dir: &Path,
    commands: Receiver<Command>,
    screens: &Sender<Message>,
) {
    let link = control::connect(dir, Role::Control, commands).map_err(|error| error.to_string());
    let (attached, told) = match link.and_then(|link| {
        // Only now: what is told from here on waits in the link, so nothing lies between the two.
        let history = run::read_history_up_to(dir, &link.welcome.logged)
            .map_err(|error| error.to_string())?;
        // The one in force: edits are written there.
        let config = config::load(Source::File(dir.join(RunFile::Config.name())), &[])
            .map_err(|error| error.to_string())?;
        let attached = Attached {
            dir: dir.to_path_buf(),
            welcome: link.welcome,
            config,
            history,
        };
        Ok((attached, link.told))
    }) {
        Ok(parts) => parts,
        Err(message) => {
            let _ = screens.send(Message::Attached {
                run,
                attached: Err(message),
            });
            return;
        }
    };
    let attached = Ok(Box::new(attached));
    if screens.send(Message::Attached { run, attached }).is_err() {
        return;
    }
    for told in told {
        let message = match told {
            Told::Event(event) => Message::Engine(Event {
                run,
                kind: event.kind,
            }),
            Told::Role(role) => Message::Role { run, role },
            Told::Refused(message) => Message::Engine(Event {
                run,
                kind: EventKind::Notice(Notice {
                    level: NoticeLevel::Warning,
                    message,
                }),
            }),
            Told::Ended(Ending::Left | Ending::Over) => return,
            Told::Ended(Ending::Bye(reason)) => Message::Unlinked {
                run,
                how: Unlinked::Lost(reason),
            },
            Told::Ended(Ending::HungUp) => Message::Unlinked {
                run,
                how: hung_up(dir),
            },
        };
        if screens.send(message).is_err() {
            return;
        }
    }
}

/// Whether the process is gone, or only the connection.
fn hung_up(dir: &Path) -> Unlinked {
    let deadline = Instant::now() + LOCK_LINGERS;
    while run::is_trained(dir) {
        if Instant::now() > deadline {
            return Unlinked::Lost("it was closed at the other side".to_string());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let newest = checkpoint::newest(dir);
    Unlinked::Gone {
        saved: newest.map(|entry| entry.step),
    }
}

//! One connection, from the server's side: a thread that reads lines and one that writes them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::hub::Message;
use super::wire::{Hello, LONGEST_LINE, Line, VERSION};
use crate::protocol::Command;

/// How long a client may take to introduce itself.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// How long a client may refuse to take a single byte while its side of the socket is full.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Bytes that wait for a client at most; one that is further behind is let go.
const MOST_WAITING: usize = 8 << 20;

/// The way to a client. Nothing here waits.
#[derive(Debug)]
pub struct Outgoing {
    lines: Sender<Arc<[u8]>>,
    waiting: Arc<AtomicUsize>,
    /// The client reads too slowly: what waits is not sent any more.
    slow: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

impl Outgoing {
    fn new(stream: UnixStream) -> io::Result<Self> {
        let (lines, receiver) = mpsc::channel::<Arc<[u8]>>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let slow = Arc::new(AtomicBool::new(false));
        let writer = thread::Builder::new()
            .name("fireside-peer-out".to_string())
            .spawn({
                let (waiting, slow) = (Arc::clone(&waiting), Arc::clone(&slow));
                move || {
                    for line in receiver {
                        if !slow.load(Ordering::Relaxed) && (&stream).write_all(&line).is_err() {
                            break;
                        }
                        waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    }
                    if slow.load(Ordering::Relaxed) {
                        let reason = "too much waited to be read; connect again".to_string();
                        let _ = (&stream).write_all(&Line::Bye(reason).to_bytes());
                    }
                    // Wakes the thread that reads, too. What was sent can still be read at the other end.
                    let _ = stream.shutdown(Shutdown::Both);
                }
            })?;
        Ok(Self {
            lines,
            waiting,
            slow,
            writer,
        })
    }

    /// False when the client is gone, or too slow.
    pub fn push(&self, line: Arc<[u8]>) -> bool {
        let waiting = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        if waiting > MOST_WAITING {
            self.slow.store(true, Ordering::Relaxed);
            return false;
        }
        self.lines.send(line).is_ok()
    }

    pub fn say(&self, line: &Line) -> bool {
        self.push(line.to_bytes().into())
    }

    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// What waits is not sent; the client is told to connect again.
    pub fn drop_as_slow(self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    /// Sends what waits, then closes. The handle tells when.
    pub fn finish(self) -> JoinHandle<()> {
        self.writer
    }
}

/// What a line came to.
enum Got {
    Line,
    TooLong,
    End,
}

fn read_line(reader: &mut BufReader<UnixStream>, line: &mut Vec<u8>) -> Got {
    line.clear();
    let limit = LONGEST_LINE as u64 + 1;
    match reader.by_ref().take(limit).read_until(b'\n', line) {
        Ok(_) if line.last() == Some(&b'\n') => Got::Line,
        Ok(_) if line.len() > LONGEST_LINE => Got::TooLong,
        // The end, perhaps in the middle of a line; or time is over.
        Ok(_) | Err(_) => Got::End,
    }
}

/// Serves one client until it goes away. Returns when it has.
pub fn serve(stream: UnixStream, id: u64, hub: &Sender<Message>) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIME))?;
    stream.set_read_timeout(Some(HELLO_TIME))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    let refuse = |reason: String| {
        tracing::info!("a connection to the control socket was refused: {reason}");
        let _ = (&stream).write_all(&Line::Bye(reason).to_bytes());
    };
    let hello = match read_line(&mut reader, &mut line) {
        Got::Line => match hello(&line) {
            Ok(hello) => hello,
            Err(reason) => {
                refuse(reason);
                return Ok(());
            }
        },
        Got::TooLong => {
            refuse(too_long());
            return Ok(());
        }
        Got::End => {
            refuse("no hello came".to_string());
            return Ok(());
        }
    };
    stream.set_read_timeout(None)?;
    let outgoing = Outgoing::new(stream.try_clone()?)?;
    let joined = Message::Joined {
        id,
        hello,
        outgoing,
    };
    // The hub is gone when the run has ended.
    if hub.send(joined).is_err() {
        return Ok(());
    }
    loop {
        let message = match read_line(&mut reader, &mut line) {
            Got::Line => match serde_json::from_slice::<Command>(&line) {
                Ok(command) => Message::Command { id, command },
                Err(error) => Message::Malformed {
                    id,
                    reason: format!("not a command: {error}"),
                },
            },
            Got::TooLong => Message::Malformed {
                id,
                reason: too_long(),
            },
            Got::End => Message::Left { id },
        };
        let last = !matches!(message, Message::Command { .. });
        if hub.send(message).is_err() || last {
            return Ok(());
        }
    }
}

fn too_long() -> String {
    format!("a line is longer than {LONGEST_LINE} bytes")
}

fn hello(line: &[u8]) -> Result<Hello, String> {
    let unknown = |error: serde_json::Error| format!("not a hello: {error}");
    let value: serde_json::Value = serde_json::from_slice(line).map_err(unknown)?;
    // The version first: what another one says besides it cannot be known.
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version != u64::from(VERSION) => {
            return Err(format!(
                "the protocol's version {version} is not spoken here, only {VERSION}"
            ));
        }
        _ => {}
    }
    serde_json::from_value(value).map_err(unknown)
}

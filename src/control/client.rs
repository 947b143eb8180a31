//! The end of a process that watches or steers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::wire::{Hello, Line, Role, VERSION, Welcome};
use super::{ControlError, Ending, Link, Told, socket};
use crate::protocol::{Command, EventKind};

/// How long the first answer may take: the machine may be busy, by the very training that is to be seen.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// The longest line that is read.
const LONGEST_LINE: u64 = 256 << 20;

/// Connects to the process that trains the run in `run`. What comes through `commands` is sent; when its other end is
/// dropped, the connection is closed and the run goes on.
///
/// # Errors
/// Nobody trains the run; there is no socket; no answer, or one of another version.
pub fn connect(run: &Path, wish: Role, commands: Receiver<Command>) -> Result<Link, ControlError> {
    let stream = socket::connect(run).map_err(|source| match crate::run::is_trained(run) {
        true => ControlError::NoSocket {
            run: run.to_path_buf(),
            source,
        },
        false => ControlError::NotTrained {
            run: run.to_path_buf(),
        },
    })?;
    let no_answer = |reason: String| ControlError::NoAnswer {
        run: run.to_path_buf(),
        reason,
    };
    let (welcome, reader) = introduce(&stream, wish).map_err(|problem| match problem {
        Problem::Io(error) => no_answer(error.to_string()),
        Problem::Words(words) => no_answer(words),
        Problem::Refused(reason) => ControlError::Refused {
            run: run.to_path_buf(),
            reason,
        },
    })?;
    let (sender, told) = mpsc::channel();
    let left = Arc::new(AtomicBool::new(false));
    let out = stream
        .try_clone()
        .map_err(|error| no_answer(error.to_string()))?;
    let leaving = Arc::clone(&left);
    thread::Builder::new()
        .name("fireside-link-out".to_string())
        .spawn(move || {
            for command in commands {
                let Ok(mut line) = serde_json::to_vec(&command) else {
                    continue; // Plain data; cannot fail.
                };
                line.push(b'\n');
                if (&out).write_all(&line).is_err() {
                    break; // The thread that reads says so.
                }
            }
            leaving.store(true, Ordering::SeqCst);
            let _ = out.shutdown(Shutdown::Both);
        })
        .map_err(|error| no_answer(error.to_string()))?;
    thread::Builder::new()
        .name("fireside-link-in".to_string())
        .spawn(move || {
            listen(reader, &sender, &left);
            // Nobody listens any more, or nothing can come.
            let _ = stream.shutdown(Shutdown::Both);
        })
        .map_err(|error| no_answer(error.to_string()))?;
    Ok(Link { welcome, told })
}

enum Problem {
    Io(io::Error),
    Words(String),
    Refused(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Io(error)
    }
}

fn introduce(stream: &UnixStream, wish: Role) -> Result<(Welcome, BufReader<UnixStream>), Problem> {
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    let mut hello = serde_json::to_vec(&Hello::of_this_process(wish))
        .map_err(|error| Problem::Words(error.to_string()))?;
    hello.push(b'\n');
    let mut writer = stream;
    writer.write_all(&hello)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    if !read_line(&mut reader, &mut line)? {
        return Err(Problem::Words("it closed the connection".to_string()));
    }
    let words = |error: serde_json::Error| Problem::Words(format!("its hello is unknown: {error}"));
    let value: serde_json::Value = serde_json::from_slice(&line).map_err(words)?;
    let version = value["hello"]["version"].as_u64();
    if version.is_some_and(|version| version != u64::from(VERSION)) {
        return Err(Problem::Words(format!(
            "it speaks version {} of the protocol, this program {VERSION}",
            value["hello"]["version"]
        )));
    }
    let welcome = match serde_json::from_value(value).map_err(words)? {
        Line::Hello(welcome) => *welcome,
        Line::Bye(reason) => return Err(Problem::Refused(reason)),
        _ => return Err(Problem::Words("it did not say hello".to_string())),
    };
    stream.set_read_timeout(None)?;
    Ok((welcome, reader))
}

/// False at the end. A line without its end counts as the end.
fn read_line(reader: &mut BufReader<UnixStream>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    reader.by_ref().take(LONGEST_LINE).read_until(b'\n', line)?;
    Ok(line.last() == Some(&b'\n'))
}

fn listen(mut reader: BufReader<UnixStream>, told: &Sender<Told>, left: &AtomicBool) {
    let mut line = Vec::new();
    let mut over = false;
    let ending = loop {
        if !matches!(read_line(&mut reader, &mut line), Ok(true)) {
            break Ending::HungUp;
        }
        let said = match serde_json::from_slice(&line) {
            Ok(Line::Event(event)) => {
                over |= matches!(
                    event.kind,
                    EventKind::Finished(_) | EventKind::Failed { .. }
                );
                Told::Event(event)
            }
            Ok(Line::Role(role)) => Told::Role(role),
            Ok(Line::Refused(reason)) => Told::Refused(reason),
            Ok(Line::Bye(reason)) => break Ending::Bye(reason),
            Ok(Line::Hello(_)) => continue,
            Err(error) => {
                tracing::error!("the process that trains says what is not understood: {error}");
                break Ending::Bye(format!("it says what is not understood: {error}"));
            }
        };
        if told.send(said).is_err() {
            return;
        }
    };
    let ending = match ending {
        _ if left.load(Ordering::SeqCst) => Ending::Left,
        Ending::HungUp if over => Ending::Over,
        ending => ending,
    };
    let _ = told.send(Told::Ended(ending));
}

//! Server and clients in one process, without a run: what is said, to whom, and what is not.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::wire::{Hello, LONGEST_LINE, Line};
use super::*;
use crate::protocol::{
    Command, CommandSender, EventKind, FinishReason, FinishReport, Notice, NoticeLevel, Phase,
    RemoteAct, SamplePiece, SampleRecord, StepReport,
};
use crate::run::Logged;

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

struct Trainer {
    dir: tempfile::TempDir,
    run: PathBuf,
    server: Server,
    /// What the training thread would hear.
    commands: Receiver<Command>,
    _front_end: CommandSender,
}

impl Trainer {
    fn new() -> Self {
        Self::below("run")
    }

    fn below(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join(name);
        std::fs::create_dir_all(&run).unwrap();
        let (sender, commands) = mpsc::channel();
        let front_end = CommandSender::new(sender, Arc::default());
        let server = Server::open(&run, Logged::default(), front_end.downgrade()).unwrap();
        Self {
            dir,
            run,
            server,
            commands,
            _front_end: front_end,
        }
    }

    fn tell(&self, kind: EventKind) {
        self.server.tee().publish(&Event { run: 1, kind });
    }

    fn note(&self, message: &str) {
        self.tell(note(message));
    }

    fn connect(&self, role: Role) -> Client {
        let (commands, receiver) = mpsc::channel();
        let link = connect(&self.run, role, receiver).unwrap();
        Client { link, commands }
    }

    /// A connection without manners.
    fn raw(&self) -> Raw {
        let stream = UnixStream::connect(self.run.join("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Raw { stream, reader }
    }

    fn heard(&self) -> (u32, RemoteAct) {
        let began = std::time::Instant::now();
        loop {
            if let Some(remote) = self.server.heard() {
                return (remote.pid, remote.act);
            }
            assert!(began.elapsed() < PATIENCE, "nothing was heard");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

struct Client {
    link: Link,
    commands: Sender<Command>,
}

impl Client {
    fn next(&self) -> Told {
        self.link.told.recv_timeout(PATIENCE).unwrap()
    }

    /// The message of the next event, which is a notice.
    fn note(&self) -> String {
        match self.next() {
            Told::Event(Event {
                kind: EventKind::Notice(notice),
                ..
            }) => notice.message,
            other => panic!("{other:?}"),
        }
    }

    fn send(&self, command: Command) {
        self.commands.send(command).unwrap();
    }
}

struct Raw {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Raw {
    /// The other end may hang up before the end of a line that is too long: what it says about it can be read all the same.
    fn say(&self, line: &str) {
        let written = (&self.stream).write_all(format!("{line}\n").as_bytes());
        if let Err(error) = written {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
        }
    }

    fn hello(&mut self, pid: u32, role: Role) -> Welcome {
        let hello = Hello {
            pid,
            ..Hello::of_this_process(role)
        };
        self.say(&serde_json::to_string(&hello).unwrap());
        match self.line() {
            Some(Line::Hello(welcome)) => *welcome,
            other => panic!("{other:?}"),
        }
    }

    /// `None` at the end.
    fn line(&mut self) -> Option<Line> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            // The end of a connection on which something was left unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            read => read.unwrap(),
        };
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// The reason, and that nothing follows.
    fn bye(&mut self) -> String {
        let reason = match self.line() {
            Some(Line::Bye(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(self.line(), None);
        reason
    }
}

fn note(message: &str) -> EventKind {
    EventKind::Notice(Notice {
        level: NoticeLevel::Info,
        message: message.into(),
    })
}

fn steps(numbers: std::ops::Range<u64>) -> EventKind {
    let report = |step| StepReport {
        step,
        epoch: 0.0,
        tokens: step,
        loss: 2.0,
        learning_rate: 0.1,
        grad_norm: 1.0,
        tokens_per_second: 1.0,
        ms: 1.0,
        forward_ms: 0.5,
        backward_ms: 0.4,
        optimizer_ms: 0.1,
        seconds: 0.0,
    };
    EventKind::Steps(numbers.map(report).collect())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_it() {
    let trainer = Trainer::new();
    let path = trainer.run.join("control.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(names(&trainer.run), ["control.sock"]);
    let client = trainer.connect(Role::Watch);
    let (run, dir) = (trainer.run.clone(), trainer.dir);
    drop(trainer.server);
    assert_eq!(client.next(), Told::Ended(Ending::HungUp));
    assert!(names(&run).is_empty());
    let (_commands, receiver) = mpsc::channel();
    let error = connect(&run, Role::Watch, receiver).unwrap_err();
    assert!(matches!(error, ControlError::NotTrained { .. }), "{error}");
    drop(dir);
}

#[test]
fn a_dead_socket_is_replaced_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let (sender, _commands) = mpsc::channel();
    let front_end = CommandSender::new(sender, Arc::default());
    let open = || Server::open(dir.path(), Logged::default(), front_end.downgrade());

    // Left by a process that was killed, even in the middle of making its own.
    drop(UnixListener::bind(&path).unwrap());
    std::fs::create_dir(dir.path().join("control.new")).unwrap();
    drop(UnixListener::bind(dir.path().join("control.new/socket")).unwrap());
    let server = open().unwrap();
    let (_to_server, receiver) = mpsc::channel();
    connect(dir.path(), Role::Watch, receiver).unwrap();
    assert_eq!(names(dir.path()), ["control.sock"]);
    drop(server);

    let other = UnixListener::bind(&path).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("another process listens there"), "{error}");
    assert!(path.exists());
    drop(other);

    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file of the user").unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file of the user");
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_path_is_no_obstacle() {
    let name = format!("{}/{}", "a".repeat(120), "b".repeat(120));
    let trainer = Trainer::below(&name);
    let client = trainer.connect(Role::Control);
    assert_eq!(client.link.welcome.run, trainer.run);
    trainer.note("hello");
    assert_eq!(client.note(), "hello");
    let run = trainer.run.clone();
    drop(trainer.server);
    assert!(names(&run).is_empty());
}

#[test]
fn one_process_steers_and_the_others_watch() {
    let trainer = Trainer::new();
    let mut first = trainer.raw();
    let welcome = first.hello(101, Role::Control);
    assert_eq!(welcome.pid, std::process::id());
    let expected = RoleNow {
        role: Role::Control,
        controller: Some(101),
    };
    assert_eq!(welcome.role, expected);
    assert_eq!(trainer.heard(), (101, RemoteAct::TookControls));

    let mut second = trainer.raw();
    let welcome = second.hello(102, Role::Control);
    assert_eq!(welcome.role.role, Role::Watch);
    assert_eq!(welcome.role.controller, Some(101));
    let Some(Line::Refused(reason)) = second.line() else {
        panic!("the second was not refused");
    };
    assert!(reason.starts_with("process 101 (fireside "), "{reason}");
    // It goes on watching.
    trainer.note("seen by both");
    for client in [&mut first, &mut second] {
        assert!(matches!(client.line(), Some(Line::Event(_))));
    }
    second.say(r#"{"command":"pause"}"#);
    match second.line() {
        Some(Line::Refused(reason)) => assert!(reason.contains("process 101"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut watcher = trainer.raw();
    watcher.hello(103, Role::Watch);
    // It is not in the logs yet.
    assert!(matches!(watcher.line(), Some(Line::Event(_))));
    watcher.say(r#"{"command":"pause"}"#);
    match watcher.line() {
        Some(Line::Refused(reason)) => assert!(reason.contains("only watches"), "{reason}"),
        other => panic!("{other:?}"),
    }

    // What may not come from outside, and what is out of range.
    first.say(r#"{"command":"shutdown"}"#);
    assert!(matches!(first.line(), Some(Line::Refused(_))));
    first.say(r#"{"command":"run-until","until":{"step":20}}"#);
    let (pid, act) = trainer.heard();
    assert_eq!(pid, 101);
    assert!(matches!(act, RemoteAct::Asked(_)), "{act:?}");
    let until = crate::protocol::Until::Step(20);
    let command = trainer.commands.recv_timeout(PATIENCE).unwrap();
    assert_eq!(command, Command::RunUntil { until });

    // The first leaves: the others learn it, and the second's next command is obeyed.
    drop(first);
    assert_eq!(trainer.heard(), (101, RemoteAct::LeftControls));
    let free = |line| matches!(line, Some(Line::Role(role)) if role.controller.is_none());
    assert!(free(second.line()));
    assert!(free(watcher.line()));
    second.say(r#"{"command":"resume"}"#);
    assert_eq!(trainer.heard(), (102, RemoteAct::TookControls));
    let (pid, act) = trainer.heard();
    assert_eq!(
        (pid, act),
        (102, RemoteAct::Asked(Box::new(Command::Resume)))
    );
    match second.line() {
        Some(Line::Role(role)) => assert_eq!(role.role, Role::Control),
        other => panic!("{other:?}"),
    }
    match watcher.line() {
        Some(Line::Role(role)) => assert_eq!(role.controller, Some(102)),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        trainer.commands.recv_timeout(PATIENCE).unwrap(),
        Command::Resume
    );
    assert!(trainer.commands.try_recv().is_err(), "nothing else came");
}

#[test]
fn what_is_malformed_closes_the_connection_and_does_nothing_else() {
    let trainer = Trainer::new();
    let watcher = trainer.connect(Role::Watch);

    let mut raw = trainer.raw();
    raw.say("GET / HTTP/1.1");
    assert!(raw.bye().contains("not a hello"));
    let mut raw = trainer.raw();
    raw.say(r#"{"version":99,"something":"else"}"#);
    assert!(raw.bye().contains("version 99"));
    let mut raw = trainer.raw();
    raw.say(&"x".repeat(LONGEST_LINE + 10));
    assert!(raw.bye().contains("longer than"));

    for bad in [
        "nonsense".to_string(),
        r#"{"command":"fly"}"#.to_string(),
        r#"{"command":"set","edit":{"key":"learning-rate-multiplier","value":null}}"#.to_string(),
        format!(r#"{{"command":"{}"}}"#, "x".repeat(LONGEST_LINE)),
        "\u{0}".to_string(),
    ] {
        let mut raw = trainer.raw();
        raw.hello(7, Role::Control);
        assert_eq!(trainer.heard(), (7, RemoteAct::TookControls));
        raw.say(&bad);
        raw.bye();
        assert_eq!(trainer.heard(), (7, RemoteAct::LeftControls));
    }
    // A line that is cut by the end is no line.
    let mut raw = trainer.raw();
    raw.hello(8, Role::Control);
    (&raw.stream).write_all(br#"{"command":"stop"}"#).unwrap();
    drop(raw);
    assert_eq!(trainer.heard(), (8, RemoteAct::TookControls));
    assert_eq!(trainer.heard(), (8, RemoteAct::LeftControls));
    assert!(trainer.commands.try_recv().is_err());

    trainer.note("still here");
    let said = std::iter::from_fn(|| Some(watcher.next()))
        .find(|told| matches!(told, Told::Event(_)))
        .unwrap();
    assert!(
        matches!(said, Told::Event(Event { kind: EventKind::Notice(notice), .. }) if notice.message == "still here")
    );
}

#[test]
fn a_watcher_that_never_reads_is_let_go_and_holds_up_nobody() {
    let trainer = Trainer::new();
    let mut sleeper = trainer.raw();
    sleeper.hello(5, Role::Control);
    let reader = trainer.connect(Role::Watch);
    assert_eq!(trainer.heard(), (5, RemoteAct::TookControls));
    // Some 30 MB; what the sleeper may have waiting is less.
    const BATCHES: u64 = 400;
    const EACH: u64 = 300;
    let counting = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < BATCHES * EACH {
            if let Told::Event(Event {
                kind: EventKind::Steps(steps),
                ..
            }) = reader.next()
            {
                for report in steps {
                    assert_eq!(report.step, seen, "in order, without a gap");
                    seen += 1;
                }
            }
        }
    });
    for batch in 0..BATCHES {
        trainer.tell(steps(batch * EACH..(batch + 1) * EACH));
        // As slowly as the one that reads can follow on a busy machine, which is faster than any training.
        std::thread::sleep(Duration::from_millis(5));
    }
    counting.join().unwrap();
    assert_eq!(trainer.heard(), (5, RemoteAct::LeftControls));
    // What was sent before can still be read; then it ends.
    let mut rest = Vec::new();
    sleeper.reader.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 12 << 20, "{} bytes", rest.len());
    // And it may come again.
    let mut again = trainer.raw();
    assert_eq!(again.hello(5, Role::Control).role.role, Role::Control);
}

#[test]
fn who_comes_later_gets_what_is_not_in_the_logs_yet() {
    let trainer = Trainer::new();
    trainer.note("in the log");
    let logged = Logged {
        notices: 42,
        ..Logged::default()
    };
    trainer.server.tee().logged(logged);
    trainer.note("not yet");
    trainer.tell(EventKind::Phase(Phase::Sampling));
    let piece = |text: &str| EventKind::SamplePiece {
        step: 3,
        prompt: 0,
        piece: SamplePiece {
            text: text.into(),
            probability: 0.5,
        },
    };
    trainer.tell(piece("Once"));
    trainer.tell(piece(" upon"));
    let client = trainer.connect(Role::Watch);
    trainer.note("live");
    assert_eq!(client.link.welcome.logged, logged);
    assert_eq!(client.link.welcome.phase, Phase::Sampling);
    assert_eq!(client.note(), "not yet");
    for text in ["Once", " upon"] {
        match client.next() {
            Told::Event(Event {
                kind: EventKind::SamplePiece { piece, .. },
                ..
            }) => assert_eq!(piece.text, text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.note(), "live");
    // The text is done: its pieces are told to nobody any more.
    trainer.tell(EventKind::SampleDone(SampleRecord {
        step: 3,
        prompt_index: 0,
        prompt: String::new(),
        text: "Once upon".into(),
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        tokens_per_second: 1.0,
        complete: true,
    }));
    trainer.server.tee().logged(Logged::default());
    let late = trainer.connect(Role::Watch);
    trainer.note("live");
    assert_eq!(late.note(), "live");
}

#[test]
fn the_last_word_reaches_those_who_are_there() {
    let mut trainer = Trainer::new();
    let client = trainer.connect(Role::Watch);
    trainer.server.take_away();
    let (_commands, receiver) = mpsc::channel();
    assert!(connect(&trainer.run, Role::Watch, receiver).is_err());
    let report = FinishReport {
        step: 3,
        reason: FinishReason::Stopped,
        val_loss: None,
        best_val_loss: None,
        best_step: None,
        seconds: 1.0,
    };
    trainer.tell(EventKind::Finished(report.clone()));
    drop(trainer.server);
    assert_eq!(
        client.next(),
        Told::Event(Event {
            run: 1,
            kind: EventKind::Finished(report)
        })
    );
    assert_eq!(client.next(), Told::Ended(Ending::Over));
}

#[test]
fn leaving_is_not_an_end() {
    let trainer = Trainer::new();
    let client = trainer.connect(Role::Control);
    client.send(Command::Pause);
    assert_eq!(
        trainer.commands.recv_timeout(PATIENCE).unwrap(),
        Command::Pause
    );
    let Client { link, commands } = client;
    drop(commands);
    assert_eq!(
        link.told.recv_timeout(PATIENCE),
        Ok(Told::Ended(Ending::Left))
    );
    assert!(trainer.commands.try_recv().is_err());
}

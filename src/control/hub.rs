//! The thread between the training and the clients. It owns who is connected and who steers, and it waits for nobody: a
//! client that does not keep up is let go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use super::peer::Outgoing;
use super::wire::{Hello, Line, Role, RoleNow, VERSION, Welcome, check, program};
use crate::protocol::{
    Command, Event, EventKind, LayerHealth, Phase, Remote, RemoteAct, RunInfo, SchedulePoint,
    WeakCommandSender,
};
use crate::run::Logged;

/// How long the last words may take to reach the clients.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes of a text in progress that are kept for those who come in the middle of it.
const LIVE_BYTES: usize = 64 << 10;

/// What the hub hears.
#[derive(Debug)]
pub enum Message {
    Event(Event),
    /// Everything told so far is in the logs, which are now that long.
    Logged(Logged),
    Joined {
        id: u64,
        hello: Hello,
        outgoing: Outgoing,
    },
    Command {
        id: u64,
        command: Command,
    },
    Malformed {
        id: u64,
        reason: String,
    },
    Left {
        id: u64,
    },
    Close,
}

#[derive(Debug)]
struct Client {
    hello: Hello,
    outgoing: Outgoing,
}

/// What somebody needs to know who comes now.
#[derive(Debug)]
struct State {
    logged: Logged,
    info: Option<Box<RunInfo>>,
    phase: Phase,
    schedule: Vec<SchedulePoint>,
    health: Vec<LayerHealth>,
    /// What was told since `logged`, of that which is logged.
    since: Vec<Event>,
    /// The pieces of the text that is being generated.
    live: Vec<Event>,
    live_bytes: usize,
    /// Events were lost since `logged`: nobody can be told everything until the next one.
    gap: bool,
}

impl State {
    fn note(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Started(info) => self.info = Some(info.clone()),
            EventKind::Phase(phase) => {
                if *phase != Phase::Sampling {
                    self.forget_live();
                }
                self.phase = phase.clone();
            }
            EventKind::Schedule(points) => self.schedule.clone_from(points),
            EventKind::Health { layers, .. } => self.health.clone_from(layers),
            EventKind::SamplePiece {
                step,
                prompt,
                piece,
            } => {
                let same = |event: &Event| matches!(&event.kind, EventKind::SamplePiece { step: s, prompt: p, .. } if (s, p) == (step, prompt));
                if !self.live.last().is_some_and(same) {
                    self.forget_live();
                }
                if self.live_bytes < LIVE_BYTES {
                    self.live_bytes += piece.text.len();
                    self.live.push(event.clone());
                }
            }
            EventKind::Previewed { .. } | EventKind::RatePoint(_) | EventKind::RateFound(_) => {}
            _ => {
                if matches!(event.kind, EventKind::SampleDone(_)) {
                    self.forget_live();
                }
                self.since.push(event.clone());
            }
        }
    }

    fn forget_live(&mut self) {
        self.live.clear();
        self.live_bytes = 0;
    }
}

/// What the hub is made with.
pub struct Setup {
    pub run: PathBuf,
    pub logged: Logged,
    pub commands: WeakCommandSender,
    /// What clients did, for the training thread.
    pub heard: Sender<Remote>,
    /// Messages that wait for the hub.
    pub depth: Arc<AtomicUsize>,
    /// The tee has left something out.
    pub lost: Arc<AtomicBool>,
}

pub struct Hub {
    setup: Setup,
    state: State,
    clients: BTreeMap<u64, Client>,
    controller: Option<u64>,
}

impl Hub {
    pub fn new(setup: Setup) -> Self {
        Self {
            state: State {
                logged: setup.logged,
                info: None,
                phase: Phase::Loading {
                    what: "starting".to_string(),
                    done: 0,
                    total: None,
                },
                schedule: Vec::new(),
                health: Vec::new(),
                since: Vec::new(),
                live: Vec::new(),
                live_bytes: 0,
                gap: false,
            },
            setup,
            clients: BTreeMap::new(),
            controller: None,
        }
    }

    /// Until the server closes.
    pub fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            if matches!(message, Message::Event(_) | Message::Logged(_)) {
                self.setup.depth.fetch_sub(1, Ordering::Relaxed);
            }
            if self.setup.lost.swap(false, Ordering::Relaxed) {
                self.state.gap = true;
                for id in self.clients.keys().copied().collect::<Vec<_>>() {
                    self.let_go(id);
                }
            }
            match message {
                Message::Event(event) => {
                    self.state.note(&event);
                    if !self.clients.is_empty() {
                        let line = Line::Event(event).to_bytes().into();
                        self.tell_all(&line);
                    }
                }
                Message::Logged(logged) => {
                    self.state.logged = logged;
                    self.state.since.clear();
                    self.state.gap = false;
                }
                Message::Joined {
                    id,
                    hello,
                    outgoing,
                } => self.join(id, hello, outgoing),
                Message::Command { id, command } => self.command(id, command),
                Message::Malformed { id, reason } => {
                    if let Some(client) = self.remove(id) {
                        tracing::info!("process {}: {reason}", client.hello.pid);
                        client.outgoing.say(&Line::Bye(reason));
                    }
                }
                Message::Left { id } => drop(self.remove(id)),
                Message::Close => break,
            }
        }
        self.farewell();
    }

    fn join(&mut self, id: u64, hello: Hello, outgoing: Outgoing) {
        if self.state.gap {
            let reason = "the machine is too busy to tell everything; connect again".to_string();
            outgoing.say(&Line::Bye(reason));
            return;
        }
        tracing::info!("process {} ({}) watches", hello.pid, hello.program);
        let wishes = hello.role == Role::Control;
        let refused = self.controller_name().filter(|_| wishes);
        self.clients.insert(id, Client { hello, outgoing });
        if wishes && refused.is_none() {
            self.take_controls(id);
        }
        let welcome = Line::Hello(Box::new(Welcome {
            version: VERSION,
            program: program(),
            pid: std::process::id(),
            run: self.setup.run.clone(),
            role: self.role_of(id),
            logged: self.state.logged,
            info: self.state.info.clone(),
            phase: self.state.phase.clone(),
            schedule: self.state.schedule.clone(),
            health: self.state.health.clone(),
        }));
        let mut lines = vec![welcome];
        let events = self.state.since.iter().chain(&self.state.live);
        lines.extend(events.cloned().map(Line::Event));
        if let Some(name) = refused {
            lines.push(Line::Refused(format!(
                "{name} controls this run; you are watching"
            )));
        }
        for line in lines {
            self.tell(id, &line);
        }
    }

    fn command(&mut self, id: u64, command: Command) {
        let Some(client) = self.clients.get(&id) else {
            return; // It was let go meanwhile.
        };
        let pid = client.hello.pid;
        if client.hello.role == Role::Watch {
            let reason = "this connection only watches".to_string();
            return self.tell(id, &Line::Refused(reason));
        }
        if let Some(controller) = self.controller
            && controller != id
        {
            let name = self.controller_name().unwrap_or_default();
            let reason = format!("{name} controls this run; `{command}` was not passed on");
            return self.tell(id, &Line::Refused(reason));
        }
        if let Err(reason) = check(&command) {
            return self.tell(id, &Line::Refused(reason));
        }
        if self.controller.is_none() {
            // Whoever had them has left.
            self.take_controls(id);
            let role = Line::Role(self.role_of(id));
            self.tell(id, &role);
        }
        // Before the command itself, so that the training thread knows whose it is.
        let act = RemoteAct::Asked(Box::new(command.clone()));
        let _ = self.setup.heard.send(Remote { pid, act });
        if !self.setup.commands.send(command) {
            self.tell(id, &Line::Refused("the run is ending".to_string()));
        }
    }

    /// `process 4711 (fireside 0.1.0)`
    fn controller_name(&self) -> Option<String> {
        let client = self.clients.get(&self.controller?)?;
        Some(format!(
            "process {} ({})",
            client.hello.pid, client.hello.program
        ))
    }

    fn role_of(&self, id: u64) -> RoleNow {
        let controller = self.controller.and_then(|id| self.clients.get(&id));
        RoleNow {
            role: match self.controller == Some(id) {
                true => Role::Control,
                false => Role::Watch,
            },
            controller: controller.map(|client| client.hello.pid),
        }
    }

    /// The others are told.
    fn take_controls(&mut self, id: u64) {
        self.controller = Some(id);
        self.say_who_steers(id, RemoteAct::TookControls);
    }

    fn say_who_steers(&mut self, id: u64, act: RemoteAct) {
        if let Some(client) = self.clients.get(&id) {
            let pid = client.hello.pid;
            let _ = self.setup.heard.send(Remote { pid, act });
        }
        let others: Vec<u64> = self.clients.keys().copied().filter(|o| *o != id).collect();
        for other in others {
            let role = Line::Role(self.role_of(other));
            self.tell(other, &role);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Client> {
        if self.controller == Some(id) {
            self.controller = None;
            self.say_who_steers(id, RemoteAct::LeftControls);
        }
        self.clients.remove(&id)
    }

    fn tell(&mut self, id: u64, line: &Line) {
        if let Some(client) = self.clients.get(&id)
            && !client.outgoing.say(line)
        {
            self.let_go(id);
        }
    }

    fn tell_all(&mut self, line: &Arc<[u8]>) {
        let gone: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| !client.outgoing.push(Arc::clone(line)))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.let_go(id);
        }
    }

    /// It may connect again.
    fn let_go(&mut self, id: u64) {
        if let Some(client) = self.remove(id) {
            if client.outgoing.is_slow() {
                tracing::info!("process {} does not read and was let go", client.hello.pid);
            }
            client.outgoing.drop_as_slow();
        }
    }

    /// Gives the last words a moment to be sent.
    fn farewell(self) {
        let clients = self.clients.into_values();
        let writers: Vec<_> = clients.map(|client| client.outgoing.finish()).collect();
        let deadline = Instant::now() + FAREWELL;
        while !writers.iter().all(|writer| writer.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

//! A sweep on the terminal: the loop around [`SweepScreen`]. The conductor works on a thread of its own and knows nothing of it;
//! what is shown is read from the sweep's folder, on another.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind};

use super::UiError;
use super::keymap::{Action, KeyMap, KeyPress, Lookup};
use super::screens::sweep::{Ended, Snapshot, SweepScreen, Wish, render};
use super::settings::Settings;
use super::terminal::TerminalGuard;
use super::theme::{Environment, Theme};
use crate::run::sweep::{self, Curve, SweepState, trial_name};

/// How often the folder is read.
const READING: Duration = Duration::from_millis(400);

/// What the screen needs.
#[derive(Debug)]
pub struct SweepOptions {
    /// The sweep's folder.
    pub dir: PathBuf,
    pub settings: Settings,
    /// Counts the wishes to end, by keys and by signals; the conductor listens to it.
    pub interrupts: Arc<AtomicUsize>,
    /// Hears from the conductor, once.
    pub ended: Receiver<Ended>,
}

enum Message {
    Input(Input),
    Read(Box<Result<Snapshot, String>>),
    Ended(Ended),
    /// The terminal can no longer be read.
    Gone,
    /// Somebody wishes for an end: a key, or a signal such as that of a window that was closed.
    Interrupted,
}

/// Shows a sweep until the user leaves it. The conductor has ended then, unless the user did not want to wait.
///
/// # Errors
/// The terminal cannot be used.
pub fn run(options: SweepOptions) -> Result<(), UiError> {
    let (sender, messages) = mpsc::channel();
    let mut terminal = TerminalGuard::new(false)?;
    let (width, height) = terminal.size()?;
    let (keymap, _) = options.settings.keymap();
    let mut theme = Theme::for_terminal(
        &options.settings.theme,
        options.settings.colors.clone(),
        &Environment::read(),
    );
    let mut screen = SweepScreen::new(width, height);
    let mut typed: Vec<KeyPress> = Vec::new();
    spawn_readers(&options.dir, options.ended, &sender)?;
    watch_interrupts(&options.interrupts, &sender)?;
    let mut blind = false;
    let (mut ended, mut interrupted) = (false, false);
    loop {
        // There is one message for a key, and a few a second for what was read.
        if !blind {
            let frame =
                terminal.draw(|area, buffer| render(&screen, &theme, &keymap, area, buffer));
            if let Err(error) = frame {
                tracing::error!("the terminal cannot be drawn on: {error}");
                blind = true;
                raise(&options.interrupts, 1);
                screen.terminate();
            }
        }
        let Ok(message) = messages.recv() else {
            return Ok(());
        };
        let wish = match message {
            Message::Input(Input::Resize(width, height)) => {
                screen.resize(width, height);
                None
            }
            Message::Input(Input::Key(key)) if key.kind != KeyEventKind::Release => {
                let action = look_up(&screen, &keymap, &mut typed, key);
                if action == Some(Action::NextTheme) {
                    theme = theme.next();
                }
                let letter = match key.code {
                    KeyCode::Char(letter) => Some(letter),
                    _ => None,
                };
                screen.act(action, letter, &keymap)
            }
            Message::Input(_) => None,
            Message::Read(snapshot) => {
                screen.set(*snapshot);
                None
            }
            Message::Ended(last) => {
                ended = true;
                screen.on_end(last)
            }
            Message::Interrupted => {
                interrupted = true;
                None
            }
            Message::Gone => {
                blind = true;
                Some(screen.terminate())
            }
        };
        match wish {
            Some(Wish::Stop) => raise(&options.interrupts, 1),
            Some(Wish::Hurry) => {
                raise(&options.interrupts, 2);
                return Ok(());
            }
            Some(Wish::Leave) => return Ok(()),
            Some(Wish::Redraw) => terminal.clear()?,
            Some(Wish::Suspend) => {
                #[cfg(unix)]
                terminal
                    .suspend("the sweep's screen is stopped; its trials train on, `fg` returns")?;
                let (width, height) = terminal.size()?;
                screen.resize(width, height);
            }
            None => {}
        }
        // What is over stays on the screen for as long as somebody looks at it.
        if ended && interrupted {
            return Ok(());
        }
    }
}

/// The terminal itself does not tell that its window was closed: reading it would go on for ever.
fn watch_interrupts(interrupts: &Arc<AtomicUsize>, sender: &Sender<Message>) -> io::Result<()> {
    let (interrupts, to) = (Arc::clone(interrupts), sender.clone());
    let watch = move || {
        while interrupts.load(Ordering::Relaxed) == 0 {
            thread::sleep(Duration::from_millis(100));
        }
        let _ = to.send(Message::Interrupted);
    };
    thread::Builder::new()
        .name("ui-signals".into())
        .spawn(watch)?;
    Ok(())
}

/// Never lowers what a signal has raised.
fn raise(interrupts: &AtomicUsize, to: usize) {
    interrupts.fetch_max(to, Ordering::Relaxed);
}

fn look_up(
    screen: &SweepScreen,
    keymap: &KeyMap,
    typed: &mut Vec<KeyPress>,
    key: KeyEvent,
) -> Option<Action> {
    let press = KeyPress::from_event(key);
    let contexts = screen.contexts();
    typed.push(press);
    let mut lookup = keymap.lookup(&contexts, typed);
    if lookup == Lookup::None && typed.len() > 1 {
        *typed = vec![press];
        lookup = keymap.lookup(&contexts, typed);
    }
    if matches!(lookup, Lookup::Pending { .. }) {
        return None;
    }
    typed.clear();
    match lookup {
        Lookup::Action(action) => Some(action),
        // Ctrl-C keeps its meaning over a question and over the help.
        _ => match keymap.lookup(&[super::keymap::Context::Sweep], &[press]) {
            Lookup::Action(Action::Quit)
                if key
                    .modifiers
                    .contains(crossterm::event::KeyModifiers::CONTROL) =>
            {
                Some(Action::Quit)
            }
            _ => None,
        },
    }
}

fn spawn_readers(dir: &Path, ended: Receiver<Ended>, sender: &Sender<Message>) -> io::Result<()> {
    let to = sender.clone();
    thread::Builder::new()
        .name("ui-terminal".into())
        .spawn(move || {
            loop {
                let message = match crossterm::event::read() {
                    Ok(input) => Message::Input(input),
                    Err(_) => Message::Gone,
                };
                let over = matches!(message, Message::Gone);
                if to.send(message).is_err() || over {
                    return;
                }
            }
        })?;
    let (to, folder) = (sender.clone(), dir.to_path_buf());
    let (stop, stopped) = mpsc::channel::<()>();
    thread::Builder::new()
        .name("ui-sweep".into())
        .spawn(move || {
            let mut reader = Reader::new(&folder);
            loop {
                // A last look after the end, so that the screen shows it.
                let over = !matches!(
                    stopped.recv_timeout(READING),
                    Err(mpsc::RecvTimeoutError::Timeout)
                );
                if let Some(snapshot) = reader.read()
                    && to.send(Message::Read(Box::new(snapshot))).is_err()
                {
                    return;
                }
                if over {
                    return;
                }
            }
        })?;
    let to = sender.clone();
    thread::Builder::new()
        .name("ui-conductor".into())
        .spawn(move || {
            let last = ended
                .recv()
                .unwrap_or_else(|_| Ended::Failed("the conductor ended by a defect".to_string()));
            drop(stop);
            let _ = to.send(Message::Ended(last));
        })?;
    Ok(())
}

/// Reads the folder, and tells whether anything is new.
struct Reader {
    dir: PathBuf,
    state: Option<SweepState>,
    curves: Vec<Curve>,
}

impl Reader {
    fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            state: None,
            curves: Vec::new(),
        }
    }

    fn read(&mut self) -> Option<Result<Snapshot, String>> {
        let state = match sweep::read(&self.dir) {
            Ok(state) => state,
            Err(error) => return Some(Err(error.to_string())),
        };
        if self.curves.len() != state.trials.len() {
            let curve = |trial| Curve::new(&self.dir.join(trial_name(trial)));
            self.curves = (0..state.trials.len()).map(curve).collect();
        }
        let mut new = self.state.as_ref() != Some(&state);
        for curve in &mut self.curves {
            new |= curve.refresh();
        }
        self.state = Some(state.clone());
        new.then(|| {
            Ok(Snapshot {
                state,
                curves: Arc::new(self.curves.clone()),
            })
        })
    }
}

//! A line typed at a prompt of `fireside sample --interactive`: editing, and the prompts of earlier.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::history::History;

/// What ends a conversation, where the end of input cannot be typed.
pub const QUIT: &str = "/quit";

/// What came of asking.
pub enum Answer {
    Line(String),
    /// [`QUIT`].
    Quit,
    /// Ctrl-C.
    Interrupted,
}

/// Asks for line after line, on a terminal.
pub struct Prompt {
    history: History,
    /// False while a line is being typed: Ctrl-C is a key then. Otherwise it ends the process, as everywhere.
    interrupts_end: Arc<AtomicBool>,
}

impl Prompt {
    /// # Errors
    /// Ctrl-C cannot be listened to.
    pub fn new() -> std::io::Result<Self> {
        let interrupts_end = Arc::new(AtomicBool::new(true));
        #[cfg(unix)]
        signal_hook::flag::register_conditional_default(
            signal_hook::consts::SIGINT,
            Arc::clone(&interrupts_end),
        )?;
        Ok(Prompt {
            history: History::open(),
            interrupts_end,
        })
    }

    /// # Errors
    /// The terminal cannot be read or written, or is gone.
    pub fn ask(&mut self) -> std::io::Result<Answer> {
        let _keys = Keys::begin(&self.interrupts_end)?;
        let answer = dialoguer::Input::<String>::new()
            .with_prompt("prompt")
            .allow_empty(true)
            .history_with(&mut self.history)
            .interact_text();
        match answer {
            Ok(line) if line.trim() == QUIT => Ok(Answer::Quit),
            Ok(line) => Ok(Answer::Line(line)),
            Err(dialoguer::Error::IO(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                Ok(Answer::Interrupted)
            }
            Err(dialoguer::Error::IO(error)) => Err(error),
        }
    }
}

/// While this lives, the terminal hands on every key as it is pressed and echoes nothing. dialoguer asks for that key by key;
/// whatever is typed between two keys, or pasted, the terminal would echo besides.
struct Keys<'a> {
    #[cfg(unix)]
    before: rustix::termios::Termios,
    interrupts_end: &'a AtomicBool,
}

impl<'a> Keys<'a> {
    #[cfg(unix)]
    fn begin(interrupts_end: &'a AtomicBool) -> std::io::Result<Self> {
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin())?;
        let mut keys = before.clone();
        keys.make_raw();
        // Lines that are written still begin at the left.
        keys.output_modes = before.output_modes;
        interrupts_end.store(false, Ordering::Relaxed);
        // What was typed before the prompt is kept.
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &keys)?;
        Ok(Keys {
            before,
            interrupts_end,
        })
    }

    #[cfg(not(unix))]
    fn begin(interrupts_end: &'a AtomicBool) -> std::io::Result<Self> {
        Ok(Keys { interrupts_end })
    }
}

impl Drop for Keys<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        #[cfg(unix)]
        let _ = rustix::termios::tcsetattr(
            std::io::stdin(),
            rustix::termios::OptionalActions::Drain,
            &self.before,
        );
        self.interrupts_end.store(true, Ordering::Relaxed);
    }
}

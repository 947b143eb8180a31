//! The terminal, taken over and given back: on exit, on error, on panic and for Ctrl-Z.

use std::io::{self, BufWriter, Stdout, Write};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

type Output = BufWriter<Stdout>;
type PanicHook = dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync;

/// Holds the terminal while the screens are shown; dropping it gives it back.
pub struct TerminalGuard {
    /// Never dropped: ratatui would complain on standard error when the terminal is gone, and panic when that is
    /// gone with it. [`give_back`] does what is to be done.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Output>>>,
    mouse: bool,
    previous_hook: Arc<PanicHook>,
}

impl TerminalGuard {
    /// Takes the terminal over. A panic on the calling thread gives it back before the message is printed; a
    /// panic on any other thread is logged and never touches the screen.
    ///
    /// # Errors
    /// Standard output or input is no terminal, or does not take the settings.
    pub fn new(mouse: bool) -> io::Result<Self> {
        let previous_hook: Arc<PanicHook> = Arc::from(std::panic::take_hook());
        let chained = Arc::clone(&previous_hook);
        let screen_thread = thread::current().id();
        std::panic::set_hook(Box::new(move |info| {
            if thread::current().id() == screen_thread {
                give_back();
                chained(info);
            } else {
                tracing::error!("panic: {info}");
            }
        }));
        let result = take(mouse).and_then(|()| {
            let output = BufWriter::with_capacity(1 << 16, io::stdout());
            Terminal::new(CrosstermBackend::new(output))
        });
        match result {
            Ok(terminal) => Ok(Self {
                terminal: ManuallyDrop::new(terminal),
                mouse,
                previous_hook,
            }),
            Err(error) => {
                give_back();
                std::panic::set_hook(Box::new(move |info| previous_hook(info)));
                Err(error)
            }
        }
    }

    /// Width and height in cells.
    ///
    /// # Errors
    /// The terminal does not answer.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Draws one frame as one synchronized update.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, render: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal
            .draw(|frame| render(frame.area(), frame.buffer_mut()))?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// The next frame is drawn whole.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        execute!(self.terminal.backend_mut(), Clear(ClearType::All))?;
        // The last frame is forgotten. `Terminal::clear` would ask the terminal where its cursor is, and wait
        // for the answer behind the thread that reads keys.
        self.terminal.swap_buffers();
        Ok(())
    }

    /// # Errors
    /// The terminal is gone.
    pub fn set_mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        let backend = self.terminal.backend_mut();
        if on {
            execute!(backend, EnableMouseCapture)
        } else {
            execute!(backend, DisableMouseCapture)
        }
    }

    /// Gives the terminal back, says `message`, stops the process as Ctrl-Z does, and takes the terminal again
    /// when the shell continues the process.
    ///
    /// # Errors
    /// The terminal is gone.
    #[cfg(unix)]
    pub fn suspend(&mut self, message: &str) -> io::Result<()> {
        give_back();
        println!("{message}");
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        self.take_again()
    }

    /// After `fg`, or after the process was stopped from outside.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn take_again(&mut self) -> io::Result<()> {
        take(self.mouse)?;
        self.clear()
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        give_back();
        if !thread::panicking() {
            let previous = Arc::clone(&self.previous_hook);
            std::panic::set_hook(Box::new(move |info| previous(info)));
        }
    }
}

/// Whether there is something to give back.
static TAKEN: AtomicBool = AtomicBool::new(false);

fn take(mouse: bool) -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    let mut out = io::stdout();
    queue!(
        out,
        EnterAlternateScreen,
        EnableBracketedPaste,
        EnableFocusChange,
        cursor::Hide
    )?;
    if mouse {
        queue!(out, EnableMouseCapture)?;
    }
    out.flush()
}

/// Undoes everything that [`take`] did, once: leaving the alternate screen a second time would move the cursor back
/// over what was said since. A terminal that is gone cannot be told, so errors are passed over.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = queue!(
        out,
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = out.flush();
    let _ = disable_raw_mode();
}

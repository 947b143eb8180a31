//! A process on a pseudo-terminal, seen as a person sees it: keys go in, a screen comes out.
//!
//! Used by the tests that need a terminal and by `benches/screen.rs`.

#![allow(dead_code)] // each of them takes what it needs

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longest wait for anything to be seen; machines under load are slow.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the terminal received so far, and what it shows.
pub struct Shown {
    parser: vt100::Parser,
    pub bytes: Vec<u8>,
    /// The other side has closed.
    ended: bool,
    /// The window was closed: nobody reads any more.
    closed: bool,
}

impl Shown {
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    pub fn text(&self) -> String {
        self.screen().contents()
    }

    pub fn has(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// The step in the header: `step 1 240/5 000`.
    pub fn step(&self) -> Option<u64> {
        let text = self.text();
        let (_, after) = text.lines().next()?.split_once("step ")?;
        let (done, _) = after.split_once('/')?;
        done.replace(' ', "").parse().ok()
    }
}

type Shared = Arc<(Mutex<Shown>, Condvar)>;

pub struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    shared: Shared,
    /// The line settings before the process ran.
    line: Option<String>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// A command with nothing of the caller's environment but PATH, at home in `dir`.
pub fn command(program: &str, arguments: &[&str], dir: &Path) -> CommandBuilder {
    let mut command = CommandBuilder::new(program);
    command.args(arguments);
    command.cwd(dir);
    command.env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", dir);
    command.env("TERM", "xterm-256color");
    command.env("COLORTERM", "truecolor");
    command.env("LANG", "C.UTF-8");
    command
}

/// The program, as [`command`].
pub fn fireside(arguments: &[&str], dir: &Path) -> CommandBuilder {
    command(env!("CARGO_BIN_EXE_fireside"), arguments, dir)
}

impl Terminal {
    /// Runs `command` on a new terminal, with `columns` × `rows` cells.
    pub fn start(command: CommandBuilder, columns: u16, rows: u16) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let line = line_settings(&*pair.master);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let shared: Shared = Arc::new((
            Mutex::new(Shown {
                parser: vt100::Parser::new(rows, columns, 0),
                bytes: Vec::new(),
                ended: false,
                closed: false,
            }),
            Condvar::new(),
        ));
        let seen = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                // Linux answers with an error when the other side has closed.
                let read = reader.read(&mut buffer).unwrap_or(0);
                let mut shown = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
                shown.bytes.extend_from_slice(&buffer[..read]);
                shown.parser.process(&buffer[..read]);
                shown.ended = read == 0;
                seen.1.notify_all();
                if read == 0 || shown.closed {
                    return;
                }
            }
        });
        Self {
            master: Some(pair.master),
            keys: Some(keys),
            child,
            shared,
            line,
        }
    }

    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shared.0.lock().unwrap()
    }

    pub fn id(&self) -> rustix::process::Pid {
        let id = self.child.process_id().unwrap();
        rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.id(), signal).unwrap();
    }

    /// Types these bytes.
    pub fn press(&mut self, keys: &str) {
        let writer = self.keys.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let mut shown = self.shown();
        // In one row, or one column, the emulator overflows on a frame that was drawn for the size before.
        let (shown_rows, shown_columns) = (rows.max(2), columns.max(2));
        shown
            .parser
            .screen_mut()
            .set_size(shown_rows, shown_columns);
        drop(shown);
        let master = self.master.as_ref().unwrap();
        master.resize(size(columns, rows)).unwrap();
    }

    /// The window is closed, as soon as the process writes once more: it hears SIGHUP, and nobody reads any more.
    pub fn close(&mut self) {
        self.shown().closed = true;
        self.keys = None;
        self.master = None;
    }

    /// Waits until the screen is so, and says how long it took.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is: impl Fn(&Shown) -> bool) -> Duration {
        let began = Instant::now();
        let mut shown = self.shown();
        loop {
            if is(&shown) {
                return began.elapsed();
            }
            let rest = PATIENCE.saturating_sub(began.elapsed());
            let over = rest.is_zero() || shown.ended;
            assert!(!over, "waiting for {what}; the screen:\n{}", shown.text());
            shown = self.shared.1.wait_timeout(shown, rest).unwrap().0;
        }
    }

    /// Waits until the screen shows `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Duration {
        self.wait_until(&format!("`{text}`"), |shown| shown.has(text))
    }

    /// Waits until the screen no longer shows `text`.
    #[track_caller]
    pub fn wait_gone(&self, text: &str) -> Duration {
        self.wait_until(&format!("no `{text}`"), |shown| !shown.has(text))
    }

    /// Waits until the header shows this step or a later one, which it returns.
    #[track_caller]
    pub fn wait_for_step(&self, least: u64) -> u64 {
        self.wait_until(&format!("step {least}"), |shown| {
            shown.step() >= Some(least)
        });
        self.shown().step().unwrap()
    }

    /// Waits for the end of the process. Its exit code, and everything it wrote, read to the end.
    #[track_caller]
    pub fn exit(&mut self) -> u32 {
        let began = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                None => panic!("the process does not end:\n{}", self.shown().text()),
            }
        };
        assert_eq!(status.signal(), None, "{}", self.shown().text());
        if self.master.is_some() {
            let mut shown = self.shown();
            while !shown.ended {
                let rest = PATIENCE.saturating_sub(began.elapsed());
                assert!(!rest.is_zero(), "the terminal is still held");
                shown = self.shared.1.wait_timeout(shown, rest).unwrap().0;
            }
        }
        status.exit_code()
    }

    /// What a person needs to go on in their shell: the main screen, a cursor, no reports of the mouse, the focus
    /// or pastes, and a line that echoes.
    #[track_caller]
    pub fn assert_restored(&self) {
        let shown = self.shown();
        let screen = shown.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "pastes are plain");
        let mouse = screen.mouse_protocol_mode();
        assert_eq!(mouse, vt100::MouseProtocolMode::None, "the mouse is free");
        // vt100 does not know these two: the last word counts.
        for (mode, what) in [("1004", "focus reports"), ("2026", "synchronized updates")] {
            let last = |on: char| rfind(&shown.bytes, format!("\x1b[?{mode}{on}").as_bytes());
            assert!(last('l') >= last('h'), "{what} are still on");
        }
        drop(shown);
        let master = self.master.as_ref().unwrap();
        assert_eq!(line_settings(&**master), self.line, "the line settings");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed half way must not leave a process behind.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn line_settings(master: &dyn MasterPty) -> Option<String> {
    master.get_termios().map(|termios| format!("{termios:?}"))
}

/// Where `needle` begins for the last time.
fn rfind(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .rposition(|window| window == needle)
}

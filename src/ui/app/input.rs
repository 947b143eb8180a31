//! Keys, pastes and the mouse: to whatever lies on top, and what they come to.

use super::*;
use crate::ui::keymap::KeyPress;
use crate::ui::widgets::text_input::TextInput;

/// How long a key that may begin a sequence waits for the next one, where it means something by itself.
const SEQUENCE_TIME: Duration = Duration::from_millis(400);

/// What was typed last.
#[derive(Debug, Default)]
pub(super) struct Keys {
    count: u64,
    /// The beginning of a key sequence.
    typed: Vec<KeyPress>,
    /// What that means if it does not go on.
    alone: Option<Action>,
    /// The key before this one asked for a sample, just now.
    sampled: bool,
}

impl App {
    pub(super) fn input(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self.key(key, effects),
            Input::Mouse(mouse) => self.mouse_event(mouse, effects),
            Input::Paste(text) => self.paste(&text, effects),
            Input::Resize(width, height) => {
                self.size = Rect::new(0, 0, width, height);
            }
            Input::Key(_) | Input::FocusGained | Input::FocusLost => {}
        }
    }

    fn key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        let press = KeyPress::from_event(key);
        self.keys.count += 1;
        self.keys.typed.push(press);
        let mut lookup = self.keymap.lookup(self.contexts(), &self.keys.typed);
        if lookup == Lookup::None && self.keys.typed.len() > 1 {
            // The sequence led nowhere: what began it and this key stand for themselves.
            self.keys.typed = vec![press];
            if let Some(action) = self.keys.alone.take() {
                self.act(action, effects);
            }
            lookup = self.keymap.lookup(self.contexts(), &self.keys.typed);
        }
        if let Lookup::Pending { alone } = lookup {
            self.keys.alone = alone;
            self.keys.sampled = false;
            if alone.is_some() {
                let timer = Timer::Key(self.keys.count);
                effects.push(Effect::After(SEQUENCE_TIME, timer));
            }
            return;
        }
        self.keys.typed.clear();
        self.keys.alone = None;
        let action = match lookup {
            Lookup::Action(action) => Some(action),
            _ => None,
        };
        let again = self.keys.sampled;
        self.keys.sampled = action == Some(Action::SampleNow);
        if self.keys.sampled {
            let timer = Timer::Key(self.keys.count);
            effects.push(Effect::After(SEQUENCE_TIME, timer));
            // A `g` that is held down, or pressed twice as if to go to a top, asks for one sample.
            if again {
                return;
            }
        }
        let contexts = self.contexts();
        if contexts.first().is_some_and(|c| c.holds_back_others()) {
            if self.overlay_or_field_key(key, action, effects) == Handled::Yes {
                return;
            }
            // Ctrl-C, Ctrl-Z and the like keep their meaning while typing.
            let control = key
                .modifiers
                .contains(crossterm::event::KeyModifiers::CONTROL);
            if control
                && let Lookup::Action(action) = self.keymap.lookup(&[Context::Global], &[press])
            {
                self.act(action, effects);
            }
            return;
        }
        if let Some(action) = action {
            self.act(action, effects);
        }
    }

    /// The time for another key is over, if none has come.
    pub(super) fn no_further_key(&mut self, count: u64, effects: &mut Vec<Effect>) {
        if count != self.keys.count {
            return;
        }
        self.keys.sampled = false;
        if let Some(action) = self.keys.alone.take() {
            self.keys.typed.clear();
            self.act(action, effects);
        }
    }

    fn overlay_or_field_key(
        &mut self,
        key: KeyEvent,
        action: Option<Action>,
        effects: &mut Vec<Effect>,
    ) -> Handled {
        match &mut self.overlay {
            Some(Overlay::Dialog(_)) => self.dialog_key(key, action, effects),
            Some(Overlay::Steer(_)) => self.steer_key(key, action, effects),
            Some(Overlay::Palette(_)) => self.palette_key(key, action, effects),
            _ if self.screen == Screen::Runs => {
                let mut requests = Vec::new();
                let handled = self.runs.type_key(key, action, &mut requests);
                self.carry_out_runs(requests, effects);
                handled
            }
            _ if self.screen == Screen::Train => match &mut self.train {
                Some(train) => train.type_key(key, action),
                None => Handled::No,
            },
            _ => {
                let mut requests = Vec::new();
                let handled = self.home.type_key(key, action, &mut requests);
                self.carry_out(requests, effects);
                handled
            }
        }
    }

    /// Does what a line of the palette says.
    fn take(&mut self, entry: Option<palette::Entry>, effects: &mut Vec<Effect>) {
        let Some(Overlay::Palette(palette)) = &mut self.overlay else {
            return;
        };
        match entry {
            // There is more to type, or something to put right.
            Some(palette::Entry {
                chosen: Chosen::Complete(text),
                ..
            }) => palette.input = TextInput::new(text),
            Some(palette::Entry {
                chosen: Chosen::Problem,
                ..
            })
            | None => {}
            Some(entry) => {
                self.overlay = None;
                self.choose(entry, effects);
            }
        }
    }

    /// A click on a line of the palette is as Enter on it.
    fn palette_click(&mut self, at: Position, effects: &mut Vec<Effect>) {
        let contexts = self.screen_contexts();
        let Some(Overlay::Palette(palette)) = &mut self.overlay else {
            return;
        };
        let run = self.train.as_ref().filter(|_| self.screen == Screen::Train);
        let run = run.map(|train| &train.view);
        let found = palette::entries(palette.input.text(), &self.keymap, contexts, run);
        if let Some(line) = palette.line_at(found.len(), self.size, at) {
            palette.cursor = line;
            self.take(found.into_iter().nth(line), effects);
        }
    }

    fn palette_key(
        &mut self,
        key: KeyEvent,
        action: Option<Action>,
        effects: &mut Vec<Effect>,
    ) -> Handled {
        let contexts = self.screen_contexts();
        let Some(Overlay::Palette(palette)) = &mut self.overlay else {
            return Handled::No;
        };
        let run = self.train.as_ref().filter(|_| self.screen == Screen::Train);
        let run = run.map(|train| &train.view);
        let found = palette::entries(palette.input.text(), &self.keymap, contexts, run);
        let last = found.len().saturating_sub(1);
        palette.cursor = palette.cursor.min(last);
        match action {
            Some(Action::Close) => self.overlay = None,
            Some(Action::Up) => palette.cursor = palette.cursor.saturating_sub(1),
            Some(Action::Down) => palette.cursor = (palette.cursor + 1).min(last),
            Some(Action::PageUp) => palette.cursor = palette.cursor.saturating_sub(10),
            Some(Action::PageDown) => palette.cursor = (palette.cursor + 10).min(last),
            Some(Action::Accept) => {
                let entry = found.into_iter().nth(palette.cursor);
                self.take(entry, effects);
            }
            _ => {
                if !palette.input.key(key) {
                    return Handled::No;
                }
                palette.cursor = 0;
            }
        }
        Handled::Yes
    }

    fn choose(&mut self, entry: palette::Entry, effects: &mut Vec<Effect>) {
        match entry.chosen {
            Chosen::Theme(name) => {
                self.theme = self.theme.named(name);
            }
            _ if !entry.here => {
                let text = format!("`{}` belongs to: {}", entry.name.trim(), entry.place);
                self.notify(NoticeLevel::Info, text, effects);
            }
            Chosen::Action(action) => self.act(action, effects),
            Chosen::Edit(edit) => {
                if self.still_trains(effects) {
                    self.send_edit(edit, effects);
                }
            }
            Chosen::Until(until) => {
                if self.still_trains(effects) {
                    effects.push(Effect::Send(Command::RunUntil { until }));
                }
            }
            Chosen::RewindTo(step) => {
                self.look_for_checkpoints(Purpose::RewindTo(step), effects);
            }
            Chosen::Schedule(given) => self.open_schedule(&given, effects),
            Chosen::Complete(_) | Chosen::Problem => {}
            Chosen::Set { key, value } => {
                let mut requests = Vec::new();
                self.home.set_field(&key, &value, &mut requests);
                self.carry_out(requests, effects);
            }
        }
    }

    fn paste(&mut self, text: &str, effects: &mut Vec<Effect>) {
        match &mut self.overlay {
            Some(Overlay::Palette(palette)) => palette.input.insert(text),
            Some(Overlay::Dialog(dialog)) => dialog.paste(text),
            Some(Overlay::Help(_) | Overlay::RangeTest(_)) => {}
            None if self.screen == Screen::Runs => self.runs.paste(text),
            Some(Overlay::Steer(_)) => self.steer_paste(text),
            None if self.screen == Screen::Train => {
                if let Some(train) = &mut self.train {
                    train.paste(text);
                }
            }
            None => {
                let mut requests = Vec::new();
                self.home.paste(text, &mut requests);
                self.carry_out(requests, effects);
            }
        }
    }

    fn mouse_event(&mut self, mouse: MouseEvent, effects: &mut Vec<Effect>) {
        let at = Position::new(mouse.column, mouse.row);
        let event = match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => ScreenMouse::Click(at),
            MouseEventKind::Drag(MouseButton::Left) => ScreenMouse::Drag(at),
            MouseEventKind::Up(MouseButton::Left) => ScreenMouse::Release(at),
            MouseEventKind::ScrollUp => ScreenMouse::Wheel { at, lines: -1 },
            MouseEventKind::ScrollDown => ScreenMouse::Wheel { at, lines: 1 },
            _ => return,
        };
        match &mut self.overlay {
            Some(Overlay::Help(_)) => {
                if let ScreenMouse::Wheel { lines, .. } = event {
                    let action = if lines < 0 { Action::Up } else { Action::Down };
                    self.act_help(action);
                } else if matches!(event, ScreenMouse::Click(at) if !Help::area(self.size).contains(at))
                {
                    self.overlay = None;
                }
                return;
            }
            Some(Overlay::Palette(palette)) => {
                match event {
                    ScreenMouse::Wheel { lines, .. } => {
                        palette.cursor = palette.cursor.saturating_add_signed(lines as isize);
                    }
                    ScreenMouse::Click(at) if !Palette::area(self.size).contains(at) => {
                        self.overlay = None
                    }
                    ScreenMouse::Click(at) => self.palette_click(at, effects),
                    _ => {}
                }
                return;
            }
            Some(Overlay::RangeTest(_)) => return,
            Some(Overlay::Dialog(_)) => {
                if let ScreenMouse::Click(at) = event {
                    self.dialog_click(at, effects);
                }
                return;
            }
            Some(Overlay::Steer(_)) => {
                match event {
                    ScreenMouse::Click(at) => self.steer_click(at, effects),
                    ScreenMouse::Wheel { lines, .. } => self.steer_wheel(lines as isize),
                    _ => {}
                }
                return;
            }
            None => {}
        }
        let body = render::body(self.size);
        match self.screen {
            Screen::Home => {
                let mut requests = Vec::new();
                self.home.mouse(event, &self.theme, body, &mut requests);
                self.carry_out(requests, effects);
            }
            Screen::Train => {
                if let Some(train) = &mut self.train {
                    train.mouse(event, body);
                }
            }
            Screen::Runs => {
                let mut requests = Vec::new();
                self.runs.mouse(event, body, &mut requests);
                self.carry_out_runs(requests, effects);
            }
        }
    }
}

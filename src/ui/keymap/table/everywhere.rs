//! Keys of what lies over a screen, and of every screen.

use super::{Row, hinted, row};
use crate::ui::keymap::{Action as A, Context as C};

pub const TABLE: &[Row] = &[
    // The help overlay.
    row(C::Help, &["up", "k"], A::Up, "scroll up"),
    row(C::Help, &["down", "j"], A::Down, "scroll down"),
    row(C::Help, &["pageup", "ctrl-u"], A::PageUp, "one page up"),
    row(
        C::Help,
        &["pagedown", "ctrl-d", "space"],
        A::PageDown,
        "one page down",
    ),
    row(C::Help, &["g g", "home"], A::Top, "to the top"),
    row(C::Help, &["G", "end"], A::Bottom, "to the end"),
    hinted(
        C::Help,
        &["esc", "q", "?"],
        A::Close,
        "close the help",
        "close",
    ),
    // Dialogs: the choices bring their own letters.
    row(
        C::Dialog,
        &["left", "up", "h", "k", "shift-tab"],
        A::Left,
        "the choice before",
    ),
    row(
        C::Dialog,
        &["right", "down", "l", "j", "tab"],
        A::Right,
        "the next choice",
    ),
    hinted(
        C::Dialog,
        &["enter"],
        A::Accept,
        "take the marked choice",
        "choose",
    ),
    hinted(
        C::Dialog,
        &["esc"],
        A::Close,
        "close the dialog; nothing happens",
        "cancel",
    ),
    // Text fields: every other key types.
    hinted(C::Text, &["enter"], A::Accept, "take the text", "accept"),
    hinted(
        C::Text,
        &["esc"],
        A::Close,
        "leave the field as it was",
        "cancel",
    ),
    row(
        C::Text,
        &["up", "shift-tab"],
        A::Up,
        "the line or choice above",
    ),
    row(
        C::Text,
        &["down", "tab"],
        A::Down,
        "the line or choice below",
    ),
    // The palette: every other key types.
    hinted(C::Palette, &["enter"], A::Accept, "do it", "do it"),
    row(
        C::Palette,
        &["up", "ctrl-p", "shift-tab"],
        A::Up,
        "one line up",
    ),
    row(
        C::Palette,
        &["down", "ctrl-n", "tab"],
        A::Down,
        "one line down",
    ),
    row(C::Palette, &["pageup"], A::PageUp, "one page up"),
    row(C::Palette, &["pagedown"], A::PageDown, "one page down"),
    hinted(C::Palette, &["esc"], A::Close, "close the palette", "close"),
    // Everywhere.
    hinted(
        C::Global,
        &["tab"],
        A::NextPane,
        "focus the next pane",
        "pane",
    ),
    row(
        C::Global,
        &["shift-tab"],
        A::PreviousPane,
        "focus the previous pane",
    ),
    row(
        C::Global,
        &["1"],
        A::Focus1,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["2"],
        A::Focus2,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["3"],
        A::Focus3,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["4"],
        A::Focus4,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["5"],
        A::Focus5,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["6"],
        A::Focus6,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["7"],
        A::Focus7,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["8"],
        A::Focus8,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["9"],
        A::Focus9,
        "focus the pane with this number",
    ),
    row(
        C::Global,
        &["z"],
        A::Zoom,
        "give the focused pane the whole screen, and back",
    ),
    row(
        C::Global,
        &["esc"],
        A::Close,
        "close, or undo the zoom; never quits",
    ),
    hinted(
        C::Global,
        &[":"],
        A::Palette,
        "find any command by name",
        "palette",
    ),
    hinted(C::Global, &["?"], A::Help, "this help", "help"),
    row(C::Global, &["ctrl-t"], A::NextTheme, "next colour theme"),
    row(
        C::Global,
        &["ctrl-l"],
        A::Redraw,
        "draw the whole screen again",
    ),
    row(
        C::Global,
        &[],
        A::ToggleMouse,
        "mouse on or off (off leaves selecting to the terminal)",
    ),
    row(
        C::Global,
        &["ctrl-z"],
        A::Suspend,
        "back to the shell; fg returns",
    ),
    hinted(
        C::Global,
        &["q", "ctrl-c"],
        A::Quit,
        "quit (asks while a run is training)",
        "quit",
    ),
];

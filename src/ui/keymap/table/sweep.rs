//! Keys of the screen of a sweep, which stands alone.

use super::{Row, hinted, row};
use crate::ui::keymap::{Action as A, Context as C};

pub const TABLE: &[Row] = &[
    row(C::Sweep, &["up", "k"], A::Up, "one trial up"),
    row(C::Sweep, &["down", "j"], A::Down, "one trial down"),
    row(C::Sweep, &["pageup", "ctrl-u"], A::PageUp, "one page up"),
    row(
        C::Sweep,
        &["pagedown", "ctrl-d"],
        A::PageDown,
        "one page down",
    ),
    row(C::Sweep, &["g g", "home"], A::Top, "first trial"),
    row(C::Sweep, &["G", "end"], A::Bottom, "last trial"),
    hinted(
        C::Sweep,
        &["o"],
        A::SortTrials,
        "order the trials by rank, or as they were made",
        "order",
    ),
    hinted(
        C::Sweep,
        &["y"],
        A::ToggleLog,
        "logarithmic losses, or plain ones",
        "log",
    ),
    hinted(C::Sweep, &["tab"], A::NextPane, "the next pane", "pane"),
    row(
        C::Sweep,
        &["shift-tab"],
        A::PreviousPane,
        "the previous pane",
    ),
    row(C::Sweep, &["1"], A::Focus1, "the table of trials"),
    row(C::Sweep, &["2"], A::Focus2, "the losses over each other"),
    row(
        C::Sweep,
        &["3"],
        A::Focus3,
        "values and results, side by side",
    ),
    hinted(
        C::Sweep,
        &["z"],
        A::Zoom,
        "give the focused pane the whole screen, and back",
        "zoom",
    ),
    row(C::Sweep, &["esc"], A::Close, "undo the zoom"),
    hinted(
        C::Sweep,
        &["S"],
        A::StopRun,
        "save all trials and stop the sweep; it can go on later",
        "stop",
    ),
    row(C::Sweep, &["ctrl-t"], A::NextTheme, "next colour theme"),
    row(
        C::Sweep,
        &["ctrl-l"],
        A::Redraw,
        "draw the whole screen again",
    ),
    row(
        C::Sweep,
        &["ctrl-z"],
        A::Suspend,
        "back to the shell; fg returns",
    ),
    hinted(C::Sweep, &["?"], A::Help, "this help", "help"),
    hinted(
        C::Sweep,
        &["q", "ctrl-c"],
        A::Quit,
        "leave (asks while trials are trained; a second time does not wait)",
        "quit",
    ),
];

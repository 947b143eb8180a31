//! Keys of the home screen.

use super::{Row, hinted, row};
use crate::ui::keymap::{Action as A, Context as C};

pub const TABLE: &[Row] = &[
    // The ladder and the resumable runs.
    hinted(
        C::Ladder,
        &["enter"],
        A::Train,
        "train this model with the config shown, or resume this run",
        "train",
    ),
    row(C::Ladder, &["up", "k"], A::Up, "one line up"),
    row(C::Ladder, &["down", "j"], A::Down, "one line down"),
    hinted(
        C::Ladder,
        &["right", "l"],
        A::Right,
        "next config of this rung",
        "config",
    ),
    row(
        C::Ladder,
        &["left", "h"],
        A::Left,
        "previous config of this rung",
    ),
    row(C::Ladder, &["g g", "home"], A::Top, "first line"),
    row(C::Ladder, &["G", "end"], A::Bottom, "last line"),
    // The config form.
    hinted(
        C::Form,
        &["enter"],
        A::Train,
        "train this model with the config shown",
        "train",
    ),
    hinted(
        C::Form,
        &["e", "i"],
        A::Edit,
        "edit the field (a choice or a switch goes to its next value)",
        "edit",
    ),
    row(C::Form, &["up", "k"], A::Up, "one field up"),
    row(C::Form, &["down", "j"], A::Down, "one field down"),
    hinted(
        C::Form,
        &["right", "l", "+"],
        A::Increase,
        "next value: the next choice, or a larger number",
        "nudge",
    ),
    row(
        C::Form,
        &["left", "h", "-"],
        A::Decrease,
        "previous value: the choice before, or a smaller number",
    ),
    row(C::Form, &["pageup", "ctrl-u"], A::PageUp, "one section up"),
    row(
        C::Form,
        &["pagedown", "ctrl-d"],
        A::PageDown,
        "one section down",
    ),
    row(C::Form, &["g g", "home"], A::Top, "first field"),
    row(C::Form, &["G", "end"], A::Bottom, "last field"),
    hinted(
        C::Form,
        &["x", "delete"],
        A::ResetField,
        "reset the field to the value of the preset or file",
        "reset",
    ),
    row(
        C::Form,
        &["X"],
        A::ResetAll,
        "reset all fields to the values of the preset or file",
    ),
    // The preview.
    hinted(
        C::Preview,
        &["enter"],
        A::Train,
        "train this model with the config shown",
        "train",
    ),
    row(C::Preview, &["up", "k"], A::Up, "scroll up"),
    row(C::Preview, &["down", "j"], A::Down, "scroll down"),
    row(C::Preview, &["g g", "home"], A::Top, "scroll to the top"),
    // Home, whatever has the focus.
    hinted(
        C::Home,
        &["/"],
        A::Filter,
        "show only fields whose key or description contains a text",
        "filter",
    ),
    hinted(
        C::Home,
        &["c"],
        A::JumpCorpus,
        "go to the corpus fields",
        "corpus",
    ),
    hinted(
        C::Home,
        &["d"],
        A::JumpDevice,
        "go to the device field",
        "device",
    ),
    hinted(
        C::Home,
        &["f"],
        A::FindRate,
        "find a learning rate for this config by a short test",
        "find rate",
    ),
    row(
        C::Home,
        &["w"],
        A::KeepConfig,
        "keep the config shown as a file of your own",
    ),
    hinted(C::Home, &["r"], A::GoRuns, "list the runs on disk", "runs"),
    row(
        C::Home,
        &["T"],
        A::GoTrain,
        "back to the dashboard of the run in progress",
    ),
    // The learning-rate range test, which lies over home.
    hinted(
        C::RangeTest,
        &["enter"],
        A::Accept,
        "take the suggested learning rate into the config",
        "take it",
    ),
    hinted(
        C::RangeTest,
        &["esc", "q"],
        A::Close,
        "stop the test; once it is over, close it",
        "stop, close",
    ),
    hinted(
        C::RangeTest,
        &["ctrl-c"],
        A::Quit,
        "quit; the test is no run, and nothing of it is saved",
        "quit",
    ),
    row(
        C::RangeTest,
        &["ctrl-z"],
        A::Suspend,
        "back to the shell; fg returns",
    ),
    row(
        C::RangeTest,
        &["ctrl-l"],
        A::Redraw,
        "draw the whole screen again",
    ),
    row(C::RangeTest, &["ctrl-t"], A::NextTheme, "next colour theme"),
];

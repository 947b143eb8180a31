//! The one table of keys. Dispatch, the `?` overlay, the footer and the palette are all made from it.
//!
//! `g` on the dashboard samples at once. Where a list has the focus on other screens, `g g` goes to its top as in
//! vi; on the dashboard the top is `home`, so that no key there ever has to wait for a second one.

use super::{Action, Context};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub context: Context,
    /// Alternatives; a space inside one separates keys that follow each other (`g g`). Empty: palette only.
    pub keys: &'static [&'static str],
    pub action: Action,
    /// For the help overlay and the palette.
    pub description: &'static str,
    /// One or two words for the footer; `None` keeps it out.
    pub hint: Option<&'static str>,
}

const fn row(
    context: Context,
    keys: &'static [&'static str],
    action: Action,
    description: &'static str,
) -> Row {
    Row {
        context,
        keys,
        action,
        description,
        hint: None,
    }
}

const fn hinted(
    context: Context,
    keys: &'static [&'static str],
    action: Action,
    description: &'static str,
    hint: &'static str,
) -> Row {
    Row {
        context,
        keys,
        action,
        description,
        hint: Some(hint),
    }
}

use Action as A;
use Context as C;

/// In the order in which the footer and the help overlay show them.
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
        "next preset of this rung",
        "preset",
    ),
    row(
        C::Ladder,
        &["left", "h"],
        A::Left,
        "previous preset of this rung",
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
        "reset the field to the preset's value",
        "reset",
    ),
    row(
        C::Form,
        &["X"],
        A::ResetAll,
        "reset all fields to the preset's values",
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
    hinted(C::Home, &["r"], A::GoRuns, "list the runs on disk", "runs"),
    row(
        C::Home,
        &["T"],
        A::GoTrain,
        "back to the dashboard of the run in progress",
    ),
    // The charts.
    hinted(C::Chart, &["+"], A::ZoomIn, "zoom in", "zoom"),
    row(C::Chart, &["-"], A::ZoomOut, "zoom out"),
    row(C::Chart, &["="], A::ZoomReset, "show the whole run again"),
    row(
        C::Chart,
        &["left", "h"],
        A::Left,
        "pan, or move the crosshair, to the left",
    ),
    row(
        C::Chart,
        &["right", "l"],
        A::Right,
        "pan, or move the crosshair, to the right",
    ),
    row(C::Chart, &["home"], A::Top, "go to the first step"),
    row(
        C::Chart,
        &["G", "end"],
        A::Bottom,
        "go to the newest step and follow it",
    ),
    hinted(
        C::Chart,
        &["s"],
        A::CycleSmoothing,
        "smoothing: off, then stronger and stronger",
        "smooth",
    ),
    hinted(
        C::Chart,
        &["y"],
        A::ToggleLog,
        "logarithmic or linear y axis",
        "log y",
    ),
    hinted(
        C::Chart,
        &["x"],
        A::CycleXAxis,
        "x axis: steps, tokens or time",
        "x axis",
    ),
    hinted(
        C::Chart,
        &["u"],
        A::CycleUnit,
        "unit of the loss: nats per token, perplexity or bits per byte",
        "unit",
    ),
    row(
        C::Chart,
        &["f"],
        A::ToggleFreeze,
        "freeze the view; training goes on",
    ),
    row(
        C::Chart,
        &["c"],
        A::ToggleCrosshair,
        "crosshair with the values under it",
    ),
    // Samples.
    hinted(
        C::Samples,
        &["left", "h"],
        A::Left,
        "an earlier sample",
        "earlier",
    ),
    hinted(
        C::Samples,
        &["right", "l"],
        A::Right,
        "a later sample",
        "later",
    ),
    row(C::Samples, &["up", "k"], A::Up, "scroll up"),
    row(C::Samples, &["down", "j"], A::Down, "scroll down"),
    row(C::Samples, &["home"], A::Top, "the first sample"),
    row(
        C::Samples,
        &["G", "end"],
        A::Bottom,
        "the newest sample, and follow",
    ),
    hinted(C::Samples, &["p"], A::NextPrompt, "next prompt", "prompt"),
    row(C::Samples, &["P"], A::PreviousPrompt, "previous prompt"),
    hinted(
        C::Samples,
        &["d"],
        A::CompareSamples,
        "the same prompt at two steps, side by side",
        "compare",
    ),
    row(
        C::Samples,
        &["o"],
        A::ShowProbabilities,
        "shade each token by its probability",
    ),
    // Lists of the dashboard (events, health, knobs).
    row(C::List, &["up", "k"], A::Up, "scroll up"),
    row(C::List, &["down", "j"], A::Down, "scroll down"),
    row(C::List, &["pageup", "ctrl-u"], A::PageUp, "one page up"),
    row(
        C::List,
        &["pagedown", "ctrl-d"],
        A::PageDown,
        "one page down",
    ),
    row(C::List, &["home"], A::Top, "first line"),
    row(C::List, &["G", "end"], A::Bottom, "last line"),
    // The dashboard, whatever has the focus.
    hinted(
        C::Train,
        &["space"],
        A::TogglePause,
        "pause or resume training",
        "pause",
    ),
    hinted(
        C::Train,
        &["."],
        A::StepOnce,
        "train one step, then pause",
        "step",
    ),
    hinted(
        C::Train,
        &["n"],
        A::RunSteps,
        "train a number of steps, then pause",
        "run n",
    ),
    hinted(
        C::Train,
        &["w"],
        A::Save,
        "save a checkpoint now, and keep it",
        "save",
    ),
    hinted(C::Train, &["v"], A::Evaluate, "evaluate now", "eval"),
    hinted(C::Train, &["g"], A::SampleNow, "sample now", "sample"),
    hinted(
        C::Train,
        &["["],
        A::LearningRateDown,
        "learning rate ÷1.25 (shown first, applied with enter)",
        "lr down",
    ),
    hinted(
        C::Train,
        &["]"],
        A::LearningRateUp,
        "learning rate ×1.25 (shown first, applied with enter)",
        "lr up",
    ),
    row(
        C::Train,
        &["{"],
        A::LearningRateHalve,
        "learning rate ÷2 (shown first, applied with enter)",
    ),
    row(
        C::Train,
        &["}"],
        A::LearningRateDouble,
        "learning rate ×2 (shown first, applied with enter)",
    ),
    row(
        C::Train,
        &["\\"],
        A::LearningRateReset,
        "learning rate back to the schedule's (shown first, applied with enter)",
    ),
    row(
        C::Train,
        &["enter"],
        A::ApplyEdit,
        "apply the edit that is pending",
    ),
    row(
        C::Train,
        &["backspace"],
        A::DiscardEdit,
        "discard the edit that is pending",
    ),
    row(
        C::Train,
        &["S"],
        A::StopRun,
        "stop the run, after saving; the program stays",
    ),
    row(
        C::Train,
        &["H"],
        A::GoHome,
        "home: pick another model (training goes on)",
    ),
    row(C::Train, &["r"], A::GoRuns, "list the runs on disk"),
    // The list of runs.
    hinted(
        C::Runs,
        &["enter"],
        A::Accept,
        "resume this run from its newest checkpoint",
        "resume",
    ),
    row(C::Runs, &["up", "k"], A::Up, "one line up"),
    row(C::Runs, &["down", "j"], A::Down, "one line down"),
    row(C::Runs, &["pageup", "ctrl-u"], A::PageUp, "one page up"),
    row(
        C::Runs,
        &["pagedown", "ctrl-d"],
        A::PageDown,
        "one page down",
    ),
    row(C::Runs, &["g g", "home"], A::Top, "first run"),
    row(C::Runs, &["G", "end"], A::Bottom, "last run"),
    hinted(
        C::Runs,
        &["R"],
        A::Reload,
        "read the runs folder again",
        "reload",
    ),
    hinted(C::Runs, &["H"], A::GoHome, "home: pick a model", "home"),
    row(
        C::Runs,
        &["T"],
        A::GoTrain,
        "back to the dashboard of the run in progress",
    ),
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

//! Everything that a key, the palette or a click can ask for.

macro_rules! actions {
    ($($(#[$meta:meta])* $variant:ident $name:literal,)*) => {
        /// What can be asked for. Keys, the palette, the footer and the help overlay all go through these.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$meta])* $variant,)* }

        impl Action {
            pub const ALL: &'static [Action] = &[$(Action::$variant,)*];

            /// The name in the settings file and in the palette.
            pub fn name(self) -> &'static str {
                match self { $(Action::$variant => $name,)* }
            }
        }
    };
}

actions! {
    // Everywhere.
    Quit "quit",
    Help "help",
    Palette "palette",
    Suspend "suspend",
    /// Close an overlay, leave a field, undo a zoom. Never quits.
    Close "close",
    NextPane "next-pane",
    PreviousPane "previous-pane",
    Focus1 "focus-1",
    Focus2 "focus-2",
    Focus3 "focus-3",
    Focus4 "focus-4",
    Focus5 "focus-5",
    Focus6 "focus-6",
    Focus7 "focus-7",
    Focus8 "focus-8",
    Focus9 "focus-9",
    Zoom "zoom",
    Redraw "redraw",
    NextTheme "next-theme",
    ToggleMouse "toggle-mouse",
    GoHome "home",
    GoTrain "dashboard",
    GoRuns "runs",
    // Moving inside whatever has the focus.
    Up "up",
    Down "down",
    Left "left",
    Right "right",
    PageUp "page-up",
    PageDown "page-down",
    Top "top",
    Bottom "bottom",
    /// Enter: start, resume, apply, choose.
    Accept "accept",
    // Home.
    Train "train",
    Edit "edit",
    Increase "increase",
    Decrease "decrease",
    ResetField "reset-field",
    ResetAll "reset-all",
    Filter "filter",
    JumpCorpus "corpus",
    JumpDevice "device",
    FindRate "find-rate",
    /// Write the config shown to a file of the user's.
    KeepConfig "keep-config",
    // A run in progress.
    TogglePause "pause",
    StepOnce "step-once",
    RunSteps "run-steps",
    Save "save",
    Evaluate "evaluate",
    SampleNow "sample-now",
    StopRun "stop",
    LearningRateUp "learning-rate-up",
    LearningRateDown "learning-rate-down",
    LearningRateDouble "learning-rate-double",
    LearningRateHalve "learning-rate-halve",
    LearningRateReset "learning-rate-reset",
    ApplyEdit "apply-edit",
    DiscardEdit "discard-edit",
    Undo "undo",
    Rewind "rewind",
    Fork "fork",
    NewSchedule "new-schedule",
    // Charts.
    ZoomIn "zoom-in",
    ZoomOut "zoom-out",
    ZoomReset "zoom-reset",
    CycleSmoothing "smoothing",
    ToggleLog "log-axis",
    CycleXAxis "x-axis",
    CycleUnit "unit",
    ToggleFreeze "freeze",
    ToggleCrosshair "crosshair",
    /// Write what the focused chart shows into the run's folder.
    ExportChart "export",
    // Samples.
    NextPrompt "next-prompt",
    PreviousPrompt "previous-prompt",
    CompareSamples "compare",
    ShowProbabilities "probabilities",
    // Runs.
    Reload "reload",
    // A sweep.
    SortTrials "sort-trials",
    SortNext "sort-next",
    SortPrevious "sort-previous",
    SortReverse "sort-reverse",
    Mark "mark",
    MarkAll "mark-all",
    Lineage "lineage",
    Pin "pin",
    Tag "tag",
    Note "note",
    Rename "rename",
    Delete "delete",
    UndoChange "undo-change",
    EmptyBin "empty-bin",
    OverlayRuns "overlay",
    CompareRuns "difference",
    CompareTexts "compare-texts",
    CycleSource "train-or-validation",
}

impl Action {
    /// 0 for `focus-1` … 8 for `focus-9`.
    pub fn pane_index(self) -> Option<usize> {
        let first = Action::Focus1 as usize;
        let last = Action::Focus9 as usize;
        (first..=last)
            .contains(&(self as usize))
            .then(|| self as usize - first)
    }

    pub fn from_name(name: &str) -> Option<Action> {
        Action::ALL.iter().copied().find(|a| a.name() == name)
    }
}

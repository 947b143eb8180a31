//! Several runs over each other: one line a run, by step, tokens, time or compute, in loss or bits per byte.
//!
//! ```text
//! ┌ Overlay: bits/byte, train, smooth .9, by compute ────────────┐┌ 3 runs ───────────────┐
//! │  4 ┤⠱⡀                                                      ││▸a ─── gpt-001    2.513 │
//! │  3 ┤ ⠈⠒⠤⣀⣀                                                  ││ b ─── gpt-002    2.498 │
//! │  2 ┤      ⠉⠉⠒⠒⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀b                      a      ││ c ─── rnn-001   hidden │
//! └──────────────────────────────────────────────────────────────┘└───────────────────────┘
//! ```
//!
//! Lines are told apart by colour, by pattern when the colours have run out, and by the letter at their end; the one under the
//! cursor lies on top. `◇` marks where a run was edited; what was edited of the one under the cursor is said. Curves come from the
//! runs' overviews, so that a hundred thousand steps cost no more than a few thousand.

mod curves;
mod draw;

use std::path::PathBuf;

use ratatui::layout::Rect;

use super::{RunsRequest, RunsScreen};
use crate::chart::{Across, Quantity, View};
use crate::protocol::NoticeLevel;
use crate::run::RunEntry;
use crate::ui::export::OverlayExport;
use crate::ui::keymap::Action;
use crate::ui::layout::scroll_offset;
use crate::ui::panes::Handled;
use crate::ui::picture::chart_look;
use crate::ui::screens::ScreenMouse;
use crate::ui::widgets::chart::{Chart, Scale, Viewport};
use crate::words::counted;

/// The weight of the past in smoothed lines, as `s` goes through them.
const SMOOTHING: [f64; 6] = [0.0, 0.6, 0.9, 0.97, 0.99, 0.999];
/// The legend beside the chart, where there is room.
const LEGEND: u16 = 40;
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum By {
    #[default]
    Step,
    Tokens,
    Time,
    /// Multiplications and additions of training, as `fireside bench train` counts them.
    Compute,
}

impl By {
    fn next(self) -> Self {
        match self {
            By::Step => By::Tokens,
            By::Tokens => By::Time,
            By::Time => By::Compute,
            By::Compute => By::Step,
        }
    }

    fn label(self) -> &'static str {
        match self {
            By::Step => "step",
            By::Tokens => "tokens",
            By::Time => "time",
            By::Compute => "compute (operations)",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum In {
    #[default]
    Loss,
    Perplexity,
    BitsPerByte,
}

impl In {
    fn next(self) -> Self {
        match self {
            In::Loss => In::Perplexity,
            In::Perplexity => In::BitsPerByte,
            In::BitsPerByte => In::Loss,
        }
    }

    fn label(self) -> &'static str {
        match self {
            In::Loss => "nats/token",
            In::Perplexity => "perplexity",
            In::BitsPerByte => "bits/byte",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Of {
    #[default]
    Train,
    Validation,
    Both,
}

impl Of {
    fn next(self) -> Self {
        match self {
            Of::Train => Of::Validation,
            Of::Validation => Of::Both,
            Of::Both => Of::Train,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Of::Train => "train",
            Of::Validation => "validation",
            Of::Both => "train and validation (o)",
        }
    }
}

#[derive(Debug)]
pub(super) struct OverlayView {
    /// The folders of the runs, and whether each is hidden.
    pub runs: Vec<(PathBuf, bool)>,
    cursor: usize,
    by: By,
    unit: In,
    of: Of,
    smoothing: f64,
    scale: Scale,
    viewport: Viewport,
    crosshair: Option<f64>,
}

impl OverlayView {
    /// In bits per byte where that is the only thing on which the runs compare.
    pub fn new(runs: &[std::sync::Arc<RunEntry>]) -> Self {
        let bytes = runs.iter().map(|run| run.bytes_per_token);
        let known = bytes.filter(|bytes| *bytes > 0.0);
        let (low, high) = known.fold((f64::INFINITY, 0f64), |(low, high), bytes| {
            (low.min(bytes), high.max(bytes))
        });
        OverlayView {
            runs: runs
                .iter()
                .map(|run| (run.summary.dir.clone(), false))
                .collect(),
            cursor: 0,
            by: By::default(),
            unit: if high > low * 1.001 {
                In::BitsPerByte
            } else {
                In::Loss
            },
            of: Of::default(),
            smoothing: 0.9,
            scale: Scale::default(),
            viewport: Viewport::default(),
            crosshair: None,
        }
    }
}

/// Where chart and legend are, with their borders.
fn places(area: Rect, runs: usize) -> (Rect, Rect) {
    if area.width >= 100 {
        let chart = Rect {
            width: area.width - LEGEND,
            ..area
        };
        let legend = Rect {
            x: chart.right(),
            width: LEGEND,
            ..area
        };
        return (chart, legend);
    }
    let rows = u16::try_from(runs)
        .unwrap_or(u16::MAX)
        .min(area.height / 4)
        .max(1)
        + 2;
    let chart = Rect {
        height: area.height.saturating_sub(rows),
        ..area
    };
    let legend = Rect {
        y: chart.bottom(),
        height: area.height - chart.height,
        ..area
    };
    (chart, legend)
}

fn inside(area: Rect) -> Rect {
    Rect {
        x: (area.x + 1).min(area.right()),
        y: (area.y + 1).min(area.bottom()),
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(2),
    }
}

impl RunsScreen {
    pub(super) fn act_overlay(
        &self,
        view: &mut OverlayView,
        action: Action,
        requests: &mut Vec<RunsRequest>,
    ) -> Handled {
        let last = view.runs.len().saturating_sub(1);
        let extent = Self::extent(&self.curves(view));
        let (low, high) = view.viewport.range(extent);
        let finest = ((extent.1 - extent.0) / 1000.0).max(f64::MIN_POSITIVE);
        match action {
            Action::Up => view.cursor = view.cursor.saturating_sub(1),
            Action::Down => view.cursor = (view.cursor + 1).min(last),
            Action::Mark => {
                if let Some((_, hidden)) = view.runs.get_mut(view.cursor) {
                    *hidden = !*hidden;
                }
            }
            Action::CycleSource => view.of = view.of.next(),
            Action::CycleUnit => view.unit = view.unit.next(),
            Action::CycleSmoothing => {
                let at = SMOOTHING.iter().position(|s| *s == view.smoothing);
                view.smoothing = SMOOTHING[at.map_or(0, |at| (at + 1) % SMOOTHING.len())];
            }
            Action::ToggleLog => {
                view.scale = match view.scale {
                    Scale::Linear => Scale::Log,
                    Scale::Log => Scale::Linear,
                }
            }
            Action::CycleXAxis => {
                view.by = view.by.next();
                // Another axis has other places: the whole runs again.
                view.viewport.reset();
                view.crosshair = None;
                let unknown = |(dir, _): &(PathBuf, bool)| {
                    self.find(dir)
                        .is_some_and(|run| run.operations_per_token == 0)
                };
                let unknown = view.runs.iter().filter(|run| unknown(run)).count();
                if view.by == By::Compute && unknown > 0 {
                    let text = format!(
                        "of {} the compute is not known: left out",
                        counted(unknown, "run")
                    );
                    requests.push(RunsRequest::Notice(NoticeLevel::Info, text));
                }
            }
            Action::ZoomIn | Action::ZoomOut => {
                let factor = if action == Action::ZoomIn { 2.0 } else { 0.5 };
                let centre = match view.crosshair {
                    Some(x) => (x - low) / (high - low),
                    None if view.viewport.follows() => 1.0,
                    None => 0.5,
                };
                view.viewport.zoom(factor, centre, extent, finest);
            }
            Action::ZoomReset => view.viewport.reset(),
            Action::Left | Action::Right => {
                let direction = if action == Action::Left { -1.0 } else { 1.0 };
                match &mut view.crosshair {
                    Some(x) => *x = (*x + direction * (high - low) / 60.0).clamp(low, high),
                    None => view.viewport.pan(direction * 0.2, extent),
                }
            }
            Action::Top => match &mut view.crosshair {
                Some(x) => *x = low,
                None => view.viewport.to_start(extent),
            },
            Action::Bottom => {
                view.crosshair = view.crosshair.map(|_| extent.1);
                view.viewport.follow(extent);
            }
            Action::ExportChart => requests.push(self.export(view, (low, high))),
            Action::ToggleFreeze => view.viewport.toggle_freeze(extent),
            Action::ToggleCrosshair => {
                view.crosshair = match view.crosshair {
                    Some(_) => None,
                    None => Some(high.min(extent.1)),
                }
            }
            _ => return Handled::No,
        }
        Handled::Yes
    }

    /// What is shown, to be written. Hidden runs, and those without a value here, are left out.
    fn export(&self, view: &OverlayView, window: (f64, f64)) -> RunsRequest {
        let curves = self.curves(view);
        let drawn = curves.iter().filter(|curve| match view.of {
            Of::Train => !curve.train.is_empty(),
            Of::Validation => !curve.validation.is_empty(),
            Of::Both => !(curve.train.is_empty() && curve.validation.is_empty()),
        });
        let runs: Vec<(PathBuf, String)> = drawn
            .filter_map(|curve| {
                let (dir, _) = view.runs.get(curve.at)?;
                Some((dir.clone(), self.find(dir)?.summary.name.clone()))
            })
            .collect();
        if runs.is_empty() {
            let text = "nothing to write: no run is drawn here".to_string();
            return RunsRequest::Notice(NoticeLevel::Info, text);
        }
        let across = match view.by {
            By::Step => Across::Step,
            By::Tokens => Across::Tokens,
            By::Time => Across::Time,
            By::Compute => Across::Compute,
        };
        RunsRequest::Export(Box::new(OverlayExport {
            runs,
            view: View {
                quantity: match view.unit {
                    In::Loss => Quantity::Loss,
                    In::Perplexity => Quantity::Perplexity,
                    In::BitsPerByte => Quantity::BitsPerByte,
                },
                across,
                range: (view.viewport != Viewport::Everything).then_some(window),
                smoothing: view.smoothing,
                scale: view.scale,
                ahead: Vec::new(),
            },
            training: view.of != Of::Validation,
            validation: view.of != Of::Train,
            look: chart_look("dark", 1600, 900),
        }))
    }

    pub(super) fn mouse_overlay(
        &self,
        view: &mut OverlayView,
        mouse: ScreenMouse,
        area: Rect,
    ) -> Handled {
        let (chart, legend) = places(area, view.runs.len());
        let plot = Chart::plot(inside(chart));
        let extent = Self::extent(&self.curves(view));
        let (low, high) = view.viewport.range(extent);
        let share =
            |x: u16| (f64::from(x.saturating_sub(plot.x)) + 0.5) / f64::from(plot.width.max(1));
        match mouse {
            ScreenMouse::Wheel { at, lines } if plot.contains(at) => {
                let finest = ((extent.1 - extent.0) / 1000.0).max(f64::MIN_POSITIVE);
                let factor = 1.25f64.powi(-lines.clamp(-20, 20));
                view.viewport.zoom(factor, share(at.x), extent, finest);
            }
            ScreenMouse::Click(at) | ScreenMouse::Drag(at) if plot.contains(at) => {
                view.crosshair = Some(low + (high - low) * share(at.x));
            }
            ScreenMouse::Click(at) if inside(legend).contains(at) => {
                let rows = usize::from(inside(legend).height);
                let offset = scroll_offset(view.cursor, view.runs.len(), rows);
                let row = offset + usize::from(at.y - inside(legend).y);
                if row >= view.runs.len() {
                    return Handled::No;
                }
                view.cursor = row;
            }
            _ => return Handled::No,
        }
        Handled::Yes
    }
}

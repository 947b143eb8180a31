//! Is every layer learning? Norms by layer, and a sentence where something is off.
//!
//! ```text
//! ┌ 7 Health ───────────────────────────────┐
//! │ all layers learn as usual        │
//! │ layer       grad  weight  change    sat │
//! │ blocks.0  2.1e-1    11.2  1.2e-3    2 % │
//! └─────────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use unicode_width::UnicodeWidthStr;

use super::frame::{frame, say, wrap};
use super::list::Scroll;
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::protocol::{LayerHealth, SaturationKind};
use crate::ui::keymap::{Action, Context};
use crate::ui::screens::train::RunView;
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{reading, short};

pub const SPEC: PaneSpec = PaneSpec {
    id: "health",
    title: "Health",
    help: "For each layer: the norm of its gradient, the norm of its weights, and how far the last step moved the weights \
           relative to their size. A change near 1e-3 is usual; above 1e-1 the learning rate is too high for that layer, \
           below 1e-5 it hardly learns. Gradients that shrink from the output to the input by many powers of ten are \
           vanishing, which is the classic trouble of deep and of recurrent networks. `sat` is the share of a layer that is \
           saturated: of recurrent layers, hidden states beyond ±0.97, where a tanh lets hardly any gradient through; of \
           transformer blocks, feed-forward units that are off at every position. Many of either learn no more.",
    context: Context::List,
    importance: 55,
};

#[derive(Debug, Default)]
pub struct Health {
    scroll: Scroll,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(Health::default())
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Usual,
    Slow,
    Saturated,
    Fast,
    Broken,
}

/// A layer of which more than this is saturated is said to be.
const MUCH: f64 = 0.5;

fn verdict(layer: &LayerHealth) -> Verdict {
    if !(layer.grad_norm.is_finite() && layer.weight_norm.is_finite()) {
        Verdict::Broken
    } else if layer.update_ratio > 0.1 && layer.weight_norm > 1e-3 {
        Verdict::Fast
    } else if layer.saturation.is_some_and(|found| found.share > MUCH) {
        Verdict::Saturated
    } else if layer.update_ratio < 1e-5 {
        Verdict::Slow
    } else {
        Verdict::Usual
    }
}

/// What the numbers come to, and how bad it is; `settled` is false while the learning rate is still (or again)
/// far below its peak, when slow layers are to be expected.
fn sentence(layers: &[LayerHealth], settled: bool) -> (Verdict, String) {
    let of = |wanted: Verdict| layers.iter().filter(move |layer| verdict(layer) == wanted);
    if let Some(layer) = of(Verdict::Broken).next() {
        return (
            Verdict::Broken,
            format!("{}: not a number any more", layer.name),
        );
    }
    if let Some(layer) = of(Verdict::Fast).max_by(|a, b| a.update_ratio.total_cmp(&b.update_ratio))
    {
        let share = short((layer.update_ratio * 100.0).round());
        return (
            Verdict::Fast,
            format!(
                "{} changes by {share} % a step: lower the learning rate",
                layer.name
            ),
        );
    }
    let largest = layers
        .iter()
        .max_by(|a, b| a.grad_norm.total_cmp(&b.grad_norm));
    let smallest = layers
        .iter()
        .min_by(|a, b| a.grad_norm.total_cmp(&b.grad_norm));
    if let (Some(largest), Some(smallest)) = (largest, smallest) {
        if largest.grad_norm > 1e3 {
            let norm = reading(largest.grad_norm);
            return (
                Verdict::Fast,
                format!(
                    "the gradient of {} is exploding ({norm}): clip it, or lower the learning rate",
                    largest.name
                ),
            );
        }
        if smallest.grad_norm < largest.grad_norm * 1e-6 && largest.grad_norm > 0.0 {
            return (
                Verdict::Slow,
                format!("the gradient vanishes before it reaches {}", smallest.name),
            );
        }
    }
    let share = |layer: &LayerHealth| layer.saturation.map_or(0.0, |found| found.share);
    if let Some(layer) = of(Verdict::Saturated).max_by(|a, b| share(a).total_cmp(&share(b))) {
        let percent = percent(share(layer));
        let what = match layer.saturation.map(|found| found.kind) {
            Some(SaturationKind::Units) => "units never fire",
            _ => "states are saturated",
        };
        return (
            Verdict::Saturated,
            format!(
                "{percent} of {}'s {what}: little gradient gets through; lower the learning rate",
                layer.name
            ),
        );
    }
    if settled && let Some(layer) = of(Verdict::Slow).next() {
        let ratio = short(layer.update_ratio);
        return (
            Verdict::Slow,
            format!("{} hardly moves ({ratio} of its size a step)", layer.name),
        );
    }
    (Verdict::Usual, "all layers learn as usual".to_string())
}

/// A share as it stands in the table: never 0 % where it is something.
fn percent(share: f64) -> String {
    match share * 100.0 {
        some if some > 0.0 && some < 1.0 => "<1 %".to_string(),
        percent => format!("{percent:.0} %"),
    }
}

fn settled(run: &RunView) -> bool {
    run.series
        .last()
        .is_some_and(|last| last.learning_rate > run.config.optimizer.learning_rate * 0.2)
}

fn style_of(verdict: Verdict, theme: &Theme) -> Style {
    match verdict {
        Verdict::Usual => theme.good,
        Verdict::Slow | Verdict::Saturated | Verdict::Fast => theme.warning,
        Verdict::Broken => theme.error,
    }
}

/// The end of a long name, which says more than its beginning.
fn shortened(name: &str, width: usize, ellipsis: &str) -> String {
    let long = name.width();
    if long <= width {
        return format!("{name}{}", " ".repeat(width - long));
    }
    let keep = width.saturating_sub(ellipsis.width());
    let mut tail: Vec<char> = name.chars().rev().take(keep).collect();
    tail.reverse();
    format!("{ellipsis}{}", tail.into_iter().collect::<String>())
}

impl Pane for Health {
    fn spec(&self) -> &'static PaneSpec {
        &SPEC
    }

    fn act(&mut self, action: Action, run: &RunView) -> Handled {
        self.scroll.act(action, run.health.len(), false)
    }

    fn mouse(&mut self, mouse: PaneMouse, _area: Rect, run: &RunView) -> Handled {
        self.scroll.mouse(mouse, run.health.len(), false)
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let (worst, words) = sentence(&run.health, settled(run));
        let bullet = Span::styled(theme.symbols.bullet, style_of(worst, theme));
        let right = if run.health.is_empty() {
            vec![]
        } else {
            vec![bullet]
        };
        let inner = frame(&context, SPEC.title, Vec::new(), right, area, buffer);
        if run.health.is_empty() {
            say(
                buffer,
                inner,
                "norms by layer come about once a second",
                theme.dim,
            );
            return;
        }
        let mut y = inner.y;
        let mut put = |line: Line<'_>| {
            if y < inner.bottom() {
                line.render(
                    Rect {
                        y,
                        height: 1,
                        ..inner
                    },
                    buffer,
                );
                y += 1;
            }
        };
        for line in wrap(
            [(words.as_str(), style_of(worst, theme))],
            inner.width as usize,
        ) {
            put(line);
        }
        let width = inner.width as usize;
        // The change is what matters most; gradient and weight as far as there is room.
        let columns = match width {
            0..26 => 1,
            26..34 => 2,
            34..44 => 3,
            _ => 4,
        };
        let name_width = width.saturating_sub(columns * 8);
        let heads = &["grad", "weight", "change", "sat"];
        let order = |all: [String; 4]| -> String {
            let shown: Vec<usize> = match columns {
                1 => vec![2],
                2 => vec![0, 2],
                3 => vec![0, 2, 3],
                _ => vec![0, 1, 2, 3],
            };
            shown
                .into_iter()
                .map(|at| format!("{:>8}", all[at]))
                .collect()
        };
        let head = order(heads.map(str::to_string));
        put(Line::styled(
            format!("{}{head}", shortened("layer", name_width, "")),
            theme.dim,
        ));
        let rows = (inner.bottom().saturating_sub(inner.y)) as usize;
        let window = self
            .scroll
            .window(run.health.len(), rows.saturating_sub(2), false);
        for layer in &run.health[window] {
            let values = order([
                reading(layer.grad_norm),
                reading(layer.weight_norm),
                reading(layer.update_ratio),
                layer
                    .saturation
                    .map_or(String::new(), |found| percent(found.share)),
            ]);
            let name = shortened(&layer.name, name_width, theme.symbols.ellipsis);
            let verdict = verdict(layer);
            let style = match verdict {
                Verdict::Usual => theme.text,
                other => style_of(other, theme),
            };
            put(Line::from(vec![
                Span::styled(name, theme.dim),
                Span::styled(values, style),
            ]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Saturation;

    fn layer(name: &str, grad_norm: f64, update_ratio: f64) -> LayerHealth {
        LayerHealth {
            name: name.into(),
            grad_norm,
            weight_norm: 10.0,
            update_ratio,
            saturation: None,
        }
    }

    #[test]
    fn says_in_words_what_is_wrong() {
        let fine = layer("a", 1.0, 1e-3);
        for (bad, words) in [
            (layer("b", f64::NAN, 1e-3), "b: not a number any more"),
            (
                layer("b", 1.0, 0.5),
                "b changes by 50 % a step: lower the learning rate",
            ),
            (
                layer("b", 1e-9, 1e-3),
                "the gradient vanishes before it reaches b",
            ),
            (
                layer("b", 1.0, 1e-7),
                "b hardly moves (1e-7 of its size a step)",
            ),
        ] {
            assert_eq!(sentence(&[fine.clone(), bad], true).1, words);
        }
        for (kind, words) in [
            (SaturationKind::States, "80 % of c's states are saturated"),
            (SaturationKind::Units, "80 % of c's units never fire"),
        ] {
            let mut bad = layer("c", 1.0, 1e-3);
            bad.saturation = Some(Saturation { kind, share: 0.8 });
            let (verdict, said) = sentence(&[fine.clone(), bad], true);
            assert_eq!(verdict, Verdict::Saturated);
            assert!(said.starts_with(words), "{said}");
        }
        assert_eq!([0.0, 0.001, 0.5].map(percent), ["0 %", "<1 %", "50 %"]);
        assert!(
            sentence(&[layer("c", 5e3, 1e-3)], true)
                .1
                .contains("exploding")
        );
        let slow = [layer("b", 1.0, 1e-7)];
        assert_eq!(
            sentence(&slow, false).0,
            Verdict::Usual,
            "slow during warmup is usual"
        );
        assert_eq!(shortened("blocks.0.attention", 8, "…"), "…tention");
    }
}

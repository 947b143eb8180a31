//! Where the panes go. On a small screen those that matter less give way first; a pane that has no place of its
//! own takes the last place while it has the focus, so that nothing is out of reach.

use ratatui::layout::Rect;

/// Smallest screen that panes are drawn on.
pub const SMALLEST: (u16, u16) = (40, 11);

/// Shares of the screen where a drag has put them, in thousandths: fine enough for the cell below the mouse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Splits {
    /// Width of the left side.
    pub left: Option<u16>,
    /// Height of the loss within the left side.
    pub loss: Option<u16>,
}

/// The width of the left side before a drag.
const LEFT: u16 = 560;
/// The height of the loss before a drag; on a small screen it has only the learning rate below it.
const LOSS: u16 = 480;
const LOSS_SMALL: u16 = 580;

/// The share of `whole` that ends at `offset`, so that [`share`] finds the same cell again.
pub fn share_at(offset: u16, whole: u16) -> u16 {
    (u32::from(offset) * 1000)
        .div_ceil(u32::from(whole.max(1)))
        .clamp(200, 800) as u16
}

/// Places by pane id, in the order of importance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    pub places: Vec<(&'static str, Rect)>,
    /// The row of single numbers that stands in for panes without a place.
    pub gauges: Option<Rect>,
    /// Where a drag starts: a column and a row, if there are such.
    pub split_column: Option<u16>,
    pub split_row: Option<u16>,
    /// What the two divide.
    pub split: Rect,
}

impl Layout {
    pub fn new(area: Rect, splits: Splits, focused: Option<&'static str>) -> Layout {
        let mut layout = match (area.width, area.height) {
            (150.., 44..) => large(area, splits),
            (100.., 28..) => medium(area, splits),
            (64.., 16..) => small(area, splits),
            _ => smallest(area),
        };
        if let Some(focused) = focused
            && layout.places.iter().all(|(id, _)| *id != focused)
        {
            // Beside the knobs the learning rate stays in sight: it draws what is pending.
            let samples = layout.places.iter().position(|(id, _)| *id == "samples");
            let at = match focused {
                "knobs" => samples,
                _ => None,
            };
            let last = layout.places.len().saturating_sub(1);
            if let Some((place, _)) = layout.places.get_mut(at.unwrap_or(last)) {
                *place = focused;
            }
        }
        layout
    }
}

fn share(whole: u16, thousandths: u16) -> u16 {
    (u32::from(whole) * u32::from(thousandths.clamp(200, 800)) / 1000) as u16
}

fn columns(area: Rect, left: u16) -> (Rect, Rect) {
    let left = left.min(area.width);
    (
        Rect {
            width: left,
            ..area
        },
        Rect {
            x: area.x + left,
            width: area.width - left,
            ..area
        },
    )
}

fn rows(area: Rect, top: u16) -> (Rect, Rect) {
    let top = top.min(area.height);
    (
        Rect {
            height: top,
            ..area
        },
        Rect {
            y: area.y + top,
            height: area.height - top,
            ..area
        },
    )
}

/// Everything, with the events under the samples.
fn large(area: Rect, splits: Splits) -> Layout {
    let (left, right) = columns(area, share(area.width, splits.left.unwrap_or(LEFT)));
    let (loss, rest) = rows(left, share(area.height, splits.loss.unwrap_or(LOSS)));
    let (rate, rest) = rows(rest, rest.height * 45 / 100);
    let (grad, speed) = columns(rest, rest.width / 2);
    let (samples, rest) = rows(right, share(area.height, splits.loss.unwrap_or(LOSS)));
    let (side, events) = rows(rest, rest.height * 60 / 100);
    let (knobs, health) = columns(side, side.width * 40 / 100);
    Layout {
        places: vec![
            ("loss", loss),
            ("samples", samples),
            ("learning-rate", rate),
            ("knobs", knobs),
            ("health", health),
            ("grad-norm", grad),
            ("throughput", speed),
            ("events", events),
        ],
        gauges: None,
        split_column: Some(right.x),
        split_row: Some(rate.y),
        split: area,
    }
}

/// Everything, tighter.
fn medium(area: Rect, splits: Splits) -> Layout {
    let (left, right) = columns(area, share(area.width, splits.left.unwrap_or(LEFT)));
    let (loss, rest) = rows(left, share(area.height, splits.loss.unwrap_or(LOSS)));
    let (rate, rest) = rows(rest, rest.height / 2);
    let (grad, speed) = columns(rest, rest.width / 2);
    let (samples, rest) = rows(right, share(area.height, splits.loss.unwrap_or(LOSS)));
    let (side, events) = rows(rest, rest.height - (rest.height / 3).max(5));
    let (knobs, health) = columns(side, (side.width * 42 / 100).max(22));
    Layout {
        places: vec![
            ("loss", loss),
            ("samples", samples),
            ("learning-rate", rate),
            ("knobs", knobs),
            ("health", health),
            ("grad-norm", grad),
            ("throughput", speed),
            ("events", events),
        ],
        gauges: None,
        split_column: Some(right.x),
        split_row: Some(rate.y),
        split: area,
    }
}

/// Loss, samples, learning rate and a row of numbers.
fn small(area: Rect, splits: Splits) -> Layout {
    let (gauges, area) = rows(area, 1);
    let (left, right) = columns(area, share(area.width, splits.left.unwrap_or(LEFT)));
    let (loss, rate) = rows(left, share(area.height, splits.loss.unwrap_or(LOSS_SMALL)));
    Layout {
        places: vec![("loss", loss), ("samples", right), ("learning-rate", rate)],
        gauges: Some(gauges),
        split_column: Some(right.x),
        split_row: Some(rate.y),
        split: area,
    }
}

/// Loss above, samples below while there are rows for both.
fn smallest(area: Rect) -> Layout {
    if area.height < 14 {
        return Layout {
            places: vec![("loss", area)],
            ..Layout::default()
        };
    }
    let (gauges, area) = rows(area, 1);
    let (loss, samples) = rows(area, area.height / 2);
    Layout {
        places: vec![("loss", loss), ("samples", samples)],
        gauges: Some(gauges),
        ..Layout::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_stay_inside_and_apart(
            width in 1u16..400,
            height in 1u16..200,
            left in proptest::option::of(0u16..1000),
            loss in proptest::option::of(0u16..1000),
        ) {
            let area = Rect::new(3, 2, width, height);
            let layout = Layout::new(area, Splits { left, loss }, Some("events"));
            let mut places: Vec<Rect> = layout.places.iter().map(|place| place.1).collect();
            places.extend(layout.gauges);
            for (index, place) in places.iter().enumerate() {
                prop_assert_eq!(place.intersection(area), *place);
                for other in &places[index + 1..] {
                    prop_assert!(place.intersection(*other).is_empty());
                }
            }
            prop_assert!(layout.places.iter().any(|place| place.0 == "events"));
        }
    }

    /// At every size that has such borders, 80×24 too.
    #[test]
    fn a_border_goes_to_the_cell_it_is_dragged_to() {
        for (width, height) in [(80, 21), (100, 37), (120, 37), (200, 57), (300, 99)] {
            let area = Rect::new(0, 1, width, height);
            let split = Layout::new(area, Splits::default(), None).split;
            for to in [height / 3, height / 2, height * 2 / 3] {
                let loss = Some(share_at(to, split.height));
                let splits = Splits { loss, left: None };
                let layout = Layout::new(area, splits, None);
                assert_eq!(layout.split_row, Some(split.y + to), "{width}x{height}");
            }
            for to in [width / 3, width / 2, width * 2 / 3] {
                let left = Some(share_at(to, split.width));
                let layout = Layout::new(area, Splits { left, loss: None }, None);
                assert_eq!(layout.split_column, Some(to), "{width}x{height}");
            }
        }
    }
}

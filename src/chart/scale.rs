//! From values to places on an axis, and the round numbers beside it.

/// How an axis stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    #[default]
    Linear,
    /// Equal ratios are equal distances. A value that is not positive lies below every range.
    Log,
}

/// How numbers on an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// `0.001`, `3e-4`, `1.5k`.
    #[default]
    Number,
    /// As a number, of what comes in ones: nothing between 1 and 2.
    Count,
    /// `90 s`, `12:30`, `1h20`.
    Seconds,
}

/// Values outside are cut to this, so that no difference of two overflows.
const LARGEST: f64 = 1e200;
const SMALLEST_LOG: f64 = 1e-30;

/// An axis: a range that is never empty or infinite, and its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    /// Makes any pair of numbers into a usable range: ordered, finite, with room, positive on a log scale.
    pub fn new(range: (f64, f64), scale: Scale) -> Self {
        let finite = |value: f64, otherwise: f64| {
            if value.is_nan() {
                otherwise
            } else {
                value.clamp(-LARGEST, LARGEST)
            }
        };
        let (a, b) = (finite(range.0, 0.0), finite(range.1, 1.0));
        let (mut low, mut high) = (a.min(b), a.max(b));
        if scale == Scale::Log {
            high = high.max(SMALLEST_LOG * 10.0);
            low = if low > 0.0 { low } else { high / 1e4 };
            low = low.max(SMALLEST_LOG);
            if high / low < 1.0 + 1e-9 {
                low /= 1.5;
                high *= 1.5;
            }
        } else if high - low <= high.abs().max(low.abs()) * 1e-12 {
            let room = if high == 0.0 { 1.0 } else { high.abs() * 0.05 };
            low -= room;
            high += room;
        }
        Self { low, high, scale }
    }

    /// The range with `share` of it added at both ends.
    pub fn padded(self, share: f64) -> Self {
        let (low, high) = (self.forward(self.low), self.forward(self.high));
        let room = (high - low) * share;
        Self {
            low: self.back(low - room),
            high: self.back(high + room),
            scale: self.scale,
        }
    }

    pub fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    pub fn scale(&self) -> Scale {
        self.scale
    }

    pub fn contains(&self, value: f64) -> bool {
        value >= self.low && value <= self.high
    }

    fn forward(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(SMALLEST_LOG / 1e3).log10(),
        }
    }

    fn back(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => 10f64.powf(value),
        }
    }

    /// 0 at the low end, 1 at the high end, cut to -1 ..= 2; `None` for NaN.
    pub fn place(&self, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        if self.scale == Scale::Log && value <= 0.0 {
            return Some(-1.0);
        }
        let value = self.forward(value.clamp(-LARGEST, LARGEST));
        let (low, high) = (self.forward(self.low), self.forward(self.high));
        Some(((value - low) / (high - low)).clamp(-1.0, 2.0))
    }

    /// The value at a place (0 low end, 1 high end).
    pub fn value_at(&self, place: f64) -> f64 {
        let (low, high) = (self.forward(self.low), self.forward(self.high));
        self.back(low + (high - low) * place)
    }

    /// Round values in the range with their labels, at most about `count`.
    pub fn ticks(&self, count: usize, unit: Unit) -> Vec<(f64, String)> {
        let count = count.max(1);
        let decades = (self.high / self.low).log10();
        if self.scale == Scale::Log && decades >= 0.9 {
            return self.log_ticks(count, unit);
        }
        let step = match unit {
            Unit::Number => round_step((self.high - self.low) / count as f64),
            Unit::Count => round_step((self.high - self.low) / count as f64).max(1.0),
            Unit::Seconds => round_seconds((self.high - self.low) / count as f64),
        };
        let first = (self.low / step).ceil();
        (0..=count * 2 + 1)
            .map(|index| (first + index as f64) * step)
            .take_while(|value| *value <= self.high + step * 1e-9)
            .map(|value| {
                // -0.0, and 1e-17 where 0 is meant.
                let value = if value.abs() < step * 1e-6 {
                    0.0
                } else {
                    value
                };
                (value, label(value, step, unit))
            })
            .collect()
    }

    fn log_ticks(&self, count: usize, unit: Unit) -> Vec<(f64, String)> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let per_decade: &[f64] = if high - low <= count as f64 / 3.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let skip = (((high - low) / count as f64).ceil() as i32).max(1);
        let mut ticks = Vec::new();
        for decade in low.floor() as i32..=high.ceil() as i32 {
            if decade.rem_euclid(skip) != 0 {
                continue;
            }
            for factor in per_decade {
                let value = factor * 10f64.powi(decade);
                if value >= self.low * (1.0 - 1e-9) && value <= self.high * (1.0 + 1e-9) {
                    ticks.push((value, label(value, value, unit)));
                }
            }
        }
        ticks
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    if !(step.is_finite() && step > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn round_seconds(step: f64) -> f64 {
    const STEPS: [f64; 14] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    ];
    if step < 1.0 {
        return round_step(step);
    }
    match STEPS.into_iter().find(|round| *round >= step) {
        Some(round) => round,
        None => round_step(step / 3600.0) * 3600.0,
    }
}

/// `value` written with as many digits as steps of `step` need; at most six characters in usual ranges.
pub fn label(value: f64, step: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => clock(value),
        Unit::Number | Unit::Count => number(value, step),
    }
}

fn number(value: f64, step: f64) -> String {
    if !value.is_finite() {
        return "inf".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs();
    if !(1e-3..1e15).contains(&size) {
        let exponent = size.log10().floor();
        let digits = decimals(step.abs() / 10f64.powf(exponent)).min(2);
        return trimmed(format!("{value:.digits$e}"));
    }
    let (factor, suffix) = match size {
        s if s >= 1e12 => (1e12, "T"),
        s if s >= 1e9 => (1e9, "G"),
        s if s >= 1e6 => (1e6, "M"),
        s if s >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let digits = decimals(step.abs() / factor).min(5);
    let text = format!("{:.digits$}", value / factor);
    format!("{text}{suffix}")
}

fn decimals(step: f64) -> usize {
    if step.is_finite() && step > 0.0 {
        (-(step * (1.0 + 1e-9)).log10().floor()).clamp(0.0, 6.0) as usize
    } else {
        0
    }
}

/// `3.00e-4` → `3e-4`.
fn trimmed(text: String) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            format!("{mantissa}e{exponent}")
        }
        _ => text,
    }
}

/// Seconds for people: `0.5s`, `45s`, `2:05`, `1h20`, `3d4h`.
pub fn clock(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "inf".into();
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let size = seconds.abs();
    if size < 10.0 && size.fract() > 1e-6 {
        return format!("{sign}{size:.1}s");
    }
    let whole = size.round().min(1e15) as u64;
    match whole {
        0..60 => format!("{sign}{whole}s"),
        60..3600 => format!("{sign}{}:{:02}", whole / 60, whole % 60),
        3600..86_400 => format!("{sign}{}h{:02}", whole / 3600, whole / 60 % 60),
        _ => format!("{sign}{}d{}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A value for reading: about four significant digits, `1.234`, `12.3k`, `3.0e-4`.
pub fn reading(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN" } else { "inf" }.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs();
    let magnitude = if size >= 1e4 {
        // The suffix takes the thousands away.
        10f64.powf((size.log10().floor() / 3.0).floor() * 3.0 - 1.0)
    } else if size < 0.1 {
        // Three digits that say something: a learning rate falls from 0.00198 on.
        10f64.powf(size.log10().floor() - 2.0)
    } else if size < 10.0 {
        1e-3
    } else if size < 1000.0 {
        1e-1
    } else {
        1.0
    };
    number(value, magnitude)
}

/// As [`reading`], without zeros that say nothing: for values that somebody chose.
pub fn short(value: f64) -> String {
    let text = reading(value);
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(split);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(range: (f64, f64), scale: Scale, count: usize, unit: Unit) -> Vec<String> {
        let axis = Axis::new(range, scale);
        axis.ticks(count, unit)
            .into_iter()
            .map(|tick| tick.1)
            .collect()
    }

    #[test]
    fn ticks_are_round() {
        use Scale::{Linear, Log};
        let number = Unit::Number;
        assert_eq!(labels((0.0, 4.2), Linear, 4, number), ["0", "2", "4"]);
        assert_eq!(labels((1.71, 1.93), Linear, 4, number), ["1.8", "1.9"]);
        assert_eq!(
            labels((0.0, 1e-3), Linear, 2, number),
            ["0", "5e-4", "0.0010"]
        );
        assert_eq!(
            labels((0.0, 60_000.0), Linear, 3, number),
            ["0", "20k", "40k", "60k"]
        );
        assert_eq!(
            labels((0.01, 100.0), Log, 5, number),
            ["0.01", "0.1", "1", "10", "100"]
        );
        assert_eq!(
            labels((0.0, 100.0), Linear, 4, Unit::Seconds),
            ["0s", "30s", "1:00", "1:30"]
        );
        assert_eq!(labels((1.0, 12.0), Log, 6, number), ["1", "2", "5", "10"]);
        // There is no step between two steps.
        let count = Unit::Count;
        assert_eq!(labels((0.9, 1.1), Linear, 4, count), ["1"]);
        assert_eq!(labels((1.0, 3.0), Linear, 9, count), ["1", "2", "3"]);
        assert_eq!(labels((0.0, 400.0), Linear, 2, count), ["0", "200", "400"]);
    }

    #[test]
    fn readings_are_short() {
        for (value, text) in [
            (1.98765, "1.988"),
            (31_234.0, "31.2k"),
            (3e-4, "3e-4"),
            (0.001_984, "0.00198"),
            (0.0512, "0.0512"),
            (123.46, "123.5"),
            (f64::NAN, "NaN"),
            (0.0, "0"),
            (2_500_000.0, "2.5M"),
        ] {
            assert_eq!(reading(value), text);
        }
        assert_eq!(short(0.8), "0.8");
        assert_eq!(short(0.002), "0.002");
        assert_eq!(short(40.0), "40");
        assert_eq!(short(250_000.0), "250k");
        assert_eq!(clock(125.0), "2:05");
        assert_eq!(clock(4_800.0), "1h20");
    }

    proptest! {
        #[test]
        fn any_two_numbers_make_an_axis(a in any::<f64>(), b in any::<f64>(), log in any::<bool>(), v in any::<f64>()) {
            let axis = Axis::new((a, b), if log { Scale::Log } else { Scale::Linear }).padded(0.05);
            let (low, high) = axis.range();
            prop_assert!(low < high && low.is_finite() && high.is_finite(), "{low} {high}");
            if let Some(place) = axis.place(v) {
                prop_assert!((-1.0..=2.0).contains(&place));
            }
            for unit in [Unit::Number, Unit::Count, Unit::Seconds] {
                prop_assert!(axis.ticks(5, unit).len() < 40);
            }
        }

        #[test]
        fn a_place_leads_back_to_its_value(low in -1e3f64..1e3, width in 1e-3f64..1e3, share in 0.0f64..1.0) {
            let axis = Axis::new((low, low + width), Scale::Linear);
            let value = axis.value_at(share);
            prop_assert!((axis.place(value).unwrap() - share).abs() < 1e-6);
        }
    }
}

//! Numbers, sizes and durations for people.

/// `812`, `81 k`, `0.81 M`, `1.3 G`.
pub fn count(n: u64) -> String {
    let value = n as f64;
    match n {
        0..10_000 => grouped(n),
        10_000..500_000 => format!("{:.0} k", value / 1e3),
        500_000..10_000_000 => format!("{:.2} M", value / 1e6),
        10_000_000..1_000_000_000 => format!("{:.0} M", value / 1e6),
        _ => format!("{:.1} G", value / 1e9),
    }
}

/// `1 240`: digits in groups of three.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `620 B`, `62 MB`, `1.4 GB` (powers of ten).
pub fn bytes(n: u64) -> String {
    let value = n as f64;
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.0} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", value / 1e6),
        _ => format!("{:.1} GB", value / 1e9),
    }
}

/// `0.4 s`, `52 s`, `1:52`, `3:05:10`, `2 d 3 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_string();
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{}:{:02}", whole / 60, whole % 60),
        3_600..172_800 => format!("{}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// How long ago, roughly: `just now`, `5 min ago`, `3 h ago`, `12 d ago`.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => "just now".to_string(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(9_999), "9 999");
        assert_eq!(count(81_000), "81 k");
        assert_eq!(count(809_729), "0.81 M");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(bytes(62_000_000), "62 MB");
        assert_eq!(duration(112.0), "1:52");
        assert_eq!(duration(3_725.0), "1:02:05");
        assert_eq!(duration(f64::NAN), "?");
        assert_eq!(ago(7_200), "2 h ago");
    }
}

//! One value of one key: what a file, `--set` or a form may give, and how it is written.

use std::fmt;

/// A value of any field. Enumerated choices are [`Value::Text`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<String>),
}

impl Value {
    /// As a form shows it: text without quotes, lists as TOML.
    pub fn to_plain(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The number, of integers and floats.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Integer(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }
}

/// As TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(b) => write!(f, "{b}"),
            Value::Integer(n) => write!(f, "{n}"),
            Value::Float(x) => f.write_str(&format_float(*x)),
            Value::Text(text) => f.write_str(&quote(text)),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    f.write_str(&quote(item))?;
                }
                f.write_str("]")
            }
        }
    }
}

/// The shortest decimal that reads back as the same number, with a point or an exponent, as TOML asks.
pub fn format_float(x: f64) -> String {
    let size = x.abs();
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{x:e}");
    }
    let text = x.to_string();
    if text.contains('.') {
        text
    } else {
        format!("{text}.0")
    }
}

/// A TOML basic string.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value that can stand in a `static` table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Constant {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'static str),
    List(&'static [&'static str]),
}

impl Constant {
    pub fn value(self) -> Value {
        match self {
            Constant::Bool(b) => Value::Bool(b),
            Constant::Integer(n) => Value::Integer(n),
            Constant::Float(x) => Value::Float(x),
            Constant::Text(text) => Value::Text(text.to_owned()),
            Constant::List(items) => Value::List(items.iter().map(|s| s.to_string()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back_exactly() {
        for x in [
            0.0,
            1.0,
            0.1,
            3e-4,
            1e-8,
            9.99e-5,
            1e15,
            123456.75,
            f64::MIN_POSITIVE,
            f64::MAX,
            1.0 / 3.0,
        ] {
            let text = format_float(x);
            let read: toml_edit::Value = text.parse().unwrap();
            assert_eq!(read.as_float(), Some(x), "{text}");
        }
    }

    #[test]
    fn strings_read_back_exactly() {
        for text in [
            "",
            "plain",
            "a \"b\" \\ c",
            "line\nbreak\ttab\r",
            "\u{1}\u{7f}\u{85}",
            "æ🙂",
        ] {
            let read: toml_edit::Value = quote(text).parse().unwrap();
            assert_eq!(read.as_str(), Some(text));
        }
    }
}

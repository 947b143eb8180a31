//! From text to a filter. Recursive descent; how deep it may go is bounded.

use super::{FilterError, Node, Op, Wanted};
use crate::config;
use crate::run::column::{Key, KeyKind};

/// Parentheses and negations within each other.
const DEEPEST: usize = 64;

pub fn parse(text: &str) -> Result<Option<Node>, FilterError> {
    let mut parser = Parser {
        text: text.chars().collect(),
        at: 0,
        depth: 0,
    };
    parser.blanks();
    if parser.peek().is_none() {
        return Ok(None);
    }
    let node = parser.any()?;
    match parser.peek() {
        None => Ok(Some(node)),
        Some(')') => Err(parser.error("this `)` closes nothing")),
        Some(c) => Err(parser.error(format!("`{c}` cannot stand here; & | or another term can"))),
    }
}

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: usize,
}

/// Ends a word.
fn is_special(c: char) -> bool {
    c.is_whitespace() || matches!(c, '&' | '|' | '!' | '(' | ')' | '<' | '>' | '=' | '~' | '"')
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn error(&self, message: impl Into<String>) -> FilterError {
        self.error_at(self.at, message)
    }

    fn error_at(&self, at: usize, message: impl Into<String>) -> FilterError {
        FilterError {
            at,
            message: message.into(),
        }
    }

    /// `&` or `&&`, with the blanks after it.
    fn eat(&mut self, symbol: char) -> bool {
        if self.peek() != Some(symbol) {
            return false;
        }
        self.at += 1;
        if self.peek() == Some(symbol) {
            self.at += 1;
        }
        self.blanks();
        true
    }

    fn any(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all()?];
        while self.eat('|') {
            nodes.push(self.all()?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.not()?];
        loop {
            let joined = self.eat('&');
            match self.peek() {
                None | Some('|' | ')') if !joined => return Ok(one_or(nodes, Node::All)),
                _ => nodes.push(self.not()?),
            }
        }
    }

    fn not(&mut self) -> Result<Node, FilterError> {
        if self.depth >= DEEPEST {
            return Err(self.error(format!("more than {DEEPEST} levels within each other")));
        }
        self.depth += 1;
        let node = match self.peek() {
            Some('!') => {
                self.at += 1;
                self.blanks();
                Ok(Node::Not(Box::new(self.not()?)))
            }
            Some('(') => {
                let opened = self.at;
                self.at += 1;
                self.blanks();
                let node = self.any()?;
                if self.peek() != Some(')') {
                    return Err(self.error_at(opened, "this `(` is never closed"));
                }
                self.at += 1;
                self.blanks();
                Ok(node)
            }
            _ => self.term(),
        };
        self.depth -= 1;
        node
    }

    fn term(&mut self) -> Result<Node, FilterError> {
        let start = self.at;
        let quoted = self.peek() == Some('"');
        let word = self.word()?;
        self.blanks();
        let op_at = self.at;
        let Some(op) = self.op() else {
            return match word.is_empty() {
                false => Ok(Node::Word(word.to_lowercase())),
                true => Err(self.error_at(start, "an empty word")),
            };
        };
        if quoted {
            return Err(self.error_at(start, "a key stands without quotes"));
        }
        let key = Key::find(&word).map_err(|message| self.error_at(start, message))?;
        self.blanks();
        let value_at = self.at;
        if self.peek().is_none_or(|c| is_special(c) && c != '"') {
            return Err(self.error(format!("a value for `{}` is missing here", key.name())));
        }
        let value = self.word()?;
        self.blanks();
        self.check(key, op, op_at)?;
        let value = wanted(key, op, &value).map_err(|message| self.error_at(value_at, message))?;
        Ok(Node::Compare { key, op, value })
    }

    fn check(&self, key: Key, op: Op, at: usize) -> Result<(), FilterError> {
        let name = key.name();
        match (key.kind(), op) {
            (KeyKind::Number | KeyKind::Seconds, Op::Contains) => Err(self.error_at(
                at,
                format!("`{name}` is a number: = != < <= > >= are allowed"),
            )),
            (
                KeyKind::Text | KeyKind::List,
                Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual,
            ) => Err(self.error_at(at, format!("`{name}` is text: = != ~ are allowed"))),
            _ => Ok(()),
        }
    }

    /// A word, or what is between quotes; a backslash lets a quote stand inside.
    fn word(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let mut word = String::new();
        if self.peek() == Some('"') {
            self.at += 1;
            loop {
                match self.peek() {
                    None => return Err(self.error_at(start, "this quote is never closed")),
                    Some('"') => break,
                    Some('\\') if self.text.get(self.at + 1).is_some() => {
                        word.push(self.text[self.at + 1]);
                        self.at += 2;
                    }
                    Some(c) => {
                        word.push(c);
                        self.at += 1;
                    }
                }
            }
            self.at += 1;
            return Ok(word);
        }
        while let Some(c) = self.peek().filter(|c| !is_special(*c)) {
            word.push(c);
            self.at += 1;
        }
        match (word.is_empty(), self.peek()) {
            (false, _) => Ok(word),
            (true, None) => Err(self.error("the filter ends here; a term is missing")),
            (true, Some(c)) => Err(self.error(format!(
                "`{c}` cannot stand here; a word, a comparison, ! or ( can"
            ))),
        }
    }

    fn op(&mut self) -> Option<Op> {
        let next = self.text.get(self.at + 1).copied();
        let (op, length) = match (self.peek()?, next) {
            ('=', Some('=')) => (Op::Equal, 2),
            ('=', Some('~')) => (Op::Contains, 2),
            ('=', _) => (Op::Equal, 1),
            ('!', Some('=')) => (Op::Unequal, 2),
            ('<', Some('=')) => (Op::LessOrEqual, 2),
            ('<', _) => (Op::Less, 1),
            ('>', Some('=')) => (Op::GreaterOrEqual, 2),
            ('>', _) => (Op::Greater, 1),
            ('~', _) => (Op::Contains, 1),
            _ => return None,
        };
        self.at += length;
        Some(op)
    }
}

fn one_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => many(nodes),
    }
}

/// The value as its key has it.
fn wanted(key: Key, op: Op, text: &str) -> Result<Wanted, String> {
    let name = key.name();
    match key.kind() {
        KeyKind::Number => number(text).map(Wanted::Number).ok_or_else(|| {
            format!("`{text}` is no number; `{name}` takes one like 1.9, 3e-4 or 10k")
        }),
        KeyKind::Seconds => seconds(text).map(Wanted::Number).ok_or_else(|| {
            format!("`{text}` is no time; `{name}` takes one like 90, 30s, 10m, 2h or 1d")
        }),
        KeyKind::Text | KeyKind::List => {
            let text = text.to_lowercase();
            if let Some(choices) = key.choices()
                && op != Op::Contains
                && !choices.contains(&text.as_str())
            {
                let guess = config::closest(&text, choices.iter().copied())
                    .map_or(String::new(), |guess| format!(" (did you mean `{guess}`?)"));
                return Err(format!(
                    "`{name}` is never `{text}`{guess}; it is {}",
                    choices.join(", ")
                ));
            }
            Ok(Wanted::Text(text))
        }
    }
}

fn number(text: &str) -> Option<f64> {
    let plain = |text: &str| text.replace('_', "").parse::<f64>().ok();
    let scaled = |scale: f64| {
        let mut digits = text.chars();
        digits.next_back();
        plain(digits.as_str()).map(|x| x * scale)
    };
    match text.chars().next_back()? {
        'k' | 'K' => scaled(1e3),
        'M' => scaled(1e6),
        'G' => scaled(1e9),
        _ => plain(text),
    }
    .filter(|x| x.is_finite())
}

fn seconds(text: &str) -> Option<f64> {
    let (unit, digits) = match text.chars().next_back()? {
        's' => (1.0, &text[..text.len() - 1]),
        'm' => (60.0, &text[..text.len() - 1]),
        'h' => (3_600.0, &text[..text.len() - 1]),
        'd' => (86_400.0, &text[..text.len() - 1]),
        _ => (1.0, text),
    };
    number(digits).map(|x| x * unit)
}

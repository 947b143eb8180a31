//! The grammar of the stories as data: read once from `grammar.txt`, then only walked.
//!
//! The text format, section by section (sections are separated by blank lines, `#` begins a comment line):
//!
//! ```text
//! class NAME: COLUMN COLUMN ...      a table of things; the first column is the plain form
//! VALUE | VALUE | ...                one row; `*3 VALUE | ...` gives it weight 3
//!
//! rule NAME                          a piece of text that plots and other rules use as <NAME>
//! BODY
//!
//! plot NAME WEIGHT
//! with VARIABLE: CLASS               drawn from the class by weight ...
//! with VARIABLE: CLASS except OTHER  ... but not the row that OTHER has (several may be named)
//! with VARIABLE: CLASS where COLUMN = OTHER.COLUMN    ... only rows that agree with OTHER
//! BODY
//! ```
//!
//! In a body `[a|2*b|c]` chooses one alternative (weight 1 unless given), `{hero}` writes a variable's first column,
//! `{hero.his}` another column, `{Hero.his}` the same with a capital, and `//` begins a new line. Lines are joined by a
//! space. The weights of a choice never depend on what was drawn: that keeps the expected length and information of a
//! story exactly computable (see `entropy`).

use std::collections::HashMap;

/// Everything a story can be made of.
#[derive(Debug)]
pub(super) struct Grammar {
    pub(super) plots: Vec<Plot>,
    pub(super) classes: Vec<Class>,
}

#[derive(Debug)]
pub(super) struct Class {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) weight: u32,
    /// One a column, in lower and in upper case at its first letter.
    pub(super) values: Vec<[String; 2]>,
}

/// One story line: what is drawn at its beginning, and the text that it leads to.
#[derive(Debug)]
pub(super) struct Plot {
    /// For messages of the tests.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) variables: Vec<Variable>,
    pub(super) body: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) class: usize,
    /// Earlier variables of the same class whose rows are not available.
    pub(super) except: Vec<usize>,
    /// Own column, earlier variable, its column: the two values must be equal.
    pub(super) agree: Vec<(usize, usize, usize)>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Value {
        variable: usize,
        column: usize,
        capital: bool,
    },
    Choice(Vec<Branch>),
}

#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) weight: u32,
    pub(super) nodes: Vec<Node>,
}

impl Grammar {
    /// Whether `row` may be drawn for the variable, given the rows of the variables before it.
    pub(super) fn available(
        &self,
        variable: &Variable,
        row: usize,
        drawn: &[usize],
        plot: &Plot,
    ) -> bool {
        if variable.except.iter().any(|&other| drawn[other] == row) {
            return false;
        }
        variable.agree.iter().all(|&(own, other, column)| {
            let theirs =
                &self.classes[plot.variables[other].class].rows[drawn[other]].values[column];
            self.classes[variable.class].rows[row].values[own] == *theirs
        })
    }

    /// Sum of the weights of the rows that may be drawn.
    pub(super) fn available_weight(
        &self,
        variable: &Variable,
        drawn: &[usize],
        plot: &Plot,
    ) -> u32 {
        let rows = &self.classes[variable.class].rows;
        (0..rows.len())
            .filter(|&row| self.available(variable, row, drawn, plot))
            .map(|row| rows[row].weight)
            .sum()
    }

    /// Reads the format described above. The error says what is wrong and in which section.
    pub(super) fn read(source: &str) -> Result<Grammar, String> {
        let mut classes = Vec::new();
        let mut class_names: HashMap<&str, usize> = HashMap::new();
        let mut rules: HashMap<&str, String> = HashMap::new();
        let mut plots = Vec::new();
        for section in sections(source) {
            let (head, lines) = (section[0], &section[1..]);
            let (kind, rest) = head
                .split_once(' ')
                .ok_or_else(|| format!("`{head}` is no section"))?;
            match kind {
                "class" => {
                    let (name, columns) = rest
                        .split_once(':')
                        .ok_or_else(|| format!("`{head}` names no columns"))?;
                    class_names.insert(name.trim(), classes.len());
                    classes.push(
                        read_class(columns, lines).map_err(|e| format!("in class {name}: {e}"))?,
                    );
                }
                "rule" => {
                    rules.insert(rest.trim(), join(lines));
                }
                "plot" => plots.push((rest, lines.to_vec())),
                _ => return Err(format!("`{head}` is no section")),
            }
        }
        let plots = plots
            .iter()
            .map(|(head, lines)| {
                read_plot(head, lines, &classes, &class_names, &rules)
                    .map_err(|e| format!("in plot {head}: {e}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if plots.is_empty() {
            return Err("there is no plot".into());
        }
        Ok(Grammar { plots, classes })
    }
}

fn sections(source: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = source
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .collect();
    lines
        .split(|line| line.is_empty())
        .filter(|section| !section.is_empty())
        .map(<[&str]>::to_vec)
        .collect()
}

fn read_class(columns: &str, lines: &[&str]) -> Result<Class, String> {
    let columns: Vec<String> = columns.split_whitespace().map(String::from).collect();
    let mut rows = Vec::new();
    for line in lines {
        let (weight, line) = match line.strip_prefix('*').and_then(|rest| rest.split_once(' ')) {
            Some((weight, rest)) => (
                weight
                    .parse()
                    .map_err(|_| format!("`{line}` has no weight"))?,
                rest,
            ),
            None => (1, *line),
        };
        let values: Vec<[String; 2]> = line
            .split('|')
            .map(|v| [v.trim().to_string(), capital(v.trim())])
            .collect();
        if values.len() != columns.len() {
            return Err(format!(
                "`{line}` has {} values for {} columns",
                values.len(),
                columns.len()
            ));
        }
        rows.push(Row { weight, values });
    }
    Ok(Class { columns, rows })
}

fn read_plot(
    head: &str,
    lines: &[&str],
    classes: &[Class],
    class_names: &HashMap<&str, usize>,
    rules: &HashMap<&str, String>,
) -> Result<Plot, String> {
    let (name, weight) = head
        .trim()
        .split_once(' ')
        .ok_or("a plot has a name and a weight")?;
    let weight = weight
        .trim()
        .parse()
        .map_err(|_| format!("`{weight}` is no weight"))?;
    let n_declarations = lines
        .iter()
        .take_while(|line| line.starts_with("with "))
        .count();
    let mut variables: Vec<Variable> = Vec::new();
    for line in &lines[..n_declarations] {
        let variable = read_variable(&line["with ".len()..], &variables, classes, class_names)
            .map_err(|problem| format!("`{line}`: {problem}"))?;
        variables.push(variable);
    }
    let body = Body {
        variables: &variables,
        classes,
        rules,
    }
    .read(&join(&lines[n_declarations..]), 0)?;
    Ok(Plot {
        name: name.to_string(),
        weight,
        variables,
        body,
    })
}

fn read_variable(
    line: &str,
    earlier: &[Variable],
    classes: &[Class],
    class_names: &HashMap<&str, usize>,
) -> Result<Variable, String> {
    let (name, rest) = line.split_once(':').ok_or("no class")?;
    let mut words = rest.split_whitespace().peekable();
    let class_name = words.next().ok_or("no class")?;
    let class = *class_names
        .get(class_name)
        .ok_or_else(|| format!("no class {class_name}"))?;
    let find = |name: &str| {
        earlier
            .iter()
            .position(|v| v.name == name)
            .ok_or_else(|| format!("no variable {name}"))
    };
    let column = |class: usize, name: &str| {
        classes[class]
            .columns
            .iter()
            .position(|c| c == name)
            .ok_or_else(|| format!("no column {name}"))
    };
    let mut variable = Variable {
        name: name.trim().to_string(),
        class,
        except: Vec::new(),
        agree: Vec::new(),
    };
    while let Some(word) = words.next() {
        match word {
            "except" => {
                while let Some(other) = words.next_if(|&w| w != "where") {
                    variable.except.push(find(other)?);
                }
            }
            "where" => {
                let own = column(class, words.next().ok_or("`where` names no column")?)?;
                words
                    .next_if_eq(&"=")
                    .ok_or("`where COLUMN` is followed by =")?;
                let (other, theirs) = words
                    .next()
                    .and_then(|w| w.split_once('.'))
                    .ok_or("`where COLUMN =` is followed by OTHER.COLUMN")?;
                let other = find(other)?;
                variable
                    .agree
                    .push((own, other, column(earlier[other].class, theirs)?));
            }
            _ => return Err(format!("`{word}` is neither `except` nor `where`")),
        }
    }
    Ok(variable)
}

/// Lines joined by a space, without the breaks next to `[`, `|`, `]` and `//` that only lay out the source.
fn join(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        let line = line.trim();
        let glued = text.is_empty() || text.ends_with(['[', '|']) || line.starts_with(['|', ']']);
        if !glued {
            text.push(' ');
        }
        text.push_str(line);
    }
    let pieces: Vec<&str> = text.split("//").map(str::trim).collect();
    pieces.join("\n")
}

struct Body<'a> {
    variables: &'a [Variable],
    classes: &'a [Class],
    rules: &'a HashMap<&'a str, String>,
}

impl Body<'_> {
    fn read(&self, source: &str, depth: usize) -> Result<Vec<Node>, String> {
        if depth > 16 {
            return Err("a rule uses itself".into());
        }
        let mut rest = source;
        let nodes = self.sequence(&mut rest, depth)?;
        if rest.is_empty() {
            Ok(nodes)
        } else {
            Err(format!("unexpected `{}`", head_of(rest)))
        }
    }

    fn sequence(&self, rest: &mut &str, depth: usize) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        while let Some(c) = rest.chars().next().filter(|&c| c != '|' && c != ']') {
            match c {
                '[' => {
                    *rest = &rest[1..];
                    nodes.push(self.choice(rest, depth)?);
                }
                '{' => {
                    let (name, after) = rest[1..].split_once('}').ok_or("a `{` without its `}`")?;
                    *rest = after;
                    nodes.push(self.value(name)?);
                }
                '<' => {
                    let (name, after) = rest[1..].split_once('>').ok_or("a `<` without its `>`")?;
                    *rest = after;
                    let rule = self
                        .rules
                        .get(name)
                        .ok_or_else(|| format!("no rule {name}"))?;
                    let inner = self
                        .read(rule, depth + 1)
                        .map_err(|e| format!("in rule {name}: {e}"))?;
                    nodes.extend(inner);
                }
                _ => {
                    let end = rest.find(['[', '{', '<', '|', ']']).unwrap_or(rest.len());
                    nodes.push(Node::Text(rest[..end].to_string()));
                    *rest = &rest[end..];
                }
            }
        }
        Ok(nodes)
    }

    fn choice(&self, rest: &mut &str, depth: usize) -> Result<Node, String> {
        let mut branches = Vec::new();
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let weight = match rest[digits..].strip_prefix('*') {
                Some(after) if digits > 0 => {
                    let weight = rest[..digits]
                        .parse()
                        .map_err(|_| format!("bad weight at `{}`", head_of(rest)))?;
                    *rest = after;
                    weight
                }
                _ => 1,
            };
            branches.push(Branch {
                weight,
                nodes: self.sequence(rest, depth)?,
            });
            let closed = rest.starts_with(']');
            *rest = rest.get(1..).ok_or("a `[` without its `]`")?;
            if closed {
                return Ok(Node::Choice(branches));
            }
        }
    }

    fn value(&self, name: &str) -> Result<Node, String> {
        let (name, column_name) = name.split_once('.').unwrap_or((name, ""));
        let is_capital = name.starts_with(|c: char| c.is_ascii_uppercase());
        let variable = self
            .variables
            .iter()
            .position(|v| v.name == name.to_ascii_lowercase())
            .ok_or_else(|| format!("no variable {name}"))?;
        let columns = &self.classes[self.variables[variable].class].columns;
        let column = match column_name {
            "" => 0,
            _ => columns
                .iter()
                .position(|c| c == column_name)
                .ok_or_else(|| format!("no column {name}.{column_name}"))?,
        };
        Ok(Node::Value {
            variable,
            column,
            capital: is_capital,
        })
    }
}

fn head_of(text: &str) -> String {
    text.chars().take(30).collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let class = "class c: a b\nx | y\n\n";
        for (body, expected) in [
            ("plot p 1\nwith v: d\n{v}", "no class d"),
            ("plot p 1\nwith v: c\n{w}", "no variable w"),
            ("plot p 1\nwith v: c\n{v.z}", "no column v.z"),
            ("plot p 1\nwith v: c\n[{v}", "a `[` without its `]`"),
            ("plot p 1\nwith v: c\n{v}]", "unexpected `]`"),
            ("plot p 1\n<r>", "no rule r"),
            ("rule r\n<r>\n\nplot p 1\n<r>", "a rule uses itself"),
            ("plot p x\nhello", "`x` is no weight"),
            ("plot p 1\nwith v: c where b = u.a\n{v}", "no variable u"),
            ("class d: a\nx | y", "2 values for 1 columns"),
        ] {
            let error = Grammar::read(&format!("{class}{body}")).expect_err(body);
            assert!(
                error.contains(expected),
                "{error:?} does not say {expected:?}"
            );
        }
    }

    #[test]
    fn layout_breaks_vanish_and_paragraphs_stay() {
        assert_eq!(
            join(&["[a", "|b", "]", "c // d", "//", "[", "e|", "f]"]),
            "[a|b] c\nd\n[e|f]"
        );
    }
}

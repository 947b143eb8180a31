//! The proof that no two derivations give the same text, so that the entropy of the derivations is that of the text.
//!
//! Read a text from left to right. It has one derivation at most if
//!
//! 1. for any two branches of a choice (and any two plots), whatever follows within the branches and after the choice up
//!    to the end of the story differs at some byte before either side ends, whichever rows each side draws: so the text
//!    decides the branches;
//! 2. in a column that is ever written, no value is a proper beginning of another: so, the branches being settled, the
//!    text decides every value that was written;
//! 3. every variable is written on every path in a column that tells all its rows apart: so the values decide the rows.
//!
//! Both tests below look at the grammar itself, at every branch and every row, and not at samples from it. They are
//! sufficient conditions: a grammar that fails one of them might still be unambiguous.

use std::collections::{HashMap, HashSet};

use super::grammar::{Branch, Grammar, Node, Plot};
use super::{GRAMMAR, SEPARATOR};

#[test]
fn values_are_told_apart_and_every_path_tells_the_row_of_every_variable() {
    let grammar = &*GRAMMAR;
    for plot in &grammar.plots {
        let told = told(grammar, plot, &plot.body);
        for (index, variable) in plot.variables.iter().enumerate() {
            assert!(
                told.contains(&index),
                "plot {}: a path does not tell the row of {}",
                plot.name,
                variable.name
            );
        }
    }
}

/// The variables whose rows every path through the nodes tells.
fn told(grammar: &Grammar, plot: &Plot, nodes: &[Node]) -> HashSet<usize> {
    let mut known = HashSet::new();
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Value {
                variable, column, ..
            } => {
                let class = plot.variables[*variable].class;
                let name = &plot.variables[*variable].name;
                assert!(
                    equal_or_apart(grammar, class, *column),
                    "plot {}: {name}, column {column}",
                    plot.name
                );
                if tells_apart(grammar, class, *column) {
                    known.insert(*variable);
                }
            }
            Node::Choice(branches) => {
                let branches = branches
                    .iter()
                    .map(|branch| told(grammar, plot, &branch.nodes));
                known.extend(branches.reduce(|a, b| &a & &b).unwrap_or_default());
            }
        }
    }
    known
}

/// Whether no row's value is the beginning of another's.
fn tells_apart(grammar: &Grammar, class: usize, column: usize) -> bool {
    pairs(grammar, class, column).all(|(a, b)| !a.starts_with(b))
}

/// Whether the values of different rows are equal or differ at a byte that both have.
fn equal_or_apart(grammar: &Grammar, class: usize, column: usize) -> bool {
    pairs(grammar, class, column).all(|(a, b)| a == b || !a.starts_with(b))
}

fn pairs(grammar: &Grammar, class: usize, column: usize) -> impl Iterator<Item = (&str, &str)> {
    let rows = &grammar.classes[class].rows;
    let value = move |row: usize| rows[row].values[column][0].as_str();
    (0..rows.len()).flat_map(move |i| {
        (0..rows.len())
            .filter(move |&j| j != i)
            .map(move |j| (value(i), value(j)))
    })
}

fn same_column(grammar: &Grammar, a: (&Plot, usize, usize), b: (&Plot, usize, usize)) -> bool {
    let class_of = |(plot, variable, _): (&Plot, usize, usize)| plot.variables[variable].class;
    class_of(a) == class_of(b) && a.2 == b.2 && equal_or_apart(grammar, class_of(a), a.2)
}

/// What is still to be read: a stack of nodes, the next one last.
#[derive(Clone)]
struct Stream<'a> {
    plot: &'a Plot,
    stack: Vec<Piece<'a>>,
    /// Rows that this comparison has settled on.
    rows: HashMap<usize, usize>,
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Literal(&'a str),
    Node(&'a Node),
}

impl<'a> Stream<'a> {
    fn of(plot: &'a Plot, nodes: &'a [Node]) -> Self {
        let mut stream = Stream {
            plot,
            stack: Vec::new(),
            rows: HashMap::new(),
        };
        stream.push(nodes);
        stream
    }

    fn push(&mut self, nodes: &'a [Node]) {
        self.stack.extend(nodes.iter().rev().map(Piece::Node));
    }

    /// Drops empty literals and writes settled variables as literals.
    fn settle(&mut self, grammar: &'a Grammar) {
        while let Some(piece) = self.stack.last().copied() {
            match piece {
                Piece::Literal("") => drop(self.stack.pop()),
                Piece::Node(Node::Text(text)) => {
                    self.stack.pop();
                    self.stack.push(Piece::Literal(text));
                }
                Piece::Node(Node::Value {
                    variable,
                    column,
                    capital,
                }) if self.rows.contains_key(variable) => {
                    let class = &grammar.classes[self.plot.variables[*variable].class];
                    let value =
                        &class.rows[self.rows[variable]].values[*column][usize::from(*capital)];
                    self.stack.pop();
                    self.stack.push(Piece::Literal(value));
                }
                _ => break,
            }
        }
    }
}

/// Whether the branches of a choice differ by themselves, before the shorter one ends.
fn branches_differ(grammar: &Grammar, plot: &Plot, branches: &[Branch]) -> bool {
    (0..branches.len()).all(|i| {
        (0..i).all(|j| {
            differ(
                grammar,
                Stream::of(plot, &branches[i].nodes),
                Stream::of(plot, &branches[j].nodes),
            )
        })
    })
}

/// Whether two nodes are the same but for the rows of their variables.
fn alike(
    grammar: &Grammar,
    (plot, node): (&Plot, &Node),
    (other_plot, other): (&Plot, &Node),
) -> bool {
    match (node, other) {
        (Node::Text(x), Node::Text(y)) => x == y,
        (
            Node::Value {
                variable: x,
                column: p,
                capital: c,
            },
            Node::Value {
                variable: y,
                column: q,
                capital: d,
            },
        ) => c == d && same_column(grammar, (plot, *x, *p), (other_plot, *y, *q)),
        (Node::Choice(x), Node::Choice(y)) => {
            x.len() == y.len()
                && x.iter().zip(y).all(|(x, y)| {
                    x.nodes.len() == y.nodes.len()
                        && x.nodes
                            .iter()
                            .zip(&y.nodes)
                            .all(|(n, m)| alike(grammar, (plot, n), (other_plot, m)))
                })
        }
        _ => false,
    }
}

/// Whether every text of `a` differs from every text of `b` at some byte that both have, whatever the rows on either side.
fn differ<'a>(grammar: &'a Grammar, mut a: Stream<'a>, mut b: Stream<'a>) -> bool {
    loop {
        a.settle(grammar);
        b.settle(grammar);
        let (Some(&next_a), Some(&next_b)) = (a.stack.last(), b.stack.last()) else {
            return false;
        };
        match (next_a, next_b) {
            (Piece::Literal(x), Piece::Literal(y)) => {
                let common = x.bytes().zip(y.bytes()).take_while(|(p, q)| p == q).count();
                if common < x.len() && common < y.len() {
                    return true;
                }
                a.stack.pop();
                a.stack.push(Piece::Literal(&x[common..]));
                b.stack.pop();
                b.stack.push(Piece::Literal(&y[common..]));
            }
            (Piece::Node(x @ Node::Choice(branches)), Piece::Node(y))
                if alike(grammar, (a.plot, x), (b.plot, y))
                    && branches_differ(grammar, a.plot, branches) =>
            {
                // Equal texts take the same branch, with equal values: the comparison goes on behind it.
                a.stack.pop();
                b.stack.pop();
            }
            (Piece::Node(Node::Choice(branches)), _) => {
                a.stack.pop();
                return branches.iter().all(|branch| {
                    let mut a = a.clone();
                    a.push(&branch.nodes);
                    differ(grammar, a, b.clone())
                });
            }
            (_, Piece::Node(Node::Choice(_))) => return differ(grammar, b, a),
            (
                Piece::Node(Node::Value {
                    variable: x,
                    column: p,
                    capital: c,
                }),
                Piece::Node(Node::Value {
                    variable: y,
                    column: q,
                    capital: d,
                }),
            ) if same_column(grammar, (a.plot, *x, *p), (b.plot, *y, *q)) && c == d => {
                // Whatever the rows are, the two values are equal or differ at a byte that both have.
                a.stack.pop();
                b.stack.pop();
            }
            (Piece::Node(Node::Value { variable, .. }), _) => {
                let n_rows = grammar.classes[a.plot.variables[*variable].class]
                    .rows
                    .len();
                return (0..n_rows).all(|row| {
                    // The row is not carried over to the other side, where the variable may be another row still: taking
                    // the two sides as independent only makes the test stricter.
                    let mut a = a.clone();
                    a.rows.insert(*variable, row);
                    differ(grammar, a, b.clone())
                });
            }
            (_, Piece::Node(Node::Value { .. })) => return differ(grammar, b, a),
            (Piece::Node(Node::Text(_)), _) | (_, Piece::Node(Node::Text(_))) => {
                unreachable!("`settle` turns texts into literals")
            }
        }
    }
}

#[test]
fn branches_and_plots_are_told_apart_by_what_follows() {
    let grammar = &*GRAMMAR;
    let mut problems = Vec::new();
    let start = |plot| {
        let mut stream = Stream {
            plot,
            stack: vec![Piece::Literal(SEPARATOR)],
            rows: HashMap::new(),
        };
        stream.push(&plot.body);
        stream
    };
    for (i, plot) in grammar.plots.iter().enumerate() {
        for other in &grammar.plots[..i] {
            if !differ(grammar, start(plot), start(other)) {
                problems.push(format!("plots {} and {}", plot.name, other.name));
            }
        }
        let rest = Stream {
            plot,
            stack: vec![Piece::Literal(SEPARATOR)],
            rows: HashMap::new(),
        };
        check(grammar, &plot.body, &rest, &mut problems);
    }
    assert!(
        problems.is_empty(),
        "not told apart:\n{}",
        problems.join("\n")
    );
}

/// Looks at every choice within `nodes`, which `rest` follows.
fn check<'a>(
    grammar: &'a Grammar,
    nodes: &'a [Node],
    rest: &Stream<'a>,
    problems: &mut Vec<String>,
) {
    for (at, node) in nodes.iter().enumerate() {
        let Node::Choice(branches) = node else {
            continue;
        };
        let mut after = rest.clone();
        after.push(&nodes[at + 1..]);
        let streams: Vec<Stream<'a>> = branches
            .iter()
            .map(|branch| {
                let mut stream = after.clone();
                stream.push(&branch.nodes);
                stream
            })
            .collect();
        for (i, a) in streams.iter().enumerate() {
            for (j, b) in streams[..i].iter().enumerate() {
                if !differ(grammar, a.clone(), b.clone()) {
                    problems.push(format!(
                        "plot {}: {:?} and {:?}",
                        rest.plot.name, branches[j].nodes, branches[i].nodes
                    ));
                }
            }
        }
        for branch in branches {
            check(grammar, &branch.nodes, &after, problems);
        }
    }
}

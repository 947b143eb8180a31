//! How much information a story carries: exactly, from the grammar; and how much one given text carries.
//!
//! A story is a plot, the rows drawn for its variables, and one branch at every choice it passes. The weights of choices
//! do not depend on the rows, so by linearity of expectation
//!
//! - E[bits] = H(plot) + sum over variables of H(row | rows before) + the choices' entropies, each times the
//!   probability of reaching it,
//! - E[bytes] = literal text and the mean length of each value written, under the same probabilities.
//!
//! Stories follow one another independently, so the rate of the source is E[bits] / E[bytes] (renewal reward theorem).
//! That is the entropy of the derivations. It is the entropy of the text because no two derivations give the same
//! text, which the tests prove from the grammar's shape (`unambiguous`).

use super::grammar::{Grammar, Node, Plot};

/// What is known about the information in an endless text from a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceEntropy {
    /// Entropy rate in bits per byte of text: the least loss that any model can have in the long run.
    pub bits_per_byte: f64,
    /// True when `bits_per_byte` is the entropy rate itself, false when it only bounds it from above.
    pub exact: bool,
    /// Expected information in a story, in bits.
    pub bits_per_story: f64,
    /// Expected length of a story with the blank line after it, in bytes.
    pub bytes_per_story: f64,
}

#[derive(Clone, Copy, Default)]
struct Expected {
    bits: f64,
    bytes: f64,
}

pub(super) fn of_grammar(grammar: &Grammar) -> SourceEntropy {
    let total: f64 = grammar
        .plots
        .iter()
        .map(|plot| f64::from(plot.weight))
        .sum();
    let mut sum = Expected::default();
    for plot in &grammar.plots {
        let p = f64::from(plot.weight) / total;
        let story = of_plot(grammar, plot);
        sum.bits += p * (story.bits - p.log2());
        sum.bytes += p * story.bytes;
    }
    SourceEntropy {
        bits_per_byte: sum.bits / sum.bytes,
        exact: true,
        bits_per_story: sum.bits,
        bytes_per_story: sum.bytes,
    }
}

fn of_plot(grammar: &Grammar, plot: &Plot) -> Expected {
    let mut bits = 0.0;
    let mut marginals = Vec::new();
    for variable in 0..plot.variables.len() {
        let (marginal, conditional_bits) = of_variable(grammar, plot, variable);
        bits += conditional_bits;
        marginals.push(marginal);
    }
    let body = of_nodes(grammar, plot, &marginals, &plot.body);
    Expected {
        bits: bits + body.bits,
        bytes: body.bytes + super::SEPARATOR.len() as f64,
    }
}

fn of_nodes(grammar: &Grammar, plot: &Plot, marginals: &[Vec<f64>], nodes: &[Node]) -> Expected {
    let mut sum = Expected::default();
    for node in nodes {
        match node {
            Node::Text(text) => sum.bytes += text.len() as f64,
            Node::Value {
                variable, column, ..
            } => {
                let rows = &grammar.classes[plot.variables[*variable].class].rows;
                let lengths = rows.iter().map(|row| row.values[*column][0].len() as f64);
                sum.bytes += marginals[*variable]
                    .iter()
                    .zip(lengths)
                    .map(|(p, length)| p * length)
                    .sum::<f64>();
            }
            Node::Choice(branches) => {
                let total: f64 = branches.iter().map(|branch| f64::from(branch.weight)).sum();
                for branch in branches {
                    let p = f64::from(branch.weight) / total;
                    let inner = of_nodes(grammar, plot, marginals, &branch.nodes);
                    sum.bits += p * (inner.bits - p.log2());
                    sum.bytes += p * inner.bytes;
                }
            }
        }
    }
    sum
}

/// The probability of each row of a variable, and its entropy given the rows drawn before it: by going through every
/// combination of the variables that it depends on, directly or not.
fn of_variable(grammar: &Grammar, plot: &Plot, variable: usize) -> (Vec<f64>, f64) {
    let mut needed = vec![false; variable];
    for v in (0..=variable).rev() {
        if v == variable || needed[v] {
            let others = &plot.variables[v];
            for other in others
                .except
                .iter()
                .copied()
                .chain(others.agree.iter().map(|&(_, other, _)| other))
            {
                needed[other] = true;
            }
        }
    }
    let order: Vec<usize> = (0..variable)
        .filter(|&v| needed[v])
        .chain([variable])
        .collect();
    let n_rows = grammar.classes[plot.variables[variable].class].rows.len();
    let mut walk = Walk {
        grammar,
        plot,
        order,
        marginal: vec![0.0; n_rows],
        bits: 0.0,
    };
    walk.visit(0, 1.0, &mut vec![0; plot.variables.len()]);
    (walk.marginal, walk.bits)
}

struct Walk<'a> {
    grammar: &'a Grammar,
    plot: &'a Plot,
    order: Vec<usize>,
    marginal: Vec<f64>,
    bits: f64,
}

impl Walk<'_> {
    fn visit(&mut self, depth: usize, probability: f64, drawn: &mut Vec<usize>) {
        let at = self.order[depth];
        let variable = &self.plot.variables[at];
        let rows = &self.grammar.classes[variable.class].rows;
        let total = f64::from(self.grammar.available_weight(variable, drawn, self.plot));
        for (row, content) in rows.iter().enumerate() {
            if !self.grammar.available(variable, row, drawn, self.plot) {
                continue;
            }
            let p = f64::from(content.weight) / total;
            if depth + 1 == self.order.len() {
                self.marginal[row] += probability * p;
                self.bits -= probability * p * p.log2();
            } else {
                drawn[at] = row;
                self.visit(depth + 1, probability * p, drawn);
            }
        }
    }
}

/// -log2 of the probability of each derivation that gives exactly this story (without the blank line after it).
pub(super) fn derivations(grammar: &Grammar, story: &str) -> Vec<f64> {
    let total: f64 = grammar
        .plots
        .iter()
        .map(|plot| f64::from(plot.weight))
        .sum();
    let mut found = Vec::new();
    for plot in &grammar.plots {
        let mut reading = Reading {
            grammar,
            plot,
            drawn: vec![None; plot.variables.len()],
            found: Vec::new(),
        };
        reading.follow(&plot.body, None, story, 0.0);
        let bits_of_plot = -(f64::from(plot.weight) / total).log2();
        found.extend(reading.found.iter().map(|bits| bits + bits_of_plot));
    }
    found
}

/// What is to be read after the nodes at hand.
struct Rest<'a> {
    nodes: &'a [Node],
    then: Option<&'a Rest<'a>>,
}

struct Reading<'a> {
    grammar: &'a Grammar,
    plot: &'a Plot,
    drawn: Vec<Option<usize>>,
    found: Vec<f64>,
}

impl Reading<'_> {
    fn follow(&mut self, nodes: &[Node], then: Option<&Rest<'_>>, text: &str, bits: f64) {
        let Some((node, nodes)) = nodes.split_first() else {
            match then {
                Some(rest) => self.follow(rest.nodes, rest.then, text, bits),
                None if text.is_empty() => self.finish(bits),
                None => {}
            }
            return;
        };
        match node {
            Node::Text(literal) => {
                if let Some(text) = text.strip_prefix(literal.as_str()) {
                    self.follow(nodes, then, text, bits);
                }
            }
            Node::Value {
                variable,
                column,
                capital,
            } => {
                let rows = &self.grammar.classes[self.plot.variables[*variable].class].rows;
                let known = self.drawn[*variable];
                for (row, content) in rows.iter().enumerate() {
                    if known.is_none_or(|known| known == row)
                        && let Some(text) = text
                            .strip_prefix(content.values[*column][usize::from(*capital)].as_str())
                    {
                        self.drawn[*variable] = Some(row);
                        self.follow(nodes, then, text, bits);
                    }
                }
                self.drawn[*variable] = known;
            }
            Node::Choice(branches) => {
                let total: f64 = branches.iter().map(|branch| f64::from(branch.weight)).sum();
                let rest = Rest { nodes, then };
                for branch in branches {
                    let p = f64::from(branch.weight) / total;
                    self.follow(&branch.nodes, Some(&rest), text, bits - p.log2());
                }
            }
        }
    }

    /// Adds what the rows carry, if they can be drawn together.
    fn finish(&mut self, mut bits: f64) {
        let Some(drawn) = self.drawn.iter().copied().collect::<Option<Vec<usize>>>() else {
            return;
        };
        for (variable, &row) in self.plot.variables.iter().zip(&drawn) {
            if !self.grammar.available(variable, row, &drawn, self.plot) {
                return;
            }
            let weight = self.grammar.classes[variable.class].rows[row].weight;
            let total = self.grammar.available_weight(variable, &drawn, self.plot);
            bits -= (f64::from(weight) / f64::from(total)).log2();
        }
        self.found.push(bits);
    }
}

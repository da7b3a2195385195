//! Values read as polynomials over other values: however an exporter wrote a formula, its polynomial is the same.

use std::collections::BTreeMap;

use super::pattern::{is_f32, number};
use crate::graph::{Activation, Binary, Node, Op, RewriteCx, Unary, ValueId};

/// Sum of products of values. What is not arithmetic with single numbers, or is used elsewhere too, is a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Polynomial {
    /// Coefficient of each product; the key lists its factors in order.
    terms: BTreeMap<Vec<ValueId>, f64>,
}

/// Formulas that are looked for have a handful of operators; what is larger is none of them.
const MAX_NODES: usize = 12;
const MAX_TERMS: usize = 8;
const MAX_DEGREE: usize = 4;

/// How close coefficients must be to what a formula says: exporters write constants with six digits or more.
const TOLERANCE: f64 = 1e-5;

/// True where `found` is `wanted` as an exporter may have written it.
pub(super) fn is_close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= TOLERANCE * wanted.abs()
}

impl Polynomial {
    /// The result of `node`, which is left out of account where it has a fused activation. `None` where it is no arithmetic in
    /// `float32`.
    pub fn of(cx: &RewriteCx<'_>, node: &Node) -> Option<Polynomial> {
        Reader { cx, nodes_left: MAX_NODES }.arithmetic(node)
    }

    /// `value`, as far as it was computed for nothing else.
    pub fn of_value(cx: &RewriteCx<'_>, value: ValueId) -> Polynomial {
        Reader { cx, nodes_left: MAX_NODES }.value(value)
    }

    /// Number of products, a constant included.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    pub fn coefficient(&self, product: &[ValueId]) -> f64 {
        let mut key = product.to_vec();
        key.sort_unstable();
        self.terms.get(&key).copied().unwrap_or(0.0)
    }

    /// All values that occur, in order.
    pub fn variables(&self) -> Vec<ValueId> {
        let mut all: Vec<ValueId> = self.terms.keys().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn constant(c: f64) -> Polynomial {
        Polynomial { terms: BTreeMap::from([(Vec::new(), c)]) }
    }

    fn variable(id: ValueId) -> Polynomial {
        Polynomial { terms: BTreeMap::from([(vec![id], 1.0)]) }
    }

    fn plus(mut self, other: &Polynomial, sign: f64) -> Option<Polynomial> {
        for (product, c) in &other.terms {
            *self.terms.entry(product.clone()).or_default() += sign * c;
        }
        self.within_limits()
    }

    fn times(&self, other: &Polynomial) -> Option<Polynomial> {
        let mut terms: BTreeMap<Vec<ValueId>, f64> = BTreeMap::new();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                let mut product = [a.as_slice(), b].concat();
                product.sort_unstable();
                *terms.entry(product).or_default() += x * y;
            }
        }
        Polynomial { terms }.within_limits()
    }

    fn within_limits(self) -> Option<Polynomial> {
        let fits = self.terms.len() <= MAX_TERMS && self.terms.keys().all(|product| product.len() <= MAX_DEGREE);
        fits.then_some(self)
    }
}

struct Reader<'a, 'b> {
    cx: &'a RewriteCx<'b>,
    nodes_left: usize,
}

impl Reader<'_, '_> {
    fn value(&mut self, id: ValueId) -> Polynomial {
        if let Some(c) = self.single_number(id) {
            return Polynomial::constant(c);
        }
        let inner =
            self.cx.sole_producer(id).filter(|node| node.op.activation().unwrap_or_default() == Activation::None);
        inner.and_then(|node| self.arithmetic(node)).unwrap_or_else(|| Polynomial::variable(id))
    }

    /// A constant of one element, which no operator is made larger by.
    fn single_number(&self, id: ValueId) -> Option<f64> {
        let graph = self.cx.graph();
        if graph.constant(id)?.len() == 1 { number(graph, id) } else { None }
    }

    fn arithmetic(&mut self, node: &Node) -> Option<Polynomial> {
        let operand = node.input(0).filter(|&x| is_f32(self.cx.graph(), x))?;
        self.nodes_left = self.nodes_left.checked_sub(1)?;
        match node.op {
            Op::Binary(kind, _) => self.binary(kind, operand, node.input(1)?),
            Op::Unary(Unary::Neg) => self.value(operand).times(&Polynomial::constant(-1.0)),
            Op::Unary(Unary::Square) => {
                let x = self.value(operand);
                x.times(&x)
            }
            _ => None,
        }
    }

    fn binary(&mut self, kind: Binary, a: ValueId, b: ValueId) -> Option<Polynomial> {
        match kind {
            Binary::Add => self.value(a).plus(&self.value(b), 1.0),
            Binary::Sub => self.value(a).plus(&self.value(b), -1.0),
            Binary::Mul => self.value(a).times(&self.value(b)),
            Binary::Div => {
                let divisor = self.single_number(b).filter(|&d| d != 0.0)?;
                self.value(a).times(&Polynomial::constant(1.0 / divisor))
            }
            Binary::Pow => {
                let x = self.value(a);
                match self.single_number(b)? {
                    2.0 => x.times(&x),
                    3.0 => x.times(&x)?.times(&x),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

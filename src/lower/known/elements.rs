//! Arithmetic on the numbers of short vectors, as the operators of shape computations do it.

use super::{Known, LONGEST, Number};
use crate::graph::{Binary, Compare, Graph, Node, Op, Reduce, Unary};
use crate::tensor::{DType, normalize_axis};

impl Known {
    /// One number for each element of a result; `None` where nothing is known or it is no short vector of integers.
    pub(super) fn result_elements(&mut self, graph: &Graph, node: &Node, result: usize) -> Option<Vec<Number>> {
        let ty = &graph.value(node.outputs[result]).ty;
        let len = ty.shape.elements().filter(|&n| n <= LONGEST && ty.shape.rank() <= 1)?;
        if !(ty.dtype.is_int() || ty.dtype == DType::Bool) {
            return None;
        }
        let elements = self.computed(graph, node, result, len)?;
        let fits = |n: Number| match n {
            Number::Known(n) if !holds(ty.dtype, n) => Number::Unknown,
            n => n,
        };
        (elements.len() == len).then(|| elements.into_iter().map(fits).collect())
    }

    fn computed(&mut self, graph: &Graph, node: &Node, result: usize, len: usize) -> Option<Vec<Number>> {
        let operand = |i: usize| node.input(i).and_then(|id| self.elements(graph, id));
        let ints = |i: usize| node.input(i).and_then(|id| graph.const_ints(id));
        let elements = match &node.op {
            Op::Shape { .. } => Some(self.extents(graph, node.input(0)?)),
            Op::Reshape | Op::Squeeze { .. } | Op::ExpandDims => operand(0),
            Op::Cast { to } => {
                let to_bool = *to == DType::Bool;
                let cast = |n| if to_bool { n_as_bool(n) } else { n };
                Some(operand(0)?.into_iter().map(cast).collect())
            }
            Op::Concatenation { .. } | Op::Pack { .. } => {
                let parts: Option<Vec<_>> = (0..node.inputs.len()).map(operand).collect();
                Some(parts?.concat())
            }
            Op::Split { parts } if *parts > 0 => Some(operand(1)?.chunks(len.max(1)).nth(result)?.to_vec()),
            Op::Unpack { .. } => Some(vec![*operand(0)?.get(result)?]),
            Op::Slice => {
                let begin = usize::try_from(*ints(1)?.first()?).ok()?;
                Some(operand(0)?.get(begin..begin.checked_add(len)?)?.to_vec())
            }
            Op::StridedSlice(masks) => {
                let x = operand(0)?;
                let stride = *ints(3)?.first()?;
                let begin = match *ints(1)?.first()? {
                    _ if masks.begin & 1 == 1 => {
                        if stride > 0 {
                            0
                        } else {
                            x.len() as i64 - 1
                        }
                    }
                    b => (if b < 0 { b + x.len() as i64 } else { b }).clamp(0, x.len() as i64),
                };
                (0..len as i64).map(|i| x.get(usize::try_from(begin + i * stride).ok()?).copied()).collect()
            }
            Op::Gather { .. } => {
                let x = operand(0)?;
                let at = |i: &i64| normalize_axis(*i, x.len()).map(|i| x[i]);
                self.elements(graph, node.input(1)?)?.into_iter().map(|i| at(&i.known()?)).collect()
            }
            Op::Fill => Some(vec![*operand(1)?.first()?; len]),
            Op::BroadcastTo | Op::Tile => operand(0)?.into_iter().cycle().take(len).map(Some).collect(),
            Op::Unary(Unary::Neg) => {
                Some(operand(0)?.into_iter().map(|n| binary(Binary::Sub, Number::Known(0), n)).collect())
            }
            Op::Binary(kind, _) => zip(&operand(0)?, &operand(1)?, |a, b| binary(*kind, a, b)),
            Op::Compare(kind) => zip(&operand(0)?, &operand(1)?, |a, b| compare(*kind, a, b)),
            Op::Select => {
                let (c, a, b) = (operand(0)?, operand(1)?, operand(2)?);
                let at = |v: &[Number], i: usize| v.get(if v.len() == 1 { 0 } else { i }).copied();
                (0..len).map(|i| Some(select(at(&c, i)?, at(&a, i)?, at(&b, i)?))).collect()
            }
            Op::Reduce { kind: Reduce::Prod, .. } => {
                Some(vec![operand(0)?.into_iter().fold(Number::Known(1), |a, b| binary(Binary::Mul, a, b))])
            }
            Op::Reduce { kind: Reduce::Sum, .. } => {
                Some(vec![operand(0)?.into_iter().fold(Number::Known(0), |a, b| binary(Binary::Add, a, b))])
            }
            _ => None,
        };
        elements.filter(|elements| elements.iter().any(|n| *n != Number::Unknown))
    }
}

impl Known {
    /// True where no element of an integer result can be negative: an index that need not be checked.
    pub(super) fn is_natural_result(&self, graph: &Graph, node: &Node, result: usize) -> bool {
        let natural = |i: usize| node.input(i).is_some_and(|id| self.is_natural(graph, id));
        let dtype_of = |i: usize| node.input(i).map(|id| graph.dtype(id));
        match &node.op {
            Op::Shape { .. } | Op::Where | Op::ArgMax { .. } | Op::ArgMin { .. } => true,
            Op::TopK => result == 1,
            Op::Cast { to } => {
                let widens = matches!(to, DType::I32 | DType::I64);
                widens && (natural(0) || matches!(dtype_of(0), Some(DType::U8 | DType::U16 | DType::Bool)))
            }
            Op::Reshape
            | Op::Squeeze { .. }
            | Op::ExpandDims
            | Op::Transpose
            | Op::Slice
            | Op::StridedSlice(_)
            | Op::Gather { .. }
            | Op::BroadcastTo
            | Op::Tile => natural(0),
            // Ranges count up from their start, unless the step is negative.
            Op::Range => natural(0) && natural(2),
            Op::Concatenation { .. } => (0..node.inputs.len()).all(natural),
            _ => false,
        }
    }
}

fn holds(dtype: DType, n: i64) -> bool {
    match dtype {
        DType::I32 => i32::try_from(n).is_ok(),
        DType::Bool => n == 0 || n == 1,
        DType::I64 => true,
        _ => (0..=127).contains(&n),
    }
}

fn n_as_bool(n: Number) -> Number {
    n.known().map_or(Number::Unknown, |n| Number::Known((n != 0).into()))
}

/// Element by element; a single element goes with each of the other side.
fn zip(a: &[Number], b: &[Number], f: impl Fn(Number, Number) -> Number) -> Option<Vec<Number>> {
    match (a, b) {
        _ if a.len() == b.len() => Some(a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()),
        ([a], _) => Some(b.iter().map(|&b| f(*a, b)).collect()),
        (_, [b]) => Some(a.iter().map(|&a| f(a, *b)).collect()),
        _ => None,
    }
}

fn binary(kind: Binary, a: Number, b: Number) -> Number {
    use Number::{Extent, Known, Unknown};
    if let (Known(a), Known(b)) = (a, b) {
        let n = match kind {
            Binary::Add => a.checked_add(b),
            Binary::Sub => a.checked_sub(b),
            Binary::Mul => a.checked_mul(b),
            Binary::Div => a.checked_div(b),
            Binary::FloorDiv => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
            Binary::FloorMod => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
            Binary::Maximum => Some(a.max(b)),
            Binary::Minimum => Some(a.min(b)),
            Binary::LogicalAnd => Some(a & b),
            Binary::LogicalOr => Some(a | b),
            _ => None,
        };
        return n.map_or(Unknown, Known);
    }
    match (kind, a, b) {
        (Binary::Mul, Known(0), _) | (Binary::Mul, _, Known(0)) => Known(0),
        (Binary::Mul, Known(1), n) | (Binary::Mul | Binary::Div | Binary::FloorDiv, n, Known(1)) => n,
        (Binary::Add, Known(0), n) | (Binary::Add | Binary::Sub, n, Known(0)) => n,
        (Binary::Sub, Extent(a), Extent(b)) if a == b => Known(0),
        // No extent is negative.
        (Binary::Maximum, Extent(e), Known(n)) | (Binary::Maximum, Known(n), Extent(e)) if n <= 0 => Extent(e),
        (Binary::Maximum | Binary::Minimum, a, b) if a == b => a,
        _ => Unknown,
    }
}

fn compare(kind: Compare, a: Number, b: Number) -> Number {
    use Number::{Extent, Known, Unknown};
    let ordering = match (a, b) {
        (Known(a), Known(b)) => a.cmp(&b),
        (Extent(_), Known(n)) if n < 0 => std::cmp::Ordering::Greater,
        (Known(n), Extent(_)) if n < 0 => std::cmp::Ordering::Less,
        (Extent(a), Extent(b)) if a == b => std::cmp::Ordering::Equal,
        _ => return Unknown,
    };
    Known(i64::from(match kind {
        Compare::Equal => ordering.is_eq(),
        Compare::NotEqual => ordering.is_ne(),
        Compare::Less => ordering.is_lt(),
        Compare::LessEqual => ordering.is_le(),
        Compare::Greater => ordering.is_gt(),
        Compare::GreaterEqual => ordering.is_ge(),
    }))
}

fn select(condition: Number, a: Number, b: Number) -> Number {
    match condition {
        Number::Known(0) => b,
        Number::Known(_) => a,
        _ if a == b => a,
        _ => Number::Unknown,
    }
}

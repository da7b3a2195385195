//! `merge_duplicates`: the same operator on the same operands is computed once.
//!
//! Matches: nodes with equal operators, operands and precision; the first is kept, with its origin.
//!
//! Not: operators whose meaning is not known, variables, quantized values; or where both results are outputs of the graph, as each
//! needs its own name. Equal.

use std::collections::HashMap;

use super::pattern::sweep;
use crate::graph::{Evaluate, Graph, InferError, Precision, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    // Operators hold floats, which have no total equality; their text has.
    type Key = (String, Precision, Vec<Option<ValueId>>);
    let mut seen: HashMap<Key, Vec<ValueId>> = HashMap::new();
    sweep(graph, evaluate, |cx, node| {
        let key = (format!("{:?}", node.op), node.precision, node.inputs.clone());
        let Some(first) = seen.get(&key) else {
            seen.insert(key, node.outputs.clone());
            return Ok(None);
        };
        let outputs = &cx.graph().outputs;
        let both_named = first.iter().zip(&node.outputs).any(|(a, b)| outputs.contains(a) && outputs.contains(b));
        Ok(if both_named { None } else { Some(first.clone()) })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, check, unchanged};
    use super::run;
    use crate::graph::{Op, Precision, Unary};

    #[test]
    fn equal_nodes_are_computed_once() {
        check(
            run,
            &["f32[2]"],
            |b, x| {
                let (a, c) = (b.unary(Unary::Abs, x[0])?, b.unary(Unary::Abs, x[0])?);
                let (a, c) = (b.unary(Unary::Exp, a)?, b.unary(Unary::Exp, c)?);
                b.sub(a, c)
            },
            |b, x| {
                let a = b.unary(Unary::Abs, x[0])?;
                let a = b.unary(Unary::Exp, a)?;
                b.sub(a, a)
            },
        );
    }

    #[test]
    fn an_output_keeps_its_name_whichever_comes_first() {
        for output_first in [true, false] {
            let before = Net::new(&["f32[2]"], |b, x| {
                let (a, c) = (b.unary(Unary::Abs, x[0])?, b.unary(Unary::Abs, x[0])?);
                let (output, inner) = if output_first { (a, c) } else { (c, a) };
                Ok(vec![output, b.unary(Unary::Exp, inner)?])
            });
            let after = Net::new(&["f32[2]"], |b, x| {
                let a = b.unary(Unary::Abs, x[0])?;
                Ok(vec![a, b.unary(Unary::Exp, a)?])
            });
            before.becomes(run, &after);
        }
        Net::new(&["f32[2]"], |b, x| Ok(vec![b.unary(Unary::Abs, x[0])?, b.unary(Unary::Abs, x[0])?]))
            .unchanged_by(run);
    }

    #[test]
    fn leaves_what_differs() {
        unchanged(run, &["f32[2]"], |b, x| {
            let a = b.one(Op::LeakyRelu { alpha: 0.1 }, x)?;
            let c = b.one(Op::LeakyRelu { alpha: 0.2 }, x)?;
            b.sub(a, c)
        });
        unchanged(run, &["f32[2]"], |b, x| {
            let a = b.unary(Unary::Abs, x[0])?;
            b.set_precision(Precision::Float);
            let c = b.unary(Unary::Abs, x[0])?;
            b.sub(a, c)
        });
    }
}

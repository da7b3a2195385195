//! `merge_transposes`: of transposes one after the other one is left, or none.
//!
//! Matches: `TRANSPOSE` of a `TRANSPOSE`, with constant permutations, other uses or not; every element type. Equal.

use super::pattern::{Replaced, permutation, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, RewriteCx};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let graph = cx.graph();
    let Some(outer) = permutation(graph, node) else { return Ok(None) };
    let inner = node.input(0).and_then(|x| cx.producer(x));
    let Some((x, inner)) = inner.and_then(|inner| Some((inner.input(0)?, permutation(graph, inner)?))) else {
        return Ok(None);
    };
    Ok(Some(vec![cx.b.transpose(x, &inner.then(&outer))?]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, check};
    use super::run;
    use crate::graph::Unary;
    use crate::tensor::Perm;

    fn perm(axes: &[usize]) -> Perm {
        Perm::new(axes.to_vec()).unwrap()
    }

    #[test]
    fn permutations_compose() {
        check(
            run,
            &["f32[2,?,4]"],
            |b, x| {
                let x = b.transpose(x[0], &perm(&[1, 2, 0]))?;
                b.transpose(x, &perm(&[1, 0, 2]))
            },
            |b, x| b.transpose(x[0], &perm(&[2, 1, 0])),
        );
    }

    #[test]
    fn there_and_back_is_nothing() {
        let before = Net::new(&["f32[2,?,4]"], |b, x| {
            let x = b.unary(Unary::Abs, x[0])?;
            let x = b.transpose(x, &perm(&[1, 2, 0]))?;
            let y = b.transpose(x, &perm(&[2, 0, 1]))?;
            Ok(vec![b.unary(Unary::Exp, y)?, x])
        });
        let after = Net::new(&["f32[2,?,4]"], |b, x| {
            let y = b.unary(Unary::Abs, x[0])?;
            let x = b.transpose(y, &perm(&[1, 2, 0]))?;
            Ok(vec![b.unary(Unary::Exp, y)?, x])
        });
        before.becomes(run, &after);
    }
}

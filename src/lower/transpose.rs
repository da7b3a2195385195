//! ONNX `Transpose`.

use super::reshape::Part;
use super::{Cx, Refusal, Results};
use crate::tensor::Perm;

/// `TRANSPOSE` takes no more axes.
const MAX_RANK: usize = 8;

/// Lowers ONNX `Transpose` to `TRANSPOSE`.
///
/// # Accepts
/// Any permutation; ranks above 8 where axes that stay together bring it to 8 or fewer.
/// # Produces
/// `TRANSPOSE`, between two `RESHAPE`s for ranks above 8. Nothing for the identity.
/// # Refuses
/// Permutations of more than 8 axes no two of which stay together.
pub(super) fn transpose(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let perm = match cx.ints("perm")? {
        Some(perm) => perm.iter().map(|&axis| cx.axis_in(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let perm = Perm::new(perm).filter(|p| p.rank() == rank).ok_or_else(|| {
        Refusal::new(format!("no permutation of {rank} axes"), "check the model with onnx.checker")
            .about("attribute perm")
    })?;
    if rank <= MAX_RANK {
        return Ok(vec![cx.b.transpose(x, &perm)?]);
    }
    let runs = runs(perm.axes());
    // The runs in the order in which the operand has them.
    let mut sorted = runs.clone();
    sorted.sort_unstable();
    let merged = Perm::new(runs.iter().filter_map(|run| sorted.iter().position(|s| s == run)).collect());
    let merged = merged.filter(|p| p.rank() <= MAX_RANK).ok_or_else(|| {
        Refusal::new(format!("permutes {} axes, and TFLite no more than {MAX_RANK}", runs.len()), "split the axes up")
            .about("attribute perm")
    })?;
    let parts: Vec<Part> = sorted.iter().map(|&(start, end)| Part::Axes(start..end)).collect();
    let collapsed = cx.reshape_parts(x, &parts)?;
    let moved = cx.b.transpose(collapsed, &merged)?;
    let target: Vec<Option<i64>> = perm.axes().iter().map(|&axis| cx.dim(x, axis).map(|d| d as i64)).collect();
    Ok(vec![cx.reshape_to(moved, &target, |cx, i| cx.extent_vector(x, perm.axes()[i]))?])
}

/// Axes that follow one another before and after, as `start..end` of the operand, in the order of the result.
fn runs(perm: &[usize]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &axis in perm {
        match runs.last_mut() {
            Some(run) if run.1 == axis => run.1 += 1,
            _ => runs.push((axis, axis + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_stay_together_are_one() {
        assert_eq!(runs(&[2, 3, 0, 1, 4]), [(2, 4), (0, 2), (4, 5)]);
        assert_eq!(runs(&[2, 1, 0]), [(2, 3), (1, 2), (0, 1)]);
    }
}

//! `merge_casts`: a conversion to a type that holds every value of the one before, and on to a third, becomes one conversion.
//!
//! Matches: `CAST(CAST(x))` where the type in the middle holds all values of `x` exactly. Lowering narrows indices from 64 to 32
//! bits where the file format wants that, which such pairs come from.
//!
//! Equal, as the first conversion loses nothing.

use super::pattern::{Replaced, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx};
use crate::tensor::DType;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Op::Cast { to } = node.op else { return Ok(None) };
    let inner = node.input(0).and_then(|x| cx.producer(x));
    let Some((x, middle)) = inner.and_then(|inner| match inner.op {
        Op::Cast { to } => Some((inner.input(0)?, to)),
        _ => None,
    }) else {
        return Ok(None);
    };
    // Narrower types than a byte have kernels to and from float32 alone.
    let from = cx.graph().dtype(x);
    let has_kernel = (from.bits() >= 8 || to == DType::F32) && (to.bits() >= 8 || from == DType::F32);
    if !has_kernel || !holds_all_of(middle, from) {
        return Ok(None);
    }
    Ok(Some(vec![cx.b.cast(x, to)?]))
}

/// True where every value of `narrow` is one of `wide`.
fn holds_all_of(wide: DType, narrow: DType) -> bool {
    use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    match narrow {
        Bool => matches!(wide, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64 | F16 | BF16 | F32 | F64),
        I8 => matches!(wide, I16 | I32 | I64 | F16 | BF16 | F32 | F64),
        U8 => matches!(wide, I16 | I32 | I64 | U16 | U32 | U64 | F16 | BF16 | F32 | F64),
        I16 => matches!(wide, I32 | I64 | F32 | F64),
        U16 => matches!(wide, I32 | I64 | U32 | U64 | F32 | F64),
        I32 => matches!(wide, I64 | F64),
        U32 => matches!(wide, I64 | U64 | F64),
        F16 | BF16 => matches!(wide, F32 | F64),
        F32 => wide == F64,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Unary;
    use crate::tensor::DType;

    #[test]
    fn widening_goes() {
        check(
            run,
            &["i32[2]"],
            |b, x| {
                let x = b.cast(x[0], DType::I64)?;
                b.cast(x, DType::F32)
            },
            |b, x| b.cast(x[0], DType::F32),
        );
        check(
            run,
            &["i32[2]"],
            |b, x| {
                let x = b.unary(Unary::Abs, x[0])?;
                let x = b.cast(x, DType::I64)?;
                b.cast(x, DType::I32)
            },
            |b, x| b.unary(Unary::Abs, x[0]),
        );
    }

    #[test]
    fn narrowing_stays() {
        for (ty, middle, last) in [
            ("i64[2]", DType::I32, DType::I64),
            ("f32[2]", DType::I32, DType::F32),
            ("i32[2]", DType::Bool, DType::I32),
            ("i32[2]", DType::F32, DType::I32),
        ] {
            unchanged(run, &[ty], |b, x| {
                let x = b.cast(x[0], middle)?;
                b.cast(x, last)
            });
        }
    }
}

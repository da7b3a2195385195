//! Matrix products with more in them.

use super::activation::named;
use crate::graph::ValueId;
use crate::lower::{Cx, Refusal, Results, matmul};
use crate::tensor::Perm;

/// Lowers com.microsoft `FusedMatMul`, `TransposeMatMul` and `FusedMatMulActivation` to `FULLY_CONNECTED` or `BATCH_MATMUL`.
///
/// # Accepts
/// float32; `alpha`, `transA`, `transB`, `transBatchA`, `transBatchB`, `activation`.
/// # Produces
/// `TRANSPOSE?` of the operands, then what the standard `MatMul` becomes; `alpha` is in constant weights, else `MUL` on the left operand.
/// # Refuses
/// What the standard `MatMul` refuses; activations that are not known.
pub(in crate::lower) fn fused_mat_mul(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let alpha = cx.float_or("alpha", 1.0)?;
    let (batch_a, batch_b) = (cx.flag_or("transBatchA", false)?, cx.flag_or("transBatchB", false)?);
    let (trans_a, trans_b) = (cx.flag_or("transA", false)?, cx.flag_or("transB", false)?);
    let mut a = turned(cx, a, batch_a, trans_a)?;
    let mut b = turned(cx, b, batch_b, trans_b)?;
    if cx.constant(b).is_some() {
        b = matmul::scaled(cx, b, alpha)?;
    } else {
        a = matmul::scaled(cx, a, alpha)?;
    }
    let y = cx.standard("MatMul", matmul::mat_mul, &[a, b])?;
    cx.ignore(&["activation_axis"]);
    let parameters = parameters(cx)?;
    let activation = cx.string_or("activation", "")?;
    Ok(vec![named(cx, y, activation, &parameters)?])
}

/// `activation_alpha` and what follows it.
fn parameters(cx: &Cx<'_>) -> Result<Vec<f32>, Refusal> {
    let names = ["activation_alpha", "activation_beta", "activation_gamma"];
    let given: Vec<Option<f32>> = names.iter().map(|name| cx.float(name)).collect::<Result<_, _>>()?;
    Ok(given.into_iter().map_while(|p| p).collect())
}

/// An operand with its first axis before the last one (`batch`), and its last two exchanged (`matrix`).
fn turned(cx: &mut Cx<'_>, x: ValueId, batch: bool, matrix: bool) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    if rank < 2 {
        return Ok(x);
    }
    let mut axes: Vec<usize> = (0..rank).collect();
    if batch {
        axes[..rank - 1].rotate_left(1);
    }
    if matrix {
        axes.swap(rank - 2, rank - 1);
    }
    let perm = Perm::new(axes).unwrap_or_else(|| Perm::identity(rank));
    Ok(cx.b.transpose(x, &perm)?)
}

/// Lowers com.microsoft `FusedGemm` to `FULLY_CONNECTED`.
///
/// # Accepts
/// What the standard `Gemm` accepts; `activation` with its parameters.
/// # Produces
/// What the standard `Gemm` becomes, then the activation.
/// # Refuses
/// What the standard `Gemm` refuses; activations that are not known.
pub(in crate::lower) fn fused_gemm(cx: &mut Cx<'_>) -> Results {
    let operands = cx.all_inputs()?;
    let y = cx.standard("Gemm", matmul::gemm, &operands)?;
    let parameters = parameters(cx)?;
    let activation = cx.string_or("activation", "")?;
    Ok(vec![named(cx, y, activation, &parameters)?])
}

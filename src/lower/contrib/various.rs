//! Small operators that are of no family.

use crate::graph::{Binary, Compare, Reduce, Unary, ValueId};
use crate::lower::conv::require_float32;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal, Results};

/// Lowers com.microsoft `BiasAdd` to `ADD → ADD`.
///
/// # Accepts
/// float32.
/// # Produces
/// `ADD → ADD`.
pub(in crate::lower) fn bias_add(cx: &mut Cx<'_>) -> Results {
    let (x, bias, skip) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    require_float32(cx, x)?;
    let sum = cx.b.add(x, bias)?;
    Ok(vec![cx.b.add(sum, skip)?])
}

/// Lowers com.microsoft `CDist` to `SQUARED_DIFFERENCE → SUM`.
///
/// # Accepts
/// float32; the metrics `sqeuclidean` and `euclidean`.
/// # Produces
/// `SQUARED_DIFFERENCE → SUM → SQRT?` of every row of one operand with every row of the other.
/// # Refuses
/// Other metrics.
pub(in crate::lower) fn c_dist(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, a)?;
    let root = match cx.string_or("metric", "sqeuclidean")? {
        "sqeuclidean" => false,
        "euclidean" => true,
        other => return Err(Refusal::new(format!("is {other:?}"), "use euclidean").about("attribute metric")),
    };
    let (a, b) = (insert_axis(cx, a, 1)?, insert_axis(cx, b, 0)?);
    let squares = cx.b.binary(Binary::SquaredDifference, a, b)?;
    let y = cx.b.reduce(Reduce::Sum, squares, &[2], false)?;
    Ok(vec![if root { cx.b.unary(Unary::Sqrt, y)? } else { y }])
}

/// Lowers com.microsoft `IsAllFinite` to comparisons and `REDUCE_ALL`.
///
/// # Accepts
/// Any number of float32 operands; `isinf_only`, `isnan_only`.
/// # Produces
/// `ABS → LESS_EQUAL → REDUCE_ALL` for each, joined by `LOGICAL_AND`.
pub(in crate::lower) fn is_all_finite(cx: &mut Cx<'_>) -> Results {
    let (inf_only, nan_only) = (cx.flag_or("isinf_only", false)?, cx.flag_or("isnan_only", false)?);
    let mut all: Option<ValueId> = None;
    for x in cx.all_inputs()? {
        require_float32(cx, x)?;
        let fine = if nan_only {
            cx.b.compare(Compare::Equal, x, x)?
        } else {
            let magnitude = cx.b.unary(Unary::Abs, x)?;
            let (kind, bound) =
                if inf_only { (Compare::NotEqual, f32::INFINITY) } else { (Compare::LessEqual, f32::MAX) };
            let bound = cx.b.scalar(bound);
            cx.b.compare(kind, magnitude, bound)?
        };
        let axes: Vec<usize> = (0..cx.rank(x)).collect();
        let whole = if axes.is_empty() { fine } else { cx.b.reduce(Reduce::All, fine, &axes, false)? };
        all = Some(match all {
            Some(all) => cx.b.binary(Binary::LogicalAnd, all, whole)?,
            None => whole,
        });
    }
    all.map(|all| vec![all]).ok_or_else(|| Refusal::new("there are no operands", ""))
}

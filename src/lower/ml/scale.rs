use super::{as_float, does_not_fit, features, floats, vector};
use crate::graph::{Compare, Precision, Reduce, ValueId};
use crate::lower::reduce::p_norm;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `Scaler` of `ai.onnx.ml` to `SUB → MUL`.
///
/// # Accepts
/// Numbers; one offset and scale, or one for each feature.
/// # Produces
/// `SUB → MUL`.
pub(in crate::lower) fn scaler(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let (offset, scale) = (floats(cx, "offset")?, floats(cx, "scale")?);
    let x = as_float(cx, x)?;
    let offset = vector(cx, offset);
    let scale = vector(cx, scale);
    let centered = cx.b.sub(x, offset)?;
    Ok(vec![cx.b.mul(centered, scale)?])
}

/// Lowers ONNX `Normalizer` of `ai.onnx.ml` to a division by a norm.
///
/// # Accepts
/// Numbers; `MAX`, `L1` and `L2`.
/// # Produces
/// The norm of each row, and `DIV`; rows of zeros stay what they are.
pub(in crate::lower) fn normalizer(cx: &mut Cx<'_>) -> Results {
    let x = features(cx)?;
    cx.b.set_precision(Precision::Float);
    let norm = match cx.string_or("norm", "MAX")? {
        // The largest number, not the largest magnitude.
        "MAX" => cx.b.reduce(Reduce::Max, x, &[1], true)?,
        "L1" => p_norm(cx, x, &[1], 1)?,
        "L2" => p_norm(cx, x, &[1], 2)?,
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute norm")),
    };
    let (zero, one) = (cx.b.scalar(0f32), cx.b.scalar(1f32));
    let none = cx.b.compare(Compare::Equal, norm, zero)?;
    let divisor = cx.b.select(none, one, norm)?;
    Ok(vec![cx.b.div(x, divisor)?])
}

/// Lowers ONNX `Binarizer` of `ai.onnx.ml` to `GREATER → CAST`.
///
/// # Accepts
/// Numbers.
/// # Produces
/// `GREATER → CAST`.
pub(in crate::lower) fn binarizer(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let threshold = cx.float_or("threshold", 0.0)?;
    let dtype = cx.dtype(x);
    let float = as_float(cx, x)?;
    let threshold = cx.b.scalar(threshold);
    let above = cx.b.compare(Compare::Greater, float, threshold)?;
    Ok(vec![cx.b.cast(above, dtype)?])
}

/// Lowers ONNX `Imputer` of `ai.onnx.ml` to `EQUAL → SELECT_V2`.
///
/// # Accepts
/// float32, int32 and int64; a replaced value that may be NaN; one imputed value, or one for each feature.
/// # Produces
/// `EQUAL` (for NaN `NOT_EQUAL` of the operand with itself) and `SELECT_V2`.
pub(in crate::lower) fn imputer(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let (replaced, imputed) = match dtype {
        DType::I32 | DType::I64 => {
            cx.ignore(&["imputed_value_floats", "replaced_value_float"]);
            let imputed = cx.ints("imputed_value_int64s")?.map(|v| Tensor::vector(v.to_vec()));
            (Some(cx.int_or("replaced_value_int64", 0)? as f64), imputed)
        }
        _ => {
            cx.ignore(&["imputed_value_int64s", "replaced_value_int64"]);
            let replaced = cx.float_or("replaced_value_float", 0.0)?;
            let imputed = cx.floats("imputed_value_floats")?.map(|v| Tensor::vector(v.to_vec()));
            ((!replaced.is_nan()).then_some(replaced.into()), imputed)
        }
    };
    let imputed = imputed.filter(|v| !v.is_empty()).ok_or_else(|| does_not_fit("imputed_value_floats"))?;
    let imputed = imputed.cast(dtype).map_err(|e| Refusal::new(e.to_string(), ""))?;
    let missing = match replaced {
        Some(replaced) => {
            let replaced = cx.b.scalar_of(dtype, replaced)?;
            cx.b.compare(Compare::Equal, x, replaced)?
        }
        None => cx.b.compare(Compare::NotEqual, x, x)?,
    };
    let imputed = cx.b.constant(imputed);
    Ok(vec![cx.b.select(missing, imputed, x)?])
}

/// Lowers ONNX `FeatureVectorizer` of `ai.onnx.ml` to `CONCATENATION`.
///
/// # Accepts
/// Numbers, each operand as wide as `inputdimensions` says.
/// # Produces
/// `CAST? → CONCATENATION`; an operand that is wider or narrower is cut, or filled with zeros.
/// # Refuses
/// Operands of unknown width.
pub(in crate::lower) fn feature_vectorizer(cx: &mut Cx<'_>) -> Results {
    let operands = cx.all_inputs()?;
    let widths = cx.ints("inputdimensions")?.unwrap_or_default();
    if widths.len() != operands.len() || operands.is_empty() {
        return Err(does_not_fit("inputdimensions"));
    }
    let mut parts = Vec::new();
    for (&x, &width) in operands.iter().zip(widths) {
        let width = i32::try_from(width).ok().and_then(|w| usize::try_from(w).ok());
        let width = width.ok_or_else(|| does_not_fit("inputdimensions"))?;
        parts.push(of_width(cx, x, width)?);
    }
    Ok(vec![cx.b.concat(&parts, 1)?])
}

fn of_width(cx: &mut Cx<'_>, x: ValueId, width: usize) -> Result<ValueId, Refusal> {
    let x = as_float(cx, x)?;
    let x = if cx.rank(x) == 1 { crate::lower::window::insert_axis(cx, x, 1)? } else { x };
    let Some(given) = cx.dim(x, 1).filter(|_| cx.rank(x) == 2) else {
        return Err(Refusal::new(format!("features of {}", cx.shape(x)), "pin their number with --shape NAME=.."));
    };
    if given >= width {
        return Ok(if given == width { x } else { cx.b.slice(x, &[0, 0], &[-1, width as i64])? });
    }
    Ok(cx.b.pad(x, &[(0, 0), (0, width - given)])?)
}

use super::does_not_fit;
use crate::graph::{Compare, Precision, Reduce, ValueId};
use crate::lower::reshape::Part;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `LabelEncoder` of `ai.onnx.ml` to `EQUAL` with all keys.
///
/// # Accepts
/// Keys and values that are numbers, as lists or tensors; any rank.
/// # Produces
/// `EQUAL → SELECT_V2 → SUM` over the keys, `REDUCE_ANY → SELECT_V2` with the default.
/// # Refuses
/// Strings.
pub(in crate::lower) fn label_encoder(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    cx.ignore(&["default_string"]);
    let keys = table(cx, "keys")?;
    let values = table(cx, "values")?;
    let (keys, values) = once(&keys, &values)?;
    let default = default(cx, values.dtype())?;
    countable(&[keys.len()])?;
    cx.b.set_precision(Precision::Float);
    let keys = keys.cast(cx.dtype(x)).map_err(|e| Refusal::new(e.to_string(), ""))?;
    // Before version 4, NaN was a key that nothing finds.
    let of_nan = keys.to_f64s().ok().filter(|_| cx.opset() >= 4).unwrap_or_default().iter().position(|k| k.is_nan());
    let rank = cx.rank(x);
    let upright = insert_axis(cx, x, rank)?;
    let wide = cx.in_kernel_type(upright, &[DType::F32, DType::I32, DType::I64])?;
    let keys = cx.b.constant(keys.cast(cx.dtype(wide)).map_err(|e| Refusal::new(e.to_string(), ""))?);
    let is = cx.b.compare(Compare::Equal, wide, keys)?;
    let dtype = values.dtype();
    let carried = if dtype == DType::I16 { DType::I32 } else { dtype };
    let value_of_nan = of_nan.and_then(|i| values.to_f64s().ok()?.get(i).copied());
    let values = cx.b.constant(values.cast(carried).map_err(|e| Refusal::new(e.to_string(), ""))?);
    let zero = cx.b.scalar_of(carried, 0.0)?;
    let found = cx.b.select(is, values, zero)?;
    let found = cx.b.reduce(Reduce::Sum, found, &[rank], false)?;
    let any = cx.b.reduce(Reduce::Any, is, &[rank], false)?;
    let default = cx.b.constant(default.cast(carried).map_err(|e| Refusal::new(e.to_string(), ""))?);
    let mut y = cx.b.select(any, found, default)?;
    if let Some(value) = value_of_nan {
        // NaN is a key like others here, though it equals nothing.
        let is_nan = cx.b.compare(Compare::NotEqual, x, x)?;
        let value = cx.b.scalar_of(carried, value)?;
        y = cx.b.select(is_nan, value, y)?;
    }
    Ok(vec![cx.b.cast(y, dtype)?])
}

/// One side of the table of labels.
fn table(cx: &Cx<'_>, side: &str) -> Result<Tensor, Refusal> {
    if let Some(tensor) = numbers_of(cx, &format!("{side}_tensor"))? {
        return tensor.reshape(&[tensor.len()]).map_err(|e| Refusal::new(e.to_string(), ""));
    }
    if let Some(ints) = cx.ints(&format!("{side}_int64s"))? {
        return Ok(Tensor::vector(ints.to_vec()));
    }
    if let Some(floats) = cx.floats(&format!("{side}_floats"))? {
        return Ok(Tensor::vector(floats.to_vec()));
    }
    let what = "the labels are strings, which TFLite graphs don't compute with";
    Err(Refusal::new(what, "map them to numbers before the model, and to strings after it")
        .about(format!("attribute {side}_strings")))
}

/// An attribute that holds a tensor; one of strings is a refusal.
fn numbers_of<'a>(cx: &Cx<'a>, name: &str) -> Result<Option<&'a Tensor>, Refusal> {
    cx.tensor(name)
}

fn default(cx: &Cx<'_>, dtype: DType) -> Result<Tensor, Refusal> {
    let (ints, floats) = (cx.int_or("default_int64", -1)?, cx.float_or("default_float", -0.0)?);
    let given = numbers_of(cx, "default_tensor")?;
    let default = match (given, dtype) {
        (Some(given), _) => given.reshape(&[]).map_err(|_| does_not_fit("default_tensor"))?,
        (None, DType::F32 | DType::F64) => Tensor::scalar(floats),
        (None, _) => Tensor::scalar(ints),
    };
    default.cast(dtype).map_err(|e| Refusal::new(e.to_string(), ""))
}

/// Each key once: the last of equal ones counts.
fn once(keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor), Refusal> {
    let error = |e: crate::tensor::TensorError| Refusal::new(e.to_string(), "");
    if keys.len() != values.len() {
        return Err(does_not_fit("keys"));
    }
    let bits: Vec<u64> = match keys.dtype().is_int() {
        true => keys.to_i64s().map_err(error)?.into_iter().map(|k| k as u64).collect(),
        false => keys.to_f64s().map_err(error)?.into_iter().map(f64::to_bits).collect(),
    };
    let mut last = std::collections::BTreeMap::new();
    for (i, key) in bits.iter().enumerate() {
        last.insert(key, i);
    }
    let mut kept: Vec<usize> = last.into_values().collect();
    kept.sort_unstable();
    Ok((picked(keys, &kept)?, picked(values, &kept)?))
}

fn picked(x: &Tensor, at: &[usize]) -> Result<Tensor, Refusal> {
    let width = x.dtype().bits() / 8;
    let bytes: Vec<u8> = at.iter().flat_map(|&i| x.bytes()[i * width..(i + 1) * width].to_vec()).collect();
    Tensor::new(x.dtype(), vec![at.len()], bytes.into()).map_err(|e| Refusal::new(e.to_string(), ""))
}

/// Lowers ONNX `OneHotEncoder` of `ai.onnx.ml` to `EQUAL → CAST`.
///
/// # Accepts
/// Numbers; categories that are integers.
/// # Produces
/// `EQUAL → CAST`; a number that is no category gives zeros, with a note where the definition asks for an error.
/// # Refuses
/// Categories that are strings.
pub(in crate::lower) fn one_hot_encoder(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if !cx.flag_or("zeros", true)? {
        cx.note("a number that is no category gives zeros, not an error");
    }
    let Some(categories) = cx.ints("cats_int64s")? else {
        let what = "the categories are strings, which TFLite graphs don't compute with";
        return Err(Refusal::new(what, "map them to integers before the model").about("attribute cats_strings"));
    };
    let integers = match cx.dtype(x) {
        DType::I32 | DType::I64 => x,
        // Fractions are cut off.
        _ => cx.b.cast(x, DType::I64)?,
    };
    let categories = Tensor::vector(categories.to_vec()).cast(cx.dtype(integers));
    let categories = cx.b.constant(categories.map_err(|e| Refusal::new(e.to_string(), ""))?);
    let rank = cx.rank(x);
    let upright = insert_axis(cx, integers, rank)?;
    let is = cx.b.compare(Compare::Equal, upright, categories)?;
    Ok(vec![cx.b.cast(is, DType::F32)?])
}

/// Lowers ONNX `ArrayFeatureExtractor` of `ai.onnx.ml` to `GATHER`.
///
/// # Accepts
/// Numbers; indices that are constant or computed.
/// # Produces
/// `GATHER` along the last axis.
/// # Refuses
/// Scalars.
pub(in crate::lower) fn array_feature_extractor(cx: &mut Cx<'_>) -> Results {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(x);
    let Some(last) = rank.checked_sub(1) else {
        return Err(Refusal::new("a scalar has no features", "check the model with onnx.checker"));
    };
    let indices = cx.as_i32(indices)?;
    let indices = cx.b.reshape(indices, &[-1])?;
    let taken = cx.gather_at(x, indices, last)?;
    // A vector gives one row.
    let parts = [Part::Fixed(1), Part::Axes(0..1)];
    Ok(vec![if rank == 1 { row(cx, taken, &parts)? } else { taken }])
}

fn row(cx: &mut Cx<'_>, x: ValueId, parts: &[Part]) -> Result<ValueId, Refusal> {
    cx.reshape_parts(x, parts)
}

//! Constants as the integers that kernels take.

use super::super::materialize::extents;
use super::super::range::{Params, Range};
use super::super::weights::{is_worth_four_bits, packed};
use super::form::Form;
use crate::graph::{Graph, Quant, ValueId};
use crate::tensor::{DType, Tensor};

/// Scales and zero points of what is computed must stay normal numbers: interpreters crash on others.
fn is_sane(scale: f32) -> bool {
    (1e-30..=1e30).contains(&scale)
}

/// Weights with zero points 0, as the model had them.
#[derive(Debug)]
pub(super) struct Weights {
    pub data: Tensor,
    /// One, or one for each output channel.
    pub scale: Vec<f32>,
    pub axis: usize,
}

impl Weights {
    /// # Errors
    /// Where the constant has no such integers: a reason.
    pub(super) fn of(graph: &Graph, id: ValueId, axis: usize) -> Result<Weights, &'static str> {
        let (Some(data), Some(Quant::Affine { scale, axis: own, .. })) = (graph.constant(id), &graph.value(id).quant)
        else {
            return Err("its weights have no scale in the model");
        };
        if scale.len() > 1 && *own != axis {
            return Err("its weights have scales along another axis than that of the output channels");
        }
        let integers = integers(data, scale, *own)?;
        Ok(Weights { data: integers, scale: scale.clone(), axis })
    }

    pub(super) fn quant(&self) -> Quant {
        Quant::Affine { scale: self.scale.clone(), zero_point: vec![0; self.scale.len()], axis: self.axis }
    }

    /// A bias in units of the products with data of scale `x`.
    ///
    /// # Errors
    /// Where it does not fit: a reason.
    pub(super) fn bias(&self, bias: &Tensor, x: f32, wide: bool) -> Result<(Tensor, Quant), &'static str> {
        const BEYOND: &str = "its bias is too large for the scales of data and weights";
        let values = bias.to_f32s().map_err(|_| BEYOND)?;
        let scales: Vec<f32> = self.scale.iter().map(|w| x * w).collect();
        if !scales.iter().all(|&s| is_sane(s)) || (scales.len() > 1 && scales.len() != values.len()) {
            return Err(BEYOND);
        }
        let stored = values.iter().zip(scales.iter().cycle()).map(|(&b, &s)| {
            let stored = (f64::from(b) / f64::from(s)).round_ties_even();
            (stored.abs() <= f64::from(i32::MAX)).then_some(stored as i64)
        });
        let stored: Vec<i64> = stored.collect::<Option<_>>().ok_or(BEYOND)?;
        let stored = Tensor::from_vec(bias.shape(), stored);
        let stored = if wide { stored } else { stored.cast(DType::I32).map_err(|_| BEYOND)? };
        Ok((stored, Quant::Affine { zero_point: vec![0; scales.len()], scale: scales, axis: 0 }))
    }
}

/// The integers that a constant came from, less the zero point.
pub(super) fn integers(data: &Tensor, scale: &[f32], axis: usize) -> Result<Tensor, &'static str> {
    const NOT_SYMMETRIC: &str = "its weights have a zero point, and less it they don't fit in 8 bits";
    let values = data.view::<f32>().map_err(|_| "its weights are not float32")?;
    let (channels, inner) = match scale.len() {
        1 => (1, values.len()),
        _ => extents(data.shape(), axis).map_err(|_| "its weights have no such axis")?,
    };
    if channels != scale.len() {
        return Err("its weights have another number of scales than channels");
    }
    let mut stored = Vec::with_capacity(values.len());
    for (run, values) in values.chunks(inner.max(1)).enumerate() {
        let scale = scale[run % channels];
        if !is_sane(scale) {
            return Err("its weights have a scale that interpreters crash on");
        }
        for &w in values {
            let q = (f64::from(w) / f64::from(scale)).round_ties_even();
            if !(-128.0..=127.0).contains(&q) {
                return Err(NOT_SYMMETRIC);
            }
            stored.push(q as i8);
        }
    }
    Ok(Tensor::from_vec(data.shape(), stored))
}

/// The integers that a constant came from, with their zero point, where there is one for all.
pub(super) fn with_zero_point(data: &Tensor, scale: f32, zero_point: i64) -> Option<Tensor> {
    let store = |&w: &f32| {
        let q = (f64::from(w) / f64::from(scale)).round_ties_even() + zero_point as f64;
        (-128.0..=127.0).contains(&q).then_some(q as i8)
    };
    let stored: Option<Vec<i8>> = data.view::<f32>().ok()?.iter().map(store).collect();
    Some(Tensor::from_vec(data.shape(), stored.filter(|_| is_sane(scale))?))
}

/// 8-bit integers in 4 bits, if these hold all of them and the model saves by it.
pub(super) fn narrowed(data: Tensor) -> Tensor {
    let Ok(values) = data.view::<i8>() else { return data };
    let fits = is_worth_four_bits(&data) && values.iter().all(|q| (-8..=7).contains(q));
    if !fits {
        return data;
    }
    packed(data.shape(), values.to_vec(), 4)
}

/// A constant stored in `form`, and whether its integers stand for the very numbers.
pub(super) fn stored(data: &Tensor, form: Form) -> Option<(Tensor, bool)> {
    let mut exact = true;
    let mut store = |&x: &f32| {
        let (stored, same) = form.store(x);
        exact &= same;
        stored
    };
    let stored: Vec<f64> = data.view::<f32>().ok()?.iter().map(&mut store).collect();
    Some((Tensor::from_vec(data.shape(), stored).cast(form.dtype).ok()?, exact))
}

/// The form of a constant operand: that of the model, or one in which the one number that it holds is exact. With zero point 0
/// where `symmetric`.
pub(super) fn own_form(graph: &Graph, id: ValueId, dtype: DType, symmetric: bool) -> Option<Form> {
    let data = graph.constant(id)?;
    let form = match (&graph.value(id).quant, dtype) {
        (Some(quant), DType::I8) => {
            let (scale, zero_point) = quant.as_per_tensor().filter(|(scale, _)| is_sane(*scale))?;
            let zero_point = if symmetric { 0 } else { i32::try_from(zero_point).ok()? };
            Form::int8(Params { scale, zero_point })
        }
        _ => {
            let number = graph.const_splat(id)? as f32;
            let Params { scale, .. } = Params::symmetric(Range { min: number, max: number });
            let scale = if dtype == DType::I16 { scale / 258.0 } else { scale };
            Form { dtype, params: Params { scale, zero_point: 0 } }
        }
    };
    let (_, exact) = stored(data, form)?;
    exact.then_some(form)
}

//! ONNX `QuantizeLinear` and `DequantizeLinear`.

use super::arithmetic::{self, limits, unquantizable};
use super::grid::{Along, Linear};
use crate::graph::{Op, Quant, ValueId};
use crate::lower::constant::element_type;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Tensor, normalize_axis};

/// Lowers ONNX `DequantizeLinear` to `DEQUANTIZE`.
///
/// # Accepts
/// int8, uint8, int16, uint16, int32, int4, uint4; a scale for the tensor, for each index of an axis or for each block, constant or
/// computed.
/// # Produces
/// `DEQUANTIZE` of int8, uint8 and int16 with one constant scale; constants are float32 numbers that remember their integers, which
/// are stored instead where a kernel takes them; all else is `CAST → SUB → MUL`.
/// # Refuses
/// float8.
pub(in crate::lower) fn dequantize_linear(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let linear = cx.linear(x, 1, Some(2), 1)?;
    let y = cx.dequantized(x, linear)?;
    let to = match cx.int_or("output_dtype", 0)? {
        0 => cx.dtype(linear.scale),
        number => element_type(number).map_err(|r| r.about("attribute output_dtype"))?,
    };
    Ok(vec![cx.b.cast(y, to)?])
}

/// Lowers ONNX `QuantizeLinear` to `QUANTIZE`.
///
/// # Accepts
/// float32, float16, bfloat16, int32; to int8, uint8, int16, uint16, int4, uint4; a scale for the tensor, for each index of an axis
/// or for each block, constant or computed.
/// # Produces
/// `QUANTIZE` to int8, uint8 and int16 with one constant scale; constants are quantized at once, halves to even; all else is
/// `DIV → ROUND → ADD → MAXIMUM → MINIMUM → CAST`.
/// # Refuses
/// float8.
pub(in crate::lower) fn quantize_linear(cx: &mut Cx<'_>) -> Results {
    // Both speak of types that are refused or of float32 that is rounded to less.
    cx.ignore(&["saturate", "precision"]);
    let x = cx.input(0)?;
    let linear = cx.linear(x, 1, Some(2), 1)?;
    let to = match (cx.int_or("output_dtype", 0)?, linear.zero_point) {
        (0, Some(zero_point)) => cx.dtype(zero_point),
        (0, None) => DType::U8,
        (number, _) => element_type(number).map_err(|r| r.about("attribute output_dtype"))?,
    };
    Ok(vec![cx.quantized(x, linear, to)?])
}

impl Cx<'_> {
    /// Scale and zero point that stand at operands `scale` and `zero_point`, for `x`.
    pub(super) fn linear(
        &self,
        x: ValueId,
        scale: usize,
        zero_point: Option<usize>,
        default_axis: i64,
    ) -> Result<Linear, Refusal> {
        let scale = self.input(scale)?;
        let zero_point = zero_point.and_then(|i| self.optional(i));
        let (axis, block) = (self.int_or("axis", default_axis)?, self.int_or("block_size", 0)?);
        let one = |id: ValueId| self.shape(id).elements() == Some(1);
        if one(scale) && zero_point.is_none_or(one) {
            return Ok(Linear { scale, zero_point, along: Along::Tensor });
        }
        let axis = normalize_axis(axis, self.rank(x)).ok_or_else(|| {
            Refusal::new(format!("is {axis} for an operand of {}", self.shape(x)), "").about("attribute axis")
        })?;
        let along = match usize::try_from(block) {
            Ok(size) if size > 0 => Along::Blocks { axis, size },
            _ if self.rank(scale) <= 1 => Along::Axis(axis),
            _ => Along::Broadcast,
        };
        Ok(Linear { scale, zero_point, along })
    }

    /// The real numbers that the integers of `x` stand for, as float32.
    pub(super) fn dequantized(&mut self, x: ValueId, linear: Linear) -> Result<ValueId, Refusal> {
        let dtype = self.dtype(x);
        if !dtype.is_int() {
            return Err(unquantizable(dtype));
        }
        if let Some(grid) = linear.grid(self) {
            if let Some(data) = self.constant(x).cloned() {
                let integers = data.to_i64s().map_err(|e| Refusal::new(e.to_string(), ""))?;
                let real = |flat: usize, scale: f32, zero_point: i64| {
                    integers.get(flat).map_or(0.0, |q| scale * q.wrapping_sub(zero_point) as f32)
                };
                if let Some(numbers) = grid.map(data.shape(), real) {
                    let y = self.b.constant(Tensor::from_vec(data.shape(), numbers));
                    self.b.graph.value_mut(y).quant = grid.quant(dtype);
                    return Ok(y);
                }
            }
            if let Some((scale, zero_point)) = grid.per_tensor().filter(|(_, z)| has_kernel(dtype, *z))
                && self.is_stored_with(x, &Quant::per_tensor(scale, zero_point))
            {
                return Ok(self.b.one(Op::Dequantize, &[x])?);
            }
        }
        let x = self.stored_integers(x)?;
        arithmetic::dequantize(self, x, linear)
    }

    /// True where `x` has this scale; gives it to an input of the graph that no one has used so far.
    fn is_stored_with(&mut self, x: ValueId, quant: &Quant) -> bool {
        let graph = &mut *self.b.graph;
        let unused = || !graph.nodes.iter().any(|node| node.inputs.contains(&Some(x)));
        if graph.value(x).quant.is_none() && graph.inputs.contains(&x) && unused() {
            graph.value_mut(x).quant = Some(quant.clone());
        }
        graph.value(x).quant.as_ref() == Some(quant)
    }

    /// Integers of type `to` for the real numbers `x`.
    pub(super) fn quantized(&mut self, x: ValueId, linear: Linear, to: DType) -> Result<ValueId, Refusal> {
        let (low, high) = limits(to).ok_or_else(|| unquantizable(to))?;
        let x = self.b.cast(x, DType::F32)?;
        if let Some(grid) = linear.grid(self) {
            if let Some(data) = self.constant(x).cloned() {
                let numbers = data.to_f32s().map_err(|e| Refusal::new(e.to_string(), ""))?;
                let integer = |flat: usize, scale: f32, zero_point: i64| {
                    let steps = numbers.get(flat).map_or(0.0, |x| x / scale).round_ties_even();
                    (steps + zero_point as f32).clamp(low, high)
                };
                if let Some(integers) = grid.map(data.shape(), integer) {
                    let stored = Tensor::from_vec(data.shape(), integers);
                    return self.narrow_constant(stored, to);
                }
            }
            if let Some((scale, zero_point)) = grid.per_tensor().filter(|(_, z)| has_kernel(to, *z)) {
                let y = self.b.one(Op::Quantize { to }, &[x])?;
                self.b.graph.value_mut(y).quant = Some(Quant::per_tensor(scale, zero_point));
                return Ok(y);
            }
        }
        arithmetic::quantize(self, x, linear, to)
    }

    /// Whole numbers as a constant of an integer type.
    fn narrow_constant(&mut self, whole: Tensor, to: DType) -> Result<ValueId, Refusal> {
        match to.bits() {
            8.. => {
                let stored = whole.cast(to).map_err(|e| Refusal::new(e.to_string(), ""))?;
                Ok(self.b.constant(stored))
            }
            _ => {
                let whole = self.b.constant(whole);
                Ok(self.b.cast(whole, to)?)
            }
        }
    }
}

/// Whether `QUANTIZE` and `DEQUANTIZE` have a kernel for one scale and this zero point.
fn has_kernel(dtype: DType, zero_point: i64) -> bool {
    match dtype {
        DType::I8 => (-128..=127).contains(&zero_point),
        DType::U8 => (0..=255).contains(&zero_point),
        DType::I16 => zero_point == 0,
        _ => false,
    }
}

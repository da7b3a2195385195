//! com.microsoft `MatMulNBits`: weights of 2, 4 or 8 bits, with a scale for every block of them.

use crate::lower::conv::require_float32;
use crate::lower::matmul::fully_connected;
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::{DType, Tensor};

/// Lowers com.microsoft `MatMulNBits` to `FULLY_CONNECTED`.
///
/// # Accepts
/// float32 operands; constant weights of 2, 4 or 8 bits, any `block_size`; zero points packed, as floats, or none; a bias.
/// # Produces
/// `FULLY_CONNECTED` with the weights as float32 numbers.
/// # Refuses
/// Weights computed at run time or packed for a device; `g_idx`.
pub(in crate::lower) fn mat_mul_n_bits(cx: &mut Cx<'_>) -> Results {
    // How exactly the operand is to be taken at least: it is taken as it is.
    cx.ignore(&["accuracy_level"]);
    if cx.int_or("weight_prepacked", 0)? != 0 {
        let what = "weights in the layout of a device can't be read";
        return Err(Refusal::new(what, "export them unpacked").about("attribute weight_prepacked"));
    }
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let blocks = Blocks::read(cx)?;
    let weights = blocks.weights(cx)?;
    let weights = cx.b.constant(Tensor::from_vec(&[blocks.outputs, blocks.inputs], weights));
    let bias = cx.optional(5);
    Ok(vec![fully_connected(&mut cx.b, x, weights, bias)?])
}

/// How the weights are packed.
struct Blocks {
    inputs: usize,
    outputs: usize,
    bits: usize,
    /// Elements of a block, along the inputs.
    size: usize,
}

impl Blocks {
    fn read(cx: &Cx<'_>) -> Result<Blocks, Refusal> {
        let size = |name: &str, default: i64| {
            let number = usize::try_from(cx.int_or(name, default)?).ok().filter(|&n| n > 0);
            number.ok_or_else(|| Refusal::new("must be positive", "check the model").about(format!("attribute {name}")))
        };
        let found = Blocks {
            inputs: size("K", 0)?,
            outputs: size("N", 0)?,
            bits: size("bits", 4)?,
            size: size("block_size", 0)?,
        };
        if ![2, 4, 8].contains(&found.bits) {
            return Err(Refusal::new(format!("is {}", found.bits), "use 2, 4 or 8").about("attribute bits"));
        }
        countable(&[found.inputs.div_ceil(8), found.outputs])?;
        countable(&[found.size])?;
        Ok(found)
    }

    /// Blocks of one output.
    fn count(&self) -> usize {
        self.inputs.div_ceil(self.size)
    }

    /// The weights as real numbers, `[outputs, inputs]`.
    fn weights(&self, cx: &Cx<'_>) -> Result<Vec<f32>, Refusal> {
        let misfit = |name: &str| {
            let what = format!("does not hold {} outputs of {} blocks", self.outputs, self.count());
            Refusal::new(what, "check the model").about(format!("operand {name}"))
        };
        let packed = cx.constant_input(1, "B")?;
        let blob = (self.size * self.bits).div_ceil(8);
        let row = blob * self.count();
        let bytes = packed.bytes();
        if packed.dtype() != DType::U8 || bytes.len() != row * self.outputs {
            return Err(misfit("B"));
        }
        let scales = cx.const_floats(2, "scales")?.unwrap_or_default();
        if scales.len() != self.outputs * self.count() {
            return Err(misfit("scales"));
        }
        let zero_points = self.zero_points(cx)?.ok_or_else(|| misfit("zero_points"))?;
        let mut weights = Vec::with_capacity(self.outputs * self.inputs);
        for output in 0..self.outputs {
            for input in 0..self.inputs {
                let (block, element) = (input / self.size, input % self.size);
                let stored = field(&bytes[output * row + block * blob..], self.bits, element);
                let at = output * self.count() + block;
                weights.push((f64::from(stored) - zero_points[at]) as f32 * scales[at] as f32);
            }
        }
        Ok(weights)
    }

    /// One for each block; `None` where the operand does not fit.
    fn zero_points(&self, cx: &Cx<'_>) -> Result<Option<Vec<f64>>, Refusal> {
        let blocks = self.outputs * self.count();
        let Some(id) = cx.optional(3) else { return Ok(Some(vec![f64::from(1u32 << (self.bits - 1)); blocks])) };
        let data = cx.constant_input(3, "zero_points")?;
        if cx.dtype(id) != DType::U8 {
            return Ok(data.to_f64s().ok().filter(|z| z.len() == blocks));
        }
        let row = (self.count() * self.bits).div_ceil(8);
        let bytes = data.bytes();
        if bytes.len() != row * self.outputs {
            return Ok(None);
        }
        let of_output = |output: usize| {
            let packed = &bytes[output * row..];
            (0..self.count()).map(move |block| f64::from(field(packed, self.bits, block)))
        };
        Ok(Some((0..self.outputs).flat_map(of_output).collect()))
    }
}

/// Number `i` of those of `bits` bits that are packed in `bytes`, low bits first.
fn field(bytes: &[u8], bits: usize, i: usize) -> u8 {
    let byte = bytes.get(i * bits / 8).copied().unwrap_or(0);
    (byte >> (i * bits % 8)) & (0xffu8 >> (8 - bits))
}

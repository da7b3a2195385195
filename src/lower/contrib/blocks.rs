//! com.microsoft `MatMulNBits`: weights of 2, 4 or 8 bits, with a scale for every block of them.

use half::{bf16, f16};

use crate::graph::{Precision, Quant};
use crate::lower::conv::require_float32;
use crate::lower::matmul::fully_connected;
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::{DType, Tensor};

/// Lowers com.microsoft `MatMulNBits` to `FULLY_CONNECTED`.
///
/// # Accepts
/// float32 operands; constant weights of 2, 4 or 8 bits, any `block_size`; zero points packed, as floats, or none; a bias.
/// # Produces
/// `FULLY_CONNECTED` with the weights as float32 numbers. Where `accuracy_level` is 4, which lets the operand be rounded to 8 bits, weights of
/// 4 bits stay as they are, in blocks of 32, 64, 128 or 256: the kernel rounds the operand, and knows 8 bits of a scale.
/// # Refuses
/// Weights computed at run time or packed for a device; `g_idx`.
pub(in crate::lower) fn mat_mul_n_bits(cx: &mut Cx<'_>) -> Results {
    if cx.int_or("weight_prepacked", 0)? != 0 {
        let what = "weights in the layout of a device can't be read";
        return Err(Refusal::new(what, "export them unpacked").about("attribute weight_prepacked"));
    }
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let blocks = Blocks::read(cx)?;
    let stored = blocks.stored(cx)?;
    let bias = cx.optional(5);
    // 4 stands for int8, and everything below for floats.
    let rounds = cx.int_or("accuracy_level", 0)? == 4;
    let weights = match stored.for_kernel(&blocks).filter(|_| rounds) {
        Some((integers, scales)) => {
            cx.note("weights stay integers of 4 bits, and what they are multiplied with is rounded to 8 bits");
            // No other scheme has a kernel for them.
            cx.b.set_precision(Precision::Float);
            let scales = cx.b.constant(scales);
            let weights = cx.b.constant(integers);
            let quant = Quant::Blockwise { scales, zero_points: None, block_size: blocks.size };
            cx.b.graph.value_mut(weights).quant = Some(quant);
            weights
        }
        None => cx.b.constant(Tensor::from_vec(&[blocks.outputs, blocks.inputs], stored.numbers(&blocks))),
    };
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

    /// The data of the operands.
    fn stored(&self, cx: &Cx<'_>) -> Result<Stored, Refusal> {
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
        let of_output = |output: usize| {
            let element = move |input: usize| (output * row + input / self.size * blob, input % self.size);
            (0..self.inputs).map(element).map(|(blob, i)| field(&bytes[blob..], self.bits, i))
        };
        let integers = (0..self.outputs).flat_map(of_output).collect();
        Ok(Stored { integers, scales, zero_points })
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

/// Integers of every weight, by output and input; scale and zero point of every block of them.
struct Stored {
    integers: Vec<u8>,
    scales: Vec<f64>,
    zero_points: Vec<f64>,
}

impl Stored {
    /// The weights as real numbers, `[outputs, inputs]`.
    fn numbers(&self, of: &Blocks) -> Vec<f32> {
        let number = |(i, &stored): (usize, &u8)| {
            let block = i / of.inputs * of.count() + i % of.inputs / of.size;
            (f64::from(stored) - self.zero_points[block]) as f32 * self.scales[block] as f32
        };
        self.integers.iter().enumerate().map(number).collect()
    }

    /// `INT4 [outputs, inputs]` and `FLOAT16 [outputs, blocks]`, where `FULLY_CONNECTED` has a kernel that is right for them: the one for
    /// rows of whole blocks, and no fewer than 4 of them.
    fn for_kernel(&self, of: &Blocks) -> Option<(Tensor, Tensor)> {
        let fits = of.bits == 4
            && [32, 64, 128, 256].contains(&of.size)
            && of.inputs.is_multiple_of(of.size)
            && of.outputs >= 4;
        if !fits || self.zero_points.iter().any(|&z| z != 8.0) {
            return None;
        }
        let kept = |&scale: &f64| f16::from_f32(bf16::from_f64(scale).to_f32());
        let scales: Vec<f16> = self.scales.iter().map(kept).collect();
        if !scales.iter().all(|scale| scale.is_normal() && scale.is_sign_positive()) {
            return None;
        }
        let nibbles = self.integers.iter().map(|stored| stored.wrapping_sub(8));
        let integers = Tensor::of_nibbles(DType::I4, &[of.outputs, of.inputs], nibbles);
        Some((integers, Tensor::from_vec(&[of.outputs, of.count()], scales)))
    }
}

/// Number `i` of those of `bits` bits that are packed in `bytes`, low bits first.
fn field(bytes: &[u8], bits: usize, i: usize) -> u8 {
    let byte = bytes.get(i * bits / 8).copied().unwrap_or(0);
    (byte >> (i * bits % 8)) & (0xffu8 >> (8 - bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_packed_low_bits_first() {
        assert_eq!((0..4).map(|i| field(&[0x21, 0x43], 4, i)).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!((0..4).map(|i| field(&[0b11_10_01_00], 2, i)).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!((0..2).map(|i| field(&[0xab, 0xcd], 8, i)).collect::<Vec<_>>(), [0xab, 0xcd]);
    }

    fn stored(of: &Blocks, zero_point: f64) -> Stored {
        let blocks = of.outputs * of.count();
        Stored {
            integers: (0..of.inputs * of.outputs).map(|i| (i % 16) as u8).collect(),
            scales: vec![0.1; blocks],
            zero_points: vec![zero_point; blocks],
        }
    }

    #[test]
    fn a_kernel_takes_whole_blocks_around_zero() {
        let of = |outputs, inputs, bits, size| Blocks { inputs, outputs, bits, size };
        let fit = of(4, 64, 4, 32);
        let (integers, scales) = stored(&fit, 8.0).for_kernel(&fit).unwrap();
        assert_eq!((integers.dtype(), integers.shape()), (DType::I4, [4, 64].as_slice()));
        assert_eq!(integers.to_i64s().unwrap()[..16], [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7]);
        // 8 bits of 0.1.
        assert_eq!((scales.shape(), scales.to_f64s().unwrap()[0]), ([4, 2].as_slice(), 0.10009765625));
        assert!(stored(&fit, 7.0).for_kernel(&fit).is_none());
        for other in [of(3, 64, 4, 32), of(4, 40, 4, 32), of(4, 64, 4, 16), of(4, 64, 8, 32)] {
            assert!(stored(&other, 8.0).for_kernel(&other).is_none());
        }
    }
}

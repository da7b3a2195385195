use super::InputSpec;
use crate::tensor::Tensor;

/// Numbers that look random and are the same at every run: floats around 0, integers 0 and 1. Extents that a sample may choose are 1.
pub fn made_up(specs: &[InputSpec], count: usize) -> Vec<Vec<Tensor>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        // xorshift64*, from Vigna, "An experimental exploration of Marsaglia's xorshift generators".
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f64 / f64::from(1u32 << 24)
    };
    let mut tensor = |spec: &InputSpec| {
        let shape: Vec<usize> = spec.dims.iter().map(|d| d.unwrap_or(1)).collect();
        let count = shape.iter().product();
        let values: Vec<f64> = match spec.dtype.is_float() {
            true => (0..count).map(|_| next() * 4.0 - 2.0).collect(),
            false => (0..count).map(|_| (next() * 2.0).floor()).collect(),
        };
        Tensor::from_vec(&shape, values).cast(spec.dtype).ok()
    };
    (0..count).map(|_| specs.iter().filter_map(&mut tensor).collect()).collect()
}

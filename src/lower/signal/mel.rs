use crate::lower::constant::element_type;
use crate::lower::kernel_type::no_kernel;
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::Tensor;

/// Lowers ONNX `MelWeightMatrix` to a constant.
///
/// # Accepts
/// Constant operands; any `output_datatype` of plain numbers.
/// # Produces
/// A constant.
/// # Refuses
/// Operands that are computed at run time.
pub(in crate::lower) fn mel_weight_matrix(cx: &mut Cx<'_>) -> Results {
    let number = |i: usize, name: &str| -> Result<f64, Refusal> {
        cx.const_floats(i, name)?.and_then(|v| v.first().copied()).ok_or_else(|| {
            Refusal::new("is missing", "check the model with onnx.checker").about(format!("operand {name}"))
        })
    };
    let (bins, length) = (number(0, "num_mel_bins")?, number(1, "dft_length")?);
    let rate = number(2, "sample_rate")?;
    let edges = (number(3, "lower_edge_hertz")?, number(4, "upper_edge_hertz")?);
    let dtype = element_type(cx.int_or("output_datatype", 1)?).map_err(|r| r.about("attribute output_datatype"))?;
    if !(bins >= 0.0 && length >= 0.0 && rate > 0.0) {
        return Err(Refusal::new(format!("{bins} bins of length {length} at rate {rate}"), ""));
    }
    let (bins, rows) = (bins as usize, ((length / 2.0).floor() as usize).saturating_add(1));
    countable(&[rows, bins])?;
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let (low, high) = (mel(edges.0), mel(edges.1));
    let step = (high - low) / (bins as f64 + 2.0);
    // The row that each edge of the triangles falls on.
    let points: Vec<i64> = (0..bins + 2)
        .map(|i| {
            let hertz = 700.0 * (10f64.powf((low + step * i as f64) / 2595.0) - 1.0);
            ((length + 1.0) * hertz / rate).floor() as i64
        })
        .collect();
    let weight = |row: i64, bin: usize| -> f64 {
        let (left, center, right) = (points[bin], points[bin + 1], points[bin + 2]);
        let falls = center..right;
        if falls.contains(&row) {
            return right.saturating_sub(row) as f64 / right.saturating_sub(center) as f64;
        }
        match center.saturating_sub(left) {
            0 if row == center => 1.0,
            0 => 0.0,
            rise if (left..=center).contains(&row) => row.saturating_sub(left) as f64 / rise as f64,
            _ => 0.0,
        }
    };
    let weights: Vec<f64> = (0..rows as i64)
        .flat_map(|row| (0..bins).map(move |bin| (row, bin)))
        .map(|(row, bin)| weight(row, bin))
        .collect();
    let matrix = Tensor::from_vec(&[rows, bins], weights).cast(dtype).map_err(|_| no_kernel(dtype))?;
    Ok(vec![cx.b.constant(matrix)])
}

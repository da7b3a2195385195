use crate::graph::{Binary, Precision, Unary};
use crate::lower::constant::element_type;
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::DType;

/// Lowers the ONNX windows `BlackmanWindow`, `HammingWindow`, `HannWindow` to a sum of cosines.
///
/// # Accepts
/// A size that is constant or computed; `periodic`; any `output_datatype` of plain numbers.
/// # Produces
/// A constant where the size is known, else `RANGE → MUL → COS`.
pub(in crate::lower) fn window(cx: &mut Cx<'_>) -> Results {
    // The window is the sum of these times cos(2 pi k n / N).
    let cosines: &[f64] = match cx.op() {
        "BlackmanWindow" => &[0.42, -0.5, 0.08],
        "HammingWindow" => &[25.0 / 46.0, -21.0 / 46.0],
        _ => &[0.5, -0.5],
    };
    let dtype = element_type(cx.int_or("output_datatype", 1)?).map_err(|r| r.about("attribute output_datatype"))?;
    let periodic = cx.flag_or("periodic", true)?;
    let size = cx.input(0)?;
    let size = match cx.known_ints(size).as_deref() {
        Some(&[known]) => {
            countable(&[usize::try_from(known).unwrap_or(usize::MAX)])?;
            cx.b.scalar_of(DType::I32, known as f64)?
        }
        _ => cx.as_i32(size)?,
    };
    let size = cx.b.reshape(size, &[])?;
    cx.b.set_precision(Precision::Float);
    let n = cx.count_up(size)?;
    let n = cx.b.cast(n, DType::F32)?;
    let mut period = cx.b.cast(size, DType::F32)?;
    if !periodic {
        period = cx.with_number(Binary::Sub, period, 1.0)?;
    }
    let mut sum = None;
    for (k, &factor) in cosines.iter().enumerate() {
        let term = if k == 0 {
            cx.b.scalar(factor as f32)
        } else {
            let turns = cx.with_number(Binary::Mul, n, std::f64::consts::TAU * k as f64)?;
            let angle = cx.b.div(turns, period)?;
            let cosine = cx.b.unary(Unary::Cos, angle)?;
            cx.with_number(Binary::Mul, cosine, factor)?
        };
        sum = Some(match sum {
            None => term,
            Some(sum) => cx.b.add(term, sum)?,
        });
    }
    let sum = sum.ok_or_else(|| Refusal::new("a window without terms", ""))?;
    Ok(vec![cx.b.cast(sum, dtype)?])
}

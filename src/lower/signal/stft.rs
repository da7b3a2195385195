use super::Transform;
use super::dft::with_last;
use crate::graph::{Activation, Op, Padding, Precision, Window2d};
use crate::lower::conv::require_float32;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::Tensor;

/// Lowers ONNX `STFT` to `CONV_2D`: the transform is the kernel, which moves by the step from frame to frame.
///
/// # Accepts
/// float32; real and complex signals, whose length may be unknown; a window that is constant or computed; `onesided`.
/// # Produces
/// `CONV_2D` over height 1, with the window in its kernel.
/// # Refuses
/// A `frame_step` or `frame_length` that is not known.
pub(in crate::lower) fn stft(cx: &mut Cx<'_>) -> Results {
    let mut signal = cx.input(0)?;
    require_float32(cx, signal)?;
    if cx.rank(signal) == 2 {
        signal = insert_axis(cx, signal, 2)?;
    }
    let parts = if cx.rank(signal) == 3 { cx.dim(signal, 2).filter(|parts| (1..=2).contains(parts)) } else { None };
    let Some(parts) = parts else {
        let what = format!("a signal of {}", cx.shape(signal));
        return Err(Refusal::new(what, "its last axis must be 1 (real) or 2 (complex)"));
    };
    let positive =
        |given: Option<Vec<i64>>| given.and_then(|v| v.first().and_then(|&n| i32::try_from(n).ok())).filter(|&n| n > 0);
    let step = positive(cx.known_operand(1, "frame_step")?);
    let step = step.ok_or_else(|| Refusal::new("must be a positive number", "").about("operand frame_step"))? as usize;
    let window = cx.optional(2);
    let declared = positive(cx.known_operand(3, "frame_length")?).map(|n| n as usize);
    let of_window = window.and_then(|w| cx.shape(w).elements());
    let length = declared.or(of_window).or(if window.is_none() { cx.dim(signal, 1) } else { None });
    let Some(length) = length.filter(|&n| n > 0 && of_window.is_none_or(|w| w == n)) else {
        let what = format!("is {declared:?}, with a window of {of_window:?} elements");
        return Err(Refusal::new(what, "give a frame_length that is the window's").about("operand frame_length"));
    };
    let transform = Transform { length, inverse: false, one_sided: cx.flag_or("onesided", true)? };
    let (numbers, result_parts) = transform.result();
    let matrix = transform.matrix(length, parts)?.into_iter().map(|x| x as f32).collect();
    let matrix = Tensor::from_vec(&[numbers * result_parts, 1, length, parts], matrix);

    cx.b.set_precision(Precision::Float);
    let mut kernel = cx.b.constant(matrix);
    if let Some(window) = window {
        let window = cx.b.reshape(window, &[1, 1, length as i64, 1])?;
        kernel = cx.b.mul(kernel, window)?;
    }
    let bias = cx.b.constant(Tensor::vector(vec![0f32; numbers * result_parts]));
    let image = insert_axis(cx, signal, 1)?;
    let moves = Window2d { padding: Padding::Valid, stride: [1, step], dilation: [1, 1] };
    let op = Op::Conv2d { window: moves, activation: Activation::None };
    let frames = cx.b.one(op, &[image, kernel, bias])?;
    let frames = crate::lower::window::drop_axis(cx, frames, 1)?;
    Ok(vec![with_last(cx, frames, 1, &[numbers, result_parts])?])
}

use super::Transform;
use super::dft::with_last;
use super::run_time::RunTime;
use crate::graph::{Activation, Binary, Op, Padding, Precision, ValueId, Window2d};
use crate::lower::conv::require_float32;
use crate::lower::window::{drop_axis, insert_axis};
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `STFT` to `CONV_2D`: the transform is the kernel, which moves by the step from frame to frame.
///
/// # Accepts
/// float32; real and complex signals, whose length may be unknown; a window that is constant or computed; `onesided`.
/// # Produces
/// `CONV_2D` over height 1, with the window in its kernel. Where the step or the length of frames is only known at run time, `GATHER` of
/// the frames, and a product with a matrix that is computed.
/// # Refuses
/// A `frame_length` that is not the window's.
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
    let one_sided = cx.flag_or("onesided", true)?;
    let (window, declared) = (cx.optional(2), cx.optional(3));
    let step = known_positive(cx, 1, "frame_step")?;
    let known = known_positive(cx, 3, "frame_length")?;
    let of_window = window.and_then(|window| cx.shape(window).elements());
    if known.is_some() && of_window.is_some() && known != of_window {
        let what = format!("is {known:?}, but the window has {of_window:?} elements");
        return Err(Refusal::new(what, "give it the length of the window").about("operand frame_length"));
    }
    let whole = if window.is_none() && declared.is_none() { cx.dim(signal, 1) } else { None };
    cx.b.set_precision(Precision::Float);
    match (step, known.or(of_window).or(whole).filter(|&length| length > 0)) {
        (Some(step), Some(length)) => {
            let transform = Transform { length, inverse: false, one_sided };
            by_convolution(cx, signal, parts, &transform, step)
        }
        (_, length) => by_frames(cx, signal, length, one_sided),
    }
}

/// A positive number that is an operand, as far as it is known.
fn known_positive(cx: &mut Cx<'_>, i: usize, name: &str) -> Result<Option<usize>, Refusal> {
    let Some(known) = cx.optional(i).and_then(|operand| cx.known_ints(operand)) else { return Ok(None) };
    let positive = known.first().and_then(|&n| i32::try_from(n).ok()).filter(|&n| n > 0);
    match positive {
        Some(n) => Ok(Some(n as usize)),
        None => Err(Refusal::new("must be a positive number", "").about(format!("operand {name}"))),
    }
}

/// The transform of `[N, T, parts]` as a kernel that moves by the step.
fn by_convolution(cx: &mut Cx<'_>, signal: ValueId, parts: usize, transform: &Transform, step: usize) -> Results {
    let (numbers, result_parts) = transform.result();
    let matrix = transform.matrix(transform.length, parts)?.into_iter().map(|x| x as f32).collect();
    let matrix = Tensor::from_vec(&[numbers * result_parts, 1, transform.length, parts], matrix);
    let mut kernel = cx.b.constant(matrix);
    if let Some(window) = cx.optional(2) {
        let window = cx.b.reshape(window, &[1, 1, transform.length as i64, 1])?;
        kernel = cx.b.mul(kernel, window)?;
    }
    let bias = cx.b.constant(Tensor::vector(vec![0f32; numbers * result_parts]));
    let image = insert_axis(cx, signal, 1)?;
    let moves = Window2d { padding: Padding::Valid, stride: [1, step], dilation: [1, 1] };
    let op = Op::Conv2d { window: moves, activation: Activation::None };
    let frames = cx.b.one(op, &[image, kernel, bias])?;
    let frames = drop_axis(cx, frames, 1)?;
    Ok(vec![with_last(cx, frames, 1, &[numbers, result_parts])?])
}

/// The transform of `[N, T, parts]` cut into frames, where their step or `length` is only known at run time.
fn by_frames(cx: &mut Cx<'_>, signal: ValueId, length: Option<usize>, one_sided: bool) -> Results {
    let scalar = |cx: &mut Cx<'_>, operand: ValueId| -> Result<ValueId, Refusal> {
        let narrow = cx.as_i32(operand)?;
        Ok(cx.b.reshape(narrow, &[])?)
    };
    let step = cx.input(1)?;
    let step = scalar(cx, step)?;
    let length = match (length, cx.optional(3), cx.optional(2)) {
        (Some(length), ..) => cx.b.scalar_of(DType::I32, length as f64)?,
        (None, Some(operand), _) => scalar(cx, operand)?,
        (None, None, Some(window)) => cx.extent_of(window, 0)?,
        (None, None, None) => cx.extent_of(signal, 1)?,
    };
    let all = cx.extent_of(signal, 1)?;
    let room = cx.b.sub(all, length)?;
    let steps = cx.b.binary(Binary::FloorDiv, room, step)?;
    let count = cx.with_number(Binary::Add, steps, 1.0)?;
    let starts = cx.count_up(count)?;
    let starts = cx.b.mul(starts, step)?;
    let starts = cx.b.reshape(starts, &[-1, 1])?;
    let within = cx.count_up(length)?;
    let places = cx.b.add(starts, within)?;
    let mut frames = cx.b.gather(signal, places, 1)?;
    if let Some(window) = cx.optional(2) {
        let window = cx.b.reshape(window, &[-1, 1])?;
        frames = cx.b.mul(frames, window)?;
    }
    Ok(vec![RunTime { length, inverse: false, one_sided }.apply(cx, frames)?])
}

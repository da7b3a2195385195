//! Operators that work element by element, with broadcasting.

use half::{bf16, f16};
use tract_onnx::prelude::tract_num_traits::Float;

use super::super::KernelError;
use super::scalar::{self, Limits};
use super::strided::{Rows, broadcast};
use super::{checked_len, no_kernel};
use crate::graph::{Activation, Binary, Compare, Unary};
use crate::tensor::{DType, Element, Tensor};

pub(in crate::exec) fn unary(kind: Unary, x: &Tensor) -> Result<Tensor, KernelError> {
    Ok(match (x.dtype(), kind) {
        (DType::F32, _) => Tensor::from_vec(x.shape(), scalar::unary(kind, &x.view::<f32>()?)),
        (DType::F64, _) => Tensor::from_vec(x.shape(), scalar::unary(kind, &x.view::<f64>()?)),
        (DType::Bool, Unary::LogicalNot) => {
            let flipped: Vec<bool> = x.view::<u8>()?.iter().map(|&b| b == 0).collect();
            Tensor::from_bools(x.shape(), &flipped)
        }
        (dtype, _) if dtype.is_int() => {
            let f = scalar::unary_int(kind).ok_or_else(|| no_kernel(kind.name(), dtype))?;
            ints(dtype, x.shape(), x.to_i64s()?.into_iter().map(f).collect())?
        }
        (dtype, _) => return Err(no_kernel(kind.name(), dtype)),
    })
}

/// Integers computed in 64 bits, wrapped to the width they have.
fn ints(dtype: DType, shape: &[usize], values: Vec<i64>) -> Result<Tensor, KernelError> {
    Ok(Tensor::from_vec(shape, values).cast(dtype)?)
}

pub(in crate::exec) fn leaky_relu(alpha: f32, x: &Tensor) -> Result<Tensor, KernelError> {
    let leaky = |&x: &f32| if x > 0.0 { x } else { x * alpha };
    Ok(Tensor::from_vec(x.shape(), x.view::<f32>()?.iter().map(leaky).collect()))
}

/// What a fused activation does to a result.
pub(in crate::exec) fn activate(activation: Activation, x: Tensor) -> Result<Tensor, KernelError> {
    let kind = match activation {
        Activation::Relu => Unary::Relu,
        Activation::ReluN1To1 => Unary::ReluN1To1,
        Activation::Relu6 => Unary::Relu6,
        Activation::None | Activation::Tanh | Activation::SignBit => return scalar::limits(activation).map(|_| x),
    };
    super::widened(&[&x], |x| unary(kind, x[0]))
}

/// Rows of two broadcast operands, each pair given to `f`.
fn zip<A: Copy, B: Copy, R: Clone>(rows: &Rows<2>, a: &[A], b: &[B], len: usize, f: impl Fn(A, B) -> R) -> Vec<R> {
    let mut out = Vec::with_capacity(len);
    let n = rows.inner;
    rows.each(|[i, j]| {
        let (i, j) = (i as usize, j as usize);
        match rows.steps {
            [1, 1] => out.extend(a[i..i + n].iter().zip(&b[j..j + n]).map(|(&a, &b)| f(a, b))),
            [1, 0] => out.extend(a[i..i + n].iter().map(|&a| f(a, b[j]))),
            [0, 1] => out.extend(b[j..j + n].iter().map(|&b| f(a[i], b))),
            _ => out.extend(std::iter::repeat_n(f(a[i], b[j]), n)),
        }
    });
    out
}

/// Two broadcast operands of `T`, each pair given to `f`.
fn pairwise<T: Element, R: Clone>(
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(T, T) -> R,
) -> Result<(Vec<usize>, Vec<R>), KernelError> {
    let (shape, strides) = broadcast([a.shape(), b.shape()])?;
    let len = checked_len(a.dtype(), &shape)?;
    let values = zip(&Rows::new(&shape, &strides), &a.view::<T>()?, &b.view::<T>()?, len, f);
    Ok((shape, values))
}

fn binary_float<F: Float + Element>(
    kind: Binary,
    (low, high): Limits,
    a: &Tensor,
    b: &Tensor,
) -> Result<Tensor, KernelError> {
    let limit = |x: F| scalar::clamp(x, low, high);
    // The operators that large activations go through get a loop of their own.
    let (shape, values) = match kind {
        Binary::Add => pairwise(a, b, |a: F, b| limit(a + b))?,
        Binary::Sub => pairwise(a, b, |a: F, b| limit(a - b))?,
        Binary::Mul => pairwise(a, b, |a: F, b| limit(a * b))?,
        Binary::Div => pairwise(a, b, |a: F, b| limit(a / b))?,
        _ => {
            let f = scalar::binary::<F>(kind).ok_or_else(|| no_kernel(kind.name(), a.dtype()))?;
            pairwise(a, b, f)?
        }
    };
    Ok(Tensor::from_vec(&shape, values))
}

fn binary_int(kind: Binary, (low, high): Limits, a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
    let dtype = a.dtype();
    let f: scalar::PairwiseInt = match kind {
        Binary::RightShift => {
            let most = dtype.bits() as i64 - 1;
            return shift_right(most, a, b);
        }
        _ => scalar::binary_int(kind).ok_or_else(|| no_kernel(kind.name(), dtype))?,
    };
    if dtype == DType::U64 {
        return Err(no_kernel(kind.name(), dtype));
    }
    let (a, b) = (Tensor::from_vec(a.shape(), a.to_i64s()?), Tensor::from_vec(b.shape(), b.to_i64s()?));
    let (shape, values) = pairwise(&a, &b, f)?;
    let values: Option<Vec<i64>> = values.into_iter().collect();
    let mut values = values.ok_or_else(|| KernelError::operands(format!("{} by zero or so", kind.name())))?;
    if (low, high) != (f64::NEG_INFINITY, f64::INFINITY) {
        // Wrap first: the activation limits what the kernel's own type holds.
        values = ints(dtype, &shape, values)?.to_i64s()?;
        values.iter_mut().for_each(|x| *x = (*x).clamp(low as i64, high as i64));
    }
    ints(dtype, &shape, values)
}

/// Arithmetic for signed types; the kernel limits the amount to the width less one.
fn shift_right(most: i64, a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
    let wide = [a, b].map(|t| Ok::<_, KernelError>(Tensor::from_vec(t.shape(), t.to_i64s()?)));
    let [x, by] = wide;
    let (shape, values) = pairwise(&x?, &by?, |x: i64, by: i64| x >> by.clamp(0, most))?;
    ints(a.dtype(), &shape, values)
}

pub(in crate::exec) fn binary(
    kind: Binary,
    activation: Activation,
    a: &Tensor,
    b: &Tensor,
) -> Result<Tensor, KernelError> {
    let limits = scalar::limits(activation)?;
    match a.dtype() {
        DType::F32 => binary_float::<f32>(kind, limits, a, b),
        DType::F64 => binary_float::<f64>(kind, limits, a, b),
        DType::Bool => {
            let f: fn(u8, u8) -> bool = match kind {
                Binary::LogicalAnd => |a, b| a != 0 && b != 0,
                Binary::LogicalOr => |a, b| a != 0 || b != 0,
                _ => return Err(no_kernel(kind.name(), DType::Bool)),
            };
            let (shape, values) = pairwise(a, b, f)?;
            Ok(Tensor::from_bools(&shape, &values))
        }
        dtype if dtype.is_int() => binary_int(kind, limits, a, b),
        dtype => Err(no_kernel(kind.name(), dtype)),
    }
}

fn compared<T: Element + PartialOrd>(kind: Compare, a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
    let f = scalar::compare::<T>(kind);
    let (shape, values) = pairwise(a, b, |a: T, b: T| f(&a, &b))?;
    Ok(Tensor::from_bools(&shape, &values))
}

pub(in crate::exec) fn compare(kind: Compare, a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
    match a.dtype() {
        DType::F32 => compared::<f32>(kind, a, b),
        DType::F16 => compared::<f16>(kind, a, b),
        DType::BF16 => compared::<bf16>(kind, a, b),
        DType::F64 => compared::<f64>(kind, a, b),
        DType::I8 => compared::<i8>(kind, a, b),
        DType::I16 => compared::<i16>(kind, a, b),
        DType::I32 => compared::<i32>(kind, a, b),
        DType::I64 => compared::<i64>(kind, a, b),
        DType::U8 | DType::Bool => compared::<u8>(kind, a, b),
        DType::U16 => compared::<u16>(kind, a, b),
        DType::U32 => compared::<u32>(kind, a, b),
        DType::U64 => compared::<u64>(kind, a, b),
        dtype => Err(no_kernel(kind.name(), dtype)),
    }
}

pub(in crate::exec) fn prelu(x: &Tensor, alpha: &Tensor) -> Result<Tensor, KernelError> {
    let (shape, values) = pairwise(x, alpha, |x: f32, alpha: f32| if x >= 0.0 { x } else { x * alpha })?;
    Ok(Tensor::from_vec(&shape, values))
}

/// Three-way broadcast; elements of any type are moved as words of their width.
pub(in crate::exec) fn select(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
    match a.dtype().bits() {
        8 => selected::<u8>(condition, a, b),
        16 => selected::<u16>(condition, a, b),
        32 => selected::<u32>(condition, a, b),
        64 => selected::<u64>(condition, a, b),
        _ => Err(no_kernel("SELECT_V2", a.dtype())),
    }
}

fn selected<W: Element>(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor, KernelError> {
    let (shape, strides) = broadcast([condition.shape(), a.shape(), b.shape()])?;
    let mut out = Vec::with_capacity(checked_len(a.dtype(), &shape)?);
    let (x, y) = (a.reinterpret(W::DTYPE)?, b.reinterpret(W::DTYPE)?);
    let (condition, x, y) = (condition.view::<u8>()?, x.view::<W>()?, y.view::<W>()?);
    let rows = Rows::new(&shape, &strides);
    let [c_step, x_step, y_step] = rows.steps;
    rows.each(|[c, i, j]| {
        out.extend((0..rows.inner as isize).map(|n| match condition[(c + n * c_step) as usize] {
            0 => y[(j + n * y_step) as usize],
            _ => x[(i + n * x_step) as usize],
        }));
    });
    Ok(Tensor::from_vec(&shape, out).reinterpret(a.dtype())?)
}

/// Floats are truncated and saturated, a NaN becomes the greatest integer, integers wrap: so does the kernel.
pub(in crate::exec) fn cast(x: &Tensor, to: DType) -> Result<Tensor, KernelError> {
    if to.is_int() && x.dtype().is_float() {
        let values = x.to_f64s()?;
        if values.iter().any(|x| x.is_nan()) {
            let values = values.into_iter().map(|x| if x.is_nan() { f64::INFINITY } else { x }).collect();
            return Ok(Tensor::from_vec(x.shape(), values).cast(to)?);
        }
    }
    Ok(x.cast(to)?)
}

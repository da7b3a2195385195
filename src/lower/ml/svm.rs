use super::{does_not_fit, features, floats};
use crate::graph::{Binary, Compare, Precision, Reduce, Unary, ValueId};
use crate::lower::matmul::fully_connected;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::Tensor;

/// Lowers ONNX `SVMRegressor` of `ai.onnx.ml` to `FULLY_CONNECTED`.
///
/// # Accepts
/// Numbers; each kernel; `one_class`; linear models without support vectors.
/// # Produces
/// `FULLY_CONNECTED` with the support vectors, the kernel's function, and `FULLY_CONNECTED` with the coefficients.
/// # Refuses
/// A `post_transform`.
pub(in crate::lower) fn svm_regressor(cx: &mut Cx<'_>) -> Results {
    if cx.string_or("post_transform", "NONE")? != "NONE" {
        return Err(
            Refusal::new("is not NONE", "take the transform out of the model").about("attribute post_transform")
        );
    }
    let supports = usize::try_from(cx.int_or("n_supports", 0)?).map_err(|_| does_not_fit("n_supports"))?;
    let kernel = Kernel::read(cx)?;
    let one_class = cx.flag_or("one_class", false)?;
    let coefficients = floats(cx, "coefficients")?.to_vec();
    let &[rho] = floats(cx, "rho")? else { return Err(does_not_fit("rho")) };
    let x = features(cx)?;
    cx.b.set_precision(Precision::Float);
    let (seen, count) = if supports > 0 {
        (kernel.apply(cx, x, supports)?, supports)
    } else {
        cx.ignore(&["support_vectors"]);
        (x, coefficients.len())
    };
    if coefficients.len() != count || count == 0 {
        return Err(does_not_fit("coefficients"));
    }
    let weights = cx.b.constant(Tensor::from_vec(&[1, count], coefficients));
    let rho = cx.b.constant(Tensor::vector(vec![rho]));
    let mut y = fully_connected(&mut cx.b, seen, weights, Some(rho))?;
    if one_class {
        let zero = cx.b.scalar(0f32);
        let inside = cx.b.compare(Compare::Greater, y, zero)?;
        let (one, other) = (cx.b.scalar(1f32), cx.b.scalar(-1f32));
        y = cx.b.select(inside, one, other)?;
    }
    Ok(vec![y])
}

/// How alike two vectors are.
enum Kernel {
    Linear,
    Polynomial { gamma: f32, offset: f32, degree: f32 },
    RadialBasis { gamma: f32 },
    Sigmoid { gamma: f32, offset: f32 },
}

impl Kernel {
    fn read(cx: &Cx<'_>) -> Result<Kernel, Refusal> {
        let params = cx.floats("kernel_params")?.unwrap_or_default();
        let param = |i: usize| params.get(i).copied().unwrap_or(0.0);
        let (gamma, offset, degree) = (param(0), param(1), param(2));
        match cx.string_or("kernel_type", "LINEAR")? {
            "LINEAR" => Ok(Kernel::Linear),
            "POLY" => Ok(Kernel::Polynomial { gamma, offset, degree }),
            "RBF" => Ok(Kernel::RadialBasis { gamma }),
            "SIGMOID" => Ok(Kernel::Sigmoid { gamma, offset }),
            other => Err(Refusal::new(format!("is {other:?}"), "").about("attribute kernel_type")),
        }
    }

    /// Each row with each support vector: `[N, F]` to `[N, supports]`.
    fn apply(&self, cx: &mut Cx<'_>, x: ValueId, supports: usize) -> Result<ValueId, Refusal> {
        let vectors = floats(cx, "support_vectors")?;
        let width = vectors.len().checked_div(supports).filter(|width| width * supports == vectors.len() && *width > 0);
        let width = width.ok_or_else(|| does_not_fit("support_vectors"))?;
        if let Kernel::RadialBasis { gamma } = self {
            let vectors = cx.b.constant(Tensor::from_vec(&[supports, width], vectors.to_vec()));
            let rows = crate::lower::window::insert_axis(cx, x, 1)?;
            let squares = cx.b.binary(Binary::SquaredDifference, rows, vectors)?;
            let distance = cx.b.reduce(Reduce::Sum, squares, &[2], false)?;
            let power = cx.with_number(Binary::Mul, distance, -f64::from(*gamma))?;
            return Ok(cx.b.unary(Unary::Exp, power)?);
        }
        let vectors = cx.b.constant(Tensor::from_vec(&[supports, width], vectors.to_vec()));
        let product = fully_connected(&mut cx.b, x, vectors, None)?;
        let line = |cx: &mut Cx<'_>, gamma: f32, offset: f32| {
            let scaled = cx.with_number(Binary::Mul, product, gamma.into())?;
            cx.with_number(Binary::Add, scaled, offset.into())
        };
        match *self {
            Kernel::Linear | Kernel::RadialBasis { .. } => Ok(product),
            Kernel::Polynomial { gamma, offset, degree } => {
                let base = line(cx, gamma, offset)?;
                cx.with_number(Binary::Pow, base, degree.into())
            }
            Kernel::Sigmoid { gamma, offset } => {
                let line = line(cx, gamma, offset)?;
                Ok(cx.b.unary(Unary::Tanh, line)?)
            }
        }
    }
}

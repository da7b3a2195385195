//! Every row of the table in every form, alone and at several ranges: the integers that LiteRT gives beside those that the stored
//! operands mean. Rounding of operands is on both sides, so what is left is the kernel's own, and counted in steps of the result.

use super::running::{self, Build, Case, LOSSY, ROWS};
use super::*;
use crate::exec::Runner;
use crate::graph::Quant;
use crate::runtime::Kernels;

/// A form in which every row is to be right.
struct Scheme {
    name: &'static str,
    choice: Choice,
}

fn schemes() -> Vec<Scheme> {
    let scheme = |name, quantize, bits, granularity, symmetric| {
        let weights = WeightOptions { bits, granularity, block_size: None };
        Scheme { name, choice: Choice { quantize, weights, symmetric } }
    };
    use Granularity::{Channel, Tensor};
    vec![
        scheme("int8", Quantize::Int8, 8, Channel, false),
        scheme("int8, symmetric", Quantize::Int8, 8, Channel, true),
        scheme("int8, one scale", Quantize::Int8, 8, Tensor, false),
        scheme("int8 by int4", Quantize::Int8, 4, Channel, false),
        scheme("int8 by int4, one scale", Quantize::Int8, 4, Tensor, false),
        scheme("int16", Quantize::Int16x8, 8, Channel, false),
        scheme("int16, one scale", Quantize::Int16x8, 8, Tensor, false),
        scheme("int16 by int4", Quantize::Int16x8, 4, Channel, false),
    ]
}

/// How many steps of the result a kernel may lie off (quantization-spec, section 2): one, for halves are rounded either way, and as
/// many more as tables and fixed-point factors cost.
fn allowed(op: &str, dtype: DType) -> f64 {
    match (op, dtype) {
        ("TANH" | "LOGISTIC" | "GELU" | "SOFTMAX", DType::I16) => 3.0,
        ("RESIZE_BILINEAR", DType::I16) => 16.0,
        _ => 1.0,
    }
}

/// The scale of the graph's result.
fn step(graph: &Graph) -> f64 {
    let producers = graph.producers();
    let maker = producers[graph.outputs[0].0 as usize].map(|i| &graph.nodes[i]);
    let stored = maker.filter(|node| node.op == Op::Dequantize).and_then(|node| node.input(0));
    match stored.and_then(|id| graph.value(id).quant.as_ref()) {
        Some(Quant::Affine { scale, .. }) => scale[0].into(),
        _ => panic!("the result is no integer:\n{graph}"),
    }
}

/// The inputs, moved to numbers that are stored as they are: kernels round halves either way.
fn on_grid(case: &Case) -> Vec<Tensor> {
    let moved = |(&id, tensor): (&ValueId, &Tensor)| {
        let quantize = case.graph.nodes.iter().find(|node| node.input(0) == Some(id));
        let quantize = quantize.filter(|node| matches!(node.op, Op::Quantize { .. }));
        let Some(form) = quantize.and_then(|node| form::Form::of(&case.graph, node.outputs[0])) else {
            return tensor.clone();
        };
        let real = |x: f32| ((form.store(x).0 - f64::from(form.params.zero_point)) * form.scale()) as f32;
        Tensor::from_vec(tensor.shape(), tensor.to_f32s().unwrap().into_iter().map(real).collect())
    };
    case.graph.inputs.iter().zip(&case.inputs).map(moved).collect()
}

/// The most steps that an output of LiteRT lies from what the stored numbers mean.
fn apart(case: &Case, library: &crate::runtime::Library, kernels: Kernels) -> Result<f64, String> {
    let inputs = on_grid(case);
    let expected = Runner::new(&case.graph).unwrap().run(&inputs).unwrap();
    let outputs = running::run(library, kernels, &case.graph, &inputs).map_err(|e| e.to_string())?;
    let (want, bytes) = (&expected[0], bytes::Bytes::from(outputs[0].clone()));
    let got = Tensor::new(want.dtype(), want.shape().to_vec(), bytes).unwrap().to_f64s().unwrap();
    let step = step(&case.graph);
    let apart = got.iter().zip(want.to_f64s().unwrap()).map(|(a, b)| ((a - b) / step).abs().round());
    Ok(apart.fold(0.0, f64::max))
}

#[test]
fn every_row_in_every_form_is_right_to_a_step() {
    let Some(library) = running::library() else { return };
    let lossy = LOSSY.iter().map(|(name, _, build)| (*name, *build));
    let rows: Vec<(&str, Build)> = ROWS.iter().copied().chain(lossy).collect();
    let (mut wrong, mut runs) = (Vec::new(), 0);
    for scheme in schemes() {
        for &(name, build) in &rows {
            for (seed, scale) in [1.0, 0.03, 6.0].into_iter().enumerate() {
                let case = Case::alone(build, (scale, seed), scheme.choice);
                let place = format!("{name} ({}, inputs to {scale})", scheme.name);
                let wide = scheme.choice.quantize == Quantize::Int16x8;
                if !case.report.float.is_empty() {
                    let by_rule = |node: &FloatNode| wide && node.reason.contains("no int16 kernel");
                    assert!(case.report.float.iter().all(by_rule), "{place}: {:?}", case.report.float);
                    continue;
                }
                if wide && ["EXP", "LOG", "SQRT", "RSQRT"].contains(&name) {
                    continue; // Far off, and said so by the table: on request only.
                }
                let dtype = if wide { DType::I16 } else { DType::I8 };
                for kernels in [Kernels::Xnnpack, Kernels::Builtin, Kernels::Reference] {
                    runs += 1;
                    match apart(&case, &library, kernels) {
                        Ok(steps) if steps <= allowed(name, dtype) => {}
                        Ok(steps) => wrong.push(format!("{place} in {kernels:?}: {steps} steps")),
                        // The reference resolver has no such operator, or only an older version of it (tflite-ops, section 0).
                        Err(_)
                            if kernels == Kernels::Reference
                                && ["ELU", "SQUEEZE", "DEPTH_TO_SPACE", "TILE"].contains(&name) => {}
                        Err(error) => wrong.push(format!("{place} in {kernels:?}: {error}")),
                    }
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rows that the test above can't hold: their results are no quantized numbers, or there is nothing to compute at run time.
const ELSEWHERE: &[&str] = &["SHAPE", "RANK", "ARG_MAX", "ARG_MIN", "LESS", "FILL", "ONE_HOT", "DYNAMIC_UPDATE_SLICE"];

#[test]
fn every_operator_of_the_table_is_tested() {
    let tested: Vec<&str> = ROWS.iter().map(|row| row.0).chain(LOSSY.iter().map(|row| row.0)).collect();
    for kernel in integer_kernels() {
        let is_float = |form: &IntegerForm| matches!(form, IntegerForm::Float(_));
        let known = tested.contains(&kernel.op) || ELSEWHERE.contains(&kernel.op);
        assert!(known || (is_float(&kernel.int8) && is_float(&kernel.int16x8)), "{kernel:?}");
        assert!(is_float(&kernel.int16x8) || !is_float(&kernel.int8), "{kernel:?}: int16 where there is no int8");
    }
}

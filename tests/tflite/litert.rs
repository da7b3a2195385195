//! What is written is run in LiteRT, where there is one, and compared to what the graph means.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use litesmith::exec::Runner;
use litesmith::graph::{Graph, Value};
use litesmith::runtime::Kernels;
use litesmith::tensor::{DType, Tensor};
use litesmith::tflite::{WriteOptions, write};

use super::common::{Tolerance, difference, litert, run_litert};
use super::ops::{self, Named};

/// Numbers that suit the operator: in its domain, and with indices that exist.
fn sample(case: &str, value: &Value, seed: usize) -> Tensor {
    let shape: Vec<usize> = value.ty.shape.dims().iter().map(|d| d.unwrap_or(2)).collect();
    let count = shape.iter().product();
    let positive = ["Log", "Sqrt", "Rsqrt", "Pow"].contains(&case);
    let divisor = case.starts_with("Div") || case.starts_with("FloorDiv") || case.starts_with("FloorMod");
    let index = ["EmbeddingLookup", "OneHot", "Range", "RightShift"].contains(&case);
    let number = |i: usize| {
        let spread = ((i * 7919 + seed * 104_729 + 13) % 1009) as f64 / 1009.0;
        match value.ty.dtype {
            DType::Bool => f64::from(u8::from(spread > 0.5)),
            dtype if dtype.is_float() && positive => 0.1 + 2.0 * spread,
            dtype if dtype.is_float() && divisor => (0.3 + 2.0 * spread) * if i.is_multiple_of(2) { 1.0 } else { -1.0 },
            dtype if dtype.is_float() => 5.0 * spread - 2.5,
            DType::U8 => (256.0 * spread).floor(),
            _ if index => (4.0 * spread).floor(),
            DType::U16 | DType::U32 => (1000.0 * spread).floor(),
            _ => (80.0 * spread).floor() - 40.0,
        }
    };
    let numbers = Tensor::from_vec(&shape, (0..count).map(number).collect::<Vec<f64>>());
    numbers.cast(value.ty.dtype).unwrap()
}

/// How far results may be apart. Hybrid kernels round their float operand to 8 bits before they multiply.
fn tolerance(case: &str) -> Tolerance {
    let absolute = if case.contains("_hybrid") { 0.2 } else { 1e-4 };
    Tolerance { relative: 1e-4, absolute, whole: 0.0 }
}

/// What differs, where integers that stand for reals may be a step apart: kernels multiply in fixed point.
fn differs(case: &str, value: &Value, expected: &Tensor, found: &Tensor) -> Option<String> {
    let difference = difference(expected, found, tolerance(case))?;
    let (Some(_), Ok(a), Ok(b)) = (&value.quant, expected.to_i64s(), found.to_i64s()) else { return Some(difference) };
    let steps = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    (a.len() != b.len() || steps > 1).then(|| format!("{difference}, by up to {steps} steps"))
}

fn inputs(name: &str, graph: &Graph) -> IndexMap<String, Tensor> {
    let input = |(i, &id)| {
        let value = graph.value(id);
        (value.name.clone(), sample(name, value, i))
    };
    graph.inputs.iter().enumerate().map(input).collect()
}

/// Their results have shapes that depend on the data, which LiteRT's interface can't return.
const SHAPES_FROM_DATA: [&str; 3] = ["Range", "Where_bool", "Where_int32"];

/// What `exec` can't run: LiteRT's two sets of kernels are compared with each other.
const NOT_EXECUTED: [&str; 3] = ["FullyConnected_blockwise_i4", "StridedSlice_new_axis", "AddN"];

#[test]
fn litert_computes_what_the_graph_means() {
    let Some(library) = litert() else { return };
    let mut wrong = Vec::new();
    let mut check = |case: &str, graph: &Graph, how: &str, expected: &[Tensor], found: &BTreeMap<String, Tensor>| {
        for (&id, expected) in graph.outputs.iter().zip(expected) {
            let value = graph.value(id);
            let difference = differs(case, value, expected, &found[&value.name]);
            wrong.extend(difference.map(|difference| format!("{case} in {how}, {}: {difference}", value.name)));
        }
    };
    for Named { name, model } in ops::all() {
        if SHAPES_FROM_DATA.contains(&name.as_str()) {
            continue;
        }
        let graph = &model.graphs[0];
        let inputs = inputs(&name, graph);
        let file = write(&model, &WriteOptions::default()).unwrap().to_bytes();
        let run = |kernels| run_litert(library, &file, kernels, &inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (plain, delegated) = (run(Kernels::Builtin), run(Kernels::Xnnpack));
        let expected: Vec<Tensor> = if NOT_EXECUTED.contains(&name.as_str()) {
            graph.outputs.iter().map(|&id| delegated[&graph.value(id).name].clone()).collect()
        } else {
            let values: Vec<Tensor> = inputs.into_values().collect();
            Runner::new(graph).and_then(|runner| runner.run(&values)).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        check(&name, graph, "plain kernels", &expected, &plain);
        check(&name, graph, "XNNPACK", &expected, &delegated);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Two convolutions' worth of constants behind the flatbuffer, found there by a runtime that loads the file from memory.
#[test]
fn litert_finds_constants_behind_the_flatbuffer() {
    let Some(library) = litert() else { return };
    for Named { name, model } in ops::all().into_iter().filter(|case| case.name.starts_with("Conv2d_")) {
        let written = write(&model, &WriteOptions { inline_limit: 0 }).unwrap();
        assert!(written.has_data_outside);
        let inputs = inputs(&name, &model.graphs[0]);
        let inside = write(&model, &WriteOptions::default()).unwrap().to_bytes();
        let outside = written.to_bytes();
        for kernels in [Kernels::Builtin, Kernels::Xnnpack] {
            let run = |file| run_litert(library, file, kernels, &inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(run(&inside), run(&outside), "{name}");
        }
    }
}

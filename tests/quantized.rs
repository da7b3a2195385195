//! Models that come quantized: their scales reach the file as they are, and integer kernels compute what ONNX Runtime computes.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{fixtures, litert, run_litert, shared_models};
use litesmith::graph::{Graph, Op, Quant};
use litesmith::runtime::{Input, Kernels, Session};
use litesmith::samples::{read_npz, sample_files};
use litesmith::tensor::{DType, Tensor};
use litesmith::verify::element_type;
use litesmith::{Converted, Converter};

fn convert(model: &Path) -> Converted {
    Converter::new().convert_file(model).unwrap_or_else(|e| panic!("{}: {e}", model.display()))
}

fn graph(converted: &Converted) -> Graph {
    litesmith::tflite::read(converted.bytes().expect("a written file")).expect("a file just written").graphs.remove(0)
}

/// Operators on real numbers, conversions aside.
fn float_operators(graph: &Graph) -> Vec<&'static str> {
    let real = |id: &litesmith::graph::ValueId| graph.dtype(*id) == DType::F32;
    let between = |op: &Op| matches!(op, Op::Quantize { .. } | Op::Dequantize);
    let nodes = graph.nodes.iter().filter(|node| !between(&node.op));
    nodes
        .filter(|node| node.inputs.iter().flatten().any(real) || node.outputs.iter().any(real))
        .map(|n| n.op.name())
        .collect()
}

/// Cases of `fixtures/cases/quantized`, and the operators that their files have, in order. `f:` marks those on real numbers.
const OPERATORS: &[(&str, &[&str])] = &[
    ("conv_int8_minus_20_step", &["QUANTIZE", "TRANSPOSE", "CONV_2D", "TRANSPOSE", "DEQUANTIZE"]),
    ("conv_uint8_128_step", &["QUANTIZE", "TRANSPOSE", "CONV_2D", "TRANSPOSE", "DEQUANTIZE"]),
    ("conv_depthwise_step", &["QUANTIZE", "TRANSPOSE", "DEPTHWISE_CONV_2D", "TRANSPOSE", "DEQUANTIZE"]),
    ("conv_transpose_step", &["QUANTIZE", "TRANSPOSE", "TRANSPOSE_CONV", "TRANSPOSE", "DEQUANTIZE"]),
    ("conv_fake_quantized_weights_step", &["QUANTIZE", "TRANSPOSE", "CONV_2D", "TRANSPOSE", "DEQUANTIZE"]),
    ("conv_relu_step", &["QUANTIZE", "TRANSPOSE", "CONV_2D", "TRANSPOSE", "DEQUANTIZE"]),
    ("conv_zero_channel_step", &["QUANTIZE", "TRANSPOSE", "CONV_2D", "TRANSPOSE", "DEQUANTIZE"]),
    ("gemm_plain_step", &["QUANTIZE", "FULLY_CONNECTED", "DEQUANTIZE"]),
    ("matmul_computed_int8_0_step", &["QUANTIZE", "QUANTIZE", "BATCH_MATMUL", "DEQUANTIZE"]),
    ("add_uint8_100_step", &["QUANTIZE", "QUANTIZE", "ADD", "DEQUANTIZE"]),
    // One scale for all operands and the result; a scale that the kernel prescribes.
    ("concat_scales_int8_0_step", &["QUANTIZE", "QUANTIZE", "QUANTIZE", "QUANTIZE", "CONCATENATION", "DEQUANTIZE"]),
    ("softmax_step", &["QUANTIZE", "SOFTMAX", "QUANTIZE", "DEQUANTIZE"]),
    ("split_of_two_scales_step", &["QUANTIZE", "SPLIT", "QUANTIZE", "QUANTIZE", "DEQUANTIZE", "DEQUANTIZE"]),
    // Integers of QLinear operators and of what moves them.
    ("q_gemm_trans_0_uint8_step", &["QUANTIZE", "FULLY_CONNECTED", "DEQUANTIZE"]),
    ("q_linear_leaky_relu_uint8_step", &["QUANTIZE", "LEAKY_RELU", "DEQUANTIZE"]),
    ("q_linear_softmax_uint8_step", &["QUANTIZE", "SOFTMAX", "QUANTIZE", "DEQUANTIZE"]),
    ("q_linear_sigmoid_int8_step", &["QUANTIZE", "LOGISTIC", "QUANTIZE", "DEQUANTIZE"]),
    ("q_linear_concat_uint8_step", &["QUANTIZE", "QUANTIZE", "QUANTIZE", "QUANTIZE", "CONCATENATION", "DEQUANTIZE"]),
    (
        "q_linear_average_pool_int8_step",
        &["QUANTIZE", "TRANSPOSE", "AVERAGE_POOL_2D", "QUANTIZE", "TRANSPOSE", "DEQUANTIZE"],
    ),
    ("q_linear_global_average_pool_uint8_step", &["QUANTIZE", "MEAN", "DEQUANTIZE"]),
    ("integers_joined_with_constant_step", &["QUANTIZE", "CONCATENATION", "DEQUANTIZE"]),
    // What has no right kernel stays as it was.
    (
        "average_pool_finer_step",
        &["QUANTIZE", "TRANSPOSE", "DEQUANTIZE", "f:AVERAGE_POOL_2D", "QUANTIZE", "TRANSPOSE", "DEQUANTIZE"],
    ),
    ("mul_constants_step", &["QUANTIZE", "DEQUANTIZE", "f:MUL", "QUANTIZE", "DEQUANTIZE"]),
    ("average_pool_step", &["QUANTIZE", "TRANSPOSE", "AVERAGE_POOL_2D", "QUANTIZE", "TRANSPOSE", "DEQUANTIZE"]),
    ("batch_norm_after_conv_step", &["QUANTIZE", "TRANSPOSE", "CONV_2D", "TRANSPOSE", "DEQUANTIZE"]),
    ("weights_only", &["DEQUANTIZE", "f:FULLY_CONNECTED", "DEQUANTIZE", "f:FULLY_CONNECTED"]),
];

#[test]
fn operators_between_conversions_are_integer_kernels() {
    let mut wrong = Vec::new();
    for (name, expected) in OPERATORS {
        let converted = convert(&fixtures().join(format!("cases/quantized/{name}.onnx")));
        let graph = graph(&converted);
        let real = |id: &litesmith::graph::ValueId| graph.dtype(*id) == DType::F32;
        let shown = graph.nodes.iter().map(|node| {
            let between = matches!(node.op, Op::Quantize { .. } | Op::Dequantize);
            let float = !between && node.outputs.iter().any(real);
            format!("{}{}", if float { "f:" } else { "" }, node.op.name())
        });
        let found: Vec<String> = shown.collect();
        if found != *expected {
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cases of `fixtures/cases/quantized`: their operators with weights, the types of data and weights, and those of what is stored for
/// them in the file.
const WEIGHTS: &[(&str, &str, DType, DType)] = &[
    // The model rounds data at run time: so does the kernel.
    ("dynamic_mat_mul_int8_0_step", "FULLY_CONNECTED", DType::F32, DType::I8),
    ("dynamic_mat_mul_uint8_128_columns_step", "FULLY_CONNECTED", DType::F32, DType::I8),
    ("dynamic_mat_muls_of_one_step", "FULLY_CONNECTED", DType::F32, DType::I8),
    ("dynamic_conv_int8_0_step", "CONV_2D", DType::F32, DType::I8),
    ("dynamic_conv_uint8_128_step", "CONV_2D", DType::F32, DType::I8),
    // It has no weights with a zero point.
    ("dynamic_mat_mul_uint8_117_step", "DEQUANTIZE", DType::I8, DType::I8),
    ("dynamic_conv_uint8_117_step", "DEQUANTIZE", DType::I8, DType::I8),
    // 4 bits.
    ("gemm_large_int4_weights_step_opset21", "FULLY_CONNECTED", DType::I8, DType::I4),
    ("gemm_large_uint4_weights_step_opset21", "FULLY_CONNECTED", DType::I8, DType::I4),
    ("conv_large_int4_weights_step_opset21", "CONV_2D", DType::I8, DType::I4),
    ("weights_only_int4_opset21", "DEQUANTIZE", DType::I4, DType::I4),
    ("weights_only_uint4_opset21", "DEQUANTIZE", DType::I4, DType::I4),
];

#[test]
fn weights_are_as_small_in_the_file_as_in_the_model() {
    for (name, op, data, weights) in WEIGHTS {
        let graph = graph(&convert(&fixtures().join(format!("cases/quantized/{name}.onnx"))));
        let takes_constant =
            |node: &&litesmith::graph::Node| node.inputs.iter().flatten().any(|&id| graph.constant(id).is_some());
        let found: Vec<_> = graph.nodes.iter().filter(|n| n.op.name() == *op).filter(takes_constant).collect();
        assert!(!found.is_empty(), "{name}: no {op}");
        for node in found {
            let types: Vec<DType> = node.inputs.iter().flatten().map(|&id| graph.dtype(id)).collect();
            assert_eq!(types.first(), Some(data), "{name}");
            assert!(types.contains(weights), "{name}: {types:?}");
        }
    }
}

/// Models beside the project: how many of ten thousand outputs may be further than one step from ONNX Runtime's, and the greatest
/// part of the size of the float model, where there is one.
///
/// ONNX Runtime's own integer kernels saturate on some processors; compared is what it computed where they do not.
const MODELS: &[(&str, f64)] = &[
    ("mnist/qat_qdq", 0.0),
    ("mnist/qat_fakequant_export", 0.0),
    ("mnist/ptq_qdq_s8s8", 0.0),
    ("mnist/ptq_qop_u8s8", 0.0),
    // LiteRT's own kernels round halves of the accumulator twice, and 25 layers follow each other.
    ("mnist/digits_dsnet_ptq_qop_u8s8", 0.15),
];

#[test]
fn quantized_models_are_integers_from_end_to_end() {
    let Some(models) = shared_models() else { return };
    for name in MODELS.iter().map(|(name, _)| *name).chain(["arch/mobilenet_v2_ptq_qdq_s8s8"]) {
        let path = models.join(name).join("model.onnx");
        let converted = convert(&path);
        let graph = graph(&converted);
        assert_eq!(float_operators(&graph), Vec::<&str>::new(), "{name}");
        let missing: Vec<f32> = scales_of_onnx(&path).difference(&scales(&graph)).map(|s| f32::from_bits(*s)).collect();
        // Biases have the product of two scales, which stand in the model as well.
        let products = products(&graph);
        let lost: Vec<&f32> = missing.iter().filter(|s| !products.contains(&s.to_bits())).collect();
        assert!(lost.is_empty(), "{name}: scales {lost:?} of the model are not in the file");
    }
}

fn scales(graph: &Graph) -> BTreeSet<u32> {
    let quants = graph.values.iter().filter_map(|value| value.quant.as_ref());
    let of = |quant: &Quant| match quant {
        Quant::Affine { scale, .. } => scale.clone(),
        Quant::Blockwise { .. } => Vec::new(),
    };
    quants.flat_map(of).map(f32::to_bits).collect()
}

/// Scales of biases.
fn products(graph: &Graph) -> BTreeSet<u32> {
    let biases = graph.values.iter().filter(|value| value.ty.dtype == DType::I32);
    let quants = biases.filter_map(|value| value.quant.clone());
    quants
        .flat_map(|quant| if let Quant::Affine { scale, .. } = quant { scale } else { Vec::new() })
        .map(f32::to_bits)
        .collect()
}

/// Constant float32 operands of quantization whose names say that they are scales.
fn scales_of_onnx(path: &Path) -> BTreeSet<u32> {
    let model = litesmith::onnx::read_file(path).expect("a readable model");
    let initializers = &model.graph.initializers;
    let mut scales = BTreeSet::new();
    for node in &model.graph.nodes {
        let operands = match node.op.as_str() {
            "QuantizeLinear" | "DequantizeLinear" => vec![1],
            "QLinearConv" | "QLinearAdd" => vec![1, 4, 6],
            "QGemm" => vec![1, 4, 7],
            _ => continue,
        };
        for name in operands.into_iter().filter_map(|i| node.inputs.get(i)) {
            if let Some(data) = initializers.get(name) {
                scales.extend(data.to_f32s().expect("float scales").into_iter().map(f32::to_bits));
            }
        }
    }
    scales
}

#[test]
fn results_are_onnx_runtimes_to_one_step() {
    let (Some(models), Some(library)) = (shared_models(), litert()) else { return };
    let mut wrong = Vec::new();
    for (name, allowed) in MODELS {
        let folder = models.join(name);
        let converted = convert(&folder.join("model.onnx"));
        let step = output_step(&graph(&converted));
        let files =
            |kind: &str| sample_files(&folder.join("io").join(format!("{kind}_*.npz"))).expect("stored samples");
        for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
            let (mut far, mut all) = (0, 0);
            for (input, output) in files("input").iter().zip(files("output")) {
                let (inputs, expected) = (read_npz(input).expect("a sample"), read_npz(&output).expect("a sample"));
                let found =
                    run_litert(library, &converted.bytes().expect("a written file"), kernels, &inputs).expect("a run");
                for (output, expected) in expected {
                    let (e, f) = (expected.to_f64s().expect("floats"), found[&output].to_f64s().expect("floats"));
                    far += e.iter().zip(&f).filter(|(e, f)| (*e - *f).abs() > 1.01 * step).count();
                    all += e.len();
                }
            }
            let part = far as f64 / f64::from(all as u32);
            println!("{name} {kernels:?}: {far} of {all} outputs are further than a step of {step} off");
            if part > *allowed {
                wrong.push(format!("{name} {kernels:?}: {far} of {all}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Scale of the integers that the only output is made from.
fn output_step(graph: &Graph) -> f64 {
    let output = graph.outputs[0];
    let maker = graph.nodes.iter().find(|node| node.outputs.contains(&output)).expect("a maker");
    let stored = graph.value(maker.input(0).expect("an operand"));
    stored.quant.as_ref().and_then(Quant::as_per_tensor).expect("a scale").0.into()
}

/// Digits that are recognized, of the 5000 that the collection's models were tested on: theirs in ONNX Runtime to three.
#[test]
fn a_model_trained_for_integers_recognizes_as_many_digits() {
    let (Some(models), Some(library)) = (shared_models(), litert()) else { return };
    let digits: BTreeMap<String, Tensor> =
        read_npz(&models.join("mnist/test.npz")).expect("digits").into_iter().collect();
    let (images, labels) = (&digits["images"], digits["labels"].to_i64s().expect("labels"));
    let images = images.to_f32s().expect("images");
    for (name, expected) in
        [("mnist/qat_qdq", 4866), ("mnist/qat_fakequant_export", 4866), ("mnist/ptq_qop_u8s8", 4851)]
    {
        let float = std::fs::metadata(models.join("mnist/float/model.onnx")).expect("the float model").len();
        let converted = convert(&models.join(name).join("model.onnx"));
        let file = converted.bytes().expect("a written file");
        assert!(file.len() as u64 * 10 <= float * 3, "{name}: {} bytes of {float}", file.len());
        for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
            let options = litesmith::runtime::Options { kernels, ..Default::default() };
            let mut session = Session::new(library, file.to_vec(), &options).expect("a file that loads");
            let mut right: i64 = 0;
            for (image, label) in images.chunks_exact(28 * 28).zip(&labels) {
                let image = Tensor::vector(image.to_vec());
                let (name, bytes) = ("image", image.bytes());
                let feed = Input { name, element_type: element_type(DType::F32), dims: &[1, 1, 28, 28], bytes };
                let logits = session.run(&[feed]).expect("a run").remove(0);
                let logits = Tensor::new(DType::F32, logits.dims, logits.bytes.into()).expect("floats");
                let logits = logits.to_f32s().expect("floats");
                let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
                right += i64::from(best.map(|i| i as i64) == Some(*label));
            }
            println!("{name} {kernels:?}: {right} of {} digits, ONNX Runtime {expected}", labels.len());
            assert!((right - expected).abs() <= 3, "{name} {kernels:?}: {right} digits");
        }
    }
}

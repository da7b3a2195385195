//! Whole models beside the project: converted, run in LiteRT, compared with stored ONNX Runtime outputs.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Tolerance, difference, litert, run_litert, shared_models};
use indexmap::IndexMap;
use litesmith::exec::Runner;
use litesmith::quant::Method;
use litesmith::runtime::Kernels;
use litesmith::samples::{read_npz, sample_files};
use litesmith::tensor::Tensor;
use litesmith::verify::Difference;
use litesmith::{Calibration, ChannelsLast, Converted, Converter, Options, Quantize};

/// Models, the transposes that are left, and what int8 must reach in dB: one below what onnxruntime's quantizer reaches on the same
/// samples (`benches/compare_int8.py`).
///
/// What is left is one for the input, one for an output that is an image, and those of channel shuffles and of attention.
const MODELS: &[(&str, usize, f64)] = &[
    ("mnist/float", 0, 8.74),
    ("mnist/digits_dsnet", 0, 19.73),
    ("arch/mobilenet_v2", 1, 11.21),
    ("arch/mobilenet_v3_small_dynamo_op20", 1, 18.69),
    ("arch/shufflenet_v2_x0_5", 14, 13.41),
    ("arch/ds_cnn_kws", 0, 36.53),
    ("arch/espcn_x3", 0, 54.69),
    ("arch/unet_resize", 2, 19.11),
    ("arch/yolov8n_like", 2, 20.36),
    ("arch/style_instancenorm", 2, 17.43),
    ("arch/conv_tasnet_like", 0, 24.13),
];

/// Float outputs must agree with ONNX Runtime's to this many dB.
const FLOAT_DB: f64 = 90.0;

fn convert(model: &Path, options: Options) -> Converted {
    Converter::with_options(options).convert_file(model).unwrap_or_else(|e| panic!("{}: {e}", model.display()))
}

fn stored(folder: &Path, kind: &str) -> Vec<IndexMap<String, Tensor>> {
    let files: Vec<PathBuf> = sample_files(&folder.join("io").join(format!("{kind}_*.npz"))).expect("stored samples");
    files.iter().map(|f| read_npz(f).expect("readable sample")).collect()
}

/// Difference of each output over all samples.
fn differences(folder: &Path, file: &[u8], kernels: Kernels) -> BTreeMap<String, Difference> {
    let library = litert().expect("checked by the caller");
    let mut found: BTreeMap<String, Difference> = BTreeMap::new();
    for (inputs, expected) in stored(folder, "input").iter().zip(&stored(folder, "output")) {
        let outputs =
            run_litert(library, file, kernels, inputs).unwrap_or_else(|e| panic!("{}: {e:?}", folder.display()));
        for (name, expected) in expected {
            found.entry(name.clone()).or_default().add(expected, &outputs[name]).expect("comparable outputs");
        }
    }
    found
}

#[test]
fn float_files_agree_with_onnx_runtime() {
    let (Some(models), Some(_)) = (shared_models(), litert()) else { return };
    let mut wrong = Vec::new();
    for (name, transposes, _) in MODELS {
        let folder = models.join(name);
        let converted = convert(&folder.join("model.onnx"), Options::default());
        if converted.report.transposes() > *transposes {
            wrong.push(format!("{name}: {} transposes, {transposes} are needed", converted.report.transposes()));
        }
        for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
            for (output, difference) in differences(&folder, &converted.bytes().unwrap(), kernels) {
                println!("{name} {output} {kernels:?}: {:.1} dB", difference.db());
                if difference.db() < FLOAT_DB {
                    wrong.push(format!("{name} {output} {kernels:?}: {:.1} dB", difference.db()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn int8_files_are_as_good_as_onnx_runtimes() {
    let (Some(models), Some(_)) = (shared_models(), litert()) else { return };
    let mut wrong = Vec::new();
    for (name, _, bound) in MODELS {
        let folder = models.join(name);
        let inputs = stored(&folder, "input");
        let model = folder.join("model.onnx");
        // The first half of the stored inputs, as the bar was measured.
        let half = inputs.iter().take((inputs.len() / 2).max(1));
        let calibration = Some(Calibration::Tensors(half.map(|s| s.values().cloned().collect()).collect()));
        // By the method that the bar was measured with; others can be better or worse on so few samples.
        let calibration_method = Method::MinMax;
        let options = Options { quantize: Quantize::Int8, calibration, calibration_method, ..Options::default() };
        let converted = convert(&model, options);
        for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
            // Over all outputs together, as the bar was measured.
            let mut total = Difference::default();
            for difference in differences(&folder, &converted.bytes().unwrap(), kernels).values() {
                total.signal += difference.signal;
                total.noise += difference.noise;
                total.mismatched += difference.mismatched;
            }
            println!("{name} int8 {kernels:?}: {:.2} dB, at least {bound}", total.db());
            if total.db() < *bound {
                wrong.push(format!("{name} {kernels:?}: {:.2} dB, should be {bound}", total.db()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn channels_last_leaves_no_transpose_at_the_boundary() {
    let Some(models) = shared_models() else { return };
    for name in ["arch/mobilenet_v2", "arch/unet_resize", "arch/ds_cnn_kws"] {
        let options = Options { channels_last: ChannelsLast::All, ..Options::default() };
        let converted = convert(&models.join(name).join("model.onnx"), options);
        assert_eq!(converted.report.transposes(), 0, "{name}");
    }
}

#[test]
fn mobilenet_v2_is_convolutions_and_little_else() {
    let Some(models) = shared_models() else { return };
    let report = convert(&models.join("arch/mobilenet_v2/model.onnx"), Options::default()).report;
    assert!(!report.operators.contains_key("MUL") && !report.operators.contains_key("RELU6"), "{report}");
    assert_eq!(report.operators.get("ADD"), Some(&10), "only residual connections add: {report}");
}

#[test]
fn rewrites_leave_numbers_as_they_were() {
    let Some(models) = shared_models() else { return };
    for (name, ..) in MODELS {
        let folder = models.join(name);
        let inputs = stored(&folder, "input").swap_remove(0);
        let run = |options: Options| {
            let converted = convert(&folder.join("model.onnx"), options);
            let model = litesmith::tflite::read(converted.bytes().unwrap()).expect("our own file");
            let graph = &model.graphs[0];
            let feed: Vec<Tensor> = graph.inputs.iter().map(|&id| inputs[&graph.value(id).name].clone()).collect();
            Runner::new(graph).expect("runnable").run(&feed).expect("runs")
        };
        let plain = Options { passes: false, layout: false, ..Options::default() };
        let (off, on) = (run(plain), run(Options::default()));
        for (off, on) in off.iter().zip(&on) {
            let mut difference = Difference::default();
            difference.add(off, on).expect("comparable");
            assert!(difference.db() > FLOAT_DB, "{name}: {:.1} dB", difference.db());
        }
    }
}

#[test]
fn digits_are_recognized() {
    let (Some(models), Some(library)) = (shared_models(), litert()) else { return };
    let mnist = models.join("mnist");
    let test = read_npz(&mnist.join("test.npz")).expect("test digits");
    let labels = test["labels"].to_i64s().expect("integers");
    let images = test["images"].clone();
    let model = mnist.join("float/model.onnx");
    let samples = read_npz(&mnist.join("calib.npz")).expect("calibration digits")["images"].clone();
    let pixels = 28 * 28 * size_of::<f32>();
    let digit = |i: usize| {
        let bytes = samples.bytes().slice(i * pixels..(i + 1) * pixels);
        vec![Tensor::new(samples.dtype(), vec![1, 1, 28, 28], bytes).expect("one digit")]
    };
    let calibration = Some(Calibration::Tensors((0..samples.shape()[0]).map(digit).collect()));
    let float = convert(&model, Options::default()).bytes().unwrap();
    let int8 = convert(&model, Options { quantize: Quantize::Int8, calibration, ..Options::default() });
    let int8 = int8.bytes().unwrap();
    let accuracy = |file: &[u8]| {
        let options = litesmith::runtime::Options::default();
        let mut session = litesmith::runtime::Session::new(library, file.to_vec(), &options).expect("loads");
        let input = session.inputs()[0].name.clone();
        let mut right = 0;
        for (i, &label) in labels.iter().enumerate() {
            let feed = litesmith::runtime::Input {
                name: &input,
                element_type: litesmith::runtime::ElementType::Float32,
                dims: &[1, 1, 28, 28],
                bytes: &images.bytes()[i * pixels..(i + 1) * pixels],
            };
            let logits = session.run(&[feed]).expect("runs").remove(0).bytes;
            let logits = logits.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let best = logits.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i as i64);
            right += usize::from(best == Some(label));
        }
        right
    };
    let (float_right, int8_right) = (accuracy(&float), accuracy(&int8));
    println!("float {float_right} of {}, int8 {int8_right}", labels.len());
    println!("float {} bytes, int8 {} bytes", float.len(), int8.len());
    assert!(float_right.abs_diff(4859) <= 1, "ONNX Runtime recognizes 4,859 of 5,000, this file {float_right}");
    assert!(int8_right >= 4845, "int8 recognizes {int8_right} of 5,000");
    assert!(int8.len() * 10 <= float.len() * 3, "int8 takes more than 30 % of float");
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let Some(models) = shared_models() else { return };
    let folder = models.join("arch/ds_cnn_kws");
    let calibration = Some(Calibration::Path(folder.join("io/input_*.npz")));
    let options = Options { quantize: Quantize::Int8, calibration, ..Options::default() };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| convert(&folder.join("model.onnx"), options.clone()).bytes().unwrap())
    };
    let first = on(1);
    assert!(first == on(1) && first == on(2), "bytes differ from run to run");
}

#[test]
fn comparison_finds_a_difference() {
    let one = Tensor::vector(vec![1f32, 2.0]);
    let other = Tensor::vector(vec![1f32, 2.1]);
    assert!(difference(&one, &other, Tolerance::FLOAT).is_some());
    assert!(difference(&one, &one, Tolerance::FLOAT).is_none());
}

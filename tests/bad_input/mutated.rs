//! Sound models with something wrong put in: extents, attributes, constants, operands, types, operators. The cases of every
//! operator are the models, so that each lowering meets numbers that its author did not think of.

use std::path::PathBuf;

use litesmith::tensor::{DType, Tensor};
use litesmith::{Calibration, Options, Quantize};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto;

use super::*;

const WORDS: [i64; 16] = [
    0,
    1,
    -1,
    2,
    3,
    7,
    -3,
    100_000,
    1 << 24,
    1 << 31,
    -(1 << 31),
    (1 << 31) - 1,
    1 << 40,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];
const FLOATS: [f32; 9] = [0.0, -0.0, -1.0, 1e-45, 1e30, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];

/// The models of `fixtures/cases`.
fn cases() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(fixtures().join("cases")).unwrap().flatten().map(|e| e.path());
    let files = folders.filter(|p| p.is_dir()).flat_map(|p| std::fs::read_dir(p).unwrap().flatten().map(|e| e.path()));
    let mut models: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    models.sort();
    models
}

/// Changes one thing; the model may stay sound.
fn mutate(graph: &mut pb::GraphProto, opset: &mut i64, random: &mut Random) {
    match random.below(16) {
        0 | 1 => change_extent(&mut graph.input, random),
        2..=4 => change_constant(&mut graph.initializer, random),
        5..=8 => change_attribute(&mut graph.node, random),
        9 => change_type(&mut graph.input, random),
        10 | 11 => change_operand(graph, random),
        12 => {
            *opset = random.pick(&[1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 22, 23, 0, -1, i64::MAX])
        }
        13 => {
            let row = &litesmith::lower::TABLE[random.below(litesmith::lower::TABLE.len())];
            if let Some(node) = any(&mut graph.node, random) {
                node.op_type = row.op.into();
            }
        }
        14 => {
            if let Some(node) = any(&mut graph.node, random) {
                match random.below(3) {
                    0 => drop(node.output.pop()),
                    1 => node.output.push("one_more".into()),
                    _ => node.output.insert(0, "shifted".into()),
                }
            }
        }
        _ => {
            // A constant that is only known at run time, or the other way round.
            if let Some(at) = (!graph.initializer.is_empty()).then(|| random.below(graph.initializer.len())) {
                let tensor = graph.initializer.remove(at);
                graph.input.push(value(&tensor.name, tensor.data_type, &tensor.dims));
            }
        }
    }
}

fn any<'a, T>(list: &'a mut [T], random: &mut Random) -> Option<&'a mut T> {
    if list.is_empty() { None } else { Some(&mut list[random.below(list.len())]) }
}

fn change_extent(inputs: &mut [pb::ValueInfoProto], random: &mut Random) {
    let tensor = any(inputs, random).and_then(|i| i.r#type.as_mut()).and_then(|t| t.value.as_mut());
    let Some(type_proto::Value::TensorType(tensor)) = tensor else { return };
    let Some(shape) = &mut tensor.shape else { return };
    match random.below(8) {
        0 => drop(shape.dim.pop()),
        1 => shape.dim.push(Default::default()),
        2 => tensor.shape = None,
        _ => {
            if let Some(dim) = any(&mut shape.dim, random) {
                dim.value = Some(dimension::Value::DimValue(random.pick(&WORDS)));
            }
        }
    }
}

fn change_type(inputs: &mut [pb::ValueInfoProto], random: &mut Random) {
    let tensor = any(inputs, random).and_then(|i| i.r#type.as_mut()).and_then(|t| t.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = tensor {
        tensor.elem_type = random.below(24) as i32;
    }
}

fn change_constant(tensors: &mut [pb::TensorProto], random: &mut Random) {
    let Some(tensor) = any(tensors, random) else { return };
    match random.below(6) {
        0 => tensor.dims.insert(random.below(tensor.dims.len() + 1), 1),
        1 => drop(tensor.dims.pop()),
        2 => {
            if let Some(dim) = any(&mut tensor.dims, random) {
                *dim = random.pick(&WORDS);
            }
        }
        3 => tensor.data_type = random.below(24) as i32,
        _ => {
            let mut raw = tensor.raw_data.to_vec();
            let (word, float) = (random.pick(&WORDS), random.pick(&FLOATS));
            let bytes = match tensor.data_type {
                onnx::INT64 => word.to_le_bytes().to_vec(),
                onnx::FLOAT => float.to_le_bytes().to_vec(),
                _ => (word as i32).to_le_bytes().to_vec(),
            };
            if raw.len() >= bytes.len() {
                let at = random.below(raw.len() / bytes.len()) * bytes.len();
                raw[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            tensor.raw_data = raw;
            if let Some(x) = any(&mut tensor.int64_data, random) {
                *x = word;
            }
            if let Some(x) = any(&mut tensor.int32_data, random) {
                *x = word as i32;
            }
            if let Some(x) = any(&mut tensor.float_data, random) {
                *x = float;
            }
        }
    }
}

fn change_attribute(nodes: &mut [pb::NodeProto], random: &mut Random) {
    let Some(node) = any(nodes, random) else { return };
    let Some(attribute) = any(&mut node.attribute, random) else { return };
    match random.below(8) {
        0 => drop(attribute.ints.pop()),
        1 => attribute.ints.push(random.pick(&WORDS)),
        2 => attribute.s = b"else".to_vec(),
        3 => attribute.r#type = random.below(15) as i32,
        4 => {
            if let Some(tensor) = &mut attribute.t {
                change_constant(std::slice::from_mut(tensor), random);
            }
        }
        _ => {
            attribute.i = random.pick(&WORDS);
            attribute.f = random.pick(&FLOATS);
            if let Some(x) = any(&mut attribute.ints, random) {
                *x = random.pick(&WORDS);
            }
            if let Some(x) = any(&mut attribute.floats, random) {
                *x = random.pick(&FLOATS);
            }
        }
    }
}

fn change_operand(graph: &mut pb::GraphProto, random: &mut Random) {
    let inputs = graph.input.iter().map(|i| i.name.clone());
    let names: Vec<String> = inputs.chain(graph.initializer.iter().map(|i| i.name.clone())).collect();
    let Some(node) = any(&mut graph.node, random) else { return };
    match random.below(4) {
        0 => drop(node.input.pop()),
        1 if !names.is_empty() => node.input.push(random.pick(&names)),
        2 => {
            any(&mut node.input, random).map(String::clear);
        }
        _ if !names.is_empty() => {
            if let Some(i) = any(&mut node.input, random) {
                *i = random.pick(&names);
            }
        }
        _ => {}
    }
}

/// One changed model of every third case, unless `LITESMITH_ROUNDS` asks for more. Those that fail are kept in `target/tmp`.
#[test]
fn cases_with_something_wrong() {
    let rounds = std::env::var("LITESMITH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1u64);
    let first = std::env::var("LITESMITH_FIRST_ROUND").ok().and_then(|n| n.parse().ok()).unwrap_or(0u64);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (mut refused, mut good, mut failed) = (0, 0, Vec::new());
    let every = if rounds == 1 { 3 } else { 1 };
    for (index, path) in cases().iter().enumerate().step_by(every) {
        let sound = pb::ModelProto::decode(&*std::fs::read(path).unwrap()).unwrap();
        for round in first..first + rounds {
            let mut random = Random::new((round << 32) + index as u64 + 1);
            let mut broken = sound.clone();
            let (Some(graph), [opset, ..]) = (&mut broken.graph, broken.opset_import.as_mut_slice()) else { continue };
            for _ in 0..=random.below(2) {
                mutate(graph, &mut opset.version, &mut random);
            }
            // Whether they fit what the file declares is tested elsewhere; here, it would hide what comes after.
            graph.output.iter_mut().for_each(|output| output.r#type = None);
            let what = format!("{}, round {round}", path.display());
            let bytes = onnx::bytes(&broken);
            // For the day when this very process dies of it.
            std::fs::write(kept.join("mutated.onnx"), &bytes).unwrap();
            let check = || match converted(&bytes, &what) {
                Ok(converted) => {
                    assert!(
                        converted.bytes().unwrap().len() < 1 << 26,
                        "{what}: {} bytes",
                        converted.bytes().unwrap().len()
                    );
                    if round % 4 == 0 {
                        quantized(&broken, &converted, &what);
                    }
                    true
                }
                Err(_) => false,
            };
            match catch_unwind(AssertUnwindSafe(check)) {
                Ok(true) => good += 1,
                Ok(false) => refused += 1,
                Err(_) => {
                    std::fs::write(kept.join(format!("mutated_{}.onnx", failed.len())), &bytes).unwrap();
                    failed.push(what);
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), good + refused + failed.len());
    println!("{good} converted, {refused} refused");
    assert!(good > 300 && refused > 300, "the changes must be neither harmless nor hopeless");
}

/// Quantizes with one sample of ones, where that is possible.
fn quantized(model: &pb::ModelProto, float: &Converted, what: &str) {
    let read = litesmith::tflite::read(float.bytes().unwrap()).unwrap();
    let graph = &read.graphs[0];
    // A loop over a changed extent may run for minutes, as it would for a sound model of that length.
    if graph.nodes.iter().any(|n| matches!(n.op, litesmith::graph::Op::While { .. })) {
        return;
    }
    let ones = |id: &litesmith::graph::ValueId| {
        let ty = &graph.value(*id).ty;
        let dims: Vec<usize> = ty.shape.dims().iter().map(|d| d.unwrap_or(2)).collect();
        let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 20)?;
        let ones = vec![1f32; count];
        if ty.dtype == DType::Bool {
            return Some(Tensor::from_bools(&dims, &vec![true; count]));
        }
        Tensor::from_vec(&dims, ones).cast(ty.dtype).ok()
    };
    let Some(sample) = graph.inputs.iter().map(ones).collect::<Option<Vec<_>>>() else { return };
    let calibration = Some(Calibration::Tensors(vec![sample]));
    let options = Options { quantize: Quantize::Int8, calibration, ..Options::default() };
    let bytes = onnx::bytes(model);
    let result = catch_unwind(AssertUnwindSafe(|| Converter::with_options(options).convert_bytes(bytes.clone())));
    let result = result.unwrap_or_else(|_| panic!("{what}: panicked as int8"));
    if let Err(error @ Error::Internal { .. }) = result {
        panic!("{what}, as int8: {error}");
    }
}

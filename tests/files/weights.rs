//! Large weights: beside the model in folders of their own, at any offset, or in the model file; they reach the result unchanged.

use super::common::command::Desk;
use super::common::onnx::{FLOAT, bytes, model, node, value};
use litesmith::tensor::Tensor;
use litesmith::tflite;
use tract_onnx::pb;

/// Elements of a tensor that is mapped for itself, and of one that is not.
const SIZES: [usize; 2] = [600_000, 1000];

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i % 1013) as f32 - 500.0).collect()
}

fn raw(n: usize) -> Vec<u8> {
    numbers(n).iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn tensor(name: &str, n: usize) -> pb::TensorProto {
    pb::TensorProto { name: name.into(), data_type: FLOAT, dims: vec![n as i64], ..Default::default() }
}

/// `y = x + w` for each of the weights.
fn sums(weights: Vec<pb::TensorProto>) -> Vec<u8> {
    let names: Vec<[String; 3]> = weights
        .iter()
        .map(|w| ["x", "", "y"].map(|part| if part.is_empty() { w.name.clone() } else { format!("{part}{}", w.name) }))
        .collect();
    let nodes = names.iter().map(|[x, w, y]| node("Add", &[x, w], &[y])).collect();
    let extents = |i: usize| weights[i].dims.clone();
    let inputs = names.iter().enumerate().map(|(i, [x, ..])| value(x, FLOAT, &extents(i))).collect();
    let outputs = names.iter().enumerate().map(|(i, [.., y])| value(y, FLOAT, &extents(i))).collect();
    bytes(&model(nodes, weights, inputs, outputs))
}

fn constants(desk: &Desk) -> Vec<Tensor> {
    let ran = desk.convert(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let file = std::fs::read(desk.path("model.tflite")).unwrap();
    let graph = tflite::read(file.into()).unwrap().graphs.remove(0);
    graph.nodes.iter().map(|n| graph.constant(n.input(1).unwrap()).unwrap().clone()).collect()
}

#[test]
fn in_other_files() {
    let external = |name: &str, n: usize, location: &str, offset: usize| {
        let (at, len) = (offset.to_string(), (4 * n).to_string());
        let entry = |(key, value): (&str, &str)| pb::StringStringEntryProto { key: key.into(), value: value.into() };
        let entries = [("location", location), ("offset", &at), ("length", &len)];
        pb::TensorProto {
            data_location: Some(pb::tensor_proto::DataLocation::External as i32),
            external_data: entries.map(entry).to_vec(),
            ..tensor(name, n)
        }
    };
    // 5 is a multiple of nothing that elements or pages are aligned to.
    let [large, small] = SIZES;
    let weights = vec![
        external("a", large, "parts/one/a.bin", 5),
        external("b", small, "parts/one/a.bin", 5 + 4 * large),
        external("c", small, "./c.bin", 0),
    ];
    let desk = Desk::new(sums(weights));
    desk.write("parts/one/a.bin", [vec![7; 5], raw(large), raw(small)].concat());
    desk.write("c.bin", raw(small));
    let found = constants(&desk);
    for (found, n) in found.iter().zip([large, small, small]) {
        assert!(*found == Tensor::vector(numbers(n)), "{n} elements");
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn in_the_model() {
    let weights =
        SIZES.iter().enumerate().map(|(i, &n)| pb::TensorProto { raw_data: raw(n), ..tensor(["a", "b"][i], n) });
    let desk = Desk::new(sums(weights.collect()));
    for (found, n) in constants(&desk).iter().zip(SIZES) {
        assert!(*found == Tensor::vector(numbers(n)), "{n} elements");
    }
}

#[test]
fn a_location_is_a_file() {
    let entry = |key: &str, value: &str| pb::StringStringEntryProto { key: key.into(), value: value.into() };
    for location in ["", ".", "\0"] {
        let weights = pb::TensorProto {
            data_location: Some(pb::tensor_proto::DataLocation::External as i32),
            external_data: vec![entry("location", location), entry("offset", "0"), entry("length", "8")],
            ..tensor("a", 2)
        };
        Desk::new(sums(vec![weights])).refused(&[]);
    }
}

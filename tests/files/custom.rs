//! `--allow-custom`.

use std::process::Command;

use super::common::command::{Desk, says};
use super::common::onnx::{FLOAT, INT64, bytes, floats, int, ints, model, node, value, with};
use litesmith::graph::{Graph, Node, Op, Opaque};
use litesmith::tflite;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;

fn attribute(name: &str, kind: AttributeType) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), r#type: kind as i32, ..Default::default() }
}

/// `y, n = acme::Sift(Relu(x), , weights)` with attributes of all kinds, and an unknown `Bar` behind it.
fn sifted() -> pb::ModelProto {
    let mut sift = node("Sift", &["a", "", "weights"], &["s", "n"]);
    sift.domain = "acme".into();
    for attribute in [
        int("size", -3),
        ints("axes", &[1, -2, 1 << 40]),
        ints("none", &[]),
        pb::AttributeProto { f: 0.1, ..attribute("alpha", AttributeType::Float) },
        pb::AttributeProto { floats: vec![1.5, -2.25], ..attribute("scales", AttributeType::Floats) },
        pb::AttributeProto { s: "näher".into(), ..attribute("mode", AttributeType::String) },
        pb::AttributeProto {
            strings: vec!["a".into(), "".into(), "long text".into()],
            ..attribute("names", AttributeType::Strings)
        },
        pb::AttributeProto { t: Some(floats("", &[2, 1], &[1.0, 2.0])), ..attribute("table", AttributeType::Tensor) },
    ] {
        sift = with(sift, attribute);
    }
    let mut proto = model(
        vec![node("Relu", &["x"], &["a"]), sift, node("Bar", &["s"], &["y"])],
        vec![floats("weights", &[2], &[1.0, 2.0])],
        vec![value("x", FLOAT, &[2, 3])],
        vec![value("y", FLOAT, &[2, 3]), value("n", INT64, &[1])],
    );
    proto.opset_import.push(pb::OperatorSetIdProto { domain: "acme".into(), version: 4 });
    if let Some(graph) = &mut proto.graph {
        graph.value_info = vec![value("s", FLOAT, &[2, 3])];
    }
    proto
}

fn custom<'a>(graph: &'a Graph) -> Vec<&'a Opaque> {
    let opaque = |node: &'a Node| if let Op::Opaque(opaque) = &node.op { Some(&**opaque) } else { None };
    graph.nodes.iter().filter_map(opaque).collect()
}

fn converted(desk: &Desk, args: &[&str]) -> (Graph, String) {
    let ran = desk.convert(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
    let file = std::fs::read(desk.path("model.tflite")).unwrap();
    (tflite::read(file.into()).unwrap().graphs.remove(0), ran.stdout)
}

#[test]
fn operators_become_custom_ones_by_name() {
    let desk = Desk::new(bytes(&sifted()));
    let (graph, text) =
        converted(&desk, &["--allow-custom", "acme::Sift", "--allow-custom", "ai.onnx::Bar", "--allow-custom", "Baz"]);
    says(
        &text,
        &[
            "--allow-custom Baz: the model has no such operator",
            "custom operator \"acme::Sift\"",
            "custom operator \"Bar\"",
            "kernel",
        ],
    );
    let names: Vec<_> = custom(&graph).iter().map(|o| (o.custom_code.as_deref(), o.version)).collect();
    assert_eq!(names, [(Some("acme::Sift"), 1), (Some("Bar"), 1)]);
    let sift = graph.nodes.iter().find(|n| n.outputs.len() == 2).unwrap();
    let name = |id: litesmith::graph::ValueId| graph.value(id).name.as_str();
    let operands: Vec<_> = sift.inputs.iter().map(|id| id.map(name)).collect();
    assert_eq!(operands, [Some("a"), None, Some("weights")]);
    let results: Vec<_> = sift.outputs.iter().map(|&id| (name(id), graph.value(id).ty.to_string())).collect();
    assert_eq!(results, [("s", "float32[2,3]".to_string()), ("n", "int64[1]".to_string())]);
}

#[test]
fn the_rest_is_still_listed() {
    let desk = Desk::new(bytes(&sifted()));
    let message = desk.refused(&[]);
    says(&message, &["acme::Sift", "--allow-custom acme::Sift"]);
    let message = desk.refused(&["--allow-custom", "acme::Sift"]);
    says(&message, &["1 problem", "Bar", "--allow-custom Bar"]);
    // An operator that can be converted becomes custom too, where that is asked for; but of unknown type.
    let message = desk.refused(&["--allow-custom", "Relu", "--allow-custom", "Bar", "--allow-custom", "acme::Sift"]);
    says(&message, &["element type of result \"a\"", "value_info"]);
}

/// What the official reader finds in the options.
#[test]
fn options_are_read_by_the_official_reader() {
    let Some(python) = std::env::var_os("VIRTUAL_ENV").map(|p| std::path::PathBuf::from(p).join("bin/python")) else {
        println!("skipped: no Python environment");
        return;
    };
    let desk = Desk::new(bytes(&sifted()));
    let (graph, _) = converted(&desk, &["--allow-custom", "acme::Sift", "--allow-custom", "Bar"]);
    let custom = custom(&graph);
    let options: Vec<_> = custom.iter().map(|o| o.custom_options.clone().unwrap()).collect();
    let read = |bytes: &[u8]| {
        let path = desk.write("options.bin", bytes);
        let script = "import sys, json\nfrom flatbuffers import flexbuffers\n\
            plain = lambda x: list(x) if isinstance(x, (bytes, bytearray)) else str(x)\n\
            print(json.dumps(flexbuffers.Loads(open(sys.argv[1], 'rb').read()), default=plain))";
        let output = Command::new(&python).args(["-c", script]).arg(path).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if error.contains("No module named") {
            println!("skipped: no flatbuffers package");
            return None;
        }
        assert!(output.status.success(), "{error}");
        Some(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap())
    };
    let Some(found) = read(&options[0]) else { return };
    let expected = serde_json::json!({
        "size": -3, "axes": [1, -2, 1i64 << 40], "none": [], "alpha": f64::from(0.1f32), "scales": [1.5, -2.25],
        "mode": "näher", "names": ["a", "", "long text"],
        "table": {"type": "float32", "shape": [2, 1], "data": [0, 0, 128, 63, 0, 0, 0, 64]},
    });
    assert_eq!(found, expected);
    assert_eq!(read(&options[1]).unwrap(), serde_json::json!({}));
}

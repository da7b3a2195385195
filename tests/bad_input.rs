//! What users and broken exporters hand in: damaged files, models that contradict themselves, samples that don't fit. Every one
//! is answered with an error that names the place, or converted; nothing panics, and no file is harmed.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use common::command::{Desk, command, is_clear, litesmith, run, says};
use common::onnx::{self, FLOAT, INT64, STRING, model, node, value, with};
use common::{Random, fixtures};
use litesmith::{Converted, Converter, Error};
use npyz::WriterBuilder;
use tract_onnx::pb;

fn digits() -> Vec<u8> {
    std::fs::read(fixtures().join("digits/digits.onnx")).unwrap()
}

/// Converts in this process, which saves a start of the program for each of hundreds of files.
fn converted(bytes: &[u8], what: &str) -> Result<Converted, Error> {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| Converter::new().convert_bytes(bytes)));
    let result = result.unwrap_or_else(|_| panic!("{what}: panicked"));
    assert!(start.elapsed() < Duration::from_secs(60), "{what}: took {:?}", start.elapsed());
    if let Err(error) = &result {
        assert!(!matches!(error, Error::Internal { .. }), "{what}: {error}");
        assert!(error.to_string().len() > 15, "{what}: says no more than {error}");
    }
    result
}

/// The message for a model that must be refused: by the library and by the program, which harms no file.
#[track_caller]
fn refused(model: &pb::ModelProto) -> String {
    let bytes = onnx::bytes(model);
    let by_library = converted(&bytes, "model").map(|c| c.report).expect_err("the model must be refused").to_string();
    let by_program = Desk::new(bytes).refused(&[]);
    assert_eq!(by_program, format!("model.onnx: {by_library}"));
    by_library
}

mod damaged_files {
    use super::*;

    #[test]
    fn cut_short_at_many_lengths() {
        let whole = digits();
        let mut read = 0;
        for len in (0..whole.len()).step_by(whole.len() / 150) {
            read += usize::from(converted(&whole[..len], &format!("the first {len} bytes")).is_ok());
        }
        assert_eq!(read, 0, "what is missing is noticed");
        for len in [1, 100, whole.len() / 2, whole.len() - 1] {
            says(&Desk::new(&whole[..len]).refused(&[]), &["model.onnx", "not an ONNX model, or a damaged one"]);
        }
    }

    #[test]
    fn with_one_byte_changed() {
        let whole = digits();
        let mut random = Random::new(1);
        // Most bytes are weights, which may have any value: half of the changes are among the names and numbers at the start.
        for round in 0..200 {
            let mut bytes = whole.clone();
            let at = random.below(if round % 2 == 0 { 2000 } else { whole.len() });
            bytes[at] ^= 1 << random.below(8);
            let what = format!("bit flipped in byte {at}");
            let _ = converted(&bytes, &what);
            if round % 20 == 0 {
                let ran = Desk::new(bytes).convert(&["--quiet"]);
                assert!(matches!(ran.code, Some(0 | 1)), "{what}: {:?}", ran.code);
            }
        }
    }

    #[test]
    fn what_is_no_model() {
        says(&Desk::new("").refused(&[]), &["model.onnx", "the file is empty"]);
        says(&Desk::new("Dear reader,\nthis is no model.\n").refused(&[]), &["model.onnx", "not an ONNX model"]);
        let desk = Desk::new("");
        std::fs::remove_file(desk.path("model.onnx")).unwrap();
        says(&desk.refused(&[]), &["model.onnx", "No such file"]);
        std::fs::create_dir(desk.path("model.onnx")).unwrap();
        says(&desk.refused(&[]), &["model.onnx", "not a regular file"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_nobody_writes_to() {
        let desk = Desk::new("");
        std::fs::remove_file(desk.path("model.onnx")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(desk.path("model.onnx")).status();
        if !made.is_ok_and(|status| status.success()) {
            return println!("skipped: no mkfifo");
        }
        let ran = desk.convert(&[]);
        assert_eq!(ran.code, Some(1));
        says(&is_clear(&ran.stderr), &["model.onnx", "not a regular file"]);
    }

    #[test]
    fn a_model_without_its_parts() {
        let mut empty = onnx::relu();
        empty.graph = None;
        says(&refused(&empty), &["holds no graph"]);
        let mut no_opset = onnx::relu();
        no_opset.opset_import.clear();
        says(&refused(&no_opset), &["imports no operator set"]);
        says(&refused(&model(vec![], vec![], vec![value("x", FLOAT, &[1])], vec![])), &["no outputs"]);
    }
}

mod external_data {
    use super::*;

    /// `y = x + w`, with `w` in another file.
    fn add_external(entries: &[(&str, &str)]) -> Vec<u8> {
        let add = node("Add", &["x", "w"], &["y"]);
        let (x, y) = (value("x", FLOAT, &[2]), value("y", FLOAT, &[2]));
        onnx::bytes(&model(vec![add], vec![onnx::external("w", entries)], vec![x], vec![y]))
    }

    #[test]
    fn beside_the_model_is_read() {
        let desk = Desk::new(add_external(&[("location", "sub/w.bin"), ("offset", "4"), ("length", "8")]));
        desk.write("sub/w.bin", [0; 16]);
        assert_eq!(desk.convert(&[]).code, Some(0));
    }

    #[test]
    fn missing_file() {
        let message = Desk::new(add_external(&[("location", "w.bin")])).refused(&[]);
        says(&message, &["model.onnx", "initializer \"w\"", "w.bin", "No such file"]);
        says(&Desk::new(add_external(&[])).refused(&[]), &["initializer \"w\"", "names no location"]);
    }

    #[test]
    fn a_folder_in_place_of_the_file() {
        let desk = Desk::new(add_external(&[("location", "w.bin")]));
        std::fs::create_dir(desk.path("w.bin")).unwrap();
        says(&desk.refused(&[]), &["initializer \"w\"", "w.bin", "not a regular file"]);
    }

    #[test]
    fn paths_that_leave_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("w.bin");
        std::fs::write(&secret, [0; 8]).unwrap();
        let parent = format!("../{}/w.bin", outside.path().file_name().unwrap().to_string_lossy());
        for path in [&parent, &format!("./{parent}"), &format!("sub/../{parent}"), &secret.display().to_string()] {
            let desk = Desk::new(add_external(&[("location", path)]));
            std::fs::create_dir(desk.path("sub")).unwrap();
            says(&desk.refused(&[]), &["initializer \"w\"", path, "leads out of the model's folder"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_leave_the_folder() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("w.bin"), [0; 8]).unwrap();
        let desk = Desk::new(add_external(&[("location", "w.bin")]));
        symlink(outside.path().join("w.bin"), desk.path("w.bin")).unwrap();
        says(&desk.refused(&[]), &["initializer \"w\"", "w.bin", "leads out of the model's folder"]);
        let desk = Desk::new(add_external(&[("location", "sub/w.bin")]));
        symlink(outside.path(), desk.path("sub")).unwrap();
        says(&desk.refused(&[]), &["initializer \"w\"", "sub/w.bin", "leads out of the model's folder"]);
    }

    #[test]
    fn ranges_past_the_end() {
        for (offset, length) in
            [("0", "9"), ("9", "8"), ("1", "8"), ("18446744073709551615", "8"), ("8", "18446744073709551615")]
        {
            let entries = [("location", "w.bin"), ("offset", offset), ("length", length)];
            let desk = Desk::new(add_external(&entries));
            desk.write("w.bin", [0; 8]);
            says(&desk.refused(&[]), &["initializer \"w\"", "w.bin", "has 8 bytes", length, offset]);
        }
        for entry in [("offset", "-4"), ("length", "many"), ("offset", "18446744073709551616")] {
            let desk = Desk::new(add_external(&[("location", "w.bin"), entry]));
            desk.write("w.bin", [0; 8]);
            says(&desk.refused(&[]), &["initializer \"w\"", entry.0, entry.1]);
        }
    }

    #[test]
    fn another_size_than_the_shape_asks_for() {
        let desk = Desk::new(add_external(&[("location", "w.bin")]));
        desk.write("w.bin", [0; 12]);
        says(&desk.refused(&[]), &["initializer \"w\"", "[2]", "8 bytes", "12"]);
        desk.write("w.bin", "");
        says(&desk.refused(&[]), &["initializer \"w\"", "8 bytes"]);
    }

    #[test]
    fn a_model_given_as_bytes_has_no_folder() {
        let error = converted(&add_external(&[("location", "w.bin")]), "external").unwrap_err().to_string();
        says(&error, &["initializer \"w\"", "w.bin", "no folder"]);
    }
}

mod unsupported {
    use super::*;

    #[test]
    fn operators_are_all_listed_in_one_run() {
        let mut third = node("FancyNorm", &["b"], &["c"]);
        third.domain = "com.example".into();
        let nodes = vec![
            node("Wobble", &["x"], &["a"]),
            node("Relu", &["a"], &["a2"]),
            node("Wobble", &["x"], &["b"]),
            third,
            node("Add", &["a2", "c"], &["y"]),
        ];
        let message = refused(&model(nodes, vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])]));
        says(&message, &["3 problems", "litesmith ops"]);
        says(&message, &["\"Wobble_a\" (node 0, Wobble of opset 17)", "and 1 more: \"Wobble_b\""]);
        says(&message, &["\"FancyNorm_c\" (node 3, com.example::FancyNorm of opset 1)"]);
        assert!(!message.contains("Relu_a2") && !message.contains("Add_y"), "only causes are listed: {message}");
    }

    #[test]
    fn attributes_that_nobody_knows() {
        let relu = with(node("Relu", &["x"], &["y"]), onnx::int("sharpness", 3));
        let message = refused(&model(vec![relu], vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])]));
        says(&message, &["\"Relu_y\" (node 0, Relu of opset 17)", "attribute sharpness", "not supported"]);
    }

    #[test]
    fn attributes_of_another_kind() {
        let softmax = with(node("Softmax", &["x"], &["y"]), onnx::ints("axis", &[1]));
        let message =
            refused(&model(vec![softmax], vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])]));
        says(&message, &["\"Softmax_y\"", "attribute axis", "must be an integer, but is a list of integers"]);
    }

    #[test]
    fn strings_in_a_node() {
        let words = pb::TensorProto { name: "words".into(), data_type: STRING, dims: vec![1], ..Default::default() };
        let nodes = vec![node("Identity", &["words"], &["w"]), node("Relu", &["x"], &["y"])];
        let (x, y) = (value("x", FLOAT, &[2]), value("y", FLOAT, &[2]));
        let outputs = vec![value("w", STRING, &[1]), y.clone()];
        let message = refused(&model(nodes, vec![words.clone()], vec![x.clone()], outputs));
        says(&message, &["\"Identity_w\" (node 0", "initializer \"words\" holds strings"]);
        let unused = model(vec![node("Relu", &["x"], &["y"])], vec![words], vec![x], vec![y]);
        converted(&onnx::bytes(&unused), "a string constant nobody uses").unwrap();
        let output = model(
            vec![node("Relu", &["x"], &["y"])],
            vec![],
            vec![value("x", STRING, &[2])],
            vec![value("y", FLOAT, &[2])],
        );
        says(&refused(&output), &["\"x\"", "no tensor of numbers"]);
    }
}

mod contradictions {
    use super::*;

    #[test]
    fn shapes_that_do_not_fit() {
        let add = model(
            vec![node("Add", &["a", "b"], &["y"])],
            vec![],
            vec![value("a", FLOAT, &[2, 3]), value("b", FLOAT, &[4, 5])],
            vec![value("y", FLOAT, &[2, 3])],
        );
        says(&refused(&add), &["\"Add_y\" (node 0, Add of opset 17)", "[2,3]", "[4,5]"]);
        let conv = model(
            vec![node("Conv", &["x", "w"], &["y"])],
            vec![onnx::floats("w", &[4, 3, 1, 1], &[0.5; 12])],
            vec![value("x", FLOAT, &[1, 5, 8, 8])],
            vec![value("y", FLOAT, &[1, 4, 8, 8])],
        );
        says(&refused(&conv), &["\"Conv_y\" (node 0, Conv of opset 17)", "5", "3"]);
    }

    #[test]
    fn outputs_declared_otherwise() {
        let mut relu = onnx::relu();
        relu.graph.as_mut().unwrap().output = vec![value("y", FLOAT, &[2, 4])];
        says(&refused(&relu), &["\"y\"", "declared as [2,4], but computed as [2,3]"]);
        relu.graph.as_mut().unwrap().output = vec![value("y", INT64, &[2, 3])];
        says(&refused(&relu), &["\"y\"", "declared as INT64, but computed as FLOAT32"]);
    }

    #[test]
    fn shapes_on_the_command_line() {
        use pb::tensor_shape_proto::dimension::Value::{DimParam, DimValue};
        let with_input = |dims: Option<Vec<Option<_>>>| {
            let mut relu = onnx::relu();
            let graph = relu.graph.as_mut().unwrap();
            graph.input = vec![onnx::shaped("x", FLOAT, dims)];
            graph.output = vec![onnx::shaped("y", FLOAT, None)];
            Desk::new(onnx::bytes(&relu))
        };
        let unknown = with_input(None);
        says(&unknown.refused(&[]), &["\"x\"", "declares no shape", "--shape x="]);
        assert_eq!(unknown.convert(&["--shape", "x=2,3"]).code, Some(0));

        let dynamic = with_input(Some(vec![Some(DimParam("batch".into())), Some(DimValue(3))]));
        assert_eq!(dynamic.convert(&["--quiet", "--shape", "x=1,3", "-o", "pinned.tflite"]).code, Some(0));
        let inspected = run(command().arg("inspect").arg("--json").arg(dynamic.path("pinned.tflite")));
        says(&inspected.stdout.split_whitespace().collect::<String>(), &["[1,3]"]);
        says(&dynamic.refused(&["--shape", "z=1,3"]), &["no input \"z\"", "x"]);
        says(&dynamic.refused(&["--shape", "x=1,4"]), &["\"x\"", "[1, 4]", "declared as [batch,3]"]);
        says(&dynamic.refused(&["--shape", "x=1,3,1"]), &["\"x\"", "[1, 3, 1]"]);
        says(&dynamic.refused(&["--shape", "x=1,3", "--shape", "x=2,3"]), &["--shape", "twice", "\"x\""]);
        let huge = usize::MAX.to_string();
        says(&dynamic.refused(&["--shape", &format!("x={huge},3")]), &[&huge]);
        for malformed in ["x", "x=a,b", "x=1,,3", "x=-1,3", "x=1.5,3", "x=1,3,", "x=99999999999999999999,3"] {
            let ran = dynamic.convert(&["--shape", malformed]);
            assert_eq!(ran.code, Some(2), "{malformed}: {}", ran.stderr);
            says(&ran.stderr, &["--shape", malformed, "NAME=1,3,224,224"]);
        }
    }

    #[test]
    fn channels_last_of_what_is_not_there() {
        let desk = Desk::new(onnx::bytes(&onnx::relu()));
        says(&desk.refused(&["--channels-last", "z"]), &["\"z\"", "\"x\"", "\"y\""]);
        says(&desk.refused(&["--channels-last", "x"]), &["\"x\"", "three axes"]);
    }
}

mod broken_graphs {
    use super::*;

    fn with_nodes(nodes: Vec<pb::NodeProto>) -> pb::ModelProto {
        model(nodes, vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])])
    }

    #[test]
    fn order_and_names() {
        let late = with_nodes(vec![node("Relu", &["a"], &["y"]), node("Relu", &["x"], &["a"])]);
        says(&refused(&late), &["\"Relu_y\" (Relu)", "\"a\"", "before the node that makes it"]);
        let circle = with_nodes(vec![node("Relu", &["y"], &["y"])]);
        says(&refused(&circle), &["\"Relu_y\"", "\"y\"", "before the node that makes it"]);
        let nowhere = with_nodes(vec![node("Relu", &["a"], &["y"])]);
        says(&refused(&nowhere), &["\"Relu_y\"", "\"a\"", "nothing makes it"]);
        let twice = with_nodes(vec![node("Relu", &["x"], &["y"]), node("Abs", &["x"], &["y"])]);
        says(&refused(&twice), &["\"Abs_y\"", "\"y\"", "there already"]);
        let over_input = with_nodes(vec![node("Relu", &["x"], &["x"]), node("Relu", &["x"], &["y"])]);
        says(&refused(&over_input), &["\"Relu_x\"", "\"x\"", "there already"]);
        let no_result = with_nodes(vec![node("Relu", &["x"], &["y"]), node("Relu", &["x"], &[])]);
        says(&refused(&no_result), &["\"Relu_\" (Relu)", "no result"]);
        let unmade = with_nodes(vec![node("Relu", &["x"], &["z"])]);
        says(&refused(&unmade), &["output \"y\"", "made by no node"]);
        let mut same_inputs = with_nodes(vec![node("Relu", &["x"], &["y"])]);
        same_inputs.graph.as_mut().unwrap().input.push(value("x", FLOAT, &[3]));
        says(&refused(&same_inputs), &["input \"x\"", "twice"]);
        let mut same_outputs = with_nodes(vec![node("Relu", &["x"], &["y"])]);
        same_outputs.graph.as_mut().unwrap().output.push(value("y", FLOAT, &[2]));
        says(&refused(&same_outputs), &["output \"y\"", "twice"]);
    }

    #[test]
    fn operands_missing_and_too_many() {
        says(&refused(&with_nodes(vec![node("Add", &["x"], &["y"])])), &["\"Add_y\" (node 0", "operand 1 is missing"]);
        says(&refused(&with_nodes(vec![node("Relu", &[], &["y"])])), &["\"Relu_y\" (node 0", "operand 0 is missing"]);
        says(&refused(&with_nodes(vec![node("Relu", &["x", "x"], &["y"])])), &["\"Relu_y\" (node 0", "operand 1"]);
    }

    #[test]
    fn graphs_nested_deep() {
        let mut inner = onnx::relu().graph.unwrap();
        for _ in 0..200 {
            let branch = with(node("If", &["x"], &["y"]), onnx::graph("then_branch", inner));
            inner = with_nodes(vec![branch]).graph.unwrap();
        }
        let mut nested = onnx::relu();
        nested.graph = Some(inner);
        says(&refused(&nested), &["recursion limit"]);
    }

    #[test]
    fn extents_past_all_bounds() {
        let relu_of = |dims: &[i64]| {
            let mut relu = onnx::relu();
            let graph = relu.graph.as_mut().unwrap();
            graph.input = vec![value("x", FLOAT, dims)];
            graph.output = vec![onnx::shaped("y", FLOAT, None)];
            relu
        };
        for dims in [&[i64::MAX][..], &[i64::MAX, i64::MAX], &[1 << 31], &[1 << 40, 1 << 40, 0]] {
            says(&refused(&relu_of(dims)), &["\"x\"", &dims[0].to_string()]);
        }
        // Old exporters write -1 for what is dynamic.
        converted(&onnx::bytes(&relu_of(&[-1, 3])), "a negative extent of an input").unwrap();

        for dims in [&[i64::MAX][..], &[i64::MAX, i64::MAX], &[i64::MAX, 0], &[-1, -2], &[3], &[1 << 62, 4]] {
            let add = model(
                vec![node("Add", &["x", "w"], &["y"])],
                vec![onnx::floats("w", dims, &[1.0, 2.0])],
                vec![value("x", FLOAT, &[2])],
                vec![value("y", FLOAT, &[2])],
            );
            says(&refused(&add), &["initializer \"w\"", &dims[0].to_string()]);
            let mut raw = add.clone();
            let tensor = &mut raw.graph.as_mut().unwrap().initializer[0];
            tensor.float_data.clear();
            tensor.raw_data = vec![0; 8].into();
            says(&refused(&raw), &["initializer \"w\"", &dims[0].to_string()]);
        }
    }

    /// A few bytes that ask for terabytes.
    #[test]
    fn results_past_all_bounds() {
        let huge = 1i64 << 40;
        let of_shape = |nodes: Vec<pb::NodeProto>, numbers: &[i64]| {
            model(
                nodes,
                vec![onnx::int64s("n", numbers)],
                vec![value("x", FLOAT, &[1, 1])],
                vec![onnx::shaped("y", FLOAT, None)],
            )
        };
        for numbers in [&[huge, huge][..], &[i64::MAX, 1], &[1 << 20, 1 << 20], &[-1, 5], &[1 << 31, 1]] {
            for nodes in [
                vec![node("Expand", &["x", "n"], &["y"])],
                vec![node("Tile", &["x", "n"], &["y"])],
                vec![node("ConstantOfShape", &["n"], &["y"])],
                vec![node("ConstantOfShape", &["n"], &["c"]), node("Add", &["x", "c"], &["y"])],
                vec![node("ConstantOfShape", &["n"], &["c"]), node("EyeLike", &["c"], &["y"])],
                vec![node("Reshape", &["x", "n"], &["y"])],
            ] {
                let what = format!("{} by {numbers:?}", nodes.last().unwrap().name);
                if let Ok(converted) = converted(&onnx::bytes(&of_shape(nodes, numbers)), &what) {
                    assert!(converted.bytes.len() < 1 << 20, "{what}: {} bytes", converted.bytes.len());
                }
            }
        }
    }

    #[test]
    fn a_constant_model() {
        let constant = model(
            vec![node("Relu", &["w"], &["y"])],
            vec![onnx::floats("w", &[2], &[-1.0, 2.0])],
            vec![],
            vec![value("y", FLOAT, &[2])],
        );
        let _ = converted(&onnx::bytes(&constant), "no inputs");
        let desk = Desk::new(onnx::bytes(&constant));
        let folder = samples(&desk, &[("x", &[2], &[1.0, 2.0])]);
        let ran = desk.convert(&["--quantize", "int8", "--calibration", &folder]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        says(&is_clear(&ran.stderr), &["model.onnx", "no inputs"]);
    }
}

/// Writes `samples/0.npz` with these arrays; the folder's name.
fn samples(desk: &Desk, arrays: &[(&str, &[u64], &[f32])]) -> String {
    std::fs::create_dir_all(desk.path("samples")).unwrap();
    write_npz(&desk.path("samples/0.npz"), arrays);
    "samples".into()
}

fn write_npz(path: &Path, arrays: &[(&str, &[u64], &[f32])]) {
    let mut file = npyz::npz::NpzWriter::create(path).unwrap();
    for (name, shape, values) in arrays {
        let array = file.array::<f32>(name, Default::default()).unwrap();
        let mut array = array.default_dtype().shape(shape).begin_nd().unwrap();
        array.extend(values.iter().copied()).unwrap();
        array.finish().unwrap();
    }
}

mod calibration {
    use super::*;

    fn desk() -> Desk {
        Desk::new(onnx::bytes(&onnx::relu()))
    }

    const INT8: [&str; 4] = ["--quantize", "int8", "--calibration", "samples"];

    #[track_caller]
    fn refused_with(arrays: &[(&str, &[u64], &[f32])], parts: &[&str]) {
        let desk = desk();
        samples(&desk, arrays);
        let message = desk.refused(&INT8);
        says(&message, &["samples/0.npz"]);
        says(&message, parts);
    }

    #[test]
    fn good_samples_are_taken() {
        let desk = desk();
        samples(&desk, &[("x", &[2, 3], &[1.0, -2.0, 3.0, -4.0, 5.0, 6.0])]);
        let ran = desk.convert(&INT8);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }

    #[test]
    fn numbers_that_are_none() {
        refused_with(&[("x", &[2, 3], &[1.0, f32::NAN, 0.0, 0.0, 0.0, 0.0])], &["NaN", "\"x\""]);
        refused_with(&[("x", &[2, 3], &[1.0, f32::INFINITY, 0.0, 0.0, 0.0, 0.0])], &["infinity", "\"x\""]);
        refused_with(&[("x", &[2, 3], &[1.0, f32::NEG_INFINITY, 0.0, 0.0, 0.0, 0.0])], &["infinity", "\"x\""]);
    }

    #[test]
    fn arrays_that_do_not_fit() {
        refused_with(&[("x", &[3, 2], &[1.0; 6])], &["\"x\"", "[2,3]", "[3, 2]"]);
        refused_with(&[("x", &[6], &[1.0; 6])], &["\"x\"", "[2,3]", "[6]"]);
        refused_with(&[("x", &[0, 3], &[])], &["\"x\"", "[2,3]", "[0, 3]"]);
        refused_with(&[("image", &[2, 3], &[1.0; 6])], &["\"x\"", "\"image\""]);
        refused_with(&[("x", &[2, 3], &[1.0; 6]), ("z", &[1], &[1.0])], &["\"z\"", "\"x\""]);
        refused_with(&[], &["\"x\""]);
    }

    #[test]
    fn another_element_type() {
        let desk = desk();
        std::fs::create_dir(desk.path("samples")).unwrap();
        let mut file = npyz::npz::NpzWriter::create(desk.path("samples/0.npz")).unwrap();
        let array = file.array::<i64>("x", Default::default()).unwrap();
        let mut array = array.default_dtype().shape(&[2, 3]).begin_nd().unwrap();
        array.extend([1i64; 6]).unwrap();
        array.finish().unwrap();
        drop(file);
        says(&desk.refused(&INT8), &["samples/0.npz", "\"x\"", "FLOAT32", "INT64"]);
    }

    #[test]
    fn files_that_are_no_samples() {
        let desk = desk();
        says(&desk.refused(&INT8), &["samples", "no such file or folder"]);
        std::fs::create_dir(desk.path("samples")).unwrap();
        says(&desk.refused(&INT8), &["samples", "no samples"]);
        desk.write("samples/readme.txt", "nothing here");
        says(&desk.refused(&INT8), &["samples", "no samples"]);
        says(&desk.refused(&["--quantize", "int8", "--calibration", "model.onnx"]), &["model.onnx", ".npz"]);
        desk.write("samples/0.npz", "this is no archive");
        says(&desk.refused(&INT8), &["samples/0.npz", "can't be read as .npz"]);
        desk.write("samples/0.npz", "");
        says(&desk.refused(&INT8), &["samples/0.npz", "can't be read as .npz"]);
        samples(&desk, &[("x", &[2, 3], &[1.0; 6])]);
        let whole = std::fs::read(desk.path("samples/0.npz")).unwrap();
        for len in [10, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            desk.write("samples/0.npz", &whole[..len]);
            says(&desk.refused(&INT8), &["samples/0.npz"]);
        }
        std::fs::remove_file(desk.path("samples/0.npz")).unwrap();
        desk.write("samples/0.npy", "this is no array");
        says(&desk.refused(&INT8), &["samples/0.npy", "can't be read as .npy"]);
    }

    /// The sample that is wrong is named, and not the first one.
    #[test]
    fn one_bad_sample_among_many() {
        let desk = desk();
        samples(&desk, &[("x", &[2, 3], &[1.0; 6])]);
        for i in 1..20 {
            let bad = if i == 7 || i == 12 { f32::NAN } else { 1.0 };
            write_npz(&desk.path(&format!("samples/{i}.npz")), &[("x", &[2, 3], &[bad; 6])]);
        }
        says(&desk.refused(&INT8), &["samples/7.npz", "NaN", "\"x\""]);
    }

    #[test]
    fn damaged_arrays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let mut whole = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().writer(&mut whole).shape(&[2, 3]);
        let mut array = options.begin_nd().unwrap();
        array.extend([1f32; 6]).unwrap();
        array.finish().unwrap();
        let mut random = Random::new(2);
        for round in 0..1000 {
            let mut bytes = whole.clone();
            match round % 4 {
                0 => bytes.truncate(random.below(whole.len())),
                1 => bytes[random.below(whole.len())] = b'9',
                _ => bytes[random.below(whole.len())] ^= 1 << random.below(8),
            }
            std::fs::write(&path, &bytes).unwrap();
            let read = catch_unwind(|| litesmith::samples::read_npy(&path));
            assert!(read.is_ok(), "round {round}: panicked on {bytes:?}");
        }
    }

    #[test]
    fn options_that_go_together() {
        let desk = desk();
        samples(&desk, &[("x", &[2, 3], &[1.0; 6])]);
        says(&desk.refused(&["--quantize", "int8"]), &["--calibration"]);
        says(&desk.refused(&["--calibration", "samples"]), &["--quantize int8"]);
    }
}

mod outputs {
    use super::*;

    fn desk() -> Desk {
        Desk::new(onnx::bytes(&onnx::relu()))
    }

    #[test]
    fn that_can_not_be_written() {
        let desk = desk();
        says(&desk.refused(&["-o", "none/out.tflite"]), &["none/out.tflite", "No such file"]);
        std::fs::create_dir(desk.path("folder")).unwrap();
        says(&desk.refused(&["-o", "folder"]), &["folder", "can't be replaced"]);
        says(&desk.refused(&["-o", "model.onnx/out.tflite"]), &["model.onnx/out.tflite"]);
        says(&desk.refused(&["-o", ""]), &[]);
    }

    #[cfg(unix)]
    #[test]
    fn in_a_folder_without_permission() {
        use std::os::unix::fs::PermissionsExt;
        let desk = desk();
        let folder = desk.path("folder");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
        if std::fs::write(folder.join("probe"), "").is_ok() {
            return println!("skipped: this user may write everywhere");
        }
        says(&desk.refused(&["-o", "folder/out.tflite"]), &["folder/out.tflite", "Permission denied"]);
    }

    #[test]
    fn that_would_overwrite_the_model() {
        let desk = desk();
        std::fs::create_dir(desk.path("sub")).unwrap();
        for output in
            ["model.onnx", "./model.onnx", "sub/../model.onnx", &desk.path("model.onnx").display().to_string()]
        {
            says(&desk.refused(&["-o", output]), &["overwrite the model", "-o"]);
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("model.onnx", desk.path("link.tflite")).unwrap();
            says(&desk.refused(&["-o", "link.tflite"]), &["overwrite the model", "-o"]);
        }
    }

    #[test]
    fn old_ones_survive_a_failure_and_are_replaced_by_success() {
        let desk = desk();
        let old = std::fs::read(desk.path("model.tflite")).unwrap();
        desk.refused(&["--shape", "z=1"]);
        desk.refused(&["--shape", "z=1", "--output", "model.tflite"]);
        assert_eq!(std::fs::read(desk.path("model.tflite")).unwrap(), old);
        assert_eq!(desk.convert(&["--output", "model.tflite"]).code, Some(0));
        assert_ne!(std::fs::read(desk.path("model.tflite")).unwrap(), old);
    }
}

mod tflite_files {
    use super::*;

    fn inspected(bytes: &[u8], what: &str) -> bool {
        let result = catch_unwind(|| litesmith::tflite::inspect(bytes.to_vec().into()).map(|found| found.to_string()));
        result.unwrap_or_else(|_| panic!("{what}: panicked")).is_ok()
    }

    #[test]
    fn that_are_none() {
        let desk = Desk::new(digits());
        let folder = desk.folder.path().display().to_string();
        let whole = converted(&digits(), "digits").unwrap().bytes;
        desk.write("cut.tflite", &whole[..whole.len() / 2]);
        for name in ["model.onnx", "model.tflite", "cut.tflite", "none.tflite", ""] {
            let ran = litesmith(["inspect", &format!("{folder}/{name}")]);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}");
            says(&is_clear(&ran.stderr), &[name]);
        }
    }

    #[test]
    fn damaged() {
        let whole = converted(&digits(), "digits").unwrap().bytes;
        assert!(inspected(&whole, "the whole"));
        for len in (0..whole.len()).step_by(whole.len() / 50) {
            assert!(!inspected(&whole[..len], &format!("the first {len} bytes")));
        }
        let mut random = Random::new(3);
        for round in 0..200 {
            let mut bytes = whole.to_vec();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            inspected(&bytes, &format!("bit flipped in byte {at}"));
            if round % 20 == 0 {
                let desk = Desk::new(&bytes);
                let ran = litesmith(["inspect".as_ref(), desk.path("model.onnx").as_os_str()]);
                assert!(matches!(ran.code, Some(0 | 1)), "byte {at}: {:?}", ran.code);
            }
        }
    }
}

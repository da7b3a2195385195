//! What a written file looks like, byte by byte where interpreters care.

use bytes::Bytes;
use litesmith::graph::{Activation, Binary, Builder, Graph, Model, NoEvaluate, Op, Shape, Type, Unary, ValueId};
use litesmith::schema::{self, BuiltinOperator};
use litesmith::tensor::{DType, Tensor};
use litesmith::tflite::{WriteError, WriteOptions, read, write};

use super::ops;

fn file(model: &Model) -> Bytes {
    write(model, &WriteOptions::default()).unwrap().to_bytes()
}

fn parsed(model: &Model) -> schema::Model {
    schema::Model::from_bytes(&file(model)).unwrap()
}

fn graph(build: impl FnOnce(&mut Builder<'_>) -> ValueId) -> Graph {
    let mut graph = Graph::new("main");
    let output = build(&mut Builder::new(&mut graph, &NoEvaluate));
    graph.outputs.push(output);
    graph
}

fn input(b: &mut Builder<'_>, name: &str, dims: &[Option<usize>]) -> ValueId {
    b.graph.add_input(name, Type::new(DType::F32, Shape(dims.to_vec())))
}

#[test]
fn data_lie_at_multiples_of_16_inside_the_flatbuffer_and_behind_it() {
    for case in ops::all() {
        for inline_limit in [u64::MAX, 0] {
            let file = write(&case.model, &WriteOptions { inline_limit }).unwrap().to_bytes();
            assert_eq!(file.as_ptr() as usize % 16, 0, "so that what is aligned in the file is aligned in memory");
            let parsed = schema::root_as_model(&file).unwrap();
            for buffer in parsed.buffers().unwrap() {
                let data = buffer.data().map(|data| data.as_ptr() as usize - file.as_ptr() as usize);
                assert_eq!(data.unwrap_or(0) % 16, 0, "{}", case.name);
                assert_eq!(buffer.offset() % 16, 0, "{}", case.name);
                let end = buffer.offset() + buffer.size();
                assert!(buffer.offset() == 0 || end + 16 <= file.len() as u64, "kernels read past the last weight");
            }
        }
    }
}

#[test]
fn constants_behind_the_flatbuffer_are_read_from_there() {
    for case in ops::all() {
        let inside = file(&case.model);
        let written = write(&case.model, &WriteOptions { inline_limit: 0 }).unwrap();
        let (len, outside) = (written.file_len(), written.to_bytes());
        assert_eq!(len, outside.len() as u64);
        assert_eq!(read(outside).unwrap(), read(inside).unwrap(), "{}", case.name);
    }
}

#[test]
fn equal_constants_share_a_buffer() {
    let ones = || Tensor::from_vec(&[3], vec![1.0f32; 3]);
    let graph = graph(|b| {
        let x = input(b, "x", &[Some(3)]);
        let (one, same) = (b.constant(ones()), b.constant(ones().reshape(&[1, 3]).unwrap()));
        let other = b.constant(Tensor::vector(vec![1.0f32, 1.0, 2.0]));
        let sum = b.add(x, one).unwrap();
        let sum = b.add(sum, other).unwrap();
        b.add(sum, same).unwrap()
    });
    let file = parsed(&Model::single(graph));
    let tensors = file.subgraphs.unwrap().remove(0).tensors.unwrap();
    let buffers: Vec<u32> = tensors.iter().map(|tensor| tensor.buffer).collect();
    assert_eq!(buffers, [0, 1, 1, 2, 0, 0, 0], "in the order of first use; values without data have the empty buffer");
    let buffers = file.buffers.unwrap();
    assert_eq!(buffers[0], schema::Buffer::default());
    assert_eq!(buffers.len(), 4, "the last one is the runtime version");
}

#[test]
fn shapes_tell_what_is_unknown() {
    let graph = graph(|b| {
        let x = input(b, "x", &[None, Some(3)]);
        let scalar = b.scalar(2.0f32);
        b.add(x, scalar).unwrap()
    });
    let file = parsed(&Model::single(graph));
    let tensors = file.subgraphs.unwrap().remove(0).tensors.unwrap();
    assert_eq!((tensors[0].shape.clone(), tensors[0].shape_signature.clone()), (Some(vec![1, 3]), Some(vec![-1, 3])));
    assert_eq!((tensors[1].shape.clone(), tensors[1].shape_signature.clone()), (Some(vec![]), None));
    assert!(tensors.iter().all(|tensor| tensor.has_rank));
}

#[test]
fn operators_have_codes_that_old_and_new_runtimes_read() {
    let graph = graph(|b| {
        let x = input(b, "x", &[Some(2), Some(3)]);
        let y = b.unary(Unary::Gelu, x).unwrap();
        let flags = b.compare(litesmith::graph::Compare::Less, x, y).unwrap();
        let y = b.add(y, x).unwrap();
        b.select(flags, y, x).unwrap()
    });
    let file = parsed(&Model::single(graph));
    let codes: Vec<_> = file.operator_codes.unwrap();
    let pairs: Vec<_> = codes.iter().map(|code| (code.builtin_code, code.deprecated_builtin_code)).collect();
    let expected = [
        (BuiltinOperator::GELU, 127),
        (BuiltinOperator::LESS, 58),
        (BuiltinOperator::ADD, 0),
        (BuiltinOperator::SELECT_V2, 123),
    ];
    assert_eq!(pairs, expected);
    let metadata = file.metadata.unwrap();
    assert_eq!(metadata[0].name.as_deref(), Some("min_runtime_version"));
    let buffers = file.buffers.unwrap();
    let version = buffers[metadata[0].buffer as usize].data.as_deref();
    assert_eq!(version, Some(&b"2.9.0\0\0\0\0\0\0\0\0\0\0\0"[..]), "GELU is the newest of them");
}

#[test]
fn every_version_that_is_written_is_one_that_runtimes_know() {
    for case in ops::all() {
        let written = write(&case.model, &WriteOptions::default()).unwrap();
        assert!(written.min_runtime.is_some(), "{}: a version that no runtime registers would not load", case.name);
    }
}

#[test]
fn options_that_defaults_would_get_wrong_are_written() {
    let options = |name: &str| {
        let case = ops::all().into_iter().find(|case| case.name == name).unwrap();
        let graph = parsed(&case.model).subgraphs.unwrap().remove(0);
        graph.operators.unwrap().remove(0).builtin_options
    };
    let schema::BuiltinOptions::SoftmaxOptions(softmax) = options("Softmax_1") else { panic!() };
    assert_eq!(softmax.beta, 1.0);
    let schema::BuiltinOptions::AddOptions(add) = options("Add_q16") else { panic!() };
    assert!(!add.pot_scale_int16);
    let schema::BuiltinOptions::AddOptions(add) = options("Add_relu") else { panic!() };
    assert_eq!(add.fused_activation_function, schema::ActivationFunctionType::RELU);
    let schema::BuiltinOptions::CastOptions(cast) = options("Cast_int64_float32") else { panic!() };
    assert_eq!((cast.in_data_type, cast.out_data_type), (schema::TensorType::INT64, schema::TensorType::FLOAT32));
    let schema::BuiltinOptions::Conv2DOptions(conv) = options("Conv2d_valid") else { panic!() };
    assert_eq!((conv.stride_h, conv.stride_w, conv.padding), (2, 1, schema::Padding::VALID));
    let schema::BuiltinOptions::Conv2DOptions(conv) = options("Conv2d_q_int16_int8_int32") else { panic!() };
    assert_eq!(conv.quantized_bias_type, schema::TensorType::INT32);
    let schema::BuiltinOptions::Conv2DOptions(conv) = options("Conv2d_q_int16_int8_int64") else { panic!() };
    assert_eq!(conv.quantized_bias_type, schema::TensorType::FLOAT32, "unset: what all kernels expect");
}

#[test]
fn graphs_that_would_read_wild_memory_are_refused() {
    let good = || {
        graph(|b| {
            let x = input(b, "x", &[Some(3)]);
            let y = b.unary(Unary::Abs, x).unwrap();
            b.unary(Unary::Neg, y).unwrap()
        })
    };
    let refused = |break_it: fn(&mut Graph)| {
        let mut graph = good();
        break_it(&mut graph);
        match write(&Model { graphs: vec![graph], ..Model::default() }, &WriteOptions::default()) {
            Err(WriteError::Invalid { place, what }) => format!("{place}: {what}"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|g| g.nodes.swap(0, 1)), "graph 0 \"main\", node 0 NEG: uses \"abs\" before it is made");
    assert_eq!(refused(|g| g.nodes[1].inputs[0] = Some(ValueId(9))), "graph 0 \"main\", value 9: does not exist");
    assert_eq!(refused(|g| g.outputs.push(ValueId(9))), "graph 0 \"main\", value 9: does not exist");
    let twice = refused(|g| g.nodes[1].outputs[0] = ValueId(1));
    assert_eq!(twice, "graph 0 \"main\", node 1 NEG: makes \"abs\" a second time");
    let variable = refused(|g| {
        let state = g.add_constant("state", Tensor::vector(vec![1.0f32]));
        g.value_mut(state).variable = true;
        g.outputs.push(state);
    });
    assert!(variable.contains("a variable of type float32[1] with data"), "{variable}");
    let wide = refused(|g| g.value_mut(ValueId(0)).ty.shape = Shape::fixed(&[1 << 31]));
    assert!(wide.contains("past 32 bits in [2147483648]"), "{wide}");
    assert_eq!(write(&Model::default(), &WriteOptions::default()).unwrap_err(), WriteError::NoGraph);
}

#[test]
fn one_operator_in_two_types_has_two_codes() {
    // So that a delegate that knows version 1 alone still takes the float node.
    let graph = graph(|b| {
        let x = input(b, "x", &[Some(3)]);
        let wide = b.cast(x, DType::I64).unwrap();
        let wide = b.one(Op::Binary(Binary::Mul, Activation::None), &[wide, wide]).unwrap();
        let back = b.cast(wide, DType::F32).unwrap();
        b.mul(back, x).unwrap()
    });
    let codes = parsed(&Model::single(graph)).operator_codes.unwrap();
    let muls: Vec<i32> = codes.iter().filter(|c| c.operator() == BuiltinOperator::MUL).map(|c| c.version).collect();
    assert_eq!(muls, [5, 1]);
}

/// The cases whose operator is not written with version 1, with what LiteRT's own rules ask for. 16-bit activations with 8-bit
/// weights are the exception: those rules forget them.
const VERSIONS: [(&str, i32); 65] = [
    ("FloorDiv", 2),
    ("Add_i64", 4),
    ("Sub_i64", 4),
    ("Mul_i64", 5),
    ("Sub_rank5_broadcast", 3),
    ("Div_rank5_broadcast", 2),
    ("Maximum_rank5_broadcast", 3),
    ("Minimum_rank5_broadcast", 3),
    ("Add_q8", 2),
    ("Add_q16", 3),
    ("Sub_q8", 2),
    ("Sub_q16", 5),
    ("Mul_q8", 2),
    ("Mul_q16", 4),
    ("Mul_q8_scaled_up", 3),
    ("Cast_int8_float32", 3),
    ("Cast_float32_float16", 5),
    ("Cast_uint16_float32", 4),
    ("Cast_uint32_float32", 2),
    ("Abs_i32", 5),
    ("Logistic_q8", 2),
    ("Conv2d_grouped", 6),
    ("DepthwiseConv2d_dilated_2", 2),
    ("TransposeConv_true_None", 3),
    ("TransposeConv_true_Relu", 4),
    ("FullyConnected_false_false", 6),
    ("FullyConnected_true_true", 5),
    ("Conv2d_q_int8_int8_int32", 3),
    ("FullyConnected_q_int8_int8_int32", 4),
    ("DepthwiseConv2d_q_int8_int8_int32", 3),
    ("Conv2d_q_int8_int4_int32", 7),
    ("FullyConnected_q_int8_int4_int32", 10),
    ("DepthwiseConv2d_q_int8_int4_int32", 7),
    ("Conv2d_q_int16_int8_int64", 4),
    ("FullyConnected_q_int16_int8_int64", 7),
    ("DepthwiseConv2d_q_int16_int8_int64", 5),
    ("Conv2d_q_int16_int8_int32", 8),
    ("FullyConnected_q_int16_int8_int32", 11),
    ("TransposeConv_q16_i64", 3),
    ("TransposeConv_q16_i32", 5),
    ("Conv2d_hybrid_false", 2),
    ("FullyConnected_hybrid_false", 9),
    ("Conv2d_hybrid_true", 5),
    ("FullyConnected_hybrid_true", 12),
    ("FullyConnected_blockwise_i4", 6),
    ("BatchMatMul_q8", 2),
    ("BatchMatMul_hybrid", 4),
    ("ResizeNearest_true_false", 3),
    ("ResizeBilinear_false_true", 3),
    ("ResizeNearest_false_true", 3),
    ("SpaceToBatch_rank3", 3),
    ("BatchToSpace_rank3", 3),
    ("Pad_rank5", 4),
    ("Pad_bool", 5),
    ("Transpose_rank5", 4),
    ("Transpose_rank6", 6),
    ("Slice_rank5", 5),
    ("StridedSlice_new_axis", 6),
    ("Gather_batched", 5),
    ("BroadcastTo", 2),
    ("Where_int32", 2),
    ("Dequantize_int8", 2),
    ("Quantize_int16", 2),
    ("Dequantize_int16", 3),
    ("Dequantize_f16", 3),
];

#[test]
fn versions_are_as_low_as_the_operands_allow() {
    let mut versions = Vec::new();
    for case in ops::all() {
        let version = parsed(&case.model).operator_codes.unwrap()[0].version;
        if version != 1 {
            versions.push((case.name, version));
        }
    }
    let expected: Vec<(String, i32)> = VERSIONS.iter().map(|&(name, version)| (name.into(), version)).collect();
    assert_eq!(versions, expected);
}

//! Files as other tools make them, put together table by table.

use bytes::Bytes;
use litesmith::graph::{Model, Op, Opaque, Quant, Shape, verify};
use litesmith::schema::{self, BuiltinOperator, TensorType};
use litesmith::tensor::DType;
use litesmith::tflite::{ReadError, WriteOptions, normalized, read, write};

/// A file of one operator, `x` and constants to `y`.
struct Foreign(schema::Model);

impl Foreign {
    fn new(builtin: BuiltinOperator, options: impl Into<schema::BuiltinOptions>, inputs: &[i32]) -> Foreign {
        let operator = schema::Operator {
            inputs: Some(inputs.to_vec()),
            outputs: Some(vec![1]),
            builtin_options: options.into(),
            ..schema::Operator::default()
        };
        let graph = schema::SubGraph {
            tensors: Some(vec![tensor("x", &[2, 3]), tensor("y", &[2, 3])]),
            inputs: Some(vec![0]),
            outputs: Some(vec![1]),
            operators: Some(vec![operator]),
            ..schema::SubGraph::default()
        };
        Foreign(schema::Model {
            version: schema::MODEL_VERSION,
            operator_codes: Some(vec![schema::OperatorCode::builtin(builtin, 1)]),
            subgraphs: Some(vec![graph]),
            buffers: Some(vec![schema::Buffer::default()]),
            ..schema::Model::default()
        })
    }

    fn graph(&mut self) -> &mut schema::SubGraph {
        &mut self.0.subgraphs.as_mut().unwrap()[0]
    }

    fn tensor(&mut self, index: usize) -> &mut schema::Tensor {
        &mut self.graph().tensors.as_mut().unwrap()[index]
    }

    fn operator(&mut self) -> &mut schema::Operator {
        &mut self.graph().operators.as_mut().unwrap()[0]
    }

    /// Appends a tensor with data; its index.
    fn constant(&mut self, ty: TensorType, dims: &[i32], data: &'static [u8]) -> usize {
        let buffers = self.0.buffers.as_mut().unwrap();
        buffers.push(schema::Buffer { data: Some(Bytes::from_static(data)), ..schema::Buffer::default() });
        let buffer = buffers.len() as u32 - 1;
        let tensors = self.graph().tensors.as_mut().unwrap();
        tensors.push(schema::Tensor { type_: ty, buffer, ..tensor("constant", dims) });
        tensors.len() - 1
    }

    fn read(&self) -> Result<Model, ReadError> {
        read(self.0.to_bytes().unwrap())
    }

    /// The operator that is read, after it has been written and read again without a change.
    fn op(&self) -> Op {
        let model = self.read().unwrap();
        let again = write(&model, &WriteOptions::default()).unwrap().to_bytes();
        assert_eq!(read(again).unwrap(), normalized(&model).unwrap());
        model.graphs[0].nodes[0].op.clone()
    }

    fn opaque(&self) -> Opaque {
        match self.op() {
            Op::Opaque(opaque) => *opaque,
            op => panic!("{op:?} should only be carried"),
        }
    }

    fn refused(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

fn tensor(name: &str, dims: &[i32]) -> schema::Tensor {
    schema::Tensor { name: Some(name.into()), shape: Some(dims.to_vec()), ..schema::Tensor::default() }
}

fn relu() -> Foreign {
    Foreign::new(BuiltinOperator::RELU, schema::BuiltinOptions::None, &[0])
}

fn quantized(scale: f32) -> Option<Box<schema::QuantizationParameters>> {
    let scale = Some(vec![scale]);
    Some(Box::new(schema::QuantizationParameters { scale, zero_point: Some(vec![0]), ..Default::default() }))
}

#[test]
fn old_files_have_their_shape_in_options() {
    let options = schema::ReshapeOptions { new_shape: Some(vec![3, 2]) };
    let mut file = Foreign::new(BuiltinOperator::RESHAPE, options, &[0]);
    file.tensor(1).shape = Some(vec![3, 2]);
    assert_eq!(file.op(), Op::Reshape);
    assert_eq!(verify(&file.read().unwrap()), []);
    // Interpreters ignore an operand of another type.
    let shape = file.constant(TensorType::INT64, &[1], &[6, 0, 0, 0, 0, 0, 0, 0]) as i32;
    file.operator().inputs = Some(vec![0, shape]);
    assert_eq!(file.opaque().code, BuiltinOperator::RESHAPE);
}

#[test]
fn operators_without_options_have_the_defaults() {
    let none = schema::BuiltinOptions::None;
    assert_eq!(Foreign::new(BuiltinOperator::SOFTMAX, none.clone(), &[0]).op(), Op::Softmax { beta: 0.0 });
    let code = Foreign::new(BuiltinOperator::AVERAGE_POOL_2D, none, &[0]).opaque();
    assert_eq!(code.code, BuiltinOperator::AVERAGE_POOL_2D, "a stride of 0 is nothing that a graph says");
}

#[test]
fn what_the_graph_cannot_say_is_carried() {
    let concatenation = |fused| {
        let options = schema::ConcatenationOptions { axis: 1, fused_activation_function: fused };
        Foreign::new(BuiltinOperator::CONCATENATION, options, &[0, 0])
    };
    let mut file = concatenation(schema::ActivationFunctionType::NONE);
    file.tensor(1).shape = Some(vec![2, 6]);
    assert_eq!(file.op(), Op::Concatenation { axis: 1 });
    concatenation(schema::ActivationFunctionType::RELU).opaque();
    concatenation(schema::ActivationFunctionType(77)).opaque();

    Foreign::new(BuiltinOperator::RELU, schema::AddOptions::default(), &[0]).opaque();
    Foreign::new(BuiltinOperator::RELU, schema::BuiltinOptions::None, &[0, 0]).opaque();
    Foreign::new(BuiltinOperator::ADD, schema::AddOptions::default(), &[0, -1]).opaque();
    Foreign::new(BuiltinOperator::ADD, schema::AddOptions::default(), &[0]).opaque();

    let mut file = relu();
    file.operator().intermediates = Some(vec![0]);
    assert_eq!(file.opaque().intermediates.unwrap().len(), 1);
    let mut file = relu();
    file.operator().mutating_variable_inputs = Some(vec![true]);
    file.opaque();
    file.operator().mutating_variable_inputs = Some(vec![false]);
    assert!(matches!(file.op(), Op::Unary(_)), "a list that says nothing is no reason");
}

#[test]
fn sixteen_bit_sums_of_powers_of_two_are_another_kernel() {
    let sum = |pot_scale_int16, quantization: Option<Box<schema::QuantizationParameters>>| {
        let options = schema::AddOptions { pot_scale_int16, ..schema::AddOptions::default() };
        let mut file = Foreign::new(BuiltinOperator::ADD, options, &[0, 0]);
        for index in 0..2 {
            file.tensor(index).type_ = TensorType::INT16;
            file.tensor(index).quantization = quantization.clone();
        }
        file
    };
    sum(true, quantized(0.5)).opaque();
    assert!(matches!(sum(false, quantized(0.5)).op(), Op::Binary(..)));
    assert!(matches!(sum(true, None).op(), Op::Binary(..)), "plain integers have no scale");
}

#[test]
fn a_wrong_channel_multiplier_is_put_right() {
    let options = schema::DepthwiseConv2DOptions { stride_w: 1, stride_h: 1, ..Default::default() };
    let mut file = Foreign::new(BuiltinOperator::DEPTHWISE_CONV_2D, options, &[0, 2]);
    file.tensor(0).shape = Some(vec![1, 1, 1, 2]);
    file.tensor(1).shape = Some(vec![1, 1, 1, 4]);
    file.constant(TensorType::FLOAT32, &[1, 1, 1, 4], &[0; 16]);
    assert!(matches!(file.op(), Op::DepthwiseConv2d { multiplier: 2, .. }));
}

#[test]
fn operator_codes_are_read_from_either_field() {
    let mut file = relu();
    file.0.operator_codes = Some(vec![schema::OperatorCode {
        deprecated_builtin_code: BuiltinOperator::RELU.0 as i8,
        ..schema::OperatorCode::default()
    }]);
    assert!(matches!(file.op(), Op::Unary(_)));
}

#[test]
fn custom_operators_keep_everything() {
    let mut file = Foreign::new(BuiltinOperator::CUSTOM, schema::BuiltinOptions::None, &[0, -1]);
    let codes = file.0.operator_codes.as_mut().unwrap();
    codes[0].custom_code = Some("Landmarks".into());
    codes[0].version = 3;
    file.operator().custom_options = Some(Bytes::from_static(b"abc"));
    let opaque = file.opaque();
    assert_eq!((opaque.version, opaque.custom_code.as_deref()), (3, Some("Landmarks")));
    assert_eq!(opaque.custom_options.as_deref(), Some(&b"abc"[..]));
    file.operator().custom_options_format = schema::CustomOptionsFormat(1);
    assert!(file.refused().contains("operator 0 CUSTOM: has options in format"), "{}", file.refused());
}

#[test]
fn strings_and_constants_without_elements_are_constants() {
    let mut file = relu();
    let text = file.constant(TensorType::STRING, &[1], &[1, 0, 0, 0, 12, 0, 0, 0, 14, 0, 0, 0, b'h', b'i']);
    let empty = file.constant(TensorType::FLOAT32, &[0, 3], &[]);
    file.graph().outputs = Some(vec![1, text as i32, empty as i32]);
    file.op();
    let graph = file.read().unwrap().graphs.remove(0);
    assert_eq!(graph.values[text].data.as_ref().unwrap().bytes().len(), 14);
    assert_eq!(graph.values[empty].data.as_ref().unwrap().shape(), [0, 3]);
    assert!(graph.values[1].data.is_none());
}

#[test]
fn shapes_of_every_age() {
    let mut file = relu();
    file.tensor(0).shape_signature = Some(vec![-1, 3]);
    file.tensor(1).shape = Some(vec![-1, 3]);
    let graph = file.read().unwrap().graphs.remove(0);
    let unknown = Shape(vec![None, Some(3)]);
    assert_eq!((&graph.values[0].ty.shape, &graph.values[1].ty.shape), (&unknown, &unknown));
    file.tensor(0).shape_signature = Some(vec![-1]);
    let graph = file.read().unwrap().graphs.remove(0);
    assert_eq!(graph.values[0].ty.shape, Shape::fixed(&[2, 3]), "a signature of another rank says nothing");
}

#[test]
fn quantization_is_read_as_it_stands() {
    let mut file = relu();
    file.tensor(0).type_ = TensorType::INT8;
    file.tensor(1).type_ = TensorType::INT8;
    let bounds = || Some(vec![0.5f32]);
    file.tensor(0).quantization =
        Some(Box::new(schema::QuantizationParameters { min: bounds(), max: bounds(), ..Default::default() }));
    file.tensor(1).quantization = quantized(0.0);
    let model = file.read().unwrap();
    assert_eq!(model.graphs[0].values[0].quant, None, "a range that was seen is no scale");
    assert_eq!(model.graphs[0].values[1].quant, Some(Quant::per_tensor(0.0, 0)));
    assert_eq!(verify(&model).len(), 1, "and the scale of zero is what verification finds");

    let blocks = |details: schema::BlockwiseQuantization| {
        Some(Box::new(schema::QuantizationParameters { details: details.into(), ..Default::default() }))
    };
    let table = schema::BlockwiseQuantization { scales: 1, zero_points: -1, block_size: 32, block_shape: None };
    file.tensor(0).quantization = blocks(table.clone());
    assert!(matches!(file.read().unwrap().graphs[0].values[0].quant, Some(Quant::Blockwise { block_size: 32, .. })));
    file.tensor(0).quantization = blocks(schema::BlockwiseQuantization { scales: 9, ..table.clone() });
    assert!(file.refused().contains("is tensor 9 of 2"), "{}", file.refused());
    file.tensor(0).quantization = blocks(schema::BlockwiseQuantization { block_shape: Some(vec![1, 32]), ..table });
    assert!(file.refused().contains("in blocks over several axes"), "{}", file.refused());
}

/// Makes a foreign file into one that is refused.
type Change = fn(&mut Foreign);

#[test]
fn broken_and_unknown_things_are_named() {
    let refused = |break_it: fn(&mut Foreign)| {
        let mut file = relu();
        break_it(&mut file);
        file.refused()
    };
    let cases: [(Change, &str); 11] = [
        (|f| f.tensor(0).type_ = TensorType(99), r#"tensor 0 "x": is of type TensorType(99)"#),
        (|f| f.tensor(0).external_buffer = 1, r#"tensor 0 "x": has its data in another file"#),
        (|f| f.tensor(0).buffer = 5, r#"tensor 0 "x": is in buffer 5"#),
        (|f| f.operator().inputs = Some(vec![7]), "an input of operator 0 RELU: is tensor 7 of 2"),
        (|f| f.operator().outputs = Some(vec![-1]), "an output of operator 0 RELU: is tensor -1 of 2"),
        (|f| f.operator().opcode_index = 4, "operator 0: has code 4 of 1"),
        (|f| f.graph().inputs = Some(vec![2]), "an input: is tensor 2 of 2"),
        (|f| f.0.version = 4, "has version 4 of the format"),
        (|f| f.0.subgraphs = None, "has no graph"),
        (
            |f| {
                f.constant(TensorType::FLOAT32, &[2], &[0; 7]);
            },
            r#"tensor 2 "constant": float32 data of shape [2] takes 8 bytes, but there are 7"#,
        ),
        (
            |f| {
                let place = schema::Buffer { data: None, offset: u64::MAX - 1, size: 9 };
                f.0.buffers.as_mut().unwrap().push(place);
            },
            "buffer 1: lies at byte 18446744073709551614, 9 bytes long",
        ),
    ];
    for (break_it, message) in cases {
        let refused = refused(break_it);
        assert!(refused.contains(message), "{refused} should contain {message}");
    }
    assert_eq!(read(Bytes::from_static(b"not a model")), Err(ReadError::NoIdentifier));
}

#[test]
fn metadata_are_kept_and_ours_are_computed_anew() {
    let mut file = relu();
    let buffers = file.0.buffers.as_mut().unwrap();
    for data in [&b"9.9.9"[..], b"payload"] {
        buffers.push(schema::Buffer { data: Some(Bytes::from_static(data)), ..schema::Buffer::default() });
    }
    let entry = |name: &str, buffer| schema::Metadata { name: Some(name.into()), buffer };
    file.0.metadata = Some(vec![entry("min_runtime_version", 1), entry("TFLITE_METADATA", 2)]);
    file.0.description = Some("made elsewhere".into());
    let model = file.read().unwrap();
    assert_eq!(model.metadata, [("TFLITE_METADATA".to_string(), Bytes::from_static(b"payload"))]);
    assert_eq!(model.description, "made elsewhere");
    let written = write(&model, &WriteOptions::default()).unwrap();
    assert_eq!(written.min_runtime.unwrap().to_string(), "1.5.0");
    assert_eq!(read(written.to_bytes()).unwrap(), model);
    assert_eq!(model.graphs[0].values[0].ty.dtype, DType::F32);
}

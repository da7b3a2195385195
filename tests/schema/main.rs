//! The `.tflite` schema and the code generated from it.

mod facts;
mod wire;

use bytes::Bytes;
use flatbuffers::{FlatBufferBuilder, WIPOffset};
use litesmith::schema::*;

fn pack(model: &Model) -> Bytes {
    model.to_bytes().expect("a small model")
}

fn full_model() -> Bytes {
    Bytes::from(wire::Filler::new(false).model())
}

/// Every field of every table, and every member of every union, survives reading and writing.
#[test]
fn a_model_with_everything_round_trips() {
    let file = full_model();
    let model = Model::from_bytes(&file).expect("a valid file");
    let packed = pack(&model);
    assert!(has_identifier(&packed));
    assert_eq!(Model::from_bytes(&packed).expect("a valid file"), model);

    let (before, after) = (wire::dump(&file), wire::dump(&packed));
    assert_eq!(before.value, after.value);
    let missing: Vec<_> = TABLES.iter().filter(|table| !after.tables.contains_key(table.name)).collect();
    assert!(missing.is_empty(), "not in the test's model: {missing:?}");
}

/// The accessors and fields have the values that their names promise; the rest of this file compares by id only.
#[test]
fn names_belong_to_ids() {
    let file = full_model();
    let dump = wire::dump(&file).value;
    let model = root_as_model(&file).expect("a valid file");
    let subgraph = model.subgraphs().expect("subgraphs").get(0);
    let tensor = subgraph.tensors().expect("tensors").get(1);
    let there = &dump["subgraphs"][0]["tensors"][1];
    assert_eq!(tensor.name(), there["name"].as_str());
    assert_eq!(u64::from(tensor.buffer()), there["buffer"]);
    assert_eq!(i64::from(tensor.type_().0), there["type"]);
    assert_eq!(tensor.is_variable(), there["is_variable"]);
    let shape: Vec<i32> = tensor.shape_signature().expect("a signature").iter().collect();
    assert_eq!(serde_json::json!(shape), there["shape_signature"]);

    let operator = subgraph.operators().expect("operators").get(0);
    let there = &dump["subgraphs"][0]["operators"][0];
    assert_eq!(i64::from(operator.debug_metadata_index()), there["debug_metadata_index"]);
    let BuiltinOptionsRef::Conv2DOptions(options) = operator.builtin_options() else {
        panic!("the first member has the first turn: {:?}", operator.builtin_options());
    };
    let there = &there["builtin_options"]["Conv2DOptions"];
    assert_eq!(i64::from(options.stride_h()), there["stride_h"]);
    assert_eq!(i64::from(options.dilation_w_factor()), there["dilation_w_factor"]);
    let object = options.unpack(&file).expect("known members only");
    assert_eq!(i64::from(object.stride_h), there["stride_h"]);
    assert_eq!(i64::from(object.dilation_w_factor), there["dilation_w_factor"]);
}

/// Defaults are not stored, and come back; absent is not empty.
#[test]
fn defaults_and_absent_fields_round_trip() {
    let absent = Model::default();
    assert_eq!(Model::from_bytes(&pack(&absent)).as_ref(), Ok(&absent));
    assert_eq!(wire::dump(&pack(&absent)).value, serde_json::json!({}));

    let options = [
        Conv2DOptions::default().into(),
        AddOptions { pot_scale_int16: false, ..Default::default() }.into(),
        UniqueOptions::default().into(),
        BuiltinOptions::None,
    ];
    let operators = options.map(|builtin_options| Operator { builtin_options, ..Default::default() });
    let subgraph = SubGraph {
        tensors: Some(Vec::new()),
        operators: Some(operators.to_vec()),
        name: Some(String::new()),
        ..Default::default()
    };
    let buffers = vec![Buffer::default(), Buffer { data: Some(Bytes::new()), ..Default::default() }];
    let model = Model { subgraphs: Some(vec![subgraph]), buffers: Some(buffers), ..Default::default() };
    let file = pack(&model);
    assert_eq!(Model::from_bytes(&file).as_ref(), Ok(&model));
    let dump = wire::dump(&file).value;
    assert_eq!(dump["subgraphs"][0]["operators"][0], serde_json::json!({"builtin_options": {"Conv2DOptions": {}}}));
    assert_eq!(dump["subgraphs"][0]["name"], "");
    assert_eq!(dump["buffers"], serde_json::json!([{}, {"data": []}]));

    assert_eq!(Conv2DOptions::default().dilation_h_factor, 1);
    assert_eq!(UniqueOptions::default().idx_out_type, TensorType::INT32);
    assert_eq!((Operator::default().debug_metadata_index, OperatorCode::default().version), (-1, 1));
}

#[test]
fn deprecated_fields_are_read_and_not_written() {
    let file = Bytes::from(wire::Filler::new(true).model());
    let view = root_as_model(&file).expect("a valid file");
    let signature = view.signature_defs().expect("signatures").get(0);
    assert_eq!(signature.deprecated_tag(), wire::dump(&file).value["signature_defs"][0]["deprecated_tag"].as_str());
    let packed = pack(&Model::from_bytes(&file).expect("a valid file"));
    let signature = &wire::dump(&packed).value["signature_defs"][0];
    assert_eq!(signature.get("deprecated_tag"), None);
    assert!(signature["subgraph_index"].is_u64());
}

fn position(file: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - file.as_ptr() as usize
}

/// Interpreters use constants in place; they have to lie at multiples of 16 from the start of the file.
#[test]
fn data_are_aligned() {
    for first in 0..40 {
        let lengths = [first, 0, 1, 15, 16, 17, 63, 64, 4097, 9000 + 7 * first];
        let data = lengths.map(|length| (0..length).map(|i| (i % 251) as u8).collect::<Bytes>());
        let buffers = data.clone().map(|data| Buffer { data: Some(data), ..Default::default() }).to_vec();
        let details = CustomQuantization { custom: Some(data[8].clone()) };
        let quantization = QuantizationParameters { details: details.into(), ..Default::default() };
        let tensor = Tensor { quantization: Some(Box::new(quantization)), ..Default::default() };
        let subgraph = SubGraph { tensors: Some(vec![tensor]), ..Default::default() };
        let model = Model {
            // Shifts everything that is written after it.
            description: Some("x".repeat(first)),
            subgraphs: Some(vec![subgraph]),
            buffers: Some(buffers),
            ..Default::default()
        };
        let file = pack(&model);
        assert_eq!(Model::from_bytes(&file).as_ref(), Ok(&model));

        let model = root_as_model(&file).expect("a valid file");
        for (buffer, data) in model.buffers().expect("buffers").iter().zip(&data) {
            let stored = buffer.data().expect("data");
            assert_eq!((stored, position(&file, stored) % 16), (&data[..], 0));
        }
        let tensor = model.subgraphs().expect("subgraphs").get(0).tensors().expect("tensors").get(0);
        let QuantizationDetailsRef::CustomQuantization(details) = tensor.quantization().expect("set").details() else {
            panic!("not what was written");
        };
        assert_eq!(position(&file, details.custom().expect("set")) % 16, 0);
    }
}

/// A writer can build the parts of a model one by one, and end up with the same file as from one object.
#[test]
fn a_model_is_built_from_parts() {
    let data = Bytes::from_static(&[7; 100]);
    let codes = vec![OperatorCode::builtin(BuiltinOperator::GELU, 1)];
    let mut b = FlatBufferBuilder::with_capacity(1000);
    let data_offset = pack_bytes::<16>(&mut b, &data);
    let buffer = Buffer::create(&mut b, &BufferArgs { data: Some(data_offset), ..Default::default() });
    let buffers = b.create_vector(&[buffer]);
    let codes_offset = pack_tables(&mut b, &codes);
    let args = ModelArgs {
        version: MODEL_VERSION,
        operator_codes: Some(codes_offset),
        buffers: Some(buffers),
        ..Default::default()
    };
    let model = Model::create(&mut b, &args);
    finish_model(&mut b, model);

    let file = Bytes::copy_from_slice(b.finished_data());
    let expected = Model {
        version: MODEL_VERSION,
        operator_codes: Some(codes),
        buffers: Some(vec![Buffer { data: Some(data), ..Default::default() }]),
        ..Default::default()
    };
    assert_eq!(Model::from_bytes(&file).as_ref(), Ok(&expected));
    assert_eq!(position(&file, root_as_model(&file).unwrap().buffers().unwrap().get(0).data().unwrap()) % 16, 0);
}

/// Reading does not copy weights; given another source than the view's own, it copies rather than going wrong.
#[test]
fn byte_vectors_are_shared_with_their_source() {
    let file = full_model();
    let inside = |part: &[u8]| file.as_ptr_range().contains(&part.as_ptr());
    let data = |model: &Model| model.buffers.as_ref().and_then(|all| all[0].data.clone()).expect("data");
    let shared = data(&Model::from_bytes(&file).expect("a valid file"));
    assert!(!shared.is_empty() && inside(&shared));

    let other = Bytes::copy_from_slice(&file);
    let copied = root_as_model(&file).expect("a valid file").unpack(&other).expect("known members");
    assert!(!inside(&data(&copied)));
    assert_eq!(data(&copied), shared);
}

/// The data are one allocation that is never touched, so this takes neither memory nor time.
#[test]
fn a_model_over_two_gigabytes_is_refused() {
    let data = Bytes::from(vec![0; 1 << 28]);
    let buffers = (0..8).map(|_| Buffer { data: Some(data.clone()), ..Default::default() }).collect();
    assert_eq!(Model { buffers: Some(buffers), ..Default::default() }.to_bytes(), Err(TooLarge));
}

/// An operator with these two fields of the first union, in a file of its own.
fn operator_with_options(tag: Option<u8>, value: bool) -> Vec<u8> {
    let mut b = FlatBufferBuilder::new();
    let start = b.start_table();
    b.push_slot_always(4, 1i32);
    let options = b.end_table(start);
    let start = b.start_table();
    if value {
        b.push_slot_always(12, options);
    }
    if let Some(tag) = tag {
        b.push_slot_always(10, tag);
    }
    let operator: WIPOffset<OperatorRef<'_>> = WIPOffset::new(b.end_table(start).value());
    let operators = b.create_vector(&[operator]);
    let subgraph = SubGraph::create(&mut b, &SubGraphArgs { operators: Some(operators), ..Default::default() });
    let subgraphs = b.create_vector(&[subgraph]);
    let model = Model::create(&mut b, &ModelArgs { subgraphs: Some(subgraphs), ..Default::default() });
    finish_model(&mut b, model);
    b.finished_data().to_vec()
}

#[test]
fn unions_that_are_not_as_they_should_be() {
    let options = |file: &Bytes| {
        let view = root_as_model(file).expect("a valid file");
        let operator = view.subgraphs().unwrap().get(0).operators().unwrap().get(0);
        (format!("{:?}", operator.builtin_options()), operator.unpack(file).map(|operator| operator.builtin_options))
    };
    let unknown = Bytes::from(operator_with_options(Some(250), true));
    let error = UnknownMember { union: "BuiltinOptions", tag: 250 };
    assert_eq!(options(&unknown), ("Unknown(250)".to_owned(), Err(error)));
    assert_eq!(Model::from_bytes(&unknown), Err(ReadError::UnknownMember(error)));
    for (tag, value) in [(None, false), (None, true), (Some(0), true), (Some(3), false), (Some(250), false)] {
        let file = Bytes::from(operator_with_options(tag, value));
        assert_eq!(options(&file), ("None".to_owned(), Ok(BuiltinOptions::None)), "{tag:?} {value}");
    }
    let known = Bytes::from(operator_with_options(Some(28), true));
    assert!(matches!(options(&known).1, Ok(BuiltinOptions::SubOptions(_))), "{:?}", options(&known));
}

#[test]
fn enums_know_their_names_and_keep_what_they_do_not_know() {
    assert_eq!(BuiltinOperator::MEMBERS.len(), 210);
    assert_eq!(BuiltinOperator(3).name(), Some("CONV_2D"));
    assert_eq!(BuiltinOperator::from_name("STABLEHLO_CASE"), Some(BuiltinOperator(209)));
    assert_eq!(BuiltinOperator::from_name("CONV"), None);
    assert_eq!((TensorType(-3).name(), TensorType(-3).to_string()), (None, "TensorType(-3)".to_owned()));
    for facts in ENUMS {
        assert!(facts.members.is_sorted_by_key(|member| member.1), "`name` searches {} by value", facts.name);
    }
    assert_eq!(BuiltinOptions::from(MulOptions::default()).name(), "MulOptions");
    assert_eq!((BuiltinOptions::None.name(), BuiltinOptions::None.tag()), ("NONE", 0));
}

#[test]
fn operator_codes_of_old_and_new_files() {
    let small = OperatorCode::builtin(BuiltinOperator::CONV_2D, 2);
    assert_eq!((small.deprecated_builtin_code, small.operator()), (3, BuiltinOperator::CONV_2D));
    let large = OperatorCode::builtin(BuiltinOperator::GELU, 1);
    assert_eq!((large.deprecated_builtin_code, large.operator()), (127, BuiltinOperator::GELU));
    let old = OperatorCode { deprecated_builtin_code: 22, ..Default::default() };
    assert_eq!(old.operator(), BuiltinOperator::RESHAPE);
}

/// Reads as far as it goes; what it returns is only used to see that both outcomes occur.
fn read(bytes: Vec<u8>) -> bool {
    let file = Bytes::from(bytes);
    let _ = has_identifier(&file);
    match Model::from_bytes(&file) {
        // What can be read can be written.
        Ok(model) => !pack(&model).is_empty(),
        Err(error) => error.to_string().is_empty(),
    }
}

/// A small generator of numbers; the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Flips some bits, 2000 times; how often the file was accepted and how often refused.
fn flip(file: &[u8], random: &mut Random) -> (usize, usize) {
    let accepted = (0..2000).filter(|_| {
        let mut bytes = file.to_vec();
        for _ in 0..1 + random.below(4) {
            bytes[random.below(file.len())] ^= 1 << random.below(8);
        }
        read(bytes)
    });
    let accepted = accepted.count();
    (accepted, 2000 - accepted)
}

/// A file of some 600 bytes: here most flips hit structure, and most wrong offsets leave the file.
fn small_model() -> Bytes {
    let quantization =
        QuantizationParameters { scale: Some(vec![0.5]), zero_point: Some(vec![3]), ..Default::default() };
    let tensor = Tensor {
        shape: Some(vec![1, 2]),
        type_: TensorType::INT8,
        buffer: 1,
        name: Some("x".to_owned()),
        quantization: Some(Box::new(quantization)),
        is_variable: true,
        shape_signature: Some(vec![-1, 2]),
        has_rank: true,
        ..Default::default()
    };
    let options = Conv2DOptions { padding: Padding::VALID, stride_w: 2, stride_h: 3, ..Default::default() };
    let operator = Operator {
        opcode_index: 1,
        inputs: Some(vec![0, -1]),
        outputs: Some(vec![0]),
        builtin_options: options.into(),
        large_custom_options_size: 9,
        debug_metadata_index: 4,
        ..Default::default()
    };
    let subgraph = SubGraph { tensors: Some(vec![tensor]), operators: Some(vec![operator]), ..Default::default() };
    let data = Some(Bytes::from_static(b"weights"));
    pack(&Model {
        version: MODEL_VERSION,
        subgraphs: Some(vec![subgraph]),
        buffers: Some(vec![Buffer { data, size: 7, ..Default::default() }]),
        ..Default::default()
    })
}

#[test]
fn broken_files_do_not_panic() {
    let (small, full) = (small_model(), full_model());
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let some = (0..500).map(|_| random.below(full.len()));
    for (file, length) in (0..small.len()).map(|length| (&small, length)).chain(some.map(|length| (&full, length))) {
        // The last bytes of a file may be padding.
        let read = read(file[..length].to_vec());
        assert!(!read || file.len() - length < 16, "the first {length} of {} bytes are no model", file.len());
    }
    for file in [small, full] {
        let (accepted, refused) = flip(&file, &mut random);
        assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
    }
}

/// A file of a few kilobytes that expands to gigabytes when every reference to its one big vector counts.
#[test]
fn shared_parts_do_not_expand_without_bound() {
    let mut b = FlatBufferBuilder::new();
    let shape = b.create_vector(&vec![1i32; 100_000]);
    let tensor = Tensor::create(&mut b, &TensorArgs { shape: Some(shape), ..Default::default() });
    let tensors = b.create_vector(&vec![tensor; 100_000]);
    let subgraph = SubGraph::create(&mut b, &SubGraphArgs { tensors: Some(tensors), ..Default::default() });
    let subgraphs = b.create_vector(&[subgraph]);
    let model = Model::create(&mut b, &ModelArgs { subgraphs: Some(subgraphs), ..Default::default() });
    finish_model(&mut b, model);
    assert_eq!(root_as_model(b.finished_data()).err(), Some(InvalidFlatbuffer::ApparentSizeTooLarge));
}

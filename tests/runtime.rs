//! Runs the models of `fixtures/runtime` with a real LiteRT library. Without one, each test says so and passes.

use std::path::Path;
use std::thread;

use bytes::Bytes;
use litesmith::runtime::{BadInput, ElementType, Input, Kernels, Library, Options, Output, RuntimeError, Session};

const ALL_KERNELS: [Kernels; 3] = [Kernels::Xnnpack, Kernels::Builtin, Kernels::Reference];

/// The library, or `None` with a line that says why.
fn library() -> Option<Library> {
    match Library::find(None) {
        Ok(library) => Some(library),
        Err(error @ RuntimeError::NotFound { .. }) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn model(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/runtime").join(name);
    std::fs::read(path).unwrap()
}

fn session(library: &Library, name: &str, kernels: Kernels) -> Result<Session, RuntimeError> {
    Session::new(library, model(name), &Options { kernels, ..Options::default() })
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn to_floats(output: &Output) -> Vec<f32> {
    assert_eq!(output.element_type, ElementType::Float32);
    let chunks = output.bytes.chunks_exact(4);
    chunks.map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap())).collect()
}

fn float_input<'a>(name: &'a str, dims: &'a [usize], bytes: &'a [u8]) -> Input<'a> {
    Input { name, element_type: ElementType::Float32, dims, bytes }
}

/// The convolution of `fixtures/runtime/make.py`, with its sum over the image.
fn convolution(image: &[f32], shift: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut feature, mut total) = (Vec::new(), vec![0.0; 3]);
    for (y, x) in (0..4).flat_map(|y| (0..4).map(move |x| (y, x))) {
        for channel in 0..3 {
            let mut sum = channel as f32 + 1.0 + shift[channel];
            for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
                for depth in 0..2 {
                    let weight = (((channel * 3 + dy) * 3 + dx) * 2 + depth) % 5;
                    sum += image[((y + dy) * 6 + x + dx) * 2 + depth] * (weight as f32 - 2.0);
                }
            }
            feature.push(sum);
            total[channel] += sum;
        }
    }
    (feature, total)
}

#[test]
fn runs_a_model_with_every_kind_of_kernels() {
    let Some(library) = library() else { return };
    let image: Vec<f32> = (0..72).map(|i| (i % 7) as f32).collect();
    let shift = [10.0, 0.0, -3.0];
    let (feature, total) = convolution(&image, &shift);
    let (image, shift) = (floats(&image), floats(&shift));
    for kernels in ALL_KERNELS {
        let mut session = session(&library, "convolution.tflite", kernels).unwrap();
        let names: Vec<_> = session.inputs().iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["image", "shift"]);
        assert_eq!(session.inputs()[0].dims, [1, 6, 6, 2]);
        assert_eq!(session.outputs()[1].element_type, ElementType::Float32);

        // The order of the inputs is free; that of the outputs is the model's.
        let inputs = [float_input("shift", &[1, 1, 1, 3], &shift), float_input("image", &[1, 6, 6, 2], &image)];
        for _ in 0..2 {
            let outputs = session.run(&inputs).unwrap();
            assert_eq!(outputs[0].name, "feature");
            assert_eq!(outputs[0].dims, [1, 4, 4, 3]);
            assert_eq!(to_floats(&outputs[0]), feature);
            assert_eq!(outputs[1].name, "total");
            assert_eq!(outputs[1].dims, [1, 3]);
            assert_eq!(to_floats(&outputs[1]), total);
        }
        assert_eq!(session.time(&inputs, 1, 3).unwrap().len(), 3);
    }
}

#[test]
fn open_extents_take_the_dims_given() {
    let Some(library) = library() else { return };
    let row = [1.0, 2.0, 0.0, -1.0];
    for kernels in ALL_KERNELS {
        let mut session = session(&library, "dynamic_batch.tflite", kernels).unwrap();
        assert_eq!(session.inputs()[0].dims, [-1, 4]);
        assert_eq!(session.outputs()[0].dims, [-1, 3]);
        for batch in [1, 3, 3, 2, 100, 1] {
            let rows = floats(&row.repeat(batch));
            let outputs = session.run(&[float_input("rows", &[batch, 4], &rows)]).unwrap();
            assert_eq!(outputs[0].dims, [batch, 3]);
            assert_eq!(to_floats(&outputs[0]), [-1.0, 17.0, 35.0].repeat(batch));

            // A refusal in between leaves the session as it was.
            for dims in [&[3, 5][..], &[3, 4, 1], &[0, 4], &[]] {
                let bytes = vec![0; 4 * dims.iter().product::<usize>()];
                let error = session.run(&[float_input("rows", dims, &bytes)]).unwrap_err();
                let RuntimeError::BadInput { name, reason } = error else { panic!("{error}") };
                assert_eq!(name, "rows");
                let (given, expected) = (dims.to_vec(), vec![-1, 4]);
                assert_eq!(reason, BadInput::Dims { given, expected });
            }
        }
    }
}

#[test]
fn open_extents_of_a_file_without_has_rank_are_found_out() {
    let Some(library) = library() else { return };
    let mut session = session(&library, "rankless_batch.tflite", Kernels::Xnnpack).unwrap();
    assert_eq!(session.inputs()[0].dims, [1, 2]);
    for batch in [1, 3, 1, 2] {
        let rows = floats(&[1.0, -2.0].repeat(batch));
        let outputs = session.run(&[float_input("rows", &[batch, 2], &rows)]).unwrap();
        assert_eq!(outputs[0].dims, [batch, 2]);
        assert_eq!(to_floats(&outputs[0]), [2.0, -4.0].repeat(batch));
    }
}

#[test]
fn open_extents_need_not_work_as_one() {
    let Some(library) = library() else { return };
    for kernels in ALL_KERNELS {
        let mut session = session(&library, "open_image.tflite", kernels).unwrap();
        let error = session.run(&[float_input("image", &[1, 2, 2, 1], &floats(&[1.0; 4]))]).unwrap_err();
        // XNNPACK refuses the image, the built-in kernels make a result without elements of it.
        let refused = matches!(error, RuntimeError::Status { .. } | RuntimeError::Unsupported(_));
        assert!(refused, "{error}");
        let outputs = session.run(&[float_input("image", &[1, 3, 4, 1], &floats(&[1.0; 12]))]).unwrap();
        assert_eq!(outputs[0].dims, [1, 1, 2, 1]);
        assert_eq!(to_floats(&outputs[0]), [10.0, 10.0]);
    }
}

#[test]
fn tensors_without_elements_are_refused() {
    let Some(library) = library() else { return };
    let mut session = session(&library, "no_elements.tflite", Kernels::Builtin).unwrap();
    let error = session.run(&[float_input("left", &[0, 2], &[])]).unwrap_err();
    assert!(matches!(error, RuntimeError::Unsupported(_)), "{error}");
}

#[test]
fn fixed_extents_take_nothing_else() {
    let Some(library) = library() else { return };
    let mut session = session(&library, "no_signature.tflite", Kernels::Xnnpack).unwrap();
    let (left, right) = (floats(&[1.0; 6]), floats(&[1.0; 4]));
    let inputs = [float_input("left", &[3, 2], &left), float_input("right", &[2, 2], &right)];
    let error = session.run(&inputs).unwrap_err();
    assert_eq!(error.to_string(), "input \"left\": dims are [3, 2], the model takes [2, 2]");
}

#[test]
fn quantized_bytes_go_in_and_out_as_they_are() {
    let Some(library) = library() else { return };
    for kernels in ALL_KERNELS {
        let mut session = session(&library, "int8_add.tflite", kernels).unwrap();
        assert_eq!(session.inputs()[0].element_type, ElementType::Int8);
        let input = |name, bytes| Input { name, element_type: ElementType::Int8, dims: &[4], bytes };
        // Scales 0.5 + 0.5 -> 1.0, zero point -10: the mean of the two, minus 10, and it saturates.
        let left = [4_i8, -6, 100, -120].map(|v| v as u8);
        let right = [2_i8, 0, 100, -128].map(|v| v as u8);
        let outputs = session.run(&[input("left", &left), input("right", &right)]).unwrap();
        assert_eq!(outputs[0].bytes, [-7_i8, -13, 90, -128].map(|v| v as u8));
    }
}

#[test]
fn a_model_without_signature_goes_by_tensor_names() {
    let Some(library) = library() else { return };
    let mut session = session(&library, "no_signature.tflite", Kernels::Xnnpack).unwrap();
    let (left, right) = (floats(&[5.0, 6.0, 7.0, 8.0]), floats(&[1.0, 1.0, 1.0, 9.0]));
    let inputs = [float_input("left", &[2, 2], &left), float_input("right", &[2, 2], &right)];
    let outputs = session.run(&inputs).unwrap();
    assert_eq!(outputs[0].name, "difference");
    assert_eq!(to_floats(&outputs[0]), [4.0, 5.0, 6.0, -1.0]);
}

#[test]
fn outputs_that_no_operator_makes() {
    let Some(library) = library() else { return };
    for kernels in ALL_KERNELS {
        let mut session = session(&library, "odd_outputs.tflite", kernels).unwrap();
        let data = floats(&[3.0, -4.0]);
        let outputs = session.run(&[float_input("data", &[2], &data)]).unwrap();
        let expected = [[6.0, -8.0], [3.0, -4.0], [7.0, 8.0], [6.0, -8.0]];
        assert_eq!(outputs.iter().map(to_floats).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn scalars_have_no_dims() {
    let Some(library) = library() else { return };
    for kernels in ALL_KERNELS {
        let mut session = session(&library, "scalar.tflite", kernels).unwrap();
        let outputs = session.run(&[float_input("x", &[], &floats(&[1.5]))]).unwrap();
        assert!(outputs[0].dims.is_empty());
        assert_eq!(to_floats(&outputs[0]), [3.0]);
    }
}

#[test]
fn a_shape_that_depends_on_data_is_refused() {
    let Some(library) = library() else { return };
    let mut session = session(&library, "data_dependent.tflite", Kernels::Builtin).unwrap();
    let element_type = ElementType::Bool;
    let mask = Input { name: "mask", element_type, dims: &[2, 3], bytes: &[1, 0, 0, 1, 1, 0] };
    let error = session.run(&[mask]).unwrap_err();
    assert!(matches!(error, RuntimeError::Unsupported(_)), "{error}");
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let Some(library) = library() else { return };
    let mut session = session(&library, "no_signature.tflite", Kernels::Xnnpack).unwrap();
    let data = floats(&[0.0; 4]);
    let (left, right) = (float_input("left", &[2, 2], &data), float_input("right", &[2, 2], &data));
    let known = vec!["left".to_owned(), "right".to_owned()];
    let (given, expected) = (ElementType::Int32, ElementType::Float32);
    let cases: [(&[Input<'_>], &str, BadInput); 6] = [
        (&[left, Input { name: "rihgt", ..right }], "rihgt", BadInput::UnknownName { known }),
        (&[left], "right", BadInput::Missing),
        (&[left, right, left], "left", BadInput::Repeated),
        (&[left, Input { element_type: given, ..right }], "right", BadInput::ElementType { given, expected }),
        (
            &[left, Input { bytes: &data[1..], ..right }],
            "right",
            BadInput::Size { given: 15, expected: 16, dims: vec![2, 2] },
        ),
        (
            &[left, Input { dims: &[usize::MAX, 2], ..right }],
            "right",
            BadInput::Dims { given: vec![usize::MAX, 2], expected: vec![2, 2] },
        ),
    ];
    for (inputs, expected_name, expected_reason) in cases {
        let error = session.run(inputs).unwrap_err();
        let RuntimeError::BadInput { name, reason } = error else { panic!("{error}") };
        assert_eq!((name.as_str(), reason), (expected_name, expected_reason));
    }
    session.run(&[left, right]).unwrap();
}

/// LiteRT's own words about `model`, which it refuses in the call `expected`.
fn refusal(library: &Library, model: Vec<u8>, kernels: Kernels, expected: &str) -> Option<String> {
    let options = Options { kernels, ..Options::default() };
    match Session::new(library, model, &options).unwrap_err() {
        RuntimeError::Status { call, detail, .. } => {
            assert_eq!(call, expected);
            detail
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_the_interpreter_refuses_comes_with_its_reason() {
    let Some(library) = library() else { return };
    for kernels in ALL_KERNELS {
        let call = "LiteRtCreateCompiledModel";
        let detail = refusal(&library, model("unknown_version.tflite"), kernels, call);
        if cfg!(unix) {
            let detail = detail.unwrap();
            assert!(detail.contains("'ADD' version '99'"), "{detail}");
        }
    }
    let call = "LiteRtGetCompiledModelOutputTensorLayouts";
    let detail = |kernels| refusal(&library, model("wrong_reshape.tflite"), kernels, call).unwrap();
    for kernels in [Kernels::Builtin, Kernels::Reference] {
        let detail = detail(kernels);
        assert!(detail.contains("(6 != 8)") && detail.contains("RESHAPE"), "{detail}");
    }
    let detail = detail(Kernels::Xnnpack);
    assert!(detail.contains("XNNPack"), "{detail}");
}

#[test]
fn reference_kernels_are_those_of_the_reference() {
    let Some(library) = library() else { return };
    for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
        let mut session = session(&library, "ceil.tflite", kernels).unwrap();
        let outputs = session.run(&[float_input("x", &[3], &floats(&[0.5, -0.5, 2.0]))]).unwrap();
        assert_eq!(to_floats(&outputs[0]), [1.0, 0.0, 2.0]);
    }
    refusal(&library, model("ceil.tflite"), Kernels::Reference, "LiteRtCreateCompiledModel");
}

#[test]
fn what_is_no_model_is_refused() {
    let Some(library) = library() else { return };
    let whole = model("convolution.tflite");
    let call = "LiteRtCreateModelFromBuffer";
    for length in (0..whole.len()).step_by(97) {
        refusal(&library, whole[..length].to_vec(), Kernels::Xnnpack, call);
    }
    refusal(&library, b"not a model, but long enough for a header".to_vec(), Kernels::Xnnpack, call);
}

#[test]
fn the_bytes_of_a_model_may_lie_at_any_address() {
    let Some(library) = library() else { return };
    let mut shifted = vec![0; 3];
    shifted.extend(model("dynamic_batch.tflite"));
    let bytes = Bytes::from(shifted).slice(3..);
    let mut session = Session::new(&library, bytes, &Options::default()).unwrap();
    let outputs = session.run(&[float_input("rows", &[1, 4], &floats(&[1.0; 4]))]).unwrap();
    assert_eq!(to_floats(&outputs[0]), [6.0, 32.0, 58.0]);
}

#[test]
fn sessions_work_on_several_threads() {
    let Some(library) = library() else { return };
    let workers: Vec<_> = (1..=4)
        .map(|batch| {
            let options = Options { threads: batch, ..Options::default() };
            let mut session = Session::new(&library, model("dynamic_batch.tflite"), &options).unwrap();
            let library = library.clone();
            thread::spawn(move || {
                let rows = floats(&[1.0, 2.0, 0.0, -1.0].repeat(batch));
                let dims = [batch, 4];
                let input = float_input("rows", &dims, &rows);
                for _ in 0..20 {
                    let outputs = session.run(&[input]).unwrap();
                    assert_eq!(to_floats(&outputs[0]), [-1.0, 17.0, 35.0].repeat(batch));
                    session = Session::new(&library, model("dynamic_batch.tflite"), &options).unwrap();
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn a_library_that_is_not_there_is_not_found() {
    let error = Library::find(Some(Path::new("/nowhere/libLiteRt.so"))).unwrap_err();
    assert!(matches!(&error, RuntimeError::NotFound { tried } if tried.len() == 1), "{error}");
    let text = error.to_string();
    for way in ["/nowhere/libLiteRt.so", "pip install ai-edge-litert", "--runtime", "LITESMITH_LITERT"] {
        assert!(text.contains(way), "{text}");
    }
}

#[test]
fn a_file_that_is_no_library_does_not_load() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not a library").unwrap();
    let error = Library::find(Some(file.path())).unwrap_err();
    assert!(matches!(&error, RuntimeError::Load { path, .. } if path == file.path()), "{error}");
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_library_that_is_not_litert_does_not_load() {
    let error = Library::open(Path::new("libc.so.6")).unwrap_err();
    assert!(matches!(error, RuntimeError::Load { .. }), "{error}");
    assert!(error.to_string().contains("none of LiteRT's functions"), "{error}");
}

//! What users and broken exporters hand in: damaged files, models that contradict themselves, samples that don't fit. Every one
//! is answered with an error that names the place, or converted; nothing panics, and no file is harmed.

mod calibration;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod external;
mod files;
mod graphs;
mod models;
mod mutated;
mod outputs;
mod tflite;

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
    let result = catch_unwind(AssertUnwindSafe(|| Converter::new().convert_bytes(bytes.to_vec())));
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

//! Samples that do not fit.

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
    // The name of a single array does not matter; its shape does, and those of several.
    refused_with(&[("image", &[3, 2], &[1.0; 6])], &["\"x\"", "[2,3]", "[3, 2]"]);
    refused_with(&[("image", &[2, 3], &[1.0; 6]), ("more", &[2, 3], &[1.0; 6])], &["\"x\"", "\"image\""]);
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
    says(&desk.refused(&INT8), &["samples/0.npz", "\"x\"", "float32", "int64"]);
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

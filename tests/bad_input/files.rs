//! Files that are no ONNX model, or only part of one.

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

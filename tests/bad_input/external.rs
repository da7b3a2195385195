//! Data outside the model file: missing, outside the folder, past the end.

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

//! Where the result can not go.

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
    for output in ["model.onnx", "./model.onnx", "sub/../model.onnx", &desk.path("model.onnx").display().to_string()] {
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

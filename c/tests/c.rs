//! Builds a program in C against the header and the library, and runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that cargo puts libraries in: that of this test, or the one above.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let name = format!("{}litesmith_c{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.expect("cargo builds the library before its tests")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

fn converts(compiler: &str, flags: &[&str]) {
    let (library, here) = (library(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let folder = library.parent().expect("a library lies in a folder");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("convert-{compiler}"));
    let mut compile = Command::new(compiler);
    compile.args(flags).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"]).arg(here.join("include"));
    compile.arg(here.join("tests/convert.c")).arg("-x").arg("none").arg(&library).arg("-o").arg(&program);
    run(compile.arg(format!("-Wl,-rpath,{}", folder.display())));
    let fixtures = here.join("../fixtures/digits");
    let mut convert = Command::new(&program);
    convert
        .arg(fixtures.join("digits.onnx"))
        .arg(fixtures.join("calibration.npz"))
        .arg(here.join("../fixtures/refused/refused.onnx"));
    assert_eq!(run(&mut convert), "ok\n");
}

#[test]
fn a_program_in_c_converts() {
    converts("gcc", &["-std=c99", "-x", "c"]);
}

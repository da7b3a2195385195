//! Files for other targets: what the tables say against the real parts, where these are installed, and C sources against a compiler.

#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::command::{Ran, litesmith, says};
use common::{fixtures, interpreter, shared_models};

fn convert(model: &Path, output: &Path, args: &[&str]) -> Ran {
    let (model, output) = (model.display().to_string(), output.display().to_string());
    litesmith(["convert", &model, "-o", &output].iter().chain(args))
}

fn digits(output: &Path, args: &[&str]) -> Ran {
    convert(&fixtures().join("digits/digits.onnx"), output, args)
}

fn calibration() -> String {
    fixtures().join("digits/calibration.npz").display().to_string()
}

/// The environment's Python, where it has these packages.
fn python(packages: &str) -> Option<PathBuf> {
    let found = Command::new(interpreter()).args(["-c", &format!("import {packages}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(interpreter());
    }
    println!("skipped: no Python with {packages}");
    None
}

#[test]
fn a_c_program_includes_the_array() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my-digits.tflite");
    let ran = digits(
        &file,
        &["--target", "tflm", "--emit", "c-array", "--quantize", "int8", "--calibration", &calibration()],
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let header = std::fs::read_to_string(folder.path().join("my_digits.h")).unwrap();
    says(&header, &["(resolver).AddConv2D();", "(resolver).AddDepthwiseConv2D();", "#define MY_DIGITS_OPERATORS 7"]);
    let program = "#include <stdint.h>\n#include <stdio.h>\n#include \"my_digits.h\"\n\
                   int main(void) { fwrite(my_digits, 1, my_digits_size, stdout); return (uintptr_t)my_digits % 16 != 0; }\n";
    std::fs::write(folder.path().join("main.c"), program).unwrap();
    let compiled = Command::new("gcc")
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "my_digits.c", "-o", "program"])
        .current_dir(folder.path())
        .output();
    let Ok(compiled) = compiled else { return println!("skipped: no gcc") };
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let output = Command::new(folder.path().join("program")).output().unwrap();
    assert!(output.status.success(), "the array is not aligned");
    assert_eq!(output.stdout, std::fs::read(&file).unwrap());
}

#[test]
fn the_wrong_target_is_refused_before_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.tflite");
    for (target, scheme) in [("tflm", "dynamic"), ("ethos-u55", "weights"), ("edgetpu", "float16")] {
        let ran = digits(&file, &["--target", target, "--quantize", scheme]);
        assert_eq!(ran.code, Some(1), "{target}");
        says(&ran.stderr, &[target, "--quantize int8"]);
    }
    // Samples that can't be read are not looked at.
    let tile = fixtures().join("cases/shape/tile_one_axis.onnx");
    let ran = convert(&tile, &file, &["--target", "tflm", "--quantize", "int8", "--calibration", "nowhere"]);
    assert_eq!(ran.code, Some(1));
    says(&ran.stderr, &["tflm can't run the model", "TILE", "no kernel"]);
    assert!(!ran.stderr.contains("nowhere"), "{}", ran.stderr);
    assert!(!file.exists());
}

#[test]
fn check_tells_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digits.tflite");
    assert_eq!(digits(&file, &[]).code, Some(0));
    let path = file.display().to_string();
    for target in ["litert", "tflm", "gpu", "xnnpack"] {
        let ran = litesmith(["check", &path, "--target", target]);
        assert_eq!((ran.code, ran.stdout.contains("left")), (Some(0), false), "{target}: {}", ran.stdout);
    }
    for target in ["ethos-u55", "ethos-u65", "ethos-u85", "edgetpu"] {
        let ran = litesmith(["check", &path, "--target", target, "--json"]);
        assert_eq!(ran.code, Some(1), "{target}");
        let fit = ran.json();
        assert_eq!(
            (&fit["taken"], fit["left"].as_array().map(Vec::len)),
            (&0.into(), fit["operators"].as_u64().map(|n| n as usize))
        );
    }
    assert_eq!(litesmith(["check", &path, "--target", "abacus"]).code, Some(2));
}

#[test]
fn microcontrollers_compute_what_litert_computes() {
    let Some(python) = python("tflite_micro, ai_edge_litert") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec![folder.path().join("digits_float.tflite"), folder.path().join("digits_int8.tflite")];
    assert_eq!(digits(&files[0], &["--target", "tflm"]).code, Some(0));
    let int8 = ["--target", "tflm", "--quantize", "int8", "--calibration", &calibration()];
    assert_eq!(digits(&files[1], &int8).code, Some(0));
    if let Some(models) = shared_models() {
        for name in ["mnist/float", "mnist/digits_dsnet", "mnist/digits_lstm", "mnist/digits_vit"] {
            let file = folder.path().join(format!("{}.tflite", name.replace('/', "_")));
            let samples = models.join(name).join("io/input_*.npz").display().to_string();
            let args = ["--target", "tflm", "--quantize", "int8", "--calibration", &samples];
            let ran = convert(&models.join(name).join("model.onnx"), &file, &args);
            assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
            files.push(file);
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets/tflm.py");
    let output = Command::new(python).arg(script).args(&files).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for file in &files {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{}: ", file.display())));
        let apart: f64 = line
            .and_then(|l| l.parse().ok())
            .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        assert!(apart <= 1.001, "{}: {apart} steps apart", file.display());
    }
}

#[test]
fn vela_places_operators_as_predicted() {
    let vela = interpreter().with_file_name("vela");
    if !vela.exists() {
        return println!("skipped: no vela beside {}", interpreter().display());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digits.tflite");
    assert_eq!(digits(&file, &["--quantize", "int8", "--calibration", &calibration()]).code, Some(0));
    let path = file.display().to_string();
    for (accelerator, target) in
        [("ethos-u55-128", "ethos-u55"), ("ethos-u65-256", "ethos-u65"), ("ethos-u85-256", "ethos-u85")]
    {
        let out = folder.path().join(accelerator);
        let ran = Command::new(&vela)
            .args(["--accelerator-config", accelerator, "--output-dir"])
            .arg(&out)
            .arg(&file)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let placed = litesmith(["inspect", &out.join("digits_vela.tflite").display().to_string(), "--json"]).json();
        let operators = placed["graphs"][0]["operators"].as_array().unwrap();
        let tensors = &placed["graphs"][0]["tensors"];
        let result = |o: &serde_json::Value| tensors[o["outputs"][0].as_u64().unwrap() as usize]["name"].to_string();
        let mut left: Vec<String> = operators.iter().filter(|o| o["name"] != "ethos-u").map(result).collect();
        let fit = litesmith(["check", &path, "--target", target, "--json"]).json();
        let mut predicted: Vec<String> =
            fit["left"].as_array().unwrap().iter().map(|m| m["result"].to_string()).collect();
        left.sort();
        predicted.sort();
        assert_eq!(predicted, left, "{target}");
    }
}

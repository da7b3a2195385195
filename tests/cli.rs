//! The program as users see it: help, usage errors, output for people and for programs, the same bytes at every run, `verify`.

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::command::{Ran, command, is_clear, litesmith, run, says};
use common::{Random, fixtures, litert, onnx};
use litesmith::{Converter, Quantize};

fn digits(name: &str) -> PathBuf {
    fixtures().join("digits").join(name)
}

/// Converts the digits model to `path`, and runs with further arguments and this many threads.
fn convert_digits(path: &Path, args: &[&str], threads: usize) -> Ran {
    let mut command = command();
    command.arg("convert").arg(digits("digits.onnx")).arg("-o").arg(path).args(args);
    let ran = run(command.env("RAYON_NUM_THREADS", threads.to_string()));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "errors and progress are for terminals");
    ran
}

/// Arguments for a quantized result.
fn int8() -> Vec<String> {
    ["--quantize", "int8", "--calibration", &digits("calibration.npz").display().to_string()].map(String::from).to_vec()
}

#[test]
fn help_is_given() {
    let ran = litesmith(["--help"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for subcommand in ["bench", "calibrate", "check", "convert", "quantize", "inspect", "verify", "ops"] {
        says(&ran.stdout, &[subcommand]);
        let ran = litesmith([subcommand, "--help"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{subcommand}");
        says(&ran.stdout, &["Usage: litesmith", subcommand]);
    }
    says(&litesmith(["--version"]).stdout, &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn readme_shows_what_its_first_command_prints() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, shown) = readme.split_once("The first prints:\n\n```\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.tflite");
    let args = int8();
    let printed = convert_digits(&path, &args.iter().map(String::as_str).collect::<Vec<_>>(), 2).stdout;
    assert_eq!(printed.replace(&path.display().to_string(), "target/digits.tflite"), shown);
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    let model = digits("digits.onnx").display().to_string();
    let wrong: &[&[&str]] = &[
        &[],
        &["transmogrify"],
        &["convert"],
        &["convert", &model, &model],
        &["convert", &model, "--frobnicate"],
        &["convert", &model, "--quantize", "int3"],
        &["convert", &model, "--output"],
        &["convert", &model, "--output", ""],
        &["convert", &model, "--shape", "1,2"],
        &["calibrate", &model],
        &["calibrate", &model, "--samples", ".", "--shard", "3/2"],
        &["calibrate", "--merge", "a.json"],
        &["inspect"],
        &["bench"],
        &["bench", &model, "--xnnpack", "maybe"],
        &["verify", &model],
        &["verify", &model, "--against", &model, "--min-sqnr", "much"],
        &["ops", "Conv"],
    ];
    for args in wrong {
        let ran = litesmith(*args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        says(&ran.stderr, &["--help"]);
    }
}

#[test]
fn operators_are_listed() {
    let text = litesmith(["ops"]);
    assert_eq!(text.code, Some(0));
    let lines: Vec<Vec<&str>> = text.stdout.lines().map(|l| l.split_whitespace().take(2).collect()).collect();
    assert_eq!(lines.len(), litesmith::lower::OPERATORS.len());
    assert!(lines.contains(&vec!["ai.onnx", "Conv"]) && lines.is_sorted());
    let json = litesmith(["ops", "--json"]).json();
    let listed =
        json.as_array().unwrap().iter().map(|o| vec![o["domain"].as_str().unwrap(), o["op"].as_str().unwrap()]);
    assert!(listed.eq(lines), "both forms list the same");
}

#[test]
fn the_page_of_operators_is_what_the_command_prints() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operators.md")).unwrap();
    let printed = litesmith(["ops", "--markdown"]).stdout;
    assert!(page == printed, "make it again: cargo run -- ops --markdown > docs/operators.md");
}

#[test]
fn the_page_of_quantization_is_what_the_command_prints() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/quantization.md")).unwrap();
    let printed = litesmith(["ops", "--quantization"]).stdout;
    assert!(page == printed, "make it again: cargo run -- ops --quantization > docs/quantization.md");
}

#[test]
fn output_for_people_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.tflite");
    let text = convert_digits(&path, &[], 1).stdout;
    says(&text, &["operators", "transposes  0", "file", "written", "digits.tflite"]);
    assert_eq!(convert_digits(&path, &["--quiet"], 1).stdout, "");
    let json = convert_digits(&path, &["--json"], 1).json();
    assert_eq!(json["file_bytes"], std::fs::metadata(&path).unwrap().len());
    assert!(json["quantization"].is_null());

    let inspect = |args: &[&str]| run(command().arg("inspect").arg(&path).args(args));
    says(&inspect(&[]).stdout, &["CONV_2D", "image", "logits"]);
    assert!(inspect(&["--json"]).json().is_object());

    let mut args = int8();
    args.push("--json".into());
    let json = convert_digits(&path, &args.iter().map(String::as_str).collect::<Vec<_>>(), 1).json();
    assert!(json["quantization"]["int8"].as_u64().unwrap() > 5, "{json}");
    assert!(inspect(&["--json"]).json().is_object());
}

#[test]
fn what_quantization_costs_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.tflite");
    let (json, html) = (folder.path().join("report.json"), folder.path().join("report.html"));
    let convert = |more: &[&str]| {
        let args = int8();
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        convert_digits(&path, &args, 2).stdout
    };
    let text = convert(&["--report", &json.display().to_string()]);
    says(&text, &["noise", "logits", "dB", "CONV_2D"]);
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["outputs"][0]["name"], "logits");
    assert!(report["outputs"][0]["sqnr"].as_f64().unwrap() > 20.0, "{report}");
    let operators = report["operators"].as_array().unwrap();
    assert!(operators.len() > 5 && operators.iter().all(|o| o["cause"]["kind"].is_string()), "{report}");
    convert(&["--quiet", "--report", &html.display().to_string()]);
    says(&std::fs::read_to_string(&html).unwrap(), &["<!doctype html>", "logits", "CONV_2D"]);
    let alone = litesmith(["convert", &digits("digits.onnx").display().to_string(), "--report", "a.json"]);
    assert_eq!(alone.code, Some(1));
    says(&alone.stderr, &["--report", "--calibration"]);
}

#[test]
fn models_are_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.tflite");
    let convert = |more: &[&str]| {
        let args = int8();
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        convert_digits(&path, &args, 2).json()
    };
    let plain = convert(&["--json"]);
    assert_eq!(plain["repairs"].as_array().unwrap().len(), 0);
    let listed = convert(&["--json", "--repair", "bias, round"]);
    let made: Vec<&str> = listed["repairs"].as_array().unwrap().iter().map(|r| r["repair"].as_str().unwrap()).collect();
    assert_eq!(made, ["round", "bias"], "in the order in which they help each other");
    let auto = convert(&["--json", "--repair", "auto"]);
    for repaired in auto["repairs"].as_array().unwrap() {
        assert_eq!(repaired["kept"].as_bool().unwrap(), repaired["gain"].as_f64().unwrap() >= 0.1, "{repaired}");
    }
    let model = digits("digits.onnx").display().to_string();
    let wrong = litesmith(["convert", &model, "--repair", "sand"]);
    assert_eq!(wrong.code, Some(2));
    says(&wrong.stderr, &["sand", "equalize"]);
    let float = litesmith(["convert", &model, "--repair", "auto", "-o", &path.display().to_string()]);
    assert_eq!(float.code, Some(1));
    says(&float.stderr, &["--repair", "int8"]);
}

#[test]
fn the_result_lies_beside_the_model_if_no_place_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(digits("digits.onnx"), folder.path().join("a.b.onnx")).unwrap();
    let ran = run(command().current_dir(folder.path()).args(["convert", "a.b.onnx"]));
    assert_eq!(ran.code, Some(0));
    assert!(folder.path().join("a.b.tflite").is_file());
}

/// `litesmith ops | head -1`
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command().arg("ops").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn ranges_by_every_method() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.tflite");
    let by = |args: &[&str]| {
        let args: Vec<String> = int8().into_iter().chain(args.iter().map(ToString::to_string)).collect();
        convert_digits(&path, &args.iter().map(String::as_str).collect::<Vec<_>>(), 2);
        std::fs::read(&path).unwrap()
    };
    let minmax = by(&["--calibration-method", "minmax"]);
    assert!(by(&["--calibration-method", "percentile", "--percentile", "100"]) == minmax, "nothing is cut off");
    assert!(by(&["--calibration-method", "percentile", "--percentile", "99"]) != minmax);
    for method in ["average", "entropy", "mse"] {
        assert!(by(&["--calibration-method", method]) != minmax, "{method}");
    }
    let refused = |args: &[&str]| run(command().arg("convert").arg(digits("digits.onnx")).args(args));
    let sample = digits("calibration.npz").display().to_string();
    let int8 = ["--quantize", "int8", "--calibration", &sample];
    says(&is_clear(&refused(&["--calibration-method", "mse"]).stderr), &["--calibration"]);
    says(
        &is_clear(&refused(&[&int8[..], &["--percentile", "99"]].concat()).stderr),
        &["--calibration-method percentile"],
    );
    let percentile = [&int8[..], &["--calibration-method", "percentile", "--percentile", "101"]].concat();
    says(&is_clear(&refused(&percentile).stderr), &["--percentile 101"]);
}

#[test]
fn the_same_bytes_at_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |args: &[String], threads: usize| {
        let path = folder.path().join("out.tflite");
        convert_digits(&path, &args.iter().map(String::as_str).collect::<Vec<_>>(), threads);
        std::fs::read(path).unwrap()
    };
    let int8_by_library = Converter::new().quantize(Quantize::Int8).calibration(digits("calibration.npz"));
    for (args, converter) in [(vec![], Converter::new()), (int8(), int8_by_library)] {
        let library = converter.convert_file(digits("digits.onnx")).unwrap().bytes().unwrap();
        for threads in [1, 1, 2] {
            assert!(bytes(&args, threads) == library, "{args:?} with {threads} threads");
        }
    }
}

#[test]
fn files_are_timed_side_by_side() {
    let Some(library) = litert() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (float, small) = (folder.path().join("float.tflite"), folder.path().join("small.tflite"));
    convert_digits(&float, &["--quiet"], 1);
    convert_digits(&small, &["--quiet", "--quantize", "dynamic"], 1);
    let bench = |args: &[&str]| {
        let mut command = command();
        run(command.arg("bench").arg("--runtime").arg(library.path()).args(["--seconds", "0.05"]).args(args))
    };
    let (float, small) = (float.display().to_string(), small.display().to_string());
    let ran = bench(&[&float, &small, "--threads", "1,2", "--xnnpack", "on,off", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let timings = report["timings"].as_array().unwrap();
    assert_eq!(timings.len(), 8);
    for (i, timing) in timings.iter().enumerate() {
        let of = |field: &str| timing["milliseconds"][field].as_f64().unwrap();
        assert!(0.0 < of("min") && of("min") <= of("p10") && of("p10") <= of("median"), "{timing}");
        assert!(of("median") <= of("p90") && of("p90") <= of("max") && of("count") >= 5.0, "{timing}");
        assert_eq!(timing["file"], *[&float, &small][i % 2]);
        assert_eq!((&timing["threads"], &timing["xnnpack"]), (&(1 + i / 4).into(), &(i / 2 % 2 == 0).into()));
    }
    says(&bench(&[&float, &small]).stdout, &["median", "float.tflite", "small.tflite", "1.00x"]);
    let ran = bench(&[&float, &small, "--xnnpack", "on,off", "--profile", "--json"]);
    for timing in serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()["timings"].as_array().unwrap() {
        let kernels = timing["profile"].as_array().unwrap();
        let told = |name: &str| kernels.iter().filter(|k| k["name"].as_str().unwrap().contains(name)).count();
        let convolutions = if timing["xnnpack"] == true {
            told("Convolution") + told("Fully Connected")
        } else {
            told("CONV_2D") + told("FULLY")
        };
        assert_eq!(convolutions, 5, "{timing}");
        assert!(kernels.iter().all(|k| k["calls"] == 1.0 && k["in_delegate"] == timing["xnnpack"]), "{timing}");
        assert!(kernels.iter().map(|k| k["microseconds"].as_f64().unwrap()).sum::<f64>() > 0.0, "{timing}");
    }
    says(&bench(&[&float, "--profile", "--xnnpack", "off"]).stdout, &["us in kernels", "CONV_2D", "%"]);
    let wrong: &[(&[&str], &str)] = &[
        (&["nowhere.tflite"], "nowhere.tflite"),
        (&[&float, "--threads", "0"], "--threads 0"),
        (&[&float, "--shape", "nobody=1"], "nobody"),
        (&[&float, "--shape", "image=1,2"], "image"),
    ];
    for (args, named) in wrong {
        let ran = bench(args);
        assert_eq!(ran.code, Some(1), "{args:?}");
        says(&is_clear(&ran.stderr), &[named]);
    }
}

mod verify {
    use super::*;

    /// A folder with the digits model as float.
    fn converted() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digits.tflite");
        convert_digits(&path, &["--quiet"], 1);
        (folder, path)
    }

    fn verify(file: &Path, model: &Path, args: &[&str]) -> Ran {
        let mut command = command();
        command.arg("verify").arg(file).arg("--against").arg(model).args(args);
        if let Some(library) = litert() {
            command.arg("--runtime").arg(library.path());
        }
        run(&mut command)
    }

    #[test]
    fn without_a_runtime_it_says_how_to_get_one() {
        let (folder, path) = converted();
        let mut command = command();
        command.env_clear().env("PATH", folder.path()).arg("verify").arg(&path);
        let ran = run(command.arg("--against").arg(digits("digits.onnx")));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        says(&is_clear(&ran.stderr), &["no LiteRT library found", "pip install ai-edge-litert", "--runtime"]);
    }

    #[test]
    fn a_runtime_that_is_none() {
        let (folder, path) = converted();
        let verify = |runtime: &Path| {
            let mut command = command();
            command.arg("verify").arg(&path).arg("--against").arg(digits("digits.onnx"));
            let ran = run(command.arg("--runtime").arg(runtime));
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
            is_clear(&ran.stderr)
        };
        says(&verify(Path::new("/none/libLiteRt.so")), &["/none/libLiteRt.so", "pip install ai-edge-litert"]);
        says(&verify(&path), &["digits.tflite", "LiteRT library"]);
        says(&verify(folder.path()), &[&folder.path().display().to_string(), "pip install ai-edge-litert"]);
    }

    #[test]
    fn a_good_file_passes() {
        if litert().is_none() {
            return;
        }
        let (_folder, path) = converted();
        let ran = verify(&path, &digits("digits.onnx"), &[]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        says(&ran.stdout, &["logits", "ok:"]);
        let ran = verify(&path, &digits("digits.onnx"), &["--json"]);
        assert_eq!(ran.json()["outputs"][0]["name"], "logits");
    }

    /// What a CI job asks: are labels told as before?
    #[test]
    fn lost_labels_are_bounded() {
        if litert().is_none() {
            return;
        }
        let (_folder, path) = converted();
        let test = digits("test.npz").display().to_string();
        let model = digits("digits.onnx");
        let ran = verify(&path, &model, &["--inputs", &test, "--max-drop", "0.5"]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        says(&ran.stdout, &["accuracy", "no more than 0.5 % of the labels may be lost"]);
        assert!(!ran.stdout.contains("every output"), "{}", ran.stdout);
        let samples = digits("calibration.npz").display().to_string();
        let ran = verify(&path, &model, &["--inputs", &samples, "--max-drop", "0.5"]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        says(&is_clear(&ran.stderr), &["--labels"]);
        let ran = verify(&path, &model, &["--inputs", &samples, "--labels", &test]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        says(&is_clear(&ran.stderr), &["360 labels for 64 samples"]);
        let ran = verify(&path, &model, &["--inputs", &test, "--max-drop", "0.5", "--min-sqnr", "500"]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        says(&ran.stdout, &["FAILED", "500 dB, and no more than 0.5 %"]);
    }

    #[test]
    fn too_high_a_bound_fails() {
        if litert().is_none() {
            return;
        }
        let (_folder, path) = converted();
        let ran = verify(&path, &digits("digits.onnx"), &["--min-sqnr", "1000"]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        says(&ran.stdout, &["FAILED", "1000 dB"]);
    }

    #[test]
    fn a_file_of_another_model() {
        if litert().is_none() {
            return;
        }
        let (folder, path) = converted();
        let other = folder.path().join("relu.onnx");
        let message = |model: &tract_onnx::pb::ModelProto| {
            std::fs::write(&other, onnx::bytes(model)).unwrap();
            let ran = verify(&path, &other, &[]);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
            is_clear(&ran.stderr)
        };
        says(&message(&onnx::relu()), &["no input \"x\""]);
        let relu = |x: &str, y: &str, dims: &[i64]| {
            let (input, output) = (onnx::value(x, onnx::FLOAT, dims), onnx::value(y, onnx::FLOAT, dims));
            onnx::model(vec![onnx::node("Relu", &[x], &[y])], vec![], vec![input], vec![output])
        };
        says(&message(&relu("image", "y", &[1, 1, 8, 8])), &["no output \"y\""]);
        says(&message(&relu("image", "logits", &[1, 1, 8, 8])), &["\"logits\"", "[1, 10]", "[1, 1, 8, 8]"]);
        says(&message(&relu("image", "logits", &[1, 1, 9, 9])), &["\"image\"", "8", "9"]);
    }

    #[test]
    fn files_that_are_missing_or_none() {
        if litert().is_none() {
            return;
        }
        let (folder, path) = converted();
        let refused = |file: &Path, model: &Path, args: &[&str]| {
            let ran = verify(file, model, args);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
            is_clear(&ran.stderr)
        };
        let model = digits("digits.onnx");
        let none = folder.path().join("none");
        let text = folder.path().join("text");
        std::fs::write(&text, "nothing of use").unwrap();
        says(&refused(&none, &model, &[]), &["none", "No such file"]);
        says(&refused(&path, &none, &[]), &["none", "No such file"]);
        says(&refused(&text, &model, &[]), &["text"]);
        says(&refused(&path, &text, &[]), &["text", "not an ONNX model"]);
        says(&refused(&path, &path, &[]), &["digits.tflite", "not an ONNX model"]);
        says(&refused(&path, &model, &["--inputs", "/none"]), &["/none", "no such file or folder"]);
        says(&refused(&path, &model, &["--expected", "/none"]), &["/none"]);
        let test_set = digits("test.npz").display().to_string();
        // Labels are something to compare with, and nothing to calibrate on.
        let model = model.display().to_string();
        let ran = litesmith(["convert", &model, "-o", "/none/m", "--quantize", "int8", "--calibration", &test_set]);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        says(&is_clear(&ran.stderr), &["test.npz", "\"labels\""]);
    }

    /// Runs in a process of its own, which a runtime that trusts its files could take down.
    #[test]
    fn damaged_files() {
        if litert().is_none() {
            return;
        }
        let (folder, path) = converted();
        let whole = std::fs::read(&path).unwrap();
        let broken = folder.path().join("broken.tflite");
        let mut random = Random::new(4);
        for round in 0..30 {
            let mut bytes = whole.clone();
            if round % 3 == 0 {
                bytes.truncate(random.below(whole.len()));
            } else {
                bytes[random.below(whole.len())] ^= 1 << random.below(8);
            }
            std::fs::write(&broken, bytes).unwrap();
            let ran = verify(&broken, &digits("digits.onnx"), &[]);
            assert!(matches!(ran.code, Some(0 | 1)), "round {round}: {:?}", ran.code);
        }
    }
}

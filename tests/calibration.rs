//! Calibration that is split, kept in files, interrupted and gone on with, as users do it through the command.

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use common::command::{command, litesmith, says};
use common::fixtures;
use litesmith::samples::read_npz;
use litesmith::tensor::Tensor;

fn digits(name: &str) -> String {
    fixtures().join("digits").join(name).display().to_string()
}

/// Runs the command where it must do well, and gives what it printed.
fn run(args: &[&str]) -> String {
    let ran = litesmith(args);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    ran.stdout
}

/// Runs the command where it must fail, and say so.
fn refused(args: &[&str], what: &[&str]) {
    let ran = litesmith(args);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{args:?}");
    says(&ran.stderr, what);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

#[test]
fn shards_that_are_merged_give_what_one_run_gives() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_string();
    let (model, samples) = (digits("digits.onnx"), digits("calibration.npz"));
    let shard = |i: usize| {
        let (stats, part) = (at(&format!("{i}.json")), format!("{i}/3"));
        let printed = run(&["calibrate", &model, "--samples", &samples, "--shard", &part, "-o", &stats]);
        says(&printed, &["samples     2", "written", &stats]);
        stats
    };
    let (a, b, c) = (shard(1), shard(2), shard(3));
    let (all, merged) = (at("all.json"), at("merged.json"));
    run(&["calibrate", &model, "--calibration", &samples, "-o", &all]);
    says(&run(&["calibrate", "--merge", &c, &a, &b, "-o", &merged]), &["samples     64"]);
    assert!(fs::read(&all).unwrap() == fs::read(&merged).unwrap());

    let convert = |name: &str, more: &[&str]| {
        let path = at(name);
        let mut args = vec!["convert", &model, "--quantize", "int8", "-q", "-o", &path];
        args.extend(more);
        run(&args);
        fs::read(path).unwrap()
    };
    for method in ["auto", "minmax", "average", "percentile", "entropy", "mse"] {
        let method = ["--calibration-method", method];
        let of_samples = convert("a.tflite", &["--calibration", &samples, method[0], method[1]]);
        let of_stats = convert("b.tflite", &["--stats", &merged, method[0], method[1]]);
        assert!(of_samples == of_stats, "{method:?}");
    }

    // Ranges are of the statistics where samples are given too, and only then can there be an account.
    let report = at("report.json");
    let both = convert("c.tflite", &["--stats", &a, "--calibration", &samples, "--report", &report]);
    assert!(both == convert("d.tflite", &["--stats", &a]));
    assert!(fs::read_to_string(&report).unwrap().contains("logits"));
    // A .tflite file has its own.
    let (float, of_file, stats) = (at("float.tflite"), at("of_file.tflite"), at("file.json"));
    run(&["convert", &model, "-q", "-o", &float]);
    run(&["calibrate", &float, "--samples", &samples, "-o", &stats, "-q"]);
    run(&["quantize", &float, "--quantize", "int8", "--stats", &stats, "-o", &of_file, "-q"]);
}

#[test]
fn statistics_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_string();
    let (model, samples) = (digits("digits.onnx"), digits("calibration.npz"));
    let (stats, cut, result) = (at("stats.json"), at("cut.json"), at("result.tflite"));
    run(&["calibrate", &model, "--samples", &samples, "-o", &stats, "-q"]);
    run(&["calibrate", &model, "--samples", &samples, "--outputs", "conv1_out", "-o", &cut, "-q"]);
    let convert = |more: &[&str], what: &[&str]| {
        let mut args = vec!["convert", &model, "--quantize", "int8", "-o", &result];
        args.extend(more);
        refused(&args, what);
        assert!(!Path::new(&result).exists());
    };
    convert(&["--stats", &cut], &["not of this model", "litesmith calibrate"]);
    convert(&["--stats", &stats, "--channels-last", "all"], &["not of this model", "litesmith calibrate"]);
    convert(&["--stats", &stats, "--repair", "auto"], &["--calibration beside --stats"]);
    convert(&["--stats", &stats, "--min-sqnr", "40"], &["--calibration beside --stats"]);
    convert(&["--stats", &model], &["digits.onnx", "no calibration statistics"]);
    convert(&["--stats", &at("nothing.json")], &["nothing.json"]);
    refused(&["calibrate", "--merge", &stats, &cut, "-o", &at("m.json")], &["cut.json", "different models"]);
    refused(&["convert", &model, "--stats", &stats], &["--quantize"]);
    refused(&["calibrate", &model, "--samples", &samples, "--shard", "65/99", "-o", &at("m.json")], &["no", "samples"]);
    assert!(!Path::new(&at("m.json")).exists());
}

#[test]
fn pictures_are_samples() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_string();
    let (model, pictures) = (digits("digits.onnx"), fixtures().join("images").join("*.png").display().to_string());
    let (stats, a, b) = (at("stats.json"), at("a.tflite"), at("b.tflite"));
    let how = ["--mean", "127.5/255", "--std", "0.5", "--resize", "crop"];
    let printed = run(&[&["calibrate", &model, "--samples", &pictures, "-o", &stats][..], &how].concat());
    says(&printed, &["samples     5"]);
    run(&["convert", &model, "--quantize", "int8", "--stats", &stats, "-q", "-o", &a]);
    run(&[&["convert", &model, "--quantize", "int8", "--calibration", &pictures, "-q", "-o", &b][..], &how].concat());
    assert!(fs::read(a).unwrap() == fs::read(&b).unwrap());
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&stats).unwrap()).unwrap();
    let range = &json["values"]["image"]["range"];
    assert!(range["min"].as_f64() < Some(-0.5) && range["max"].as_f64() > Some(0.5), "{range}");
    let args = ["convert", &model, "--quantize", "int8", "--calibration", &pictures, "-o", &b];
    refused(&args, &["colours.png", "16 x 10 pixels", "8 x 8", "--resize"]);
    refused(&["convert", &model, "--quantize", "dynamic", "--mean", "0.5", "-o", &b], &["--calibration"]);
    refused(&[&args[..], &["--std", "0"]].concat(), &["--std"]);
}

#[test]
fn calibration_tables_of_onnx_runtime_are_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_string();
    let (model, samples, result, report) =
        (digits("digits.onnx"), digits("calibration.npz"), at("r.tflite"), at("r.json"));
    // Min-max of the same samples, as `onnxruntime.quantization.write_calibration_table` wrote it; its names are those of the ONNX
    // model, and the graph has other values, with other layouts.
    for table in ["ort_calibration.json", "ort_calibration.cache"] {
        let table = digits(table);
        let args =
            ["convert", &model, "--quantize", "int8", "--stats", &table, "--calibration", &samples, "-o", &result];
        let printed = run(&[&args[..], &["--report", &report]].concat());
        says(
            &printed,
            &["ranges      10 of the table, 0 that follow from them, 0 unknown", "int8        9 operators, 0 float"],
        );
        let account: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        assert!(account["outputs"][0]["sqnr"].as_f64().unwrap() > 20.0, "{account}");
    }
    let (other, part, none) = (at("other.json"), at("part.json"), at("none.json"));
    fs::write(&other, r#"{"nobody": [0, 1]}"#).unwrap();
    fs::write(&part, r#"{"image": [0, 1], "relu1_out": [0, 4]}"#).unwrap();
    fs::write(&none, r#"{"image": [1, 0]}"#).unwrap();
    let convert =
        |table: &str| ["convert", &model, "--quantize", "int8", "-o", &result, "--stats", table].map(String::from);
    let refused = |table: &str, what: &[&str]| refused(&convert(table).each_ref().map(String::as_str), what);
    refused(&other, &["no value of this model"]);
    refused(&none, &["none.json", "\"image\""]);
    let printed = run(&convert(&part).each_ref().map(String::as_str));
    says(&printed, &["unknown   relu2_out", "unknown   and 1 more", "float     FULLY_CONNECTED"]);
    let args = convert(&part);
    let method: Vec<&str> = args.iter().map(String::as_str).chain(["--calibration-method", "mse"]).collect();
    self::refused(&method, &["--calibration-method"]);
}

#[test]
fn ranges_that_are_wider_than_what_was_seen_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let result = text(&folder.path().join("r.tflite")).to_string();
    let (model, samples) = (digits("digits.onnx"), digits("calibration.npz"));
    let args = ["convert", &model, "--quantize", "int8", "--calibration", &samples, "-o", &result];
    says(&run(&args), &["samples     64\n", "widened   8 of 10 ranges", "% (logits)"]);
    let json: serde_json::Value = serde_json::from_str(&run(&[&args[..], &["--json"]].concat())).unwrap();
    assert_eq!((&json["calibration"]["samples"], &json["calibration"]["widened"]["widened"]), (&64.into(), &8.into()));
    assert!(!run(&[&args[..], &["--calibration-method", "minmax"]].concat()).contains("widened"));
}

/// A folder with digits as `.npy` files, of which these are pipes: whoever reads them waits.
#[cfg(unix)]
fn samples(folder: &Path, pipes: &[usize]) -> Vec<PathBuf> {
    fs::create_dir(folder).unwrap();
    let arrays = read_npz(Path::new(&digits("calibration.npz"))).unwrap();
    let pixels = arrays[0].to_f32s().unwrap();
    let sample = |(i, pixels): (usize, &[f32])| {
        let path = folder.join(format!("{i}.npy"));
        if pipes.contains(&i) {
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        } else {
            fs::write(&path, npy(&Tensor::from_vec(&[1, 1, 8, 8], pixels.to_vec()))).unwrap();
        }
        path
    };
    pixels.chunks_exact(64).take(8).enumerate().map(sample).collect()
}

fn npy(tensor: &Tensor) -> Vec<u8> {
    let shape: Vec<String> = tensor.shape().iter().map(usize::to_string).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", shape.join(", "));
    let header = format!("{header:<117}\n");
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), tensor.bytes()].concat()
}

/// Lets whoever reads a pipe have what is in a file, and leaves no trace in the pipe's times.
#[cfg(unix)]
fn feed(pipe: PathBuf, file: &Path) -> std::thread::JoinHandle<()> {
    let data = fs::read(file).unwrap();
    std::thread::spawn(move || fs::write(pipe, data).unwrap())
}

#[cfg(unix)]
fn set_time(pipe: &Path) {
    let opened = File::options().read(true).write(true).open(pipe).unwrap();
    opened.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
}

/// Interrupts a run with this signal after three of its samples, and goes on with it.
#[cfg(unix)]
fn interrupted(signal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let whole = samples(&folder.path().join("whole"), &[]);
    let piped = samples(&folder.path().join("piped"), &[2, 4]);
    let (model, expected) = (digits("digits.onnx"), folder.path().join("expected.json"));
    run(&["calibrate", &model, "--samples", text(whole[0].parent().unwrap()), "-o", text(&expected), "-q"]);

    let output = folder.path().join("stats.json");
    let checkpoint = folder.path().join("stats.json.part");
    let start = || {
        let mut command = command();
        command.args(["calibrate", &model, "--samples", text(piped[0].parent().unwrap()), "-o", text(&output)]);
        command.env("RAYON_NUM_THREADS", "1").stdout(Stdio::piped()).spawn().unwrap()
    };
    set_time(&piped[2]);
    set_time(&piped[4]);
    let mut first = start();
    // Long enough for what was seen to be worth keeping.
    std::thread::sleep(Duration::from_millis(3200));
    feed(piped[2].clone(), &whole[2]).join().unwrap();
    for _ in 0..200 {
        if checkpoint.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(checkpoint.exists(), "what was seen is kept");
    assert!(std::process::Command::new("kill").arg(signal).arg(first.id().to_string()).status().unwrap().success());
    assert!(!first.wait().unwrap().success());
    assert!(!output.exists(), "there is no result before all samples are seen");

    set_time(&piped[2]);
    set_time(&piped[4]);
    // Nobody feeds the first pipe again: a run that did not go on would wait forever.
    let fed = feed(piped[4].clone(), &whole[4]);
    let second = start().wait_with_output().unwrap();
    fed.join().unwrap();
    says(&String::from_utf8(second.stdout).unwrap(), &["samples     8, 3 of them before an interruption"]);
    assert!(fs::read(&output).unwrap() == fs::read(&expected).unwrap());
    assert!(!checkpoint.exists());
}

#[cfg(unix)]
#[test]
fn a_run_that_was_killed_goes_on() {
    interrupted("-KILL");
}

#[cfg(unix)]
#[test]
fn a_run_that_was_stopped_from_the_keyboard_goes_on() {
    interrupted("-INT");
}

#[test]
fn checkpoints_of_something_else_are_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_string();
    let (model, samples, stats) = (digits("digits.onnx"), digits("calibration.npz"), at("stats.json"));
    run(&["calibrate", &model, "--samples", &samples, "-o", &stats, "-q"]);
    let expected = fs::read(&stats).unwrap();
    for damaged in [Vec::new(), expected.clone(), [b"0123\n".as_slice(), &expected].concat(), vec![0xff; 100]] {
        fs::write(at("stats.json.part"), damaged).unwrap();
        says(&run(&["calibrate", &model, "--samples", &samples, "-o", &stats]), &["samples     64\n"]);
        assert!(fs::read(&stats).unwrap() == expected && !Path::new(&at("stats.json.part")).exists());
    }
}

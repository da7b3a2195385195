//! Life in a shell: streams, exit codes, colours, JSON everywhere, completions, manual pages, `doctor`.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::command::{command, is_clear, litesmith, run, says};
use common::{fixtures, litert};

fn digits(name: &str) -> String {
    fixtures().join("digits").join(name).display().to_string()
}

/// The subcommands that help lists.
fn subcommands() -> Vec<String> {
    let help = litesmith(["--help"]).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let name = |line: &str| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')).map(first_word);
    listed.filter_map(name).filter(|name| name != "help").collect()
}

fn first_word(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_string()
}

/// Exit code, standard output and standard error of a run that is fed with bytes.
fn fed(args: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // One that fails early does not read.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("the program ends");
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).expect("UTF-8"))
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(digits(name)).expect("a fixture")
}

#[test]
fn every_command_prints_json() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (onnx, samples, float) = (digits("digits.onnx"), digits("calibration.npz"), at("float.tflite"));
    assert_eq!(litesmith(["convert", &onnx, "-o", &float]).code, Some(0));
    let runtime = litert().map(|library| library.path().display().to_string());
    for name in subcommands() {
        let (small, page, stats) = (at("small.tflite"), at("page.html"), at("stats"));
        let mut args: Vec<&str> = match name.as_str() {
            "bench" => vec![&float, "--seconds", "0.01"],
            "calibrate" => vec![&onnx, "--samples", &samples, "-o", &stats],
            "check" => vec![&float, "--target", "tflm"],
            "completions" => vec!["zsh"],
            "convert" => vec![&onnx, "-o", &small],
            "doctor" | "man" | "ops" => vec![],
            "inspect" => vec![&float],
            "quantize" => vec![&float, "--quantize", "dynamic", "-o", &small],
            "report" => vec![&onnx, "--modes", "float", "--seconds", "0.01", "-o", &page],
            "verify" => vec![&float, "--against", &onnx],
            other => panic!("say here how {other} is run with --json"),
        };
        let measures = matches!(name.as_str(), "bench" | "report" | "verify" | "doctor");
        match &runtime {
            Some(path) if measures => args.extend(["--runtime", path]),
            None if name != "report" && measures => continue,
            _ => {}
        }
        let ran = run(command().arg(&name).args(&args).arg("--json"));
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        assert!(ran.json().is_object() || ran.json().is_array(), "{name}");
    }
}

#[test]
fn files_go_through_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("m.tflite").display().to_string();
    let onnx = digits("digits.onnx");
    assert_eq!(litesmith(["convert", &onnx, "-o", &named]).code, Some(0));
    let expected = std::fs::read(&named).unwrap();
    for args in [&["convert", "-"][..], &["convert", "-", "-o", "-"], &["convert", &onnx, "-o", "-"]] {
        let (code, out, err) = fed(args, &file("digits.onnx"));
        assert!(code == Some(0) && out == expected, "{args:?}: {err}");
        says(&err, &["operators", "written     standard output"]);
    }
    let (_, out, err) = fed(&["convert", "-", "--json"], &file("digits.onnx"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&err).unwrap()["file_bytes"], out.len());
    assert_eq!(fed(&["convert", "-", "-q"], &file("digits.onnx")).2, "");
    let (code, out, err) = fed(&["convert", "-", "-o", &named], &file("digits.onnx"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    says(&String::from_utf8(out).unwrap(), &["written", "m.tflite"]);

    let (code, small, err) = fed(&["quantize", "-", "--quantize", "dynamic"], &expected);
    assert!(code == Some(0) && small.len() < expected.len(), "{err}");
    let (code, out, _) = fed(&["inspect", "-"], &small);
    assert_eq!(code, Some(0));
    says(&String::from_utf8(out).unwrap(), &["CONV_2D", "int8"]);
    let (code, out, _) = fed(&["check", "-", "--target", "ethos-u55"], &small);
    assert_eq!(code, Some(1));
    says(&String::from_utf8(out).unwrap(), &["CONV_2D"]);
    if let Some(library) = litert() {
        let library = library.path().display().to_string();
        let (code, out, err) = fed(&["verify", "-", "--against", &onnx, "--runtime", &library], &expected);
        assert_eq!(code, Some(0), "{err}");
        says(&String::from_utf8(out).unwrap(), &["logits", "ok:"]);
    }
}

#[test]
fn what_is_wrong_with_a_pipe_is_told() {
    let refused = |args: &[&str], input: &[u8]| {
        let (code, out, err) = fed(args, input);
        assert_eq!((code, out.len()), (Some(1), 0), "{args:?}: {err}");
        is_clear(&err)
    };
    for args in [&["convert", "-"][..], &["quantize", "-", "--quantize", "dynamic"], &["inspect", "-"]] {
        says(&refused(args, b"nothing of use"), &["standard input: "]);
        says(&refused(args, b""), &["standard input: "]);
    }
    says(&refused(&["convert", "-", "--emit", "c-array"], &file("digits.onnx")), &["--emit", "-o"]);
}

#[test]
fn exit_codes_are_documented_everywhere() {
    let codes = "Exit codes:\n  0  done";
    says(&litesmith(["--help"]).stdout, &[codes]);
    for name in subcommands() {
        for help in ["-h", "--help"] {
            says(&litesmith([&name, help]).stdout, &[codes, "--json"]);
        }
        assert_eq!(litesmith([name.as_str(), "--nonsense"]).code, Some(2), "{name}");
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    says(&readme, &["Exit codes: 0"]);
}

#[test]
fn the_doctor_tells_what_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let ran = run(command().env_clear().env("PATH", empty.path()).arg("doctor"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    says(&ran.stdout, &["MISSING LiteRT", "pip install ai-edge-litert", "Python", "inspect, check and ops work"]);
    let ran = run(command().env_clear().env("PATH", empty.path()).args(["doctor", "--json"]));
    assert_eq!(ran.json()["healthy"], false);
    assert!(
        ran.json()["findings"].as_array().unwrap().iter().any(|f| f["state"] == "missing" && f["hint"].is_string())
    );
    let wrong = litesmith(["doctor", "--runtime", &digits("digits.onnx")]);
    assert_eq!(wrong.code, Some(1));
    says(&wrong.stdout, &["MISSING LiteRT", "digits.onnx"]);
    let Some(library) = litert() else { return };
    let ran = run(command().args(["doctor", "--runtime"]).arg(library.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    says(&ran.stdout, &["ok      LiteRT", "ok      XNNPACK", "every command works"]);
}

/// Whether a program is installed; tests that want it print a line where it is not.
fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

#[test]
fn completions_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = litesmith(["completions", shell]);
        assert_eq!(ran.code, Some(0));
        for name in subcommands() {
            says(&ran.stdout, &[&name]);
        }
        says(&ran.stdout, &["calibration-method"]);
        if ["bash", "zsh", "fish"].contains(&shell) && installed(shell) {
            let script = folder.path().join(shell);
            std::fs::write(&script, &ran.stdout).unwrap();
            let checked = Command::new(shell).arg("-n").arg(&script).output().unwrap();
            assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
        }
    }
    if installed("bash") {
        let script = folder.path().join("bash").display().to_string();
        let ask = format!(
            "source {script}; COMP_WORDS=(litesmith quant); COMP_CWORD=1; _litesmith litesmith quant litesmith; echo ${{COMPREPLY[@]}}"
        );
        let answer = Command::new("bash").args(["-c", &ask]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "quantize");
    }
}

#[test]
fn manual_pages_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let ran = litesmith(["man", "-o", &folder.path().display().to_string()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(page("litesmith.1"), litesmith(["man"]).stdout);
    for name in subcommands() {
        says(&page("litesmith.1"), &[&format!("litesmith\\-{name}(1)")]);
        says(&page(&format!("litesmith-{name}.1")), &[".TH", &format!("litesmith {name}"), "Exit codes"]);
    }
    says(&page("litesmith-convert.1"), &["min\\-sqnr"]);
}

fn has_escapes(text: &str) -> bool {
    text.contains('\u{1b}')
}

#[test]
fn colours_are_for_terminals_alone() {
    let help = |more: &[(&str, &str)]| {
        let ran = run(command()
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .envs(more.iter().copied())
            .arg("--help"));
        ran.stdout
    };
    assert!(!has_escapes(&help(&[])));
    let refused = run(command().env("TERM", "xterm-256color").args(["convert", "nowhere.onnx"]));
    assert!(!has_escapes(&refused.stderr));
    if !Path::new("/dev/ptmx").exists() || !installed("script") {
        return;
    }
    let on_terminal = |no_color: &str| {
        let line = format!("{} --help", env!("CARGO_BIN_EXE_litesmith"));
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm-256color").env("NO_COLOR", no_color);
        let output = script.stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(has_escapes(&on_terminal("")), "help is coloured where it is read");
    let plain = on_terminal("1");
    assert!(!has_escapes(&plain), "{plain}");
    says(&plain, &["Usage"]);
}

/// The example of a gate for CI: its exit code is that of the first check that does not pass.
#[cfg(unix)]
#[test]
fn a_gate_passes_and_fails() {
    let Some(library) = litert() else { return };
    let gate = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gate/gate.sh");
    let passes = |name: &str, value: &str| {
        let mut gate = Command::new(&gate);
        gate.env("LITESMITH", env!("CARGO_BIN_EXE_litesmith")).env("LITESMITH_LITERT", library.path()).env(name, value);
        gate.args([digits("digits.onnx"), digits("calibration.npz"), digits("test.npz")]);
        let output = gate.output().expect("a shell");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = passes("MIN_SQNR", "20");
    assert_eq!(code, Some(0), "{text}");
    says(&text, &["every command works", "ok: 360 samples"]);
    for (name, value) in [("MIN_SQNR", "90"), ("MAX_DROP", "-100")] {
        let (code, text) = passes(name, value);
        assert_eq!(code, Some(1), "{text}");
        says(&text, &["FAILED"]);
    }
}

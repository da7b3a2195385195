//! `litesmith report`: what it measures, and its page in a real browser at two widths. Screenshots are left in the folder of the tests.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::command::{litesmith, says};
use common::{fixtures, litert};

fn digits(name: &str) -> String {
    fixtures().join("digits").join(name).display().to_string()
}

/// A report on the digits model with further arguments; where it is, and what was printed.
fn report(output: &Path, args: &[&str]) -> common::command::Ran {
    let (model, samples, test) = (digits("digits.onnx"), digits("calibration.npz"), digits("test.npz"));
    let mut all = vec!["report", &model, "--calibration", &samples, "--test", &test, "--seconds", "0.05", "-o"];
    let output = output.display().to_string();
    all.push(&output);
    let runtime = litert().map(|library| library.path().display().to_string());
    all.extend(runtime.iter().flat_map(|path| ["--runtime", path]));
    all.extend(args);
    let ran = litesmith(all);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran
}

#[test]
fn modes_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let ran = report(&folder.path().join("report.json"), &["--json", "--modes", "float,dynamic,int8"]);
    let survey = ran.json();
    let written = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), survey);
    let modes = survey["modes"].as_array().unwrap();
    let names: Vec<_> = modes.iter().map(|mode| mode["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["float", "dynamic", "int8"]);
    let size = |i: usize| modes[i]["report"]["file_bytes"].as_u64().unwrap();
    assert!(size(2) < size(0) && size(1) < size(0));
    assert_eq!(modes[0]["report"]["source_operators"]["Conv"], 4, "{}", modes[0]["report"]["source_operators"]);
    assert!(modes[0]["report"]["account"].is_null());
    assert!(modes[2]["report"]["account"]["operators"].as_array().unwrap().len() > 5);
    if litert().is_none() {
        return assert!(!survey["missing"].as_array().unwrap().is_empty(), "{survey}");
    }
    assert!(survey["missing"].as_array().unwrap().is_empty(), "{survey}");
    for mode in modes {
        let accuracy = &mode["verified"]["accuracy"];
        let of = |side: &str| accuracy[side].as_f64().unwrap() / accuracy["samples"].as_f64().unwrap();
        assert!(accuracy["samples"] == 360 && of("model") > 0.9 && of("file") > of("model") - 0.03, "{accuracy}");
        assert!(mode["timing"]["milliseconds"]["median"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn labels_are_counted_by_verify() {
    let Some(library) = litert() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.tflite").display().to_string();
    assert_eq!(litesmith(["convert", &digits("digits.onnx"), "-o", &file]).code, Some(0));
    let library = library.path().display().to_string();
    let model = digits("digits.onnx");
    let verify = ["verify", &file, "--against", &model, "--runtime", &library, "--inputs"];
    let ran = litesmith(verify.into_iter().chain([digits("test.npz").as_str()]));
    says(&ran.stdout, &["accuracy", "360 labels", "ok: 360 samples"]);
    let ran = litesmith(verify.into_iter().chain([digits("calibration.npz").as_str()]));
    assert!(!ran.stdout.contains("accuracy"), "{}", ran.stdout);
}

#[test]
fn what_a_report_needs_is_told() {
    let model = digits("digits.onnx");
    for (args, code, named) in [
        (vec!["--modes", "int9"], 2, "int16x8"),
        (vec!["--modes", "int8"], 1, "--calibration"),
        (vec!["--threads", "0"], 1, "--threads 0"),
        (vec!["--test", "nowhere.npz", "--output", "/nowhere/report.html"], 1, "/nowhere"),
    ] {
        let ran = litesmith(["report", &model, "--seconds", "0"].iter().chain(&args));
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
        says(&ran.stderr, &[named]);
    }
}

/// Whether the page needs anything from elsewhere.
fn stands_alone(page: &str) -> bool {
    ["http:", "https:", "src=", "@import", "url("].iter().all(|from| !page.contains(from))
}

#[test]
fn the_page_is_sound_in_a_browser() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).unwrap();
    let page = folder.join("report.html");
    report(&page, &["--modes", "float,float16,dynamic,int8,int16x8"]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(stands_alone(&text), "the page needs something else");
    says(&text, &["prefers-color-scheme: dark", "Operators before and after", "Error by operator: int8"]);
    let Some(browser) = browser() else { return println!("skipped in a browser: no Chromium found") };
    // Asks the page itself: is it wider than its frame, and does a column sort when its head is pressed?
    let asking = text.replace(
        "</body>",
        "<script>const table = document.querySelector('details[open] table'); table.querySelectorAll('th button')[0].click(); \
         const numbers = [...table.tBodies[0].rows].map(row => +row.cells[0].textContent); \
         const cut = [...document.querySelectorAll('.wide')].filter(table => table.scrollWidth > table.clientWidth).length; \
         parent.document.title = `wide ${document.documentElement.scrollWidth} of ${innerWidth}, ${cut} cut, sorted \
         ${numbers.every((n, i) => n === i + 1)}`</script></body>",
    );
    let asking = asking.replace('&', "&amp;").replace('"', "&quot;");
    for width in ["1280", "390"] {
        let size = format!("--window-size={width},2400");
        let shot = folder.join(format!("report-{width}.png"));
        let screenshot = format!("--screenshot={}", shot.display());
        let (_, log) = open(&browser, &[&size, &screenshot, "--hide-scrollbars"], &page);
        assert!(!log.contains("CONSOLE"), "{log}");
        let dark = folder.join(format!("report-{width}-dark.png"));
        let screenshot = format!("--screenshot={}", dark.display());
        let style = "--blink-settings=preferredColorScheme=0";
        open(&browser, &[&size, &screenshot, "--hide-scrollbars", "--force-dark-mode", style], &page);
        let png = std::fs::read(&shot).expect("a screenshot");
        assert!(png != std::fs::read(&dark).expect("a screenshot"), "dark is another style");
        assert!(png.len() > 20_000, "an empty screenshot of {} bytes", png.len());
        println!("screenshot: {}", shot.display());
        // A window is never as narrow as a frame can be.
        let frame = folder.join("frame.html");
        std::fs::write(
            &frame,
            format!("<iframe width={width} height=2400 frameborder=0 srcdoc=\"{asking}\"></iframe>"),
        )
        .unwrap();
        let (dom, log) = open(&browser, &["--dump-dom", "--hide-scrollbars"], &frame);
        says(&dom, &[&format!("<title>wide {width} of {width}, 0 cut, sorted true</title>")]);
        assert!(!log.contains("CONSOLE"), "{log}");
    }
}

fn browser() -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let starts = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    names.iter().find(|name| starts(name)).map(ToString::to_string)
}

/// What the browser prints, and what it logs.
fn open(browser: &str, args: &[&str], page: &Path) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

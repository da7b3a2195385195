//! Every operator case of `fixtures/cases`: converted with rewrites on and off, run by the executable graph and by LiteRT with
//! and without XNNPACK, and compared with what the operator's definition gives.
//!
//! One test a folder. Cases that are known to fail stand in `expected_failures.txt` with a reason; one that passes fails the run.

mod common;

use std::path::{Path, PathBuf};

use common::case::{self, Data};
use common::{Tolerance, expected_failures, fixtures};
use libtest_mimic::{Arguments, Failed, Trial};
use litesmith::samples::read_npz;

fn main() {
    let arguments = Arguments::from_args();
    let families =
        std::fs::read_dir(fixtures().join("cases")).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
    let mut families: Vec<PathBuf> =
        families.filter(|p| p.is_dir() && p.file_name().is_some_and(|n| n != "families")).collect();
    families.sort();
    let mut trials: Vec<Trial> = families.into_iter().map(trial).collect();
    trials.push(Trial::test("list_is_of_cases_that_exist", list_is_of_cases_that_exist));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(folder: PathBuf) -> Trial {
    let family = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Trial::test(family.clone(), move || {
        let expected = expected_failures("expected_failures.txt");
        let mut wrong = Vec::new();
        let cases = cases(&folder);
        for path in &cases {
            let name = format!("{family}/{}", path.file_stem().unwrap_or_default().to_string_lossy());
            match (check(path), expected.contains_key(&name)) {
                (Ok(()), false) | (Err(_), true) => {}
                (Ok(()), true) => wrong.push(format!("{name}: passes, but is listed as failing")),
                (Err(why), false) => wrong.push(format!("{name}: {why}")),
            }
        }
        println!("{family}: {} cases", cases.len());
        if cases.is_empty() {
            return Err(Failed::from("no cases found"));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Failed::from(format!("{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"))))
        }
    })
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
    let mut files: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    files.sort();
    files
}

fn list_is_of_cases_that_exist() -> Result<(), Failed> {
    let exists = |name: &String| fixtures().join("cases").join(format!("{name}.onnx")).exists();
    let unknown: Vec<String> = expected_failures("expected_failures.txt").into_keys().filter(|n| !exists(n)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Failed::from(format!("no such cases: {unknown:?}"))) }
}

/// The first thing that is wrong with a case.
fn check(path: &Path) -> Result<(), String> {
    let data = Data::new(read_npz(&path.with_extension("npz"))?);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let tolerance = match () {
        () if stem.contains("_step") => Tolerance::STEP,
        () if stem.contains("float16") => Tolerance::HALF,
        () => Tolerance::FLOAT,
    };
    case::check(path, &data, tolerance).map_err(|wrong| wrong.to_string())
}

//! The ONNX project's own operator tests: everything that TFLite can represent is converted and right, or refused with a reason
//! that stands in `refusals.txt`; what it can't represent at least meets no panic.
//!
//! The tests are written by `make.py` with the `onnx` package of the environment's Python, once for each version of it.

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use common::case::{self, Data, Wrong};
use common::{Tolerance, expected_failures};
use litesmith::lower::{NEWEST, VERSIONS};
use litesmith::tensor::Tensor;
use litesmith::{Converter, onnx};
use rayon::prelude::*;

/// What ONNX's own runner of these tests grants float results. Near zero, the floor is what rounding of `float32` leaves of sums of
/// numbers as large as the largest expected: eight steps of it.
fn tolerance(data: &Data) -> Tolerance {
    let largest =
        |t: &Tensor| t.to_f64s().into_iter().flatten().filter(|x| x.is_finite()).fold(0f64, |m, x| m.max(x.abs()));
    let largest = data.outputs.values().filter(|t| t.dtype().is_float()).map(largest).fold(0.0, f64::max);
    Tolerance { relative: 1e-3, absolute: f64::max(1e-5, 1e-6 * largest), whole: 0.0 }
}

#[test]
fn operators_are_right_or_refused() {
    let Some(folder) = tests() else { return };
    let refusals = expected_failures("conformance/refusals.txt");
    let index = std::fs::read_to_string(folder.join("index")).expect("the index of the tests");
    let wrong = Mutex::new(Vec::new());
    let counts = Mutex::new((0, 0));
    index.lines().collect::<Vec<_>>().par_iter().for_each(|line| {
        let (name, excluded) = line.split_once(' ').unwrap_or((line, ""));
        let model = folder.join(format!("{name}.onnx"));
        if !excluded.is_empty() {
            // Refused or not: what counts is that it comes back.
            let _ = Converter::new().convert_file(&model);
            return;
        }
        let complaint = match (run(&folder, name), refusals.get(name)) {
            (Ok(()), None) => return counts.lock().unwrap().0 += 1,
            (Err(Wrong::Refused(_)), Some(_)) => return counts.lock().unwrap().1 += 1,
            (Ok(()), Some(reason)) => format!("passes, but is listed as refused: {reason}"),
            (Err(wrong), _) => wrong.to_string(),
        };
        wrong.lock().unwrap().push(format!("{name}: {complaint}"));
    });
    let (right, refused) = counts.into_inner().unwrap();
    println!("{right} right, {refused} refused with a listed reason");
    let mut wrong = wrong.into_inner().unwrap();
    let exists = |name: &str| index.lines().any(|l| l == name);
    wrong.extend(refusals.keys().filter(|n| !exists(n)).map(|n| format!("{n}: is listed, but there is no such test")));
    wrong.sort();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn run(folder: &Path, name: &str) -> Result<(), Wrong> {
    let path = folder.join(format!("{name}.data"));
    let data = onnx::read_file(&path).map_err(|e| Wrong::Result(format!("{}: {e}", path.display())))?;
    let data = Data::new(data.graph.initializers);
    let half = name.contains("float16") || name.contains("FLOAT16") || name.contains("fp16");
    let granted = if half { Tolerance::HALF } else { tolerance(&data) };
    case::check(&folder.join(format!("{name}.onnx")), &data, granted)
}

#[test]
fn versions_are_those_of_the_definitions() {
    let script = "import onnx
print('', 'NEWEST', onnx.defs.onnx_opset_version(), sep='\\t')
for s in onnx.defs.get_all_schemas_with_history():
    if s.domain != 'ai.onnx.preview.training': print(s.domain, s.name, s.since_version, sep='\\t')";
    let Some(output) = python(script) else { return };
    let mut defined = BTreeMap::<(&str, &str), BTreeSet<i64>>::new();
    for line in output.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        defined.entry((fields[0], fields[1])).or_default().insert(fields[2].parse().unwrap());
    }
    let newest = defined.remove(&("", "NEWEST")).unwrap();
    assert_eq!(newest, BTreeSet::from([NEWEST]));
    let known = VERSIONS.iter().map(|(domain, op, versions)| ((*domain, *op), versions.iter().copied().collect()));
    assert_eq!(known.collect::<BTreeMap<_, BTreeSet<i64>>>(), defined);
}

/// What a script prints in the environment's Python; `None` where that has no `onnx`.
fn python(script: &str) -> Option<String> {
    let output = Command::new(common::interpreter()).args(["-c", script]).output().ok().filter(|o| o.status.success());
    if output.is_none() {
        println!("skipped: no Python package onnx (pip install -r tests/requirements.txt)");
    }
    Some(String::from_utf8_lossy(&output?.stdout).into_owned())
}

/// The folder of the tests, written first where it isn't there.
fn tests() -> Option<PathBuf> {
    let version = python("import onnx; print(onnx.__version__)")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("onnx-{}", version.trim()));
    if !folder.join("index").exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/make.py");
        let made = Command::new(common::interpreter()).arg(script).arg(&folder).output().expect("Python starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    Some(folder)
}

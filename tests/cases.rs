//! Every operator case of `fixtures/cases`: converted with rewrites on and off, run by the executable graph and by LiteRT with
//! and without XNNPACK, and compared with what the operator's definition gives.
//!
//! One test a folder. Cases that are known to fail stand in `expected_failures.txt` with a reason; one that passes fails the run.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::{LitertError, Tolerance, difference, expected_failures, fixtures, litert, run_litert};
use indexmap::IndexMap;
use libtest_mimic::{Arguments, Failed, Trial};
use litesmith::exec::Runner;
use litesmith::runtime::Kernels;
use litesmith::samples::read_npz;
use litesmith::tensor::Tensor;
use litesmith::{Converter, Options};

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

/// Inputs and expected outputs of a case.
struct Data {
    inputs: IndexMap<String, Tensor>,
    outputs: BTreeMap<String, Tensor>,
}

fn data(path: &Path) -> Result<Data, String> {
    let mut data = Data { inputs: IndexMap::new(), outputs: BTreeMap::new() };
    for (key, tensor) in read_npz(&path.with_extension("npz"))? {
        if let Some(name) = key.strip_prefix("in:") {
            data.inputs.insert(name.into(), tensor);
        } else if let Some(name) = key.strip_prefix("out:") {
            data.outputs.insert(name.into(), tensor);
        }
    }
    Ok(data)
}

/// The first thing that is wrong with a case.
fn check(path: &Path) -> Result<(), String> {
    let data = data(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let tolerance = if stem.contains("float16") { Tolerance::HALF } else { Tolerance::FLOAT };
    let all = Options::default();
    let plain = Options { passes: false, layout: false, ..Options::default() };
    for (what, options) in [("rewrites on", all), ("rewrites off", plain)] {
        let converted = Converter::with_options(options).convert_file(path).map_err(|e| format!("{what}: {e}"))?;
        let outputs = run_graph(&converted.bytes, &data).map_err(|e| format!("{what}, graph: {e}"))?;
        compare(&data, &outputs, tolerance).map_err(|e| format!("{what}, graph: {e}"))?;
        let Some(library) = litert() else { continue };
        for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
            match run_litert(library, &converted.bytes, kernels, &data.inputs) {
                Err(LitertError::CannotShow) => {}
                Err(LitertError::Failed(e)) => return Err(format!("{what}, LiteRT {kernels:?}: {e}")),
                Ok(outputs) => {
                    compare(&data, &outputs, tolerance).map_err(|e| format!("{what}, LiteRT {kernels:?}: {e}"))?;
                }
            }
        }
    }
    Ok(())
}

fn run_graph(file: &bytes::Bytes, data: &Data) -> Result<BTreeMap<String, Tensor>, String> {
    let model = litesmith::tflite::read(file.clone()).map_err(|e| e.to_string())?;
    let graph = &model.graphs[0];
    let input = |id: &litesmith::graph::ValueId| {
        let name = &graph.value(*id).name;
        data.inputs.get(name).cloned().ok_or_else(|| format!("no data for input {name:?}"))
    };
    let inputs: Vec<Tensor> = graph.inputs.iter().map(input).collect::<Result<_, _>>()?;
    let runner = Runner::new(graph).map_err(|e| e.to_string())?;
    let outputs = runner.run(&inputs).map_err(|e| e.to_string())?;
    let names = graph.outputs.iter().map(|&id| graph.value(id).name.clone());
    Ok(names.zip(outputs).collect())
}

fn compare(data: &Data, found: &BTreeMap<String, Tensor>, tolerance: Tolerance) -> Result<(), String> {
    let (want, have): (BTreeSet<_>, BTreeSet<_>) = (data.outputs.keys().collect(), found.keys().collect());
    if want != have {
        return Err(format!("outputs are {have:?}, should be {want:?}"));
    }
    for (name, expected) in &data.outputs {
        if let Some(what) = difference(expected, &found[name], tolerance) {
            return Err(format!("{name:?} {what}"));
        }
    }
    Ok(())
}

//! Rewrites of real models: the graph computes before and after what the model's files say it computes.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Tolerance, difference, fixtures, shared_models};
use litesmith::exec::{Evaluator, Runner};
use litesmith::graph::Graph;
use litesmith::samples::read_npz;
use litesmith::tensor::Tensor;
use litesmith::{layout, lower, onnx, passes};

fn onnx_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            onnx_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "onnx") {
            found.push(path);
        }
    }
}

fn arrays(path: &Path) -> BTreeMap<String, Tensor> {
    read_npz(path).unwrap_or_default().into_iter().collect()
}

/// Rewrites `graph` with layout between, or without, and compares it with what it computed before. What can't be run is skipped.
fn check(graph: &Graph, with_layout: bool, inputs: &BTreeMap<String, Tensor>) -> Result<(), String> {
    let expected = match outputs(graph, inputs) {
        Ok(expected) => expected,
        Err(e) => {
            println!("skipped: {e}");
            return Ok(());
        }
    };
    let mut rewritten = graph.clone();
    let (before, after) = (passes::BEFORE_LAYOUT, passes::AFTER_LAYOUT);
    passes::run(&mut rewritten, &Evaluator, before).map_err(|e| e.to_string())?;
    if with_layout {
        layout::optimize(&mut rewritten).map_err(|e| e.to_string())?;
    }
    let counts = passes::run(&mut rewritten, &Evaluator, after).map_err(|e| e.to_string())?;
    let found = outputs(&rewritten, inputs)?;
    for ((name, expected), (_, found)) in expected.iter().zip(&found) {
        if let Some(what) = difference(expected, found, Tolerance::FLOAT) {
            return Err(format!("{name:?} {what}\nafter {counts:?}"));
        }
    }
    Ok(())
}

fn outputs(graph: &Graph, inputs: &BTreeMap<String, Tensor>) -> Result<Vec<(String, Tensor)>, String> {
    let input = |name: &String| inputs.get(name).cloned().ok_or_else(|| format!("no data for input {name:?}"));
    let inputs = graph.inputs.iter().map(|&id| input(&graph.value(id).name)).collect::<Result<Vec<_>, _>>()?;
    let runner = Runner::new(graph).map_err(|e| e.to_string())?;
    let outputs = runner.run(&inputs).map_err(|e| e.to_string())?;
    let names = graph.outputs.iter().map(|&id| graph.value(id).name.clone());
    Ok(names.zip(outputs).collect())
}

#[test]
fn cases_compute_the_same_without_layout() {
    let mut files = Vec::new();
    onnx_files(&fixtures().join("cases"), &mut files);
    let (mut checked, mut wrong) = (0, Vec::new());
    for path in files {
        // What is not supported, and says so, is for the cases themselves.
        let Ok(Ok(lowered)) =
            onnx::read_file(&path).map(|model| lower::lower(model, lower::Options::default(), &Evaluator))
        else {
            continue;
        };
        let data = arrays(&path.with_extension("npz"));
        let inputs = data.into_iter().filter_map(|(k, v)| Some((k.strip_prefix("in:")?.to_string(), v))).collect();
        checked += 1;
        if let Err(what) = check(&lowered.graph, false, &inputs) {
            wrong.push(format!("{}: {what}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 100, "{checked} cases");
}

#[test]
fn models_compute_the_same() {
    let Some(folder) = shared_models() else { return };
    let mut files = Vec::new();
    onnx_files(&folder, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let lowered =
            match onnx::read_file(&path).map(|model| lower::lower(model, lower::Options::default(), &Evaluator)) {
                Ok(Ok(lowered)) => lowered,
                Ok(Err(problems)) => {
                    println!("skipped: {}: {} problems", path.display(), problems.len());
                    continue;
                }
                Err(e) => {
                    println!("skipped: {}: {e}", path.display());
                    continue;
                }
            };
        let inputs = arrays(&path.with_file_name("io").join("input_0.npz"));
        for with_layout in [false, true] {
            if let Err(what) = check(&lowered.graph, with_layout, &inputs) {
                wrong.push(format!("{}, layout {with_layout}: {what}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! One case: a model, inputs, and the outputs that its definition gives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use indexmap::IndexMap;
use litesmith::exec::Runner;
use litesmith::runtime::Kernels;
use litesmith::tensor::Tensor;
use litesmith::{Converted, Converter, Error, Options};

use super::{LitertError, Tolerance, difference, litert, run_litert};

/// Inputs and expected outputs by name.
pub struct Data {
    pub inputs: IndexMap<String, Tensor>,
    pub outputs: BTreeMap<String, Tensor>,
}

impl Data {
    /// From arrays called `in:<name>` and `out:<name>`.
    pub fn new(arrays: impl IntoIterator<Item = (String, Tensor)>) -> Data {
        let mut data = Data { inputs: IndexMap::new(), outputs: BTreeMap::new() };
        for (key, tensor) in arrays {
            if let Some(name) = key.strip_prefix("in:") {
                data.inputs.insert(name.into(), tensor);
            } else if let Some(name) = key.strip_prefix("out:") {
                data.outputs.insert(name.into(), tensor);
            }
        }
        data
    }
}

/// What is wrong with a case.
pub enum Wrong {
    /// The model is not converted.
    Refused(Box<Error>),
    /// It is, and something else is wrong.
    Result(String),
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wrong::Refused(error) => write!(f, "{error}"),
            Wrong::Result(what) => f.write_str(what),
        }
    }
}

/// Converts with rewrites on and off; runs each in the executable graph, in LiteRT's own kernels and in XNNPACK.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(path: &Path, data: &Data, tolerance: Tolerance) -> Result<(), Wrong> {
    check_conversion(&|converter| converter.convert_file(path), data, tolerance)
}

/// [`check`], of a model that `convert` gives the converter.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_conversion(
    convert: &dyn Fn(Converter) -> Result<Converted, Error>,
    data: &Data,
    tolerance: Tolerance,
) -> Result<(), Wrong> {
    let all = Options::default();
    let plain = Options { passes: false, layout: false, ..Options::default() };
    for (what, options) in [("rewrites on", all), ("rewrites off", plain)] {
        let converted = convert(Converter::with_options(options)).map_err(|e| Wrong::Refused(Box::new(e)))?;
        run(&converted.bytes().unwrap(), data, tolerance).map_err(|e| Wrong::Result(format!("{what}, {e}")))?;
    }
    Ok(())
}

/// Runs a file in the executable graph and in LiteRT.
fn run(file: &bytes::Bytes, data: &Data, tolerance: Tolerance) -> Result<(), String> {
    let outputs = run_graph(file, data).map_err(|e| format!("graph: {e}"))?;
    compare(data, &outputs, tolerance).map_err(|e| format!("graph: {e}"))?;
    let Some(library) = litert() else { return Ok(()) };
    for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
        match run_litert(library, file, kernels, &data.inputs) {
            Err(LitertError::CannotShow) => {}
            Err(LitertError::Failed(e)) => return Err(format!("LiteRT {kernels:?}: {e}")),
            Ok(outputs) => compare(data, &outputs, tolerance).map_err(|e| format!("LiteRT {kernels:?}: {e}"))?,
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

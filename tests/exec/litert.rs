//! LiteRT's answer to a case, where there is a LiteRT.

use indexmap::IndexMap;
use litesmith::graph::{Graph, Model};
use litesmith::runtime::Kernels;
use litesmith::tensor::Tensor;
use litesmith::tflite;

use super::common::{Tolerance, difference, litert, run_litert};

/// What LiteRT's interface has no way to give or take: tensors without elements, results whose shape depends on the data.
fn beyond_the_interface(graph: &Graph, results: &[Tensor]) -> bool {
    let inputs_empty = graph.inputs.iter().any(|&id| graph.shape(id).elements() == Some(0));
    let open = graph.outputs.iter().any(|&id| !graph.shape(id).is_fixed());
    inputs_empty || open || results.iter().any(Tensor::is_empty)
}

/// Panics where LiteRT's own kernels or XNNPACK's give other results.
pub fn check(graph: &Graph, given: &[Tensor], results: &[Tensor], tolerance: f64) {
    let Some(library) = litert().filter(|_| !beyond_the_interface(graph, results)) else {
        return;
    };
    let name = |id| graph.value(id).name.clone();
    let inputs: IndexMap<String, Tensor> = graph.inputs.iter().map(|&id| name(id)).zip(given.iter().cloned()).collect();
    let file = tflite::write(&Model::single(graph.clone()), &tflite::WriteOptions::default()).unwrap().to_bytes();
    let tolerance = Tolerance { relative: tolerance, absolute: tolerance, whole: 0.0 };
    for kernels in [Kernels::Builtin, Kernels::Xnnpack] {
        let found = run_litert(library, &file, kernels, &inputs);
        let found = found.unwrap_or_else(|e| panic!("{kernels:?} refuses: {e}\n{graph}"));
        for (&id, result) in graph.outputs.iter().zip(results) {
            if let Some(difference) = difference(&found[&name(id)], result, tolerance) {
                panic!("{kernels:?}: {difference}\n{graph}");
            }
        }
    }
}

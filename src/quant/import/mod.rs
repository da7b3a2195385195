//! Models that come quantized: `DEQUANTIZE → operator on float32 → QUANTIZE` becomes the operator's integer kernel, with exactly the
//! scales and zero points that the model has.
//!
//! ```text
//! carry    8-bit integers without a sign become signed ones, 128 lower
//! wanted   with what scale each real number is stored by all who use it
//! decide   which nodes have an integer kernel for the scales around them
//! write    those nodes on integers; QUANTIZE and DEQUANTIZE where integers of one scale meet others, or real numbers
//! weights  constants that the model has as integers are stored as those for float operators too
//! ```
//!
//! A node is computed on integers where that gives what real numbers would, to one step of the result's scale; else it stays
//! between its conversions. No scale is changed. Operators are known by their [`Rule`](super::spec::Rule) alone.

mod carry;
mod constants;
mod decide;
mod wanted;
mod weights;
mod write;

use super::form;
use super::report::QuantReport;
use crate::graph::{Graph, Op};

pub use weights::{forget_weights, store_weights};

/// Puts integer kernels in the place of operators between conversions. `None` where the graph has no conversions.
pub fn import(graph: &mut Graph) -> Option<QuantReport> {
    let mut report: Option<QuantReport> = None;
    for region in graph.nodes.iter_mut().flat_map(|node| node.op.regions_mut()) {
        if let Some(of_region) = import(region) {
            let report = report.get_or_insert_default();
            report.int8 += of_region.int8;
            report.float.extend(of_region.float);
        }
    }
    if !graph.nodes.iter().any(|node| matches!(node.op, Op::Quantize { .. } | Op::Dequantize)) {
        return report;
    }
    carry::carry_unsigned(graph);
    let wanted = wanted::Wanted::of(graph);
    write::write(graph, &wanted, report.get_or_insert_default());
    crate::graph::remove_dead(graph);
    report
}

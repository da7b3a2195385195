//! Which values of the graph that is converted are values of the ONNX model, where names don't tell: rewrites and layouts make new ones
//! that hold the same numbers in another order.
//!
//! Both graphs, as lowered and as rewritten, run on one made-up sample; values with as many elements, the same ends and the same sum are
//! taken for the same.

use std::sync::Arc;

use super::Converter;
use crate::error::Error;
use crate::exec::Runner;
use crate::graph::{Execute, Graph, ValueId};
use crate::onnx;
use crate::options::{Options, RangeSource};
use crate::report::Report;
use crate::samples::{InputSpec, made_up};
use crate::tensor::{DType, Tensor};

/// What is compared of a value.
struct Print {
    len: usize,
    min: f32,
    max: f32,
    sum: f64,
}

impl Print {
    fn of(values: &[f32]) -> Print {
        let min = values.iter().copied().fold(f32::INFINITY, f32::min);
        let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Print { len: values.len(), min, max, sum: values.iter().map(|&x| f64::from(x)).sum() }
    }

    /// Up to the rounding of weights that were folded; never true of what is not finite.
    fn is(&self, other: &Print) -> bool {
        let close = 1e-4 * f64::from(self.max.max(-self.min));
        let near = |a: f32, b: f32| (f64::from(a) - f64::from(b)).abs() <= close;
        self.len == other.len
            && near(self.min, other.min)
            && near(self.max, other.max)
            && (self.sum - other.sum).abs() <= close * self.len as f64
    }
}

impl Converter {
    /// The graph of a model with the values that it has itself, where a table of ranges speaks of them.
    pub(super) fn plain_graph(&self, model: &onnx::Model) -> Result<Option<Graph>, Error> {
        if !matches!(self.options.statistics, Some(RangeSource::Table(_))) {
            return Ok(None);
        }
        let options = Options { passes: false, layout: false, ..self.options.clone() };
        let plain = Converter { options, ..self.clone() };
        plain.graph(model.clone(), &mut Report::default()).map(Some)
    }

    /// With a table of ranges that also has the values of `graph` that are those of `plain`.
    pub(super) fn with_names_of(&self, plain: Option<&Graph>, graph: &Graph) -> Converter {
        let mut converter = self.clone();
        if let (Some(plain), Some(RangeSource::Table(table))) = (plain, &self.options.statistics) {
            let mut table = (**table).clone();
            let known: Vec<(String, Print)> =
                prints(plain).into_iter().filter(|(name, _)| table.get(name).is_some()).collect();
            for (name, print) in prints(graph) {
                // Values that were made for one of the model's are named after it.
                let stem =
                    |other: &&String| name.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'));
                let same = || known.iter().filter(|(_, other)| print.is(other)).map(|(name, _)| name);
                let alike = same().find(stem).or(same().next());
                if let Some(range) = alike.and_then(|alike| table.get(alike)) {
                    table.add(&name, range);
                }
            }
            converter.options.statistics = Some(RangeSource::Table(Arc::new(table)));
        }
        converter
    }
}

/// Of every float value that can be computed from a made-up sample, in order.
fn prints(graph: &Graph) -> Vec<(String, Print)> {
    let spec = |&id: &ValueId| {
        let value = graph.value(id);
        InputSpec { name: value.name.clone(), dtype: value.ty.dtype, dims: value.ty.shape.dims().to_vec() }
    };
    let specs: Vec<InputSpec> = graph.inputs.iter().map(spec).collect();
    let mut prints = Vec::new();
    let mut look = |id: ValueId, tensor: &Tensor| {
        if let (DType::F32, Ok(values)) = (tensor.dtype(), tensor.view::<f32>()) {
            prints.push((graph.value(id).name.clone(), Print::of(&values)));
        }
    };
    if let (Some(sample), Ok(runner)) = (made_up(&specs, 1).first(), Runner::new(graph)) {
        // What could be computed before an error is worth having.
        let _ = runner.execute(sample, &mut look);
    }
    prints
}

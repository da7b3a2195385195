//! Quantizing a model that is a `.tflite` file already.
//!
//! The graph is taken as it stands: nothing is rewritten, and whatever is not quantized is written as it was read. Signatures,
//! metadata and graphs beside the main one stay.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::{Converted, Converter};
use crate::error::Error;
use crate::exec::Evaluator;
use crate::graph::{Graph, Model, ValueId};
use crate::passes;
use crate::quant::{self, Quantize};
use crate::report::Report;
use crate::tflite;

impl Converter {
    /// Quantizes a `.tflite` file. Of the options those count that are about quantization.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn quantize_file(&self, path: impl AsRef<Path>) -> Result<Converted, Error> {
        self.progress.stage("read");
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| Error::File { path: path.into(), error })?;
        self.quantize_bytes(bytes.into())
    }

    /// Quantizes a `.tflite` file in memory.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn quantize_bytes(&self, file: Bytes) -> Result<Converted, Error> {
        self.options.agree().map_err(Error::Options)?;
        let file_bytes = file.len() as u64;
        let mut model = tflite::read(file)?;
        let mut report = Report::of_file(&model, file_bytes);
        let ports = self.of_file(&model);
        for (i, graph) in model.graphs.iter_mut().enumerate() {
            match i {
                0 => ports.quantize_main(graph, &mut report)?,
                _ => self.quantize_beside(graph, &mut report)?,
            }
            passes::run(graph, &Evaluator, passes::ALWAYS).map_err(Error::infer("passes"))?;
        }
        self.set_io_types_of(&mut model)?;
        tflite::drop_positional_metadata(&mut model);
        self.finish(model, report)
    }

    /// Takes samples by the names of the file's signature too.
    pub(super) fn of_file(&self, model: &Model) -> Converter {
        Converter { ports: ports(model), ..self.clone() }
    }

    /// Inputs and outputs of the main graph as they are asked for; its signatures go on to lead to them.
    fn set_io_types_of(&self, model: &mut Model) -> Result<(), Error> {
        let Some(graph) = model.graphs.first_mut() else { return Ok(()) };
        let before = graph.outputs.clone();
        self.set_io_types(graph)?;
        let after: BTreeMap<ValueId, ValueId> = before.into_iter().zip(graph.outputs.iter().copied()).collect();
        for port in model.signatures.iter_mut().filter(|s| s.graph == 0).flat_map(|s| &mut s.outputs) {
            port.value = after.get(&port.value).copied().unwrap_or(port.value);
        }
        Ok(())
    }

    /// A graph that other signatures lead to: samples are of the main one, so that only what needs none can be done.
    fn quantize_beside(&self, graph: &mut Graph, report: &mut Report) -> Result<(), Error> {
        let choices = self.choices(graph, &mut Report::default());
        if choices.any(Quantize::needs_calibration) {
            report.notes.push(format!("graph {:?} stays float: samples are for the main graph", graph.name));
        }
        if choices.any(Quantize::changes_weights) {
            let more = quant::quantize_weights(graph, &choices)?;
            let weights = report.weights.get_or_insert_default();
            weights.stored.extend(more.stored);
            weights.kept.extend(more.kept);
        }
        Ok(())
    }
}

/// The names that a signature has for the inputs of the main graph, by the names that these have in the graph.
fn ports(model: &Model) -> BTreeMap<String, String> {
    let signature = model.signatures.iter().find(|signature| signature.graph == 0);
    let (Some(signature), Some(graph)) = (signature, model.graphs.first()) else { return BTreeMap::new() };
    let name =
        |port: &crate::graph::Port| Some((graph.values.get(port.value.0 as usize)?.name.clone(), port.name.clone()));
    signature.inputs.iter().filter_map(name).collect()
}

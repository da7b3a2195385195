//! A written file against the model it was made of.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::{ReadError, WriteError, normalized, read};
use crate::graph::{Graph, Model, Violation, verify};
use crate::tensor::Tensor;

/// What is wrong with a written file. All of it is a fault of this program, or of what lies between it and the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CheckError {
    #[error("what was written can't be read again: {0}")]
    Read(#[from] ReadError),
    #[error("what was written can't be read again: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Model(#[from] WriteError),
    #[error("what was written reads as another model: {0}")]
    Differs(String),
    #[error("what was written is not valid: {}", .0.iter().map(Violation::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
}

/// Reads `file`, compares it with the `model` it was written of, and verifies it. Copies no constant.
///
/// # Errors
/// The first difference, or everything that verification finds.
pub fn check(model: &Model, file: &Bytes) -> Result<(), CheckError> {
    compare(normalized(model)?, read(file.clone())?)
}

/// [`check`] of a file on disk. Large constants are read piece by piece: a file that is mapped counts as memory where it was looked at.
///
/// # Errors
/// As [`check`], and where the file can't be read.
pub(super) fn check_on_disk(model: &Model, file: &File) -> Result<(), CheckError> {
    // SAFETY: the file is new and has no name that others know.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(file) }.map_err(failed)?;
    let bytes = Bytes::from_owner(map);
    let model = normalized(model)?;
    let mut written = read(bytes.clone())?;
    for (written, model) in written.graphs.iter_mut().zip(&model.graphs) {
        for (written, model) in written.values.iter_mut().zip(&model.values) {
            let (Some(found), Some(data)) = (&mut written.data, &model.data) else { continue };
            let offset = (found.bytes().as_ptr() as usize).checked_sub(bytes.as_ptr() as usize);
            let in_file = offset.filter(|offset| offset + found.bytes().len() <= bytes.len());
            let Some(offset) = in_file.filter(|_| data.bytes().len() >= PIECE && same_type(found, data)) else {
                continue;
            };
            if holds(file, offset as u64, data.bytes()).map_err(failed)? {
                *found = data.clone();
            }
        }
    }
    compare(model, written)
}

const PIECE: usize = 1 << 20;

fn failed(error: io::Error) -> CheckError {
    CheckError::Unreadable(error.to_string())
}

fn same_type(a: &Tensor, b: &Tensor) -> bool {
    a.dtype() == b.dtype() && a.shape() == b.shape()
}

/// True where `data` lie in the file at `offset`.
fn holds(mut file: &File, offset: u64, data: &[u8]) -> io::Result<bool> {
    file.seek(SeekFrom::Start(offset))?;
    let mut piece = vec![0; PIECE];
    for data in data.chunks(PIECE) {
        let piece = &mut piece[..data.len()];
        file.read_exact(piece)?;
        if piece != data {
            return Ok(false);
        }
    }
    Ok(true)
}

fn compare(model: Model, written: Model) -> Result<(), CheckError> {
    if written != model {
        return Err(CheckError::Differs(difference(&written, &model)));
    }
    match verify(&written) {
        found if found.is_empty() => Ok(()),
        found => Err(CheckError::Invalid(found)),
    }
}

/// Where two models that are not equal part.
fn difference(written: &Model, model: &Model) -> String {
    let pairs = written.graphs.iter().zip(&model.graphs).enumerate();
    let graph = |(index, (written, model)): (usize, (&Graph, &Graph))| {
        let value = written.values.iter().zip(&model.values).find(|(a, b)| a != b);
        let value = value.map(|(_, value)| format!("value {:?}", value.name));
        let node = written.nodes.iter().zip(&model.nodes).position(|(a, b)| a != b);
        let node = node.map(|i| format!("node {i} {}", model.nodes.get(i).map_or("", |node| node.op.name())));
        let place = (written != model).then(|| value.or(node).unwrap_or_else(|| "inputs, outputs or counts".into()));
        place.map(|place| format!("graph {index} {:?}, {place}", model.name))
    };
    pairs.map(graph).find_map(|place| place).unwrap_or_else(|| "signatures, metadata or description".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, NoEvaluate, Shape, Type, Unary};
    use crate::tensor::DType;
    use crate::tflite::{WriteOptions, write};

    fn model(kind: Unary) -> Model {
        let mut graph = Graph::new("main");
        let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[2])));
        let y = Builder::new(&mut graph, &NoEvaluate).unary(kind, x).unwrap();
        graph.outputs.push(y);
        Model::single(graph)
    }

    #[test]
    fn a_file_is_of_the_model_it_was_written_of() {
        let file = write(&model(Unary::Abs), &WriteOptions::default()).unwrap().to_bytes();
        assert_eq!(check(&model(Unary::Abs), &file), Ok(()));
        let mut other = model(Unary::Abs);
        other.graphs[0].nodes[0].op = crate::graph::Op::Unary(Unary::Neg);
        let error = check(&other, &file).unwrap_err().to_string();
        assert_eq!(error, "what was written reads as another model: graph 0 \"main\", node 0 NEG");
        let cut = file.slice(..file.len() / 2);
        assert!(matches!(check(&other, &cut), Err(CheckError::Read(_))));
    }
}

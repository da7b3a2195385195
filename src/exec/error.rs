use crate::tensor::TensorError;

/// Why one operator could not be computed on its operands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// There is no implementation of this operator, or none for these element types.
    #[error("{0} can't be executed here")]
    Unsupported(String),
    /// The operands don't fit the operator or each other.
    #[error("{0}")]
    Operands(String),
    #[error("a result of shape {shape:?} is too large")]
    TooLarge { shape: Vec<usize> },
    /// The engine behind convolutions and matrix products refused.
    #[error("tract: {0}")]
    Engine(String),
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl KernelError {
    pub(super) fn operands(what: impl Into<String>) -> KernelError {
        KernelError::Operands(what.into())
    }

    pub(super) fn unsupported(what: impl Into<String>) -> KernelError {
        KernelError::Unsupported(what.into())
    }
}

/// Why a graph can't be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// A node failed, or would.
    #[error("node {index} {op} that makes {result:?}: {source}")]
    Node { index: usize, op: &'static str, result: String, source: KernelError },
    #[error("a node or a list of the graph names value {0}, which does not exist: verify the graph first")]
    Dangling(u32),
    #[error("{given} inputs for a graph that takes {wanted}")]
    InputCount { given: usize, wanted: usize },
    #[error("input {name:?} is {given}, but must be {wanted}")]
    Input { name: String, given: String, wanted: String },
    #[error("output {0:?} is made by no node: verify the graph first")]
    MissingOutput(String),
}

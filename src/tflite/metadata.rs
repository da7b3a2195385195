//! Named blobs: which of them are ours to compute, and which tie themselves to positions in the file.

use std::fmt;

use bytes::Bytes;

use super::{codes, runtimes};
use crate::graph::{Graph, Model};

/// A release of the runtime, written `2.16.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Runtime {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl Runtime {
    /// `None` where `text` is not three numbers with dots between them.
    pub fn parse(text: &str) -> Option<Runtime> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let runtime = Runtime { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(runtime)
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The oldest release that runs a file.
pub(super) const MIN_RUNTIME_VERSION: &str = "min_runtime_version";

/// Tells readers to expect data behind the flatbuffer.
pub(super) const BUFFER_LOCATION: &str = "buffer_location";
pub(super) const OUTSIDE_FLATBUFFERS: &[u8] = b"outside flatbuffers";

/// Entries that say what [`write`](super::write) computes anew; a model read from a file has none of them.
pub(super) fn is_computed(name: &str) -> bool {
    name == MIN_RUNTIME_VERSION || name == BUFFER_LOCATION
}

/// Entries that speak of operators by their numbers.
const POSITIONAL: [&str; 2] = ["model_control_dependencies", "debug_metadata"];

/// True where metadata speak of graphs and operators by their numbers.
pub(super) fn is_positional(model: &Model) -> bool {
    model.metadata.iter().any(|(name, _)| POSITIONAL.contains(&name.as_str()))
}

/// Forgets the metadata that are wrong once operators have come, gone or moved: for whoever changes a graph that was read from a
/// file.
pub fn drop_positional_metadata(model: &mut Model) {
    model.metadata.retain(|(name, _)| !POSITIONAL.contains(&name.as_str()));
}

/// The oldest release that has all operators of `model` in the versions they are written with. Custom operators and
/// builtins no release is known to run don't count.
pub fn min_runtime(model: &Model) -> Option<Runtime> {
    let nodes = model.graphs.iter().flat_map(Graph::with_regions);
    let nodes = nodes.flat_map(|graph| graph.nodes.iter().map(move |node| (graph, node)));
    nodes.filter_map(|(graph, node)| runtimes::first(codes::builtin(&node.op), super::versions::of(graph, node))).max()
}

/// The 16 bytes that runtimes read it from, padded with zeros.
pub(super) fn encode_runtime(runtime: Runtime) -> Bytes {
    let mut bytes = runtime.to_string().into_bytes();
    bytes.resize(16, 0);
    bytes.into()
}

/// The release that the bytes of [`MIN_RUNTIME_VERSION`] name.
pub(super) fn decode_runtime(bytes: &[u8]) -> Option<Runtime> {
    let text = bytes.split(|&b| b == 0).next()?;
    Runtime::parse(std::str::from_utf8(text).ok()?)
}

//! What runtimes and accelerators take: a table a target, and the comparison of a model with it.
//!
//! ```text
//! rule       what a row can ask of an operator, and what is wrong where it does not hold
//! role       which operands are data, weights, parameters
//! fit        a model against a table: what is taken, what is left and why
//! adapt      operators written as others, for targets that lack them
//! c_array    a file as C source; arena    the memory that its values take
//! tflm, ethos_u, edge_tpu, gpu, xnnpack     THE TABLES, one file each, with source and date
//! ```
//!
//! Owns: facts about the parts that run a file. Sees graphs and files; knows nothing of ONNX, and of how a graph came to be.

mod adapt;
mod arena;
mod c_array;
mod edge_tpu;
mod ethos_u;
mod fit;
mod gpu;
mod role;
mod rule;
mod tflm;
mod xnnpack;

#[cfg(test)]
mod tests;

pub use adapt::adapt;
pub use arena::tensor_arena;
pub use c_array::CArray;
pub(crate) use fit::write_misfits;
pub use fit::{Fit, Misfit, Problem, check, check_file, refused};

use serde::Deserialize;

use rule::Rule;

/// What a file is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// LiteRT on a CPU: all that this crate writes.
    #[default]
    Litert,
    /// TensorFlow Lite for Microcontrollers, with its portable kernels.
    Tflm,
    EthosU55,
    EthosU65,
    EthosU85,
    #[serde(rename = "edgetpu")]
    EdgeTpu,
    /// LiteRT's delegate for graphics processors.
    Gpu,
    /// LiteRT's delegate of fast CPU kernels.
    Xnnpack,
}

impl Target {
    pub const ALL: [Target; 8] = [
        Target::Litert,
        Target::Tflm,
        Target::EthosU55,
        Target::EthosU65,
        Target::EthosU85,
        Target::EdgeTpu,
        Target::Gpu,
        Target::Xnnpack,
    ];

    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Target::Litert => "litert",
            Target::Tflm => "tflm",
            Target::EthosU55 => "ethos-u55",
            Target::EthosU65 => "ethos-u65",
            Target::EthosU85 => "ethos-u85",
            Target::EdgeTpu => "edgetpu",
            Target::Gpu => "gpu",
            Target::Xnnpack => "xnnpack",
        }
    }

    /// For people.
    pub fn what(self) -> &'static str {
        match self {
            Target::Litert => "LiteRT on a CPU",
            Target::Tflm => "TensorFlow Lite for Microcontrollers",
            Target::EthosU55 => "Arm Ethos-U55, through Vela",
            Target::EthosU65 => "Arm Ethos-U65, through Vela",
            Target::EthosU85 => "Arm Ethos-U85, through Vela",
            Target::EdgeTpu => "Coral Edge TPU, through its compiler",
            Target::Gpu => "LiteRT's GPU delegate",
            Target::Xnnpack => "LiteRT's XNNPACK delegate",
        }
    }

    /// True where floats can't be computed: what is not an integer is left to another processor.
    pub fn integers_only(self) -> bool {
        match self {
            Target::EthosU55 | Target::EthosU65 | Target::EthosU85 | Target::EdgeTpu => true,
            Target::Litert | Target::Tflm | Target::Gpu | Target::Xnnpack => false,
        }
    }

    /// Loops of up to so many steps are best written out, where the target has an opinion: accelerators leave loops to a CPU.
    pub fn unroll(self) -> Option<usize> {
        match self {
            Target::EthosU55 | Target::EthosU65 | Target::EthosU85 | Target::EdgeTpu | Target::Gpu => Some(256),
            Target::Litert | Target::Tflm | Target::Xnnpack => None,
        }
    }

    /// Whether it runs a file alone; the others leave what they don't take to a CPU.
    pub fn runs_all(self) -> bool {
        matches!(self, Target::Litert | Target::Tflm)
    }

    /// `None` for LiteRT, where every builtin has a kernel.
    fn table(self) -> Option<&'static Table> {
        match self {
            Target::Litert => None,
            Target::Tflm => Some(&tflm::TABLE),
            Target::EthosU55 | Target::EthosU65 => Some(&ethos_u::U55),
            Target::EthosU85 => Some(&ethos_u::U85),
            Target::EdgeTpu => Some(&edge_tpu::TABLE),
            Target::Gpu => Some(&gpu::TABLE),
            Target::Xnnpack => Some(&xnnpack::TABLE),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What one target takes.
struct Table {
    /// Where the facts are from, and of when.
    source: &'static str,
    /// What a user may do about an operator that has no row.
    without: &'static str,
    /// Whether all that follows an operator that is left is left with it.
    one_piece: bool,
    /// What holds for every operator.
    every: &'static [Rule],
    /// Sorted by name.
    rows: &'static [Row],
}

/// One operator that a target takes, where all rules hold.
struct Row {
    /// The builtin's name; of the custom operator where it is one.
    operator: &'static str,
    /// Groups, so that operators of a kind share one.
    rules: &'static [&'static [Rule]],
}

const fn row(operator: &'static str, rules: &'static [&'static [Rule]]) -> Row {
    Row { operator, rules }
}

impl Table {
    fn row(&self, operator: &str) -> Option<&'static Row> {
        let at = self.rows.binary_search_by(|row| row.operator.cmp(operator));
        at.ok().and_then(|at| self.rows.get(at))
    }
}

//! From ONNX operators to TFLite operators.
//!
//! Owns: the table of ONNX operators and, for each, what it becomes. The one room that sees both [`crate::onnx`] and [`crate::graph`].
//! A lowering is right with every optimisation off: spatial operators stand between transposes, nothing is guessed from shapes.
//! What can't be expressed is refused by name, and lowering goes on, so that one run finds everything.

mod activation;
mod attention;
mod batch_normalization;
mod bit_cast;
mod bit_shift;
mod by_axis;
mod cast;
mod center_crop_pad;
mod col2im;
mod concat;
mod constant;
mod contrib;
mod control;
mod conv;
mod conv_transpose;
mod cum_prod;
mod custom;
mod cx;
mod depth_to_space;
mod det;
mod division;
mod documentation;
mod driver;
mod einsum;
mod elementwise;
mod erf;
mod expand;
mod gather;
mod identity;
mod integer;
mod integer_matmul;
mod kernel_type;
mod known;
mod logic;
mod loss;
mod matmul;
mod ml;
mod non_max_suppression;
mod nonzero;
mod normalization;
mod one_hot;
mod opsets;
mod pad;
mod patterns;
mod pool;
mod pool_indices;
mod problem;
mod quantized;
mod recurrent;
mod reduce;
mod refused;
mod region;
mod repeat;
mod reshape;
mod resize;
mod reverse_sequence;
mod sample;
mod scan;
mod scatter;
mod scope;
mod sequence;
mod shape;
mod signal;
mod slice;
mod softmax;
mod split;
mod table;
mod tensor_scatter;
mod tf_idf;
mod top_k;
mod transpose;
mod trigonometry;
mod trilu;
mod unique;
mod window;

use std::collections::BTreeSet;

pub use documentation::{Documented, OPERATORS};
pub use driver::{Lowered, infer_types, lower};
pub use opsets::{NEWEST, VERSIONS};
pub use problem::{Note, Problem};
pub use table::{Row, TABLE};

use cx::{Cx, Refusal, Results};

use cx::countable;

/// What lowering can be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Loops of up to so many steps are written out, one step after the other; `None` for what each operator does best.
    pub unroll: Option<usize>,
    /// Operators, with their domains, that become custom operators.
    pub custom: BTreeSet<String>,
}

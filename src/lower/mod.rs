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
mod quantized;
mod recurrent;
mod reduce;
mod refused;
mod reshape;
mod resize;
mod reverse_sequence;
mod sample;
mod scatter;
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

pub use documentation::{Documented, OPERATORS};
pub use driver::{Lowered, Note, Problem, infer_types, lower};
pub use opsets::{NEWEST, VERSIONS};
pub use table::{Row, TABLE};

pub(crate) use cx::{Cx, Refusal, Results};

use cx::countable;

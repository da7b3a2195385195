//! What a conversion can be asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::quant::{Method, Quantize, Recipe, Repairs, WeightOptions};
use crate::tensor::Tensor;

/// What becomes of `float64` inputs and outputs. Inside, such a model is computed in `float32`: kernels have no other floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Float64 {
    /// They stay `float64`, with a conversion at each.
    #[default]
    Keep,
    /// They become `float32`.
    Cast,
}

/// Inputs and outputs that change from channels-first to channels-last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ChannelsLast {
    /// Every input and output keeps the model's layout.
    #[default]
    Keep,
    /// All inputs and outputs of rank 3 and more.
    All,
    /// These inputs and outputs.
    Names(Vec<String>),
}

/// Where calibration samples come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Calibration {
    /// A folder of `.npz` or `.npy` files, or one stacked `.npz`.
    Path(PathBuf),
    /// Samples in memory: one tensor for each input of the model, in order.
    Tensors(Vec<Vec<Tensor>>),
}

/// All settings of one conversion.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub quantize: Quantize,
    /// The integers of weights.
    pub weights: WeightOptions,
    /// Zero points of 0 for activations of 8 bits too; those of 16 bits have no others.
    pub symmetric: bool,
    /// Rules that refine what is above for some of the operators.
    pub recipe: Option<Recipe>,
    pub calibration: Option<Calibration>,
    /// How ranges follow from what calibration saw.
    pub calibration_method: Method,
    /// Changes of weights and biases that make the model quantize better.
    pub repairs: Repairs,
    /// Compare the quantized model with the float one, operator by operator, on some of the calibration samples.
    pub account: bool,
    /// Values that become the inputs, in order; none stand for the model's own.
    pub inputs: Vec<String>,
    /// Values that become the outputs, in order; none stand for the model's own.
    pub outputs: Vec<String>,
    /// Fixed extents for inputs that are dynamic in the model.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// The size of the batch: of dynamic extents of inputs whose name contains "batch", or else stand first.
    pub batch: Option<usize>,
    /// Operators (`Op`, or `domain::Op` where it is not ONNX's own domain) that become custom ones of that name.
    pub allow_custom: BTreeSet<String>,
    pub channels_last: ChannelsLast,
    /// Loops of up to so many steps are written out, one step after the other; longer ones become `WHILE`. Steps that are written
    /// out are optimized and quantized like the rest of the model, but make the file larger. `None` for what each operator does best.
    pub unroll: Option<usize>,
    pub float64: Float64,
    /// Rewrites that make the graph smaller or faster; off for finding faults.
    pub passes: bool,
    /// Moving and cancelling of transposes; off for finding faults.
    pub layout: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            quantize: Quantize::None,
            weights: WeightOptions::default(),
            symmetric: false,
            recipe: None,
            calibration: None,
            calibration_method: Method::default(),
            repairs: Repairs::None,
            account: false,
            inputs: Vec::new(),
            outputs: Vec::new(),
            shapes: BTreeMap::new(),
            batch: None,
            allow_custom: BTreeSet::new(),
            channels_last: ChannelsLast::Keep,
            unroll: None,
            float64: Float64::Keep,
            passes: true,
            layout: true,
        }
    }
}

impl Options {
    /// Whether some operator may be asked for integers whose scales have to be found.
    pub fn needs_calibration(&self) -> bool {
        self.quantize.needs_calibration() || self.recipe.as_ref().is_some_and(Recipe::needs_calibration)
    }
}

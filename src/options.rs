//! What a conversion can be asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, de};

use crate::error::Error;
use crate::quant::{
    CalibrationStatistics, Goal, IoTypes, Method, Quantize, RangeTable, Recipe, Repairs, WeightOptions,
};
use crate::samples::Images;
use crate::target::Target;
use crate::tensor::Tensor;

/// What becomes of `float64` inputs and outputs. Inside, such a model is computed in `float32`: kernels have no other floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Float64 {
    /// They stay `float64`, with a conversion at each.
    #[default]
    Keep,
    /// They become `float32`.
    Cast,
}

/// Inputs and outputs that change from channels-first to channels-last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// Samples in memory: tensors under the names of the inputs.
    Named(Vec<IndexMap<String, Tensor>>),
}

/// Where ranges come from without samples.
#[derive(Debug, Clone, PartialEq)]
pub enum RangeSource {
    /// What calibration saw.
    Statistics(Arc<CalibrationStatistics>),
    /// What another program found.
    Table(Arc<RangeTable>),
}

/// The search for a mixed precision.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub goal: Goal,
    /// What operators become that can't stay 8-bit integers: [`Quantize::None`] or [`Quantize::Int16x8`].
    #[serde(default)]
    pub fallback: Quantize,
    /// What the goal is measured on; the calibration samples where there is nothing else.
    #[serde(skip)]
    pub evaluate: Option<Calibration>,
    /// The class of each sample, for [`Goal::Drop`].
    #[serde(default)]
    pub labels: Vec<i64>,
}

/// All settings of one conversion.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What the file is made for: what it lacks is written otherwise, or refused.
    pub target: Target,
    pub quantize: Quantize,
    /// The integers of weights.
    pub weights: WeightOptions,
    /// Zero points of 0 for activations of 8 bits too; those of 16 bits have no others.
    pub symmetric: bool,
    /// What inputs and outputs are stored as.
    pub io_types: IoTypes,
    /// Rules that refine what is above for some of the operators. In JSON: the name of a recipe, or the text of one.
    #[serde(deserialize_with = "recipe")]
    pub recipe: Option<Recipe>,
    #[serde(skip)]
    pub calibration: Option<Calibration>,
    /// What is known before: ranges come of it then, and not of samples.
    #[serde(skip)]
    pub statistics: Option<RangeSource>,
    /// How pictures among the samples become numbers.
    pub images: Images,
    /// How ranges follow from what calibration saw.
    pub calibration_method: Method,
    /// Lift operators out of 8-bit integers until the outputs are as good as this.
    pub search: Option<Search>,
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
            target: Target::Litert,
            quantize: Quantize::None,
            weights: WeightOptions::default(),
            symmetric: false,
            io_types: IoTypes::default(),
            recipe: None,
            calibration: None,
            images: Images::default(),
            statistics: None,
            calibration_method: Method::default(),
            search: None,
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
    /// Reads the fields of this type from JSON, `{"quantize": "dynamic", "weights": {"bits": 4}}`, for callers in other languages.
    /// What is left out is as in [`Options::default`]; samples don't come this way.
    ///
    /// # Errors
    /// [`Error::Options`] for what is no JSON, no field, or no value of one.
    pub fn from_json(text: &str) -> Result<Options, Error> {
        let options: Options = serde_json::from_str(text).map_err(|e| Error::Options(format!("options: {e}")))?;
        options.weights.check().map_err(Error::Options)?;
        Ok(options)
    }

    /// Whether the target computes with what is asked for.
    ///
    /// # Errors
    /// What to ask for instead.
    pub(crate) fn suit_target(&self) -> Result<(), String> {
        let target = self.target;
        let fits = match target {
            Target::Litert | Target::Gpu | Target::Xnnpack => true,
            Target::Tflm | Target::EthosU55 | Target::EthosU65 | Target::EthosU85 => {
                matches!(self.quantize, Quantize::None | Quantize::Int8 | Quantize::Int16x8)
            }
            Target::EdgeTpu => matches!(self.quantize, Quantize::None | Quantize::Int8),
        };
        let only = if target.integers_only() { "integers alone" } else { "floats or integers alone" };
        if fits {
            Ok(())
        } else {
            Err(format!("{target} computes with {only}: use --quantize int8 --calibration FOLDER"))
        }
    }

    /// Whether settings of quantization are for something that is asked for.
    ///
    /// # Errors
    /// The first that is not, and what to ask for with it.
    pub(crate) fn agree(&self) -> Result<(), String> {
        let integers = self.needs_calibration();
        let quantized = self.quantize != Quantize::None || self.recipe.is_some();
        let unseen = self.calibration.is_none();
        let measured_elsewhere = self.search.as_ref().is_none_or(|search| search.evaluate.is_some());
        let rules = [
            (
                self.symmetric && self.quantize != Quantize::Int8,
                "--symmetric is for --quantize int8: others have zero points of 0 alone, or none",
            ),
            (
                self.search.is_some() && !integers,
                "--min-sqnr and --max-drop lift operators out of int8: add --quantize int8",
            ),
            (
                self.repairs != Repairs::None && !integers,
                "--repair is for a result that computes in integers: add --quantize int8 or int16x8",
            ),
            (
                self.account && !(quantized && self.calibration.is_some()),
                "--report compares a quantized model with the float one on samples: add --quantize and --calibration",
            ),
            (
                self.calibration.is_some() && !self.account && !integers,
                "--calibration is for a result that computes in integers: add --quantize int8 or int16x8",
            ),
            (
                self.statistics.is_some() && !integers,
                "--stats is for a result that computes in integers: add --quantize int8 or int16x8",
            ),
            (
                integers && unseen && self.statistics.is_none(),
                "integers need calibration samples: --calibration FOLDER, or --stats FILE of `litesmith calibrate`",
            ),
            (
                integers && unseen && !(self.repairs == Repairs::None && measured_elsewhere),
                "repairs and searches compare on samples, which statistics don't hold: give --calibration beside --stats",
            ),
        ];
        rules.into_iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, what)| Err(what.into()))
    }

    /// Whether some operator may be asked for integers whose scales have to be found.
    pub fn needs_calibration(&self) -> bool {
        self.quantize.needs_calibration() || self.recipe.as_ref().is_some_and(Recipe::needs_calibration)
    }
}

fn recipe<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Recipe>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let recipe = Recipe::named(&text).unwrap_or_else(|| Recipe::parse(&text));
    recipe.map(Some).map_err(|what| de::Error::custom(format!("recipe: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_from_json() {
        let text = r#"{"quantize": "dynamic", "weights": {"bits": 4, "block_size": 32}, "shapes": {"x": [1, 2]}, "channels_last": {"names": ["x"]}}"#;
        let options = Options::from_json(text).unwrap();
        assert_eq!((options.quantize, options.weights.block_size), (Quantize::Dynamic, Some(32)));
        assert_eq!(options.channels_last, ChannelsLast::Names(vec!["x".into()]));
        assert_eq!(options.shapes["x"], [1, 2]);
        for target in &Target::ALL {
            let text = format!(r#"{{"target": "{target}"}}"#);
            assert_eq!(Options::from_json(&text).unwrap().target, *target);
        }
        let options = Options::from_json(r#"{"recipe": "dynamic_wi8_afp32", "io_types": {"all": "int8"}}"#).unwrap();
        assert!(options.recipe.is_some_and(|recipe| !recipe.rules.is_empty()));
        assert_eq!(Options::from_json("{}").unwrap(), Options::default());
        let method = Options::from_json(r#"{"calibration_method": {"percentile": 99.9}}"#).unwrap().calibration_method;
        assert_eq!(method, Method::Percentile(99.9));
    }

    #[test]
    fn what_is_no_setting_is_named() {
        for (text, named) in [
            ("", "EOF"),
            (r#"{"quantise": "int8"}"#, "quantise"),
            (r#"{"quantize": "int9"}"#, "int9"),
            (r#"{"weights": {"bits": 5}}"#, "bits"),
            (r#"{"recipe": "dynamic"}"#, "recipe"),
            (r#"{"weights": {"bits": 4, "block_size": 33}}"#, "block_size"),
            (r#"{"weights": {"block_size": 32}}"#, "block_size"),
        ] {
            let error = Options::from_json(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}

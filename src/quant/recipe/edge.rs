//! Recipes in the JSON of ai-edge-quantizer: a list of rules with `regex`, `operation`, `algorithm_key` and `op_config`.
//!
//! Its regular expressions are found in names of TFLite's values, which are ONNX's here. What its rules can't say apart is told by
//! two flags: integers computed on integers are static with a configuration of activations and dynamic without, integers that are
//! dequantized for floats are weights alone.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Pattern, Recipe, Rule};
use crate::quant::choice::Quantize;
use crate::quant::weights::Granularity;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    regex: String,
    operation: String,
    algorithm_key: String,
    op_config: Option<OpConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpConfig {
    activation_tensor_config: Option<TensorConfig>,
    weight_tensor_config: Option<TensorConfig>,
    #[serde(default)]
    compute_precision: Compute,
    #[serde(default)]
    explicit_dequantize: bool,
    /// Whether to write what no kernel runs. That is never done.
    #[serde(default)]
    skip_checks: bool,
    #[serde(default)]
    min_weight_elements: usize,
}

#[derive(Deserialize)]
struct TensorConfig {
    num_bits: u8,
    #[serde(default = "yes")]
    symmetric: bool,
    #[serde(default)]
    granularity: Grain,
    #[serde(default)]
    dtype: Kind,
    /// An older form of blockwise granularity; 0 for none.
    #[serde(default)]
    block_size: usize,
    /// Parameters of algorithms.
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Compute {
    Integer,
    #[default]
    Float,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    #[default]
    Int,
    Uint,
    Float,
}

#[derive(Deserialize, Default, Clone, Copy)]
enum Grain {
    #[default]
    #[serde(rename = "TENSORWISE")]
    Tensor,
    #[serde(rename = "CHANNELWISE")]
    Channel,
    #[serde(rename = "BLOCKWISE_32")]
    Block32,
    #[serde(rename = "BLOCKWISE_64")]
    Block64,
    #[serde(rename = "BLOCKWISE_128")]
    Block128,
    #[serde(rename = "BLOCKWISE_256")]
    Block256,
}

const NO_QUANTIZE: &str = "no_quantize";
const MIN_MAX: &str = "min_max_uniform_quantize";
const FLOAT_CASTING: &str = "float_casting";

pub(super) fn parse(text: &str) -> Result<Recipe, String> {
    let entries: Vec<Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let rule = |(i, entry): (usize, Value)| {
        let entry: Result<Entry, String> = serde_json::from_value(entry).map_err(|e| e.to_string());
        entry.and_then(rule).map_err(|what| format!("rule {}: {what}", i + 1))
    };
    Ok(Recipe { rules: entries.into_iter().enumerate().map(rule).collect::<Result<_, _>>()? })
}

fn rule(entry: Entry) -> Result<Rule, String> {
    let mut rule = Rule { ops: vec![entry.operation], ..Rule::default() };
    if rule.ops == ["*"] {
        rule.ops.clear();
    }
    if !matches!(entry.regex.as_str(), "" | ".*") {
        rule.name = Some(Pattern::try_from(entry.regex)?);
    }
    if rule.ops.iter().any(|op| op == "INPUT" || op == "OUTPUT") {
        rule.notes.push("types of inputs and outputs are not a matter of rules here".into());
    }
    match (entry.algorithm_key.as_str(), entry.op_config) {
        (NO_QUANTIZE, _) | (_, None) => rule.quantize = Some(Quantize::None),
        (algorithm, Some(config)) => configure(&mut rule, algorithm, &config)?,
    }
    Ok(rule)
}

fn configure(rule: &mut Rule, algorithm: &str, config: &OpConfig) -> Result<(), String> {
    if !matches!(algorithm, MIN_MAX | FLOAT_CASTING) {
        rule.notes.push(format!("algorithm {algorithm} is not known: weights are scaled as in all other rules"));
    }
    if config.skip_checks {
        rule.notes.push("skip_checks: what no kernel runs is not written all the same".into());
    }
    rule.min_elements = Some(config.min_weight_elements).filter(|&n| n > 0);
    let Some(weights) = &config.weight_tensor_config else {
        return Err("op_config has no weight_tensor_config".into());
    };
    if !weights.others.is_empty() {
        let names: Vec<&str> = weights.others.keys().map(String::as_str).collect();
        rule.notes.push(format!("{} of weight_tensor_config: not followed", names.join(", ")));
    }
    if algorithm == FLOAT_CASTING || weights.dtype == Kind::Float {
        if weights.num_bits != 16 {
            return Err(format!("{}-bit floats: weights that stay float have 16 bits", weights.num_bits));
        }
        rule.quantize = Some(Quantize::Float16);
        return Ok(());
    }
    if !weights.symmetric || weights.dtype == Kind::Uint {
        rule.notes.push("weights are symmetric and signed: kernels take no others".into());
    }
    rule.quantize = Some(scheme(config)?);
    rule.symmetric = config.activation_tensor_config.as_ref().map(|a| a.num_bits == 8 && a.symmetric);
    rule.weight_bits = Some(weights.num_bits);
    rule.granularity = Some(match weights.granularity {
        Grain::Tensor if weights.block_size == 0 => Granularity::Tensor,
        _ => Granularity::Channel,
    });
    rule.block_size = match weights.granularity {
        Grain::Block32 => Some(32),
        Grain::Block64 => Some(64),
        Grain::Block128 => Some(128),
        Grain::Block256 => Some(256),
        Grain::Tensor | Grain::Channel => Some(weights.block_size).filter(|&size| size > 0),
    };
    Ok(())
}

fn scheme(config: &OpConfig) -> Result<Quantize, String> {
    let activations = config.activation_tensor_config.as_ref();
    match (&config.compute_precision, config.explicit_dequantize, activations.map(|a| a.num_bits)) {
        (Compute::Integer, false, Some(8)) => Ok(Quantize::Int8),
        (Compute::Integer, false, Some(16)) => Ok(Quantize::Int16x8),
        (Compute::Integer, false, None) => Ok(Quantize::Dynamic),
        (Compute::Float, true, None) => Ok(Quantize::Weights),
        (Compute::Integer, false, Some(bits)) => Err(format!("{bits}-bit activations: kernels have 8 and 16 bits")),
        _ => Err("compute_precision INTEGER goes without explicit_dequantize, FLOAT with it and without \
                  activation_tensor_config"
            .into()),
    }
}

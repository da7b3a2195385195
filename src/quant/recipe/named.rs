//! Recipes that go by a name in ai-edge-quantizer, which tells what they do: `wi4` are 4-bit weights, `c` has one scale for each
//! channel, `b32` one for each block of 32 weights, `ai8` are 8-bit activations, `afp32` float ones, `hr` turns the data first.

use super::{Pattern, Recipe, Rule};
use crate::quant::choice::Quantize;

/// All names that are known.
pub const NAMES: &[&str] = &[
    "dynamic_wi8_afp32",
    "dynamic_wi4_afp32",
    "dynamic_legacy_wi8_afp32",
    "dynamic_wi8c_afp32",
    "dynamic_wi4c_afp32",
    "dynamic_wi2c_afp32",
    "dynamic_wi8b32_afp32",
    "dynamic_wi4b32_afp32",
    "dynamic_wi2b32_afp32",
    "dynamic_wi8b64_afp32",
    "dynamic_wi4b64_afp32",
    "dynamic_wi2b64_afp32",
    "dynamic_wi8c_hr_afp32",
    "dynamic_wi4c_hr_afp32",
    "dynamic_wi2c_hr_afp32",
    "weight_only_wi8_afp32",
    "weight_only_wi4_afp32",
    "static_wi8_ai8",
    "static_wi8_ai16",
    "static_wi4_ai8",
    "static_wi4_ai16",
    "gemma4_mixed48",
    "gemma4_mixed48_hr",
    "gemma4_mixed48_b32",
    "gemma4_mixed48_b64",
];

const ROTATED: &str = "the data is not rotated (hr)";

pub(super) fn named(name: &str) -> Option<Result<Recipe, String>> {
    if !NAMES.contains(&name) {
        return None;
    }
    let recipe = match name.strip_prefix("gemma4_mixed48") {
        Some(blocks) => gemma4(blocks)?,
        None => Recipe { rules: vec![rule(name)?] },
    };
    let wrong = recipe.rules.iter().find_map(|rule| rule.check().err());
    Some(wrong.map_or(Ok(recipe), |what| Err(format!("{name}: {what}"))))
}

fn rule(name: &str) -> Option<Rule> {
    let (scheme, rest) = name.split_once("_wi")?;
    let (weights, activations) = rest.rsplit_once('_')?;
    let (weights, rotated) = weights.strip_suffix("_hr").map_or((weights, false), |weights| (weights, true));
    let bits = weights.find(|c: char| !c.is_ascii_digit()).unwrap_or(weights.len());
    let (bits, grain) = weights.split_at_checked(bits)?;
    Some(Rule {
        quantize: Some(match (scheme, activations) {
            ("static", "ai16") => Quantize::Int16x8,
            ("static", _) => Quantize::Int8,
            ("weight_only", _) => Quantize::Weights,
            _ => Quantize::Dynamic,
        }),
        weight_bits: Some(bits.parse().ok()?),
        block_size: grain.strip_prefix('b').and_then(|size| size.parse().ok()),
        min_elements: (scheme == "dynamic_legacy").then_some(1024),
        notes: if rotated { vec![ROTATED.into()] } else { Vec::new() },
        ..Rule::default()
    })
}

/// The rules for the parts of that model: 4-bit weights in embeddings and matrix products, 8-bit ones in what is kept per layer.
fn gemma4(blocks: &str) -> Option<Recipe> {
    let (grain, rotated) = match blocks {
        "" => ("c", ""),
        "_hr" => ("c", "_hr"),
        blocks => (blocks.strip_prefix('_')?, ""),
    };
    let small = rule(&format!("dynamic_wi4{grain}{rotated}_afp32"))?;
    let per_layer = Pattern::try_from("per_layer".to_string()).ok();
    let ops = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Some(Recipe {
        rules: vec![
            Rule { ops: ops(&["EMBEDDING_LOOKUP", "FULLY_CONNECTED"]), ..small },
            Rule { ops: ops(&["FULLY_CONNECTED"]), name: per_layer, ..rule("dynamic_wi8c_afp32")? },
        ],
    })
}

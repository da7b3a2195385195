//! What `convert` and `quantize` are asked alike.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::quant::RECIPES;
use crate::{Calibration, Granularity, Options, Quantize, Recipe, WeightOptions};

#[derive(clap::Args)]
pub struct Quantization {
    /// How numbers are stored and computed; also a recipe that ai-edge-quantizer has a name for, as dynamic_wi4_afp32
    #[arg(long, value_name = "SCHEME", value_parser = asked(), default_value = "none")]
    quantize: Asked,
    /// Rules for some of the operators, in TOML or as ai-edge-quantizer writes them, or the name of one of its recipes; --quantize
    /// holds for all others
    #[arg(long, value_name = "FILE|NAME")]
    recipe: Option<PathBuf>,
    /// Bits of the weights, for dynamic and weights
    #[arg(long, value_name = "8|4", value_parser = clap::value_parser!(u8).range(4..=8))]
    weight_bits: Option<u8>,
    /// What shares a scale, for dynamic and weights: an output channel or the whole tensor
    #[arg(long, value_enum)]
    granularity: Option<Grain>,
    /// One scale for so many 4-bit weights, in matrix products and embeddings
    #[arg(long, value_name = "32|64|128|256")]
    block_size: Option<usize>,
    /// Samples for int8: a folder of .npz (arrays named after the inputs) or .npy files, or one .npz stacked along the first axis
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
}

/// What `--quantize` names.
#[derive(Debug, Clone)]
enum Asked {
    Scheme(Quantize),
    Recipe(String),
}

#[derive(Clone, Copy, ValueEnum)]
enum Grain {
    Channel,
    Tensor,
}

const SCHEMES: &[(Quantize, &str)] = &[
    (Quantize::None, "Float32 as in the model"),
    (Quantize::Float16, "Weights in float16, computed in float32"),
    (Quantize::Dynamic, "Weights as integers, multiplied with data that is quantized as it comes (dynamic range)"),
    (Quantize::Weights, "Weights as integers, computed in float32"),
    (Quantize::Int8, "8-bit integers, float32 inputs and outputs"),
];

/// The schemes, which help lists, and the named recipes.
fn asked() -> impl TypedValueParser<Value = Asked> {
    let schemes = SCHEMES.iter().map(|(quantize, help)| PossibleValue::new(quantize.name()).help(*help));
    let recipes = RECIPES.iter().map(|name| PossibleValue::new(*name).hide(true));
    PossibleValuesParser::new(schemes.chain(recipes)).map(|name| {
        let scheme = SCHEMES.iter().find(|(quantize, _)| quantize.name() == name);
        scheme.map_or(Asked::Recipe(name), |(quantize, _)| Asked::Scheme(*quantize))
    })
}

impl Quantization {
    pub fn apply(&self, options: &mut Options) -> Result<()> {
        if let Asked::Scheme(scheme) = self.quantize {
            options.quantize = scheme;
        }
        options.weights = self.weights()?;
        options.recipe = self.recipe()?;
        options.calibration = self.calibration.clone().map(Calibration::Path);
        if options.calibration.is_some() && !options.needs_calibration() {
            bail!("--calibration is for a result that computes in integers: add --quantize int8");
        }
        Ok(())
    }

    /// The rules of the recipe that `--quantize` names, and then those of `--recipe`.
    fn recipe(&self) -> Result<Option<Recipe>> {
        let named = match &self.quantize {
            Asked::Recipe(name) => Some(self::named(name)?),
            Asked::Scheme(_) => None,
        };
        let given = self.recipe.as_deref().map(read).transpose()?;
        Ok(match (named, given) {
            (Some(mut named), Some(given)) => {
                named.rules.extend(given.rules);
                Some(named)
            }
            (named, given) => named.or(given),
        })
    }

    fn weights(&self) -> Result<WeightOptions> {
        let given = self.weight_bits.is_some() || self.granularity.is_some() || self.block_size.is_some();
        if given && !matches!(self.quantize, Asked::Scheme(Quantize::Dynamic | Quantize::Weights)) {
            bail!("--weight-bits, --granularity and --block-size are for --quantize dynamic and weights");
        }
        let granularity = self.granularity.map(|grain| match grain {
            Grain::Tensor => Granularity::Tensor,
            Grain::Channel => Granularity::Channel,
        });
        WeightOptions::new(self.weight_bits, granularity, self.block_size).map_err(anyhow::Error::msg)
    }
}

fn named(name: &str) -> Result<Recipe> {
    let recipe = Recipe::named(name).with_context(|| format!("there is no recipe {name:?}"))?;
    recipe.map_err(anyhow::Error::msg)
}

fn read(path: &Path) -> Result<Recipe> {
    if let (false, Some(name)) = (path.exists(), path.to_str().filter(|name| RECIPES.contains(name))) {
        return named(name);
    }
    let place = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(place)?;
    Recipe::parse(&text).map_err(anyhow::Error::msg).with_context(place)
}

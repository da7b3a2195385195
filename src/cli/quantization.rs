//! What `convert` and `quantize` are asked alike.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::quant::{self, RECIPES, Repair, Repairs};
use crate::{Calibration, Converted, Granularity, Options, Quantize, Recipe, WeightOptions};

#[derive(clap::Args)]
pub struct Quantization {
    /// How numbers are stored and computed; also a recipe that ai-edge-quantizer has a name for, as dynamic_wi4_afp32
    #[arg(long, value_name = "SCHEME", value_parser = asked(), default_value = "none")]
    quantize: Asked,
    /// Rules for some of the operators, in TOML or as ai-edge-quantizer writes them, or the name of one of its recipes; --quantize
    /// holds for all others
    #[arg(long, value_name = "FILE|NAME")]
    recipe: Option<PathBuf>,
    /// Bits of the weights; operators that take no 4 get 8
    #[arg(long, value_name = "8|4", value_parser = clap::value_parser!(u8).range(4..=8))]
    weight_bits: Option<u8>,
    /// Which weights share a scale: those of an output channel or the whole tensor
    #[arg(long, value_enum)]
    granularity: Option<Grain>,
    /// One scale for so many 4-bit weights, in matrix products and embeddings, for dynamic and weights
    #[arg(long, value_name = "32|64|128|256")]
    block_size: Option<usize>,
    /// Zero points of 0 for the activations of int8 too
    #[arg(long)]
    symmetric: bool,
    /// Samples for int8 and int16x8: a folder of .npz (arrays named after the inputs) or .npy files, or one .npz stacked along the first axis
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
    /// How ranges follow from what calibration saw [default: minmax]
    #[arg(long, value_enum, value_name = "METHOD")]
    calibration_method: Option<Method>,
    /// Percent of the elements that --calibration-method percentile keeps [default: 99.999]
    #[arg(long, value_name = "PERCENT")]
    percentile: Option<f64>,
    /// Change weights and biases so that the model quantizes better: auto keeps what helps on samples it has not seen, or a list of
    /// equalize, smooth, clip, round, bias
    #[arg(long, value_name = "auto|none|LIST", default_value = "none", value_parser = parse_repairs)]
    repair: Repairs,
    /// Compare the quantized model with the float one on up to 16 of the samples, and write what each operator loses
    #[arg(long, value_name = "FILE.json|.html", value_parser = parse_report)]
    report: Option<PathBuf>,
}

/// What `--quantize` names.
#[derive(Debug, Clone)]
enum Asked {
    Scheme(Quantize),
    Recipe(String),
}

/// Where a result goes, and what is told of it.
#[derive(clap::Args)]
pub struct Finish {
    /// Where to write the result [default: the model's name with .tflite]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print no summary
    #[arg(short, long)]
    quiet: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

impl Finish {
    /// Where to write the result; `usual` where nothing was said.
    pub fn output(&self, model: &Path, usual: &Path) -> Result<PathBuf> {
        let output = self.output.clone().unwrap_or_else(|| usual.to_path_buf());
        if same_file(&output, model) {
            bail!("the output would overwrite the model: name another with -o");
        }
        Ok(output)
    }

    pub fn print(&self, converted: &Converted, output: &Path) -> Result<ExitCode> {
        if self.json {
            super::print(&(serde_json::to_string_pretty(&converted.report)? + "\n"));
        } else if !self.quiet {
            super::print(&format!("{}written     {}\n", converted.report, output.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether both paths lead to one file, however they are written; a link counts as what it leads to.
fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    /// All that was seen
    Minmax,
    /// The mean over samples of their least and greatest elements
    Average,
    /// All but the rarest elements
    Percentile,
    /// Where 8 bits tell most about the distribution (Kullback-Leibler divergence)
    Entropy,
    /// Where the mean of squared errors is least
    Mse,
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
    (Quantize::Int16x8, "16-bit integers with 8-bit weights, float32 inputs and outputs"),
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
    /// Puts into `options` what was asked for.
    pub fn apply(&self, options: &mut Options) -> Result<()> {
        if let Asked::Scheme(scheme) = self.quantize {
            options.quantize = scheme;
        }
        if self.symmetric && options.quantize != Quantize::Int8 {
            bail!("--symmetric is for --quantize int8: others have zero points of 0 alone, or none");
        }
        options.symmetric = self.symmetric;
        options.weights = self.weights()?;
        options.recipe = self.recipe()?;
        options.calibration = self.calibration.clone().map(Calibration::Path);
        options.calibration_method = self.method()?;
        options.account = self.report.is_some();
        if self.repair != Repairs::None && !options.needs_calibration() {
            bail!("--repair is for a result that computes in integers: add --quantize int8 or int16x8");
        }
        options.repairs = self.repair.clone();
        let asked = options.quantize != Quantize::None || options.recipe.is_some();
        if self.report.is_some() && !(asked && options.calibration.is_some()) {
            bail!(
                "--report compares a quantized model with the float one on samples: add --quantize and --calibration"
            );
        }
        if options.calibration.is_some() && self.report.is_none() && !options.needs_calibration() {
            bail!("--calibration is for a result that computes in integers: add --quantize int8 or int16x8");
        }
        Ok(())
    }

    /// Writes what was asked for beside the result.
    pub fn write(&self, converted: &Converted) -> Result<()> {
        if let (Some(path), Some(account)) = (&self.report, &converted.report.account) {
            let page = path.extension().is_some_and(|e| e == "html");
            let text = if page { account.to_html() } else { serde_json::to_string_pretty(account)? + "\n" };
            std::fs::write(path, text).with_context(|| path.display().to_string())?;
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

    fn method(&self) -> Result<quant::Method> {
        if (self.calibration_method.is_some() || self.percentile.is_some()) && self.calibration.is_none() {
            bail!("--calibration-method and --percentile are about calibration samples: give --calibration too");
        }
        if self.percentile.is_some() && !matches!(self.calibration_method, Some(Method::Percentile)) {
            bail!("--percentile is for --calibration-method percentile");
        }
        let percent = self.percentile.unwrap_or(99.999);
        if !(percent > 50.0 && percent <= 100.0) {
            bail!("--percentile {percent}: it must be more than 50 and no more than 100");
        }
        Ok(match self.calibration_method {
            None => quant::Method::default(),
            Some(Method::Minmax) => quant::Method::MinMax,
            Some(Method::Average) => quant::Method::Average,
            Some(Method::Percentile) => quant::Method::Percentile(percent),
            Some(Method::Entropy) => quant::Method::Entropy,
            Some(Method::Mse) => quant::Method::Mse,
        })
    }

    fn weights(&self) -> Result<WeightOptions> {
        let given = self.weight_bits.is_some() || self.granularity.is_some() || self.block_size.is_some();
        if given && matches!(self.quantize, Asked::Scheme(Quantize::None | Quantize::Float16) | Asked::Recipe(_)) {
            bail!("--weight-bits, --granularity and --block-size are for weights that become integers: add --quantize");
        }
        if self.block_size.is_some() && !matches!(self.quantize, Asked::Scheme(Quantize::Dynamic | Quantize::Weights)) {
            bail!("--block-size is for --quantize dynamic and weights: integers have no kernel for it");
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

/// `auto`, `none`, or names.
fn parse_repairs(text: &str) -> Result<Repairs, String> {
    let known = |name: &str| Repair::ALL.into_iter().find(|repair| repair.name() == name);
    match text {
        "none" => Ok(Repairs::None),
        "auto" => Ok(Repairs::Auto),
        list => {
            let names: Vec<&str> = Repair::ALL.iter().map(|repair| repair.name()).collect();
            let wrong = |name| format!("{name:?} is none of auto, none, {}", names.join(", "));
            let each = list.split(',').map(|name| known(name.trim()).ok_or_else(|| wrong(name)));
            each.collect::<Result<_, _>>().map(Repairs::These)
        }
    }
}

/// A file whose name says what is to be written into it.
fn parse_report(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    let known = path.extension().is_some_and(|e| e == "json" || e == "html");
    if known { Ok(path) } else { Err("expected a file that ends in .json or .html") }
}

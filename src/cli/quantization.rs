//! What `convert` and `quantize` are asked alike.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::images::Pictures;
use super::stdio;
use crate::quant::{self, RECIPES, Repairs};
use crate::samples::{read_npy, read_npz};
use crate::tflite;
use crate::{
    Calibration, Converted, Goal, Granularity, IoType, IoTypes, Options, Quantize, RangeSource, Recipe, Search,
    WeightOptions,
};

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
    /// Types of inputs and outputs that hold real numbers: float32, int8, uint8 or int16 for all, NAME=TYPE for one
    #[arg(long = "io-type", value_name = "[NAME=]TYPE", value_delimiter = ',', value_parser = parse_io_type)]
    io_types: Vec<(Option<String>, IoType)>,
    /// Samples for int8 and int16x8: a folder of .npz (arrays named after the inputs) or .npy files or pictures, or one .npz stacked along
    /// the first axis
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    pictures: Pictures,
    /// What `litesmith calibrate` saw of the samples, or a calibration table of ONNX Runtime (calibration.json, calibration.cache): no
    /// samples are run then, but by --repair, --min-sqnr, --max-drop and --report
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// How ranges follow from what calibration saw [default: auto]
    #[arg(long, value_enum, value_name = "METHOD")]
    calibration_method: Option<Method>,
    /// Percent of the elements that --calibration-method percentile keeps [default: 99.999]
    #[arg(long, value_name = "PERCENT")]
    percentile: Option<f64>,
    /// Lift operators out of int8 until every output has this signal-to-noise ratio against the float model on the samples, in dB
    #[arg(long, value_name = "DB", conflicts_with = "max_drop")]
    min_sqnr: Option<f64>,
    /// Lift operators out of int8 until no more than so many percent of the samples are classified wrong beyond those of the float
    /// model; the first output scores the classes
    #[arg(long, value_name = "PERCENT", requires = "labels")]
    max_drop: Option<f64>,
    /// The class of each sample: an .npy file, or the array "labels" of an .npz file
    #[arg(long, value_name = "FILE", requires = "max_drop")]
    labels: Option<PathBuf>,
    /// Samples that --min-sqnr and --max-drop are measured on [default: those of --calibration]
    #[arg(long, value_name = "PATH")]
    evaluate: Option<PathBuf>,
    /// What lifted operators become [default: float, as XNNPACK has no int16]
    #[arg(long, value_enum)]
    fallback: Option<Fallback>,
    /// Where to write the recipe that was found, which gives the same result without a search [default: the result's name with
    /// .recipe.toml; none for a result on standard output]
    #[arg(long, value_name = "FILE")]
    write_recipe: Option<PathBuf>,
    /// Change weights and biases so that the model quantizes better: auto keeps what helps on samples it has not seen, or a list of
    /// equalize, smooth, clip, round, bias
    #[arg(long, value_name = "auto|none|LIST", default_value = "none")]
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
    /// Where to write the result; - for standard output, the summary then goes to standard error [default: beside the model; standard
    /// output for a model from standard input]
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
        let output = match &self.output {
            Some(output) => output.clone(),
            None if stdio::is_dash(model) => model.to_path_buf(),
            None => usual.to_path_buf(),
        };
        if !stdio::is_dash(&output) && same_file(&output, model) {
            bail!("the output would overwrite the model: name another with -o");
        }
        Ok(output)
    }

    pub fn save(&self, converted: &Converted, output: &Path) -> Result<()> {
        if stdio::is_dash(output) { stdio::write(&converted.bytes()?) } else { Ok(converted.save(output)?) }
    }

    pub fn print(&self, converted: &Converted, output: &Path) -> Result<ExitCode> {
        let place = stdio::place(output);
        let text = match (self.json, self.quiet) {
            (true, _) => serde_json::to_string_pretty(&converted.report)? + "\n",
            (false, true) => String::new(),
            (false, false) => format!("{}written     {place}\n", converted.report),
        };
        stdio::tell(output, &text);
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether both paths lead to one file, however they are written; a link counts as what it leads to.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    /// All that was seen, widened by what few samples are likely to have missed
    Auto,
    /// All that was seen, no more and no less
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
enum Fallback {
    Float,
    Int16x8,
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
        options.symmetric = self.symmetric;
        options.io_types = self.io_types()?;
        options.weights = self.weights()?;
        options.recipe = self.recipe()?;
        options.calibration = self.calibration.clone().map(Calibration::Path);
        self.pictures.apply(options)?;
        options.calibration_method = self.method()?;
        options.statistics = self.stats.as_deref().map(RangeSource::load).transpose()?;
        let is_table = matches!(options.statistics, Some(RangeSource::Table(_)));
        if is_table && self.calibration_method.is_some() {
            bail!(
                "--calibration-method chooses ranges from what samples showed: those of a calibration table are taken as they are"
            );
        }
        options.search = self.search()?;
        options.account = self.report.is_some();
        options.repairs = self.repair.clone();
        Ok(())
    }

    fn search(&self) -> Result<Option<Search>> {
        let goal = match (self.min_sqnr, self.max_drop) {
            (Some(least), _) if !least.is_finite() => bail!("--min-sqnr {least}: it must be a number of dB"),
            (_, Some(most)) if !(0.0..=100.0).contains(&most) => {
                bail!("--max-drop {most}: it must be 0 to 100 percent")
            }
            (Some(least), _) => Goal::Sqnr(least),
            (None, Some(most)) => Goal::Drop(most),
            (None, None) => {
                if self.evaluate.is_some() || self.fallback.is_some() || self.write_recipe.is_some() {
                    bail!("--evaluate, --fallback and --write-recipe are for a search: add --min-sqnr or --max-drop");
                }
                return Ok(None);
            }
        };
        Ok(Some(Search {
            goal,
            fallback: match self.fallback {
                Some(Fallback::Int16x8) => Quantize::Int16x8,
                Some(Fallback::Float) | None => Quantize::None,
            },
            evaluate: self.evaluate.clone().map(Calibration::Path),
            labels: self.labels.as_deref().map(labels).transpose()?.unwrap_or_default(),
        }))
    }

    /// Writes what was asked for beside the result.
    pub fn write(&self, converted: &Converted, output: &Path) -> Result<()> {
        let beside = || (!stdio::is_dash(output)).then(|| output.with_extension("recipe.toml"));
        if let (Some(recipe), Some(path)) = (&converted.report.found, self.write_recipe.clone().or_else(beside)) {
            let text = recipe.to_toml().map_err(anyhow::Error::msg)?;
            tflite::save(&path, text.as_bytes())?;
        }
        if let Some(path) = &self.report {
            converted.save_account(path)?;
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
        let calibrated = self.calibration.is_some() || self.stats.is_some();
        if (self.calibration_method.is_some() || self.percentile.is_some()) && !calibrated {
            bail!("--calibration-method and --percentile are about calibration: give --calibration or --stats too");
        }
        if self.percentile.is_some() && !matches!(self.calibration_method, Some(Method::Percentile)) {
            bail!("--percentile is for --calibration-method percentile");
        }
        let percent = self.percentile.unwrap_or(99.999);
        if !(percent > 50.0 && percent <= 100.0) {
            bail!("--percentile {percent}: it must be more than 50 and no more than 100");
        }
        Ok(match self.calibration_method {
            None | Some(Method::Auto) => quant::Method::Auto,
            Some(Method::Minmax) => quant::Method::MinMax,
            Some(Method::Average) => quant::Method::Average,
            Some(Method::Percentile) => quant::Method::Percentile(percent),
            Some(Method::Entropy) => quant::Method::Entropy,
            Some(Method::Mse) => quant::Method::Mse,
        })
    }

    fn io_types(&self) -> Result<IoTypes> {
        let mut types = IoTypes::default();
        let mut all = None;
        for (name, to) in &self.io_types {
            let before = match name {
                None => all.replace(*to),
                Some(name) => types.by_name.insert(name.clone(), *to),
            };
            if before.is_some() {
                bail!("--io-type is given twice for {}", name.as_deref().unwrap_or("all"));
            }
        }
        types.all = all.unwrap_or_default();
        Ok(types)
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

/// `TYPE` or `NAME=TYPE`; the name may hold `=` itself.
fn parse_io_type(text: &str) -> Result<(Option<String>, IoType), &'static str> {
    let (name, to) = text.rsplit_once('=').map_or((None, text), |(name, to)| (Some(name.to_string()), to));
    let to = match to {
        "float32" => IoType::Float32,
        "int8" => IoType::Int8,
        "uint8" => IoType::Uint8,
        "int16" => IoType::Int16,
        _ => return Err("expected float32, int8, uint8 or int16, or NAME= and one of these"),
    };
    Ok((name, to))
}

/// The integers of an `.npy` file, or of the array "labels" of an `.npz` file.
pub(super) fn labels(path: &Path) -> Result<Vec<i64>> {
    let npz = path.extension().is_some_and(|e| e == "npz");
    let read = if npz {
        read_npz(path).and_then(|mut arrays| arrays.swap_remove("labels").ok_or("it has no array \"labels\"".into()))
    } else {
        read_npy(path)
    };
    let labels = read.and_then(|array| array.to_i64s().map_err(|e| e.to_string()));
    labels.map_err(anyhow::Error::msg).with_context(|| path.display().to_string())
}

/// A file whose name says what is to be written into it.
fn parse_report(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    let known = path.extension().is_some_and(|e| e == "json" || e == "html");
    if known { Ok(path) } else { Err("expected a file that ends in .json or .html") }
}

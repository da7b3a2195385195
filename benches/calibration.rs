//! What int8 calibration costs beside merely running the samples on tract, over all cores: `cargo bench --bench calibration -- MODEL.onnx 100`,
//! for 100 samples.
//!
//! Prints the median of several runs of both, their ratio, and that of one more sample. Without a model: the digits CNN of `fixtures`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use litesmith::onnx::{Dim, read_file};
use litesmith::tensor::Tensor;
use litesmith::{Calibration, Converter, Options, Quantize};
use rayon::prelude::*;
use tract_onnx::prelude::*;

/// Samples where the command line says nothing.
const SAMPLES: usize = 16;
const RUNS: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut given = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let model = given.next().map(PathBuf::from);
    let count = given.next().map_or(Ok(SAMPLES), |count| count.parse())?;
    let model = model.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/digits/digits.onnx"));
    let samples = samples(&model, count)?;
    let plan = plan(&model, &samples[0])?;
    let float = median(|| {
        Converter::new().convert_file(&model)?;
        Ok(())
    })?;
    let convert = |count: usize| {
        median(|| {
            let calibration = Some(Calibration::Tensors(samples[..count].to_vec()));
            let options = Options { quantize: Quantize::Int8, calibration, ..Options::default() };
            Converter::with_options(options).convert_file(&model)?;
            Ok(())
        })
    };
    let half = count / 2;
    let (int8, int8_half) = (convert(count)?, convert(half)?);
    let tract = median(|| {
        samples.par_iter().try_for_each(|sample| {
            let inputs = sample.iter().map(|t| Ok(to_tract(t)?.into())).collect::<TractResult<TVec<_>>>()?;
            plan.run(inputs).map(|_| ())
        })
    })?;
    println!("{}: {count} samples, {} threads", model.display(), rayon::current_num_threads());
    println!("convert to float {float:?}");
    println!("convert to int8  {int8:?}");
    println!("tract alone      {tract:?}");
    println!("ratio            {:.2}", int8.as_secs_f64() / tract.as_secs_f64());
    let sample = (int8.as_secs_f64() - int8_half.as_secs_f64()) / (count - half) as f64;
    println!("one more sample  {:.2}", sample / (tract.as_secs_f64() / count as f64));
    Ok(())
}

fn median(mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[RUNS / 2])
}

/// Numbers that differ from sample to sample, for every input of the model.
fn samples(model: &Path, count: usize) -> anyhow::Result<Vec<Vec<Tensor>>> {
    let model = read_file(model)?;
    let sample = |seed: usize| {
        let tensor = |input: &litesmith::onnx::ValueInfo| {
            let dims = input.shape.iter().flatten();
            let shape: Vec<usize> = dims.map(|d| if let Dim::Fixed(n) = d { *n } else { 1 }).collect();
            let value = |i: usize| ((i * 7919 + seed * 104_729) % 1000) as f32 / 500.0 - 1.0;
            Tensor::from_vec(&shape, (0..shape.iter().product()).map(value).collect::<Vec<f32>>())
        };
        model.input_infos().map(tensor).collect()
    };
    Ok((0..count).map(sample).collect())
}

fn plan(model: &Path, sample: &[Tensor]) -> TractResult<std::sync::Arc<TypedRunnableModel>> {
    let mut tract = tract_onnx::onnx().model_for_path(model)?;
    for (i, tensor) in sample.iter().enumerate() {
        tract = tract.with_input_fact(i, InferenceFact::dt_shape(f32::datum_type(), tensor.shape()))?;
    }
    tract.into_optimized()?.into_runnable()
}

fn to_tract(tensor: &Tensor) -> TractResult<tract_onnx::prelude::Tensor> {
    tract_onnx::prelude::Tensor::from_shape(tensor.shape(), &tensor.view::<f32>()?)
}

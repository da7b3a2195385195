//! What int8 calibration costs beside merely running the samples on tract, over all cores: `cargo bench --bench calibration -- MODEL.onnx`.
//!
//! Prints the median of several runs of both and their ratio. Without a model: the digits CNN of `fixtures`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use litesmith::onnx::{Dim, read_file};
use litesmith::tensor::Tensor;
use litesmith::{Calibration, Converter, Options, Quantize};
use rayon::prelude::*;
use tract_onnx::prelude::*;

const SAMPLES: usize = 16;
const RUNS: usize = 5;

fn main() -> anyhow::Result<()> {
    let given = std::env::args().skip(1).find(|a| !a.starts_with("--")).map(PathBuf::from);
    let model = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/digits/digits.onnx"));
    let samples = samples(&model)?;
    let plan = plan(&model, &samples[0])?;
    let float = median(|| {
        Converter::new().convert_file(&model)?;
        Ok(())
    })?;
    let int8 = median(|| {
        let calibration = Some(Calibration::Tensors(samples.clone()));
        let options = Options { quantize: Quantize::Int8, calibration, ..Options::default() };
        Converter::with_options(options).convert_file(&model)?;
        Ok(())
    })?;
    let tract = median(|| {
        samples.par_iter().try_for_each(|sample| {
            let inputs = sample.iter().map(|t| Ok(to_tract(t)?.into())).collect::<TractResult<TVec<_>>>()?;
            plan.run(inputs).map(|_| ())
        })
    })?;
    println!("{}: {SAMPLES} samples, {} threads", model.display(), rayon::current_num_threads());
    println!("convert to float {float:?}");
    println!("convert to int8  {int8:?}");
    println!("tract alone      {tract:?}");
    println!("ratio            {:.2}", int8.as_secs_f64() / tract.as_secs_f64());
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
fn samples(model: &Path) -> anyhow::Result<Vec<Vec<Tensor>>> {
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
    Ok((0..SAMPLES).map(sample).collect())
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

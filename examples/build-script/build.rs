//! Converts the model that `src/main.rs` holds. What can't be converted fails the build, and says why.

use std::path::PathBuf;

use litesmith::{Converter, Error, Quantize};

fn main() -> Result<(), Error> {
    let digits = PathBuf::from("../../fixtures/digits");
    let (model, samples) = (digits.join("digits.onnx"), digits.join("calibration.npz"));
    for input in [&model, &samples] {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let converted = Converter::new().quantize(Quantize::Int8).calibration(samples).convert_file(model)?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    converted.save(out.join("digits.tflite"))
}

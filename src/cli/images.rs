//! How pictures become samples.

use anyhow::{Result, bail};

use crate::Options;
use crate::samples::{Images, Resize};

#[derive(clap::Args)]
pub struct Pictures {
    /// What is subtracted from each channel of samples that are pictures (.png, .jpg), whose pixels are 0 to 1; fractions as 127.5/255
    /// are understood
    #[arg(long, value_name = "M,M,M", value_delimiter = ',', value_parser = parse_number, allow_negative_numbers = true)]
    mean: Vec<f64>,
    /// What each channel is divided by after that
    #[arg(long, value_name = "S,S,S", value_delimiter = ',', value_parser = parse_number)]
    std: Vec<f64>,
    /// Bring pictures to the input's size: stretch, crop (the largest part in the middle of the input's proportions), or crop:0.875 (so
    /// much of that); averaged over all pixels that become one
    #[arg(long, value_name = "stretch|crop[:PART]")]
    resize: Option<Resize>,
}

impl Pictures {
    /// Puts into `options` what was asked for.
    pub fn apply(&self, options: &mut Options) -> Result<()> {
        let images = Images { mean: self.mean.clone(), std: self.std.clone(), resize: self.resize };
        if images != Images::default() && options.calibration.is_none() {
            bail!("--mean, --std and --resize are about samples that are pictures: give --calibration too");
        }
        if let Some(std) = images.std.iter().find(|std| **std <= 0.0) {
            bail!("--std {std}: it must be more than 0");
        }
        options.images = images;
        Ok(())
    }
}

/// `0.485` or `123.675/255`.
fn parse_number(text: &str) -> Result<f64, &'static str> {
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    let numbers = above.trim().parse::<f64>().ok().zip(below.trim().parse::<f64>().ok());
    numbers.map(|(a, b)| a / b).filter(|x| x.is_finite()).ok_or("expected a number, or a fraction as 127.5/255")
}

//! Pictures as samples: `.png` and `.jpg` to what a model of one input takes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_png::PngDecoder;

use super::InputSpec;
use crate::tensor::{DType, Tensor};

/// How pictures become the numbers of an input: `(pixel - mean) / std`, pixels being 0 (black) to 1 (white).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Images {
    /// One number for each channel, or one for all; 0 where there is none.
    pub mean: Vec<f64>,
    /// As `mean`; 1 where there is none.
    pub std: Vec<f64>,
    /// What becomes of pictures of another size than the input's; nothing where there is none: they are refused.
    pub resize: Option<Resize>,
}

/// To the input's width and height, by averaging: each pixel is a weighted mean of those around its place, whose weights fall off
/// linearly, over one pixel on each side where the picture grows and over as many as become one where it shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// The whole picture, whatever its proportions.
    Stretch,
    /// The largest part in the middle that has the proportions of the input; of that so much along each side.
    Crop(f64),
}

impl FromStr for Resize {
    type Err = &'static str;

    /// `stretch`, `crop` or `crop:0.875`.
    fn from_str(text: &str) -> Result<Resize, &'static str> {
        let part = match text.split_once(':') {
            None if text == "stretch" => return Ok(Resize::Stretch),
            None if text == "crop" => Some(1.0),
            Some(("crop", part)) => part.parse().ok().filter(|part| *part > 0.0 && *part <= 1.0),
            _ => None,
        };
        part.map(Resize::Crop).ok_or("expected stretch, crop, or crop:PART as in crop:0.875, with a part of up to 1")
    }
}

/// Pictures with more pixels are refused: a small file may claim any size.
const MOST_PIXELS: usize = 1 << 26;

/// Files are smaller.
const MOST_BYTES: u64 = 1 << 28;

/// True for the file names of pictures.
pub(super) fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| matches!(ending.as_str(), "png" | "jpg" | "jpeg"))
}

/// Rows of pixels, each of so many channels of 0 to 255.
struct Picture {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<f32>,
}

/// Where an input has its axes.
struct Layout {
    channels: usize,
    height: Option<usize>,
    width: Option<usize>,
    channels_last: bool,
    /// The rank is 4.
    batch: bool,
}

impl Images {
    /// Reads a picture for an input.
    pub(super) fn read(&self, path: &Path, input: &InputSpec) -> Result<Tensor, String> {
        let layout = layout(input)?;
        let picture = decode(path)?.with_channels(layout.channels);
        let (width, height) = (layout.width.unwrap_or(picture.width), layout.height.unwrap_or(picture.height));
        check_size(width, height)?;
        let picture = match self.resize {
            _ if (picture.width, picture.height) == (width, height) && self.resize.is_none_or(Resize::keeps_all) => {
                picture
            }
            None => {
                let (w, h) = (picture.width, picture.height);
                return Err(format!(
                    "is {w} x {h} pixels, but input {:?} takes {width} x {height}: add --resize stretch or crop",
                    input.name
                ));
            }
            Some(resize) => picture.resized(width, height, resize),
        };
        let numbers = self.normalized(&picture, input)?;
        let (c, plane) = (layout.channels, width * height);
        let order = |i: usize| if layout.channels_last { i } else { i % plane * c + i / plane };
        let ordered: Vec<f32> = (0..numbers.len()).map(|i| numbers[order(i)]).collect();
        let mut shape = if layout.channels_last { vec![height, width, c] } else { vec![c, height, width] };
        if layout.batch {
            shape.insert(0, 1);
        }
        Tensor::from_vec(&shape, ordered).cast(input.dtype).map_err(|e| e.to_string())
    }

    fn normalized(&self, picture: &Picture, input: &InputSpec) -> Result<Vec<f32>, String> {
        let plain = self.mean.is_empty() && self.std.is_empty();
        if !input.dtype.is_float() {
            let rounded = || picture.pixels.iter().map(|x| x.round()).collect();
            return match input.dtype {
                DType::Bool | DType::I8 => {
                    Err(format!("input {:?} is {}, which holds no pixels", input.name, input.dtype))
                }
                _ if plain => Ok(rounded()),
                _ => Err(format!("input {:?} takes pixels as integers: --mean and --std are for floats", input.name)),
            };
        }
        let channels = picture.channels;
        let of = |what: &str, list: &[f64], usual: f64| match list {
            [] => Ok(vec![usual; channels]),
            [one] => Ok(vec![*one; channels]),
            list if list.len() == channels => Ok(list.to_vec()),
            list => Err(format!(
                "--{what} has {} numbers for the {channels} channels of input {:?}",
                list.len(),
                input.name
            )),
        };
        let (mean, std) = (of("mean", &self.mean, 0.0)?, of("std", &self.std, 1.0)?);
        let number = |(i, x): (usize, &f32)| ((f64::from(*x) / 255.0 - mean[i % channels]) / std[i % channels]) as f32;
        Ok(picture.pixels.iter().enumerate().map(number).collect())
    }
}

impl Resize {
    /// Of a picture that has the input's size already.
    fn keeps_all(self) -> bool {
        match self {
            Resize::Stretch => true,
            Resize::Crop(part) => part == 1.0,
        }
    }
}

/// One or three channels, which come first or last; first where both could be.
fn layout(input: &InputSpec) -> Result<Layout, String> {
    let dims = input.dims.as_slice();
    let (batch, dims) = match dims {
        [batch, rest @ ..] if dims.len() == 4 => (Some(*batch), rest),
        _ => (None, dims),
    };
    let is_channels = |d: Option<usize>| matches!(d, Some(1 | 3));
    let (channels, height, width, channels_last) = match *dims {
        [c, h, w] if is_channels(c) => (c, h, w, false),
        [h, w, c] if is_channels(c) => (c, h, w, true),
        _ => {
            return Err(format!(
                "input {:?} is no picture: it has no axis of 1 or 3 channels, first or last",
                input.name
            ));
        }
    };
    if let Some(Some(n)) = batch.filter(|n| n.is_some_and(|n| n != 1)) {
        return Err(format!("a picture is a batch of 1, but input {:?} takes {n}", input.name));
    }
    Ok(Layout { channels: channels.unwrap_or(1), height, width, channels_last, batch: batch.is_some() })
}

fn decode(path: &Path) -> Result<Picture, String> {
    let file = File::open(path).map_err(|e| format!("can't be opened: {e}"))?;
    let mut bytes = Vec::new();
    let read = BufReader::new(file).take(MOST_BYTES).read_to_end(&mut bytes);
    read.map_err(|e| format!("can't be read: {e}"))?;
    let is_png = bytes.starts_with(b"\x89PNG");
    if is_png { png(bytes) } else { jpeg(bytes) }
}

fn png(bytes: Vec<u8>) -> Result<Picture, String> {
    let failed = |e: &dyn std::fmt::Debug| format!("can't be read as PNG: {e:?}");
    let options = DecoderOptions::default().png_set_strip_to_8bit(true);
    let mut decoder = PngDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| failed(&e))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| failed(&"no size"))?;
    check_size(width, height)?;
    let pixels = decoder.decode_raw().map_err(|e| failed(&e))?;
    Picture::new(width, height, &pixels)
}

fn jpeg(bytes: Vec<u8>) -> Result<Picture, String> {
    let failed = |e: &dyn std::fmt::Debug| format!("can't be read as PNG or JPEG: {e:?}");
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| failed(&e))?;
    let info = decoder.info().ok_or_else(|| failed(&"no size"))?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;
    let pixels = decoder.decode().map_err(|e| failed(&e))?;
    Picture::new(width, height, &pixels)
}

fn check_size(width: usize, height: usize) -> Result<(), String> {
    let pixels = width.checked_mul(height).filter(|n| (1..=MOST_PIXELS).contains(n));
    pixels.map(drop).ok_or_else(|| format!("is {width} x {height} pixels: none, or too many"))
}

impl Picture {
    /// Of 1 (grey), 2 (and opacity), 3 (red, green, blue) or 4 (and opacity) numbers a pixel; opacity is left out.
    fn new(width: usize, height: usize, bytes: &[u8]) -> Result<Picture, String> {
        let each = bytes.len() / (width * height);
        let channels = match each {
            1 | 2 => 1,
            3 | 4 => 3,
            _ => return Err(format!("has {each} numbers for each pixel")),
        };
        let pixels = bytes.chunks_exact(each).take(width * height);
        let pixels = pixels.flat_map(|pixel| pixel.iter().take(channels).map(|&x| f32::from(x))).collect();
        Ok(Picture { width, height, channels, pixels })
    }

    /// Grey as three equal channels; colours as their luma (ITU-R BT.601).
    fn with_channels(self, channels: usize) -> Picture {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&x| [x; 3]).collect(),
            (3, 1) => {
                let luma = |p: &[f32]| p.iter().zip([0.299, 0.587, 0.114]).map(|(x, share)| x * share).sum();
                self.pixels.chunks_exact(3).map(luma).collect()
            }
            _ => return self,
        };
        Picture { channels, pixels, ..self }
    }

    fn resized(&self, width: usize, height: usize, resize: Resize) -> Picture {
        let (w, h) = (self.width as f64, self.height as f64);
        let (taken_w, taken_h) = match resize {
            Resize::Stretch => (w, h),
            Resize::Crop(part) => {
                let scale = (w / width as f64).min(h / height as f64) * part;
                (width as f64 * scale, height as f64 * scale)
            }
        };
        let columns = weights(self.width, (w - taken_w) / 2.0, taken_w, width);
        let rows = weights(self.height, (h - taken_h) / 2.0, taken_h, height);
        let c = self.channels;
        let mut wide = Vec::with_capacity(self.height * width * c);
        for row in self.pixels.chunks_exact(self.width * c) {
            for (first, weights) in &columns {
                let sum = |channel| {
                    weights.iter().zip(*first..).map(|(weight, x)| weight * row[x * c + channel]).sum::<f32>()
                };
                wide.extend((0..c).map(sum));
            }
        }
        let mut pixels = Vec::with_capacity(height * width * c);
        for (first, weights) in &rows {
            let sum = |i| weights.iter().zip(*first..).map(|(weight, y)| weight * wide[y * width * c + i]).sum::<f32>();
            pixels.extend((0..width * c).map(sum));
        }
        Picture { width, height, channels: c, pixels }
    }
}

/// For each of `count` pixels, the first of the `size` old ones that it is made of, and their weights. It is made of those around its
/// place in the part that begins at `start` and is `taken` long.
fn weights(size: usize, start: f64, taken: f64, count: usize) -> Vec<(usize, Vec<f32>)> {
    let step = taken / count as f64;
    let reach = step.max(1.0);
    let one = |i: usize| {
        let center = start + (i as f64 + 0.5) * step;
        let first = ((center - reach).floor().max(0.0) as usize).min(size - 1);
        let end = ((center + reach).ceil() as usize).clamp(first + 1, size);
        let weights: Vec<f64> =
            (first..end).map(|x| (1.0 - (x as f64 + 0.5 - center).abs() / reach).max(0.0)).collect();
        let sum: f64 = weights.iter().sum();
        // At the very edge of a part nothing may be near enough: the pixel there stands for itself.
        let weight = |w: f64| if sum > 0.0 { (w / sum) as f32 } else { 1.0 / weights.len() as f32 };
        (first, weights.iter().map(|&w| weight(w)).collect())
    };
    (0..count).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{SampleError, Samples, read_npz};
    use std::path::PathBuf;

    fn pictures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images")
    }

    fn input(dims: &[usize]) -> InputSpec {
        InputSpec { name: "image".into(), dtype: DType::F32, dims: dims.iter().map(|&d| Some(d)).collect() }
    }

    fn read(file: &str, dims: &[usize], images: Images) -> Result<Vec<f32>, String> {
        images.read(&pictures().join(file), &input(dims)).map(|tensor| tensor.to_f32s().unwrap())
    }

    fn resize(resize: Resize) -> Images {
        Images { resize: Some(resize), ..Images::default() }
    }

    #[test]
    fn pictures_become_what_pillow_makes_of_them() {
        let expected = read_npz(&pictures().join("expected.npz")).unwrap();
        assert_eq!(expected.len(), 35);
        for (key, array) in expected {
            let (file, case) = key.split_once(':').unwrap();
            let images = match case {
                "plain" => Images::default(),
                "square" => resize(Resize::Crop(1.0)),
                "part" => resize(Resize::Crop(0.5)),
                _ => resize(Resize::Stretch),
            };
            let shape = [&[1], array.shape()].concat();
            let found = read(file, &shape, images).unwrap();
            // Decoders of JPEG may round otherwise.
            let tolerance = if file.ends_with("jpg") { 2.5 / 255.0 } else { 1e-5 };
            let worst = found.iter().zip(array.to_f32s().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found.len() == array.len() && worst < tolerance, "{key}: {worst}");
        }
    }

    #[test]
    fn the_input_says_where_channels_are() {
        let first = read("colours.png", &[1, 3, 10, 16], Images::default()).unwrap();
        let last = read("colours.png", &[10, 16, 3], Images::default()).unwrap();
        for (i, x) in last.iter().enumerate() {
            assert_eq!(*x, first[i % 3 * 160 + i / 3]);
        }
        let grey = read("colours.png", &[1, 10, 16, 1], Images::default()).unwrap();
        assert!((grey[17] - (0.299 * last[51] + 0.587 * last[52] + 0.114 * last[53])).abs() < 1e-6);
        let images = Images { mean: vec![0.5], std: vec![0.25, 0.5, 1.0], resize: None };
        let normal = read("colours.png", &[10, 16, 3], images).unwrap();
        assert_eq!(normal[50], (f64::from(last[50]) - 0.5) as f32);
        let bytes = InputSpec { dtype: DType::U8, ..input(&[1, 10, 16, 3]) };
        let pixels = Images::default().read(&pictures().join("colours.png"), &bytes).unwrap();
        assert_eq!((pixels.dtype(), pixels.bytes()[3]), (DType::U8, 16));
    }

    #[test]
    fn what_does_not_fit_is_told_by_file() {
        for (file, dims, images, says) in [
            ("colours.png", &[1, 3, 10, 15][..], Images::default(), "--resize"),
            ("colours.png", &[1, 4, 10, 16], Images::default(), "no picture"),
            ("colours.png", &[16], Images::default(), "no picture"),
            ("colours.png", &[2, 3, 10, 16], Images::default(), "batch"),
            ("colours.png", &[1, 3, 10, 16], Images { mean: vec![0.1, 0.2], ..Images::default() }, "--mean"),
            ("expected.npz", &[1, 3, 10, 16], Images::default(), "PNG or JPEG"),
            ("nothing.png", &[1, 3, 10, 16], Images::default(), "opened"),
            ("colours.png", &[1, 3, 1 << 20, 1 << 20], resize(Resize::Stretch), "too many"),
        ] {
            let error = read(file, dims, images).unwrap_err();
            assert!(error.contains(says), "{file} {dims:?}: {error}");
        }
        let samples = Samples::open(&pictures().join("*.jpg"), vec![input(&[1, 3, 9, 9])]).unwrap();
        assert_eq!(samples.len(), 2);
        assert!(matches!(samples.get(1), Err(SampleError::File { path, .. }) if path.ends_with("grey.jpg")));
    }

    #[test]
    fn damaged_pictures_are_errors() {
        for file in ["colours.png", "palette.png", "colours.jpg", "grey.jpg"] {
            let whole = std::fs::read(pictures().join(file)).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(file);
            let mut state = 7u32;
            for _ in 0..300 {
                let mut bytes = whole.clone();
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let place = state as usize % bytes.len();
                bytes[place] = (state >> 8) as u8;
                bytes.truncate(if state & 0x1000_0000 == 0 { bytes.len() } else { place });
                std::fs::write(&path, bytes).unwrap();
                // Either will do, and nothing else.
                let _ = resize(Resize::Stretch).read(&path, &input(&[1, 3, 8, 8]));
            }
        }
    }

    #[test]
    fn sizes_are_written_as_words() {
        assert_eq!("crop:0.875".parse(), Ok(Resize::Crop(0.875)));
        assert_eq!(("crop".parse(), "stretch".parse()), (Ok(Resize::Crop(1.0)), Ok(Resize::Stretch)));
        for wrong in ["", "fit", "crop:", "crop:0", "crop:1.5", "crop:nan", "stretch:1"] {
            assert!(wrong.parse::<Resize>().is_err(), "{wrong}");
        }
    }
}

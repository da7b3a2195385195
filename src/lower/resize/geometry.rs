//! Which elements of the operand an element of the result comes from, along one axis.
//!
//! In single precision and in the order of ONNX Runtime, so that ties of the nearest modes fall the same way.

use crate::lower::{Refusal, countable};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// `coordinate_transformation_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

/// `nearest_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Before opset 11: up where the axis shrinks, else down.
    OfOpset10,
}

/// How all axes are resized.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    pub mode: Mode,
    pub coordinates: Coordinates,
    pub rounding: Rounding,
    pub cubic_coefficient: f32,
    pub exclude_outside: bool,
    pub antialias: bool,
}

/// What is asked of one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub axis: usize,
    pub input: usize,
    pub output: usize,
    pub scale: f32,
    /// Begin and end of the box that is cut out, as parts of the extent.
    pub roi: (f32, f32),
}

/// Where one element of the result comes from: elements of the operand with their weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub taps: Vec<(usize, f32)>,
    /// The source lies outside of the operand, and the extrapolation value stands instead.
    pub outside: bool,
}

impl Axis {
    /// Elements of the result before they are rounded down to a whole number, as the operator's definition takes them for `align_corners`:
    /// a scale need not give a whole one.
    fn asked_length(&self) -> f32 {
        let (exact, output) = (self.scale * self.input as f32, self.output as f32);
        // A scale that was computed from sizes misses a whole number by rounding alone.
        if (exact - output).abs() <= 1e-5 * output { output } else { exact }
    }
}

impl Coordinates {
    pub fn parse(name: &str) -> Result<Coordinates, Refusal> {
        Ok(match name {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
            "tf_crop_and_resize" => Coordinates::TfCropAndResize,
            _ => return Err(unknown(name, "coordinate_transformation_mode")),
        })
    }

    /// Place in the operand of element `i` of the result.
    pub fn source(self, i: usize, axis: &Axis) -> f32 {
        let (i, scale) = (i as f32, axis.scale);
        let (input, output) = (axis.input as f32, axis.output as f32);
        match self {
            Coordinates::HalfPixel => (i + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (scale * input);
                let offset = input / 2.0 * (1.0 - adjustment);
                (f64::from(offset) + (f64::from(i) + 0.5) / f64::from(scale) - 0.5) as f32
            }
            Coordinates::PytorchHalfPixel if axis.output > 1 => (i + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::AlignCorners if axis.output > 1 => i * (input - 1.0) / (axis.asked_length() - 1.0),
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => i / scale,
            Coordinates::TfHalfPixelForNn => (i + 0.5) / scale,
            Coordinates::TfCropAndResize => {
                let (begin, end) = axis.roi;
                if axis.output > 1 {
                    begin * (input - 1.0) + (i * (end - begin) * (input - 1.0)) / (output - 1.0)
                } else {
                    (0.5 * f64::from(begin + end) * f64::from(input - 1.0)) as f32
                }
            }
        }
    }
}

impl Rounding {
    pub fn parse(name: &str) -> Result<Rounding, Refusal> {
        Ok(match name {
            "round_prefer_floor" => Rounding::PreferFloor,
            "round_prefer_ceil" => Rounding::PreferCeil,
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            _ => return Err(unknown(name, "nearest_mode")),
        })
    }

    /// The element nearest to a place, before it is clamped to those that there are.
    fn round(self, source: f32, shrinks: bool) -> f32 {
        // Places half-way but for rounding are half-way.
        let is_tie = (source - source.floor() - 0.5).abs() < 1e-6;
        match self {
            Rounding::PreferFloor if is_tie => source.floor(),
            Rounding::PreferCeil if is_tie => source.ceil(),
            Rounding::PreferFloor | Rounding::PreferCeil => source.round(),
            Rounding::Floor => source.floor(),
            Rounding::Ceil => source.ceil(),
            Rounding::OfOpset10 if shrinks => source.ceil(),
            Rounding::OfOpset10 => source.trunc(),
        }
    }
}

pub(super) fn unknown(name: &str, attribute: &str) -> Refusal {
    Refusal::new(format!("{name:?} is not known"), "check the model with onnx.checker")
        .about(format!("attribute {attribute}"))
}

impl Method {
    /// One row for each element of the result along `axis`.
    pub fn rows(&self, axis: &Axis) -> Result<Vec<Row>, Refusal> {
        let widest = if self.antialias { 4.0 / axis.scale.min(1.0) } else { 4.0 };
        countable(&[axis.output, widest as usize])?;
        Ok((0..axis.output).map(|i| self.row(i, axis)).collect())
    }

    fn row(&self, i: usize, axis: &Axis) -> Row {
        let source = self.coordinates.source(i, axis);
        let last = axis.input.saturating_sub(1);
        let outside = self.coordinates == Coordinates::TfCropAndResize && !(0.0..=last as f32).contains(&source);
        let taps = match self.mode {
            Mode::Nearest => {
                let nearest = self.rounding.round(source, axis.scale < 1.0);
                vec![(nearest.clamp(0.0, last as f32) as usize, 1.0)]
            }
            Mode::Linear if !self.antialias => linear(source, last),
            Mode::Linear => self.filtered(source, axis, 1.0, |x| (1.0 - x.abs()).max(0.0)),
            Mode::Cubic => {
                let a = f64::from(self.cubic_coefficient);
                self.filtered(source, axis, 2.0, |x| cubic(x, a))
            }
        };
        Row { taps, outside }
    }

    /// Every element weighted by `filter` of its distance from `source`; the filter reaches `support` elements to either side, more
    /// where the axis shrinks and antialiasing stretches it. What lies outside counts as the element at the edge, or not at all.
    fn filtered(&self, source: f32, axis: &Axis, support: f64, filter: impl Fn(f64) -> f64) -> Vec<(usize, f32)> {
        let source = f64::from(source);
        let last = axis.input.saturating_sub(1) as i64;
        let squeeze = if self.antialias { f64::from(axis.scale).min(1.0) } else { 1.0 };
        let reach = support / squeeze;
        let range = (source - reach).ceil() as i64..=(source + reach).floor() as i64;
        let mut taps: Vec<(usize, f64)> = Vec::new();
        for i in range {
            let weight = filter((i as f64 - source) * squeeze);
            let inside = (0..=last).contains(&i);
            if weight == 0.0 || (self.exclude_outside && !inside) {
                continue;
            }
            let i = i.clamp(0, last) as usize;
            match taps.last_mut() {
                Some(tap) if tap.0 == i => tap.1 += weight,
                _ => taps.push((i, weight)),
            }
        }
        let total: f64 = taps.iter().map(|tap| tap.1).sum();
        let total = if total == 0.0 { 1.0 } else { total };
        taps.into_iter().map(|(i, weight)| (i, (weight / total) as f32)).collect()
    }
}

/// The two elements around a place.
fn linear(source: f32, last: usize) -> Vec<(usize, f32)> {
    let source = source.clamp(0.0, last as f32);
    let low = (source as usize).min(last);
    let share = source - low as f32;
    if share == 0.0 || low == last { vec![(low, 1.0)] } else { vec![(low, 1.0 - share), (low + 1, share)] }
}

/// Cubic convolution (Keys) with coefficient `a`, at distance `x`.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Flags of `RESIZE_NEAREST_NEIGHBOR` and `RESIZE_BILINEAR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags {
    pub align_corners: bool,
    pub half_pixel_centers: bool,
}

impl Flags {
    const ALL: [Flags; 3] = [
        Flags { align_corners: false, half_pixel_centers: true },
        Flags { align_corners: false, half_pixel_centers: false },
        Flags { align_corners: true, half_pixel_centers: false },
    ];

    /// The flags with which the builtin takes every element of every axis from where `method` does.
    pub fn for_axes(method: &Method, axes: &[Axis]) -> Option<Flags> {
        let fits = |flags: &Flags| axes.iter().all(|axis| flags.fits(method, axis));
        Flags::ALL.into_iter().find(fits)
    }

    fn fits(self, method: &Method, axis: &Axis) -> bool {
        if method.antialias && axis.output < axis.input {
            return false;
        }
        match method.mode {
            Mode::Nearest => (0..axis.output).all(|i| {
                let row = method.row(i, axis);
                !row.outside && row.taps.first().is_some_and(|tap| tap.0 == self.nearest(i, axis))
            }),
            // Rounding of the two computations may differ by some units in the last place of the coordinate.
            Mode::Linear => (0..axis.output).all(|i| {
                let last = axis.input.saturating_sub(1) as f32;
                let source = method.coordinates.source(i, axis);
                let outside = method.coordinates == Coordinates::TfCropAndResize && !(0.0..=last).contains(&source);
                let distance = source.clamp(0.0, last) - self.source(i, axis).clamp(0.0, last);
                !outside && distance.abs() <= 1e-6 * (last + 1.0)
            }),
            Mode::Cubic => false,
        }
    }

    /// Elements of the operand for one of the result, as both builtins compute it.
    fn ratio(self, axis: &Axis) -> f32 {
        if self.align_corners && axis.output > 1 {
            (axis.input as f32 - 1.0) / (axis.output as f32 - 1.0)
        } else {
            axis.input as f32 / axis.output as f32
        }
    }

    fn nearest(self, i: usize, axis: &Axis) -> usize {
        let offset = if self.half_pixel_centers { 0.5 } else { 0.0 };
        let source = (i as f32 + offset) * self.ratio(axis);
        let source = if self.align_corners { source.round() } else { source.floor() };
        (source.max(0.0) as usize).min(axis.input.saturating_sub(1))
    }

    fn source(self, i: usize, axis: &Axis) -> f32 {
        if self.half_pixel_centers { (i as f32 + 0.5) * self.ratio(axis) - 0.5 } else { i as f32 * self.ratio(axis) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(mode: Mode, coordinates: Coordinates, rounding: Rounding) -> Method {
        let (cubic_coefficient, exclude_outside, antialias) = (-0.75, false, false);
        Method { mode, coordinates, rounding, cubic_coefficient, exclude_outside, antialias }
    }

    fn axis(input: usize, output: usize) -> Axis {
        Axis { axis: 0, input, output, scale: output as f32 / input as f32, roi: (0.0, 1.0) }
    }

    #[test]
    fn ties_keep_the_builtin_out() {
        let floor = method(Mode::Nearest, Coordinates::HalfPixel, Rounding::PreferFloor);
        let ceil = method(Mode::Nearest, Coordinates::HalfPixel, Rounding::PreferCeil);
        let half_pixel = Some(Flags { align_corners: false, half_pixel_centers: true });
        assert_eq!(Flags::for_axes(&ceil, &[axis(4, 6)]), half_pixel);
        // Without flags, the builtin happens to take the same points here.
        let no_flags = Some(Flags { align_corners: false, half_pixel_centers: false });
        assert_eq!(Flags::for_axes(&floor, &[axis(4, 6)]), no_flags);
        assert_eq!(Flags::for_axes(&floor, &[axis(4, 8)]), half_pixel);
    }

    #[test]
    fn a_scale_that_is_not_the_ratio_keeps_the_builtin_out() {
        let linear = method(Mode::Linear, Coordinates::HalfPixel, Rounding::PreferFloor);
        assert!(Flags::for_axes(&linear, &[axis(4, 10)]).is_some());
        assert_eq!(Flags::for_axes(&linear, &[Axis { scale: 2.6, ..axis(4, 10) }]), None);
    }

    #[test]
    fn weights_add_up_to_one() {
        let cubic = method(Mode::Cubic, Coordinates::HalfPixel, Rounding::PreferFloor);
        for method in [cubic, Method { antialias: true, ..cubic }, Method { exclude_outside: true, ..cubic }] {
            let rows = |axis| method.rows(&axis).unwrap();
            for row in rows(axis(7, 3)).into_iter().chain(rows(axis(3, 7))) {
                let sum: f32 = row.taps.iter().map(|tap| tap.1).sum();
                assert!((sum - 1.0).abs() < 1e-6, "{row:?}");
            }
        }
    }
}

//! ONNX `NonMaxSuppression`.
//!
//! Boxes are sorted by score first, the first of equals first, so that the kernel, which knows no order among equals, is given ranks
//! instead of scores. And it never sees a box without an area: it selects such a box again and again, since it counts on every
//! selected box suppressing itself. Those boxes overlap nothing, so that they are selected whatever the kernel says.

use super::top_k::extremes;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, Precision, Reduce, Unary, ValueId};
use crate::tensor::{DType, Tensor};

/// Each class of each batch takes an operator; files of more are of no use.
const MOST_CLASSES: usize = 1 << 12;

/// Lowers ONNX `NonMaxSuppression` to `NON_MAX_SUPPRESSION_V4`.
///
/// # Accepts
/// Both box formats; limit and thresholds constant, fed at run time or absent; any number of boxes.
/// # Produces
/// `TOPK_V2 → GATHER` that sort the boxes, a `NON_MAX_SUPPRESSION_V4` for each class of each batch, `SCATTER_ND → WHERE → GATHER_ND` of all that they
/// select.
/// # Refuses
/// Unknown numbers of batches or classes, or more than 4096 of both together.
pub(super) fn non_max_suppression(cx: &mut Cx<'_>) -> Results {
    let (boxes, scores) = (cx.input(0)?, cx.input(1)?);
    super::conv::require_float32(cx, boxes)?;
    if cx.rank(boxes) != 3 || cx.rank(scores) != 3 {
        let what = format!("boxes are {}, scores {}", cx.shape(boxes), cx.shape(scores));
        return Err(Refusal::new(what, "check the model with onnx.checker"));
    }
    let batches = cx.dim(scores, 0).or(cx.dim(boxes, 0));
    let (batches, classes) = batches.zip(cx.dim(scores, 1)).ok_or_else(|| {
        Refusal::new("the numbers of batches and classes must be known", "pin the model's inputs with --shape")
    })?;
    let count = batches.checked_mul(classes).filter(|&n| n <= MOST_CLASSES).ok_or_else(|| {
        let what = format!("{batches} batches of {classes} classes take as many operators");
        Refusal::new(what, "suppress boxes class by class before the model is exported")
    })?;
    let limit = cx.optional(2);
    let most = limit.map_or(Some(vec![0]), |limit| cx.known_ints(limit)).and_then(|most| most.first().copied());
    if count == 0 || most.is_some_and(|most| most <= 0) || cx.dim(scores, 2) == Some(0) {
        (3..5).for_each(|i| cx.ignore_operand(i));
        cx.ignore(&["center_point_box"]);
        return Ok(vec![cx.b.constant(Tensor::from_vec::<i64>(&[0, 3], vec![]))]);
    }
    let before = cx.b.set_precision(Precision::Float);
    let sorted = Sorted::new(cx, boxes, scores, count)?;
    let (overlap, is_free) = sorted.unsuppressed(cx)?;
    let all = cx.extent_of(sorted.order, 1)?;
    let room = match (most, cx.dim(scores, 2)) {
        (Some(most), Some(all)) => cx.b.scalar_of(DType::I32, most.min(all as i64) as f64)?,
        _ => all,
    };
    let selected = sorted.selected(cx, overlap, is_free, room)?;
    let freely = cx.b.binary(Binary::LogicalAnd, is_free, sorted.is_above)?;
    let mut kept = cx.b.binary(Binary::LogicalOr, selected, freely)?;
    if let Some(limit) = limit {
        kept = first_ones(cx, kept, limit)?;
    }
    let y = sorted.listed(cx, kept, [batches, classes])?;
    cx.b.set_precision(before);
    Ok(vec![y])
}

/// Boxes by falling score, for each class of each batch; `n` boxes, `c` classes of all batches.
struct Sorted {
    /// `FLOAT32 [c, n, 4]`, two opposite corners of each.
    boxes: ValueId,
    /// `INT32 [c, n]`, the number each box had.
    order: ValueId,
    /// `BOOL [c, n]`, scores above the threshold.
    is_above: ValueId,
    classes: usize,
}

impl Sorted {
    fn new(cx: &mut Cx<'_>, boxes: ValueId, scores: ValueId, classes: usize) -> Result<Sorted, Refusal> {
        let boxes = corners(cx, boxes)?;
        let count = cx.extent_of(scores, 2)?;
        let (scores, order) = extremes(cx, scores, count, true)?;
        let boxes = cx.b.one(Op::Gather { axis: 1, batch_dims: 1 }, &[boxes, order])?;
        let boxes = cx.b.reshape(boxes, &[classes as i64, -1, 4])?;
        let order = cx.b.reshape(order, &[classes as i64, -1])?;
        let scores = cx.b.reshape(scores, &[classes as i64, -1])?;
        // Without a threshold every score is above.
        let threshold = match cx.optional(4) {
            Some(threshold) => cx.b.reshape(threshold, &[])?,
            None => cx.b.scalar(f32::NEG_INFINITY),
        };
        let is_above = cx.b.compare(Compare::Greater, scores, threshold)?;
        Ok(Sorted { boxes, order, is_above, classes })
    }

    /// The overlap from which on the kernel suppresses, and which boxes nothing suppresses: `BOOL [c, n]`.
    fn unsuppressed(&self, cx: &mut Cx<'_>) -> Result<(ValueId, ValueId), Refusal> {
        let first = cx.slice_axis(self.boxes, 2, 0, 2)?;
        let second = cx.slice_axis(self.boxes, 2, 2, 2)?;
        let sides = cx.b.sub(second, first)?;
        let sides = cx.b.unary(Unary::Abs, sides)?;
        let area = cx.b.reduce(Reduce::Prod, sides, &[2], false)?;
        // An area of which there is no double is no area either: its overlap with itself is not 1.
        let (zero, largest) = (cx.b.scalar(0f32), cx.b.scalar(f32::MAX / 2.0));
        let some = cx.b.compare(Compare::Greater, area, zero)?;
        let finite = cx.b.compare(Compare::LessEqual, area, largest)?;
        let has_area = cx.b.binary(Binary::LogicalAnd, some, finite)?;
        let has_none = cx.b.unary(Unary::LogicalNot, has_area)?;
        let Some(threshold) = cx.optional(3) else { return Ok((cx.b.scalar(LEAST_OVERLAP), has_none)) };
        let threshold = cx.b.reshape(threshold, &[])?;
        // No overlap is larger than 1.
        let one = cx.b.scalar(1f32);
        let all = cx.b.compare(Compare::GreaterEqual, threshold, one)?;
        let is_free = cx.b.binary(Binary::LogicalOr, has_none, all)?;
        let next = next_larger(cx, threshold)?;
        Ok((cx.b.binary(Binary::Minimum, one, next)?, is_free))
    }

    /// What the kernel selects: `BOOL [c, n]`.
    fn selected(&self, cx: &mut Cx<'_>, overlap: ValueId, is_free: ValueId, room: ValueId) -> Result<ValueId, Refusal> {
        let (all, zero) = (cx.extent_of(self.order, 1)?, cx.b.scalar(0f32));
        let numbers = cx.numbered(self.order, 1)?;
        let strength = cx.b.sub(all, numbers)?;
        let strength = cx.b.cast(strength, DType::F32)?;
        let is_bound = cx.b.unary(Unary::LogicalNot, is_free)?;
        let competes = cx.b.binary(Binary::LogicalAnd, is_bound, self.is_above)?;
        let strength = cx.b.select(competes, strength, zero)?;
        let unpack = Op::Unpack { axis: 0, parts: self.classes };
        let strengths = cx.b.emit(unpack.clone(), &[Some(strength)])?;
        let boxes = cx.b.emit(unpack, &[Some(self.boxes)])?;
        let (mut places, mut counts) = (Vec::new(), Vec::new());
        for (&boxes, &strength) in boxes.iter().zip(&strengths) {
            let results = cx.b.emit(Op::NonMaxSuppression, &[boxes, strength, room, overlap, zero].map(Some))?;
            places.push(Some(results[0]));
            counts.push(Some(results[1]));
        }
        let places = cx.b.emit(Op::Pack { axis: 0 }, &places)?[0];
        let counts = cx.b.emit(Op::Pack { axis: 0 }, &counts)?[0];
        let counts = cx.b.reshape(counts, &[-1, 1])?;
        let entries = cx.numbered(places, 1)?;
        let counts_for = cx.b.compare(Compare::Less, entries, counts)?;
        // What does not count goes to a place behind the last box.
        let places = cx.b.select(counts_for, places, all)?;
        self.marked(cx, places, all)
    }

    /// `BOOL [c, n]`, true at `places [c, m]`, of which those that are `all` are dropped.
    fn marked(&self, cx: &mut Cx<'_>, places: ValueId, all: ValueId) -> Result<ValueId, Refusal> {
        let one = cx.b.scalar(1i32);
        let width = cx.b.add(all, one)?;
        let rows = cx.numbered(places, 0)?;
        let starts = cx.b.mul(rows, width)?;
        let flat = cx.b.add(places, starts)?;
        let flat = cx.b.reshape(flat, &[-1, 1])?;
        let count = cx.extent_vector(flat, 0)?;
        let ones = cx.b.one(Op::Fill, &[count, one])?;
        let classes = cx.b.scalar_of(DType::I32, self.classes as f64)?;
        let size = cx.b.mul(classes, width)?;
        let size = cx.b.reshape(size, &[1])?;
        let marks = cx.b.one(Op::ScatterNd, &[flat, ones, size])?;
        let marks = cx.b.reshape(marks, &[self.classes as i64, -1])?;
        let begin = cx.b.ints(&[0, 0])?;
        let classes = cx.b.ints(&[self.classes])?;
        let all = cx.b.reshape(all, &[1])?;
        let size = cx.b.concat(&[classes, all], 0)?;
        let marks = cx.b.one(Op::Slice, &[marks, begin, size])?;
        let zero = cx.b.scalar(0i32);
        Ok(cx.b.compare(Compare::Greater, marks, zero)?)
    }

    /// `INT64 [m, 3]`: batch, class and box of all that is kept.
    fn listed(&self, cx: &mut Cx<'_>, kept: ValueId, [batches, classes]: [usize; 2]) -> Result<ValueId, Refusal> {
        let found = cx.b.one(Op::Where, &[kept])?;
        let boxes = cx.b.one(Op::GatherNd, &[self.order, found])?;
        let boxes = cx.b.cast(boxes, DType::I64)?;
        let boxes = cx.b.reshape(boxes, &[-1, 1])?;
        let pairs = (0..batches as i64).flat_map(|b| (0..classes as i64).flat_map(move |c| [b, c]));
        let pairs = cx.b.constant(Tensor::from_vec(&[self.classes, 2], pairs.collect()));
        let first = cx.b.slice(found, &[0, 0], &[-1, 1])?;
        let first = cx.b.reshape(first, &[-1])?;
        let pairs = cx.b.gather(pairs, first, 0)?;
        Ok(cx.b.concat(&[pairs, boxes], 1)?)
    }
}

/// Of what is true in each row, as many as `limit` says.
fn first_ones(cx: &mut Cx<'_>, rows: ValueId, limit: ValueId) -> Result<ValueId, Refusal> {
    let limit = cx.narrowed(limit)?;
    let limit = cx.b.reshape(limit, &[])?;
    let (axis, ones) = (cx.b.scalar(1i32), cx.as_i32(rows)?);
    let before = cx.b.one(Op::Cumsum { exclusive: true, reverse: false }, &[ones, axis])?;
    let is_within = cx.b.compare(Compare::Less, before, limit)?;
    Ok(cx.b.binary(Binary::LogicalAnd, rows, is_within)?)
}

/// Numbers below are treated as zero by some processors, and no overlap comes close.
const LEAST_OVERLAP: f32 = f32::MIN_POSITIVE;

/// The kernel suppresses from the threshold on, ONNX above it: the number after it, at least [`LEAST_OVERLAP`].
fn next_larger(cx: &mut Cx<'_>, threshold: ValueId) -> Result<ValueId, Refusal> {
    let (least, one) = (cx.b.scalar(LEAST_OVERLAP), cx.b.scalar(1i32));
    if let Some(threshold) = cx.constant(threshold).and_then(|t| t.to_f32s().ok()?.first().copied()) {
        return Ok(cx.b.scalar(threshold.next_up().max(LEAST_OVERLAP)));
    }
    // Bits of positive numbers count up with them.
    let threshold = cx.b.binary(Binary::Maximum, least, threshold)?;
    let bits = cx.b.one(Op::Bitcast { to: DType::I32 }, &[threshold])?;
    let next = cx.b.add(bits, one)?;
    Ok(cx.b.one(Op::Bitcast { to: DType::F32 }, &[next])?)
}

/// Boxes by two opposite corners.
fn corners(cx: &mut Cx<'_>, boxes: ValueId) -> Result<ValueId, Refusal> {
    if !cx.flag_or("center_point_box", false)? {
        return Ok(boxes);
    }
    let centers = cx.slice_axis(boxes, 2, 0, 2)?;
    let sizes = cx.slice_axis(boxes, 2, 2, 2)?;
    let half = cx.b.scalar(0.5f32);
    let half = cx.b.mul(sizes, half)?;
    let corners = [cx.b.sub(centers, half)?, cx.b.add(centers, half)?];
    Ok(cx.b.concat(&corners, 2)?)
}

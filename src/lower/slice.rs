//! ONNX `Slice`.

use super::by_axis::ByAxis;
use super::known::Number;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, SliceMasks, ValueId};

/// How one axis is sliced.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    Whole,
    /// `len` elements from `begin`, `step` apart.
    Elements {
        begin: i64,
        len: i64,
        step: i64,
    },
    /// From entry `entry` of `starts` to that of `ends`, either of which may be known, clamped to an extent that is not.
    Open {
        start: Option<i64>,
        end: Option<i64>,
        entry: usize,
        step: i64,
    },
}

/// Lowers ONNX `Slice` to `SLICE` or `STRIDED_SLICE`.
///
/// # Accepts
/// Attributes (before opset 10) or operands; negative and out-of-range bounds, negative steps; any operand fed at run time.
/// # Produces
/// `SLICE` for constant bounds and steps of 1, else `STRIDED_SLICE`. Nothing where everything is kept.
/// # Refuses
/// Bounds of unknown number.
pub(super) fn slice(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let mut known_or_absent = |i: usize| cx.optional(i).is_none_or(|id| cx.known_ints(id).is_some());
    if !(known_or_absent(3) && known_or_absent(4)) {
        return along_run_time_axes(cx, x);
    }
    let (starts, ends, axes, steps) = bounds(cx)?;
    let misfit = || Refusal::new("starts, ends, axes and steps differ in length", "check the model with onnx.checker");
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(misfit());
    }
    let extents = cx.extents(x);
    let mut cuts = vec![Cut::Whole; extents.len()];
    for entry in 0..starts.len() {
        let axis = cx.axis(axes[entry], x)?;
        cuts[axis] = cut(extents[axis], entry, starts[entry], ends[entry], steps[entry])?;
    }
    let in_one_run = |cut: &Cut| matches!(cut, Cut::Whole | Cut::Elements { step: 1, .. });
    if cuts.iter().all(|cut| *cut == Cut::Whole) {
        return Ok(vec![x]);
    }
    if cuts.iter().all(in_one_run) {
        let span = |(cut, extent): (&Cut, &Number)| match cut {
            Cut::Elements { begin, len, .. } => (*begin, *len),
            _ => (0, extent.known().unwrap_or(-1)),
        };
        let (begin, size): (Vec<i64>, Vec<i64>) = cuts.iter().zip(&extents).map(span).unzip();
        return Ok(vec![cx.b.slice(x, &begin, &size)?]);
    }
    strided(cx, x, &cuts)
}

type Bounds = (Vec<Number>, Vec<Number>, Vec<i64>, Vec<i64>);

/// `starts`, `ends`, `axes`, `steps`, one entry for each sliced axis.
fn bounds(cx: &mut Cx<'_>) -> Result<Bounds, Refusal> {
    let missing = |name: &str| Refusal::new("is missing", "check the model with onnx.checker").about(name);
    let (starts, ends, axes, steps) = if cx.opset() < 10 {
        let numbers = |v: &[i64]| v.iter().copied().map(Number::Known).collect::<Vec<_>>();
        let starts = cx.ints("starts")?.ok_or_else(|| missing("attribute starts"))?;
        let ends = cx.ints("ends")?.ok_or_else(|| missing("attribute ends"))?;
        (numbers(starts), numbers(ends), cx.ints("axes")?.map(<[i64]>::to_vec), None)
    } else {
        let mut numbers = |i: usize, name: &str| {
            let id = cx.input(i)?;
            let rank_unknown = "how many axes are sliced is not known";
            cx.numbers(id).ok_or_else(|| Refusal::new(rank_unknown, "pin the model's dynamic inputs").about(name))
        };
        let (starts, ends) = (numbers(1, "operand starts")?, numbers(2, "operand ends")?);
        (starts, ends, cx.known_operand(3, "axes")?, cx.known_operand(4, "steps")?)
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    Ok((starts, ends, axes, steps))
}

/// Bounds as ONNX reads them: negative ones count from the end, then both are clamped.
fn cut(extent: Number, entry: usize, start: Number, end: Number, step: i64) -> Result<Cut, Refusal> {
    if step == 0 {
        return Err(Refusal::new("is 0", "check the model with onnx.checker").about("operand steps"));
    }
    let reaches_end = |end: Number| end == extent || end.known().is_some_and(|e| e >= i64::from(i32::MAX));
    if step == 1 && start == Number::Known(0) && reaches_end(end) {
        return Ok(Cut::Whole);
    }
    // Counting down, the largest numbers also mean "as far as there is something" to ONNX Runtime.
    let is_largest = |e: i64| e == i64::MAX || e == i64::from(i32::MAX);
    let end = end.known().map(|e| if step < 0 && is_largest(e) { i64::MIN } else { e });
    let start = start.known();
    let (Some(dim), Some(first), Some(last)) = (extent.known(), start, end) else {
        return Ok(Cut::Open { start, end, entry, step });
    };
    let from_end = |i: i64| if i < 0 { i.saturating_add(dim) } else { i };
    // Counting down, the first element may be as low as 0, and the bound that is not reached as low as -1.
    let (begin, end) = match step > 0 {
        true => (from_end(first).clamp(0, dim), from_end(last).clamp(0, dim)),
        false => (from_end(first).clamp(0, (dim - 1).max(0)), from_end(last).clamp(-1, (dim - 1).max(-1))),
    };
    let distance = if step > 0 { end - begin } else { begin - end };
    let len = if distance <= 0 || dim == 0 { 0 } else { (distance - 1) / step.saturating_abs() + 1 };
    Ok(match len {
        0 => Cut::Elements { begin: 0, len: 0, step: 1 },
        1 => Cut::Elements { begin, len: 1, step: 1 },
        _ if step == 1 && len == dim => Cut::Whole,
        _ => Cut::Elements { begin, len, step },
    })
}

/// `STRIDED_SLICE` reads negative bounds and clamps as ONNX does; what it can't be told in a number, its masks say.
fn strided(cx: &mut Cx<'_>, x: ValueId, cuts: &[Cut]) -> Results {
    let mut masks = SliceMasks::default();
    let (mut begins, mut ends) = (Vec::new(), Vec::new());
    let mut steps = Vec::new();
    let mut entries = Vec::new();
    for (axis, cut) in cuts.iter().enumerate() {
        let (begin, end, step) = match *cut {
            Cut::Whole => (Some(i64::MIN), Some(i64::MAX), 1),
            Cut::Elements { begin, len, step } => {
                let last = begin + len * step;
                (Some(begin), Some(if last < 0 { i64::MIN } else { last }), step)
            }
            Cut::Open { start, end, step, .. } => (start, end, step),
        };
        // From before the first element, or past the last one: as far as there is something.
        let open = |bound: Option<i64>, low: bool| {
            let past = if low { i64::from(i32::MIN) } else { i64::from(i32::MAX) };
            bound.is_some_and(|b| if low { b <= past } else { b >= past })
        };
        let bit = |set: bool| if set && axis < 32 { 1 << axis } else { 0 };
        masks.begin |= bit(open(begin, step > 0));
        masks.end |= bit(open(end, step < 0));
        let narrow = |b: i64| b.clamp(i32::MIN.into(), i32::MAX.into());
        begins.push(begin.map(narrow));
        ends.push(end.map(narrow));
        steps.push(narrow(step));
        entries.push(if let Cut::Open { entry, .. } = cut { *entry } else { 0 });
    }
    // Counting down from before the first element, ONNX begins at the first one, and `STRIDED_SLICE` finds nothing.
    let may_be_before =
        |axis: usize| matches!(cuts[axis], Cut::Open { start, step, .. } if step < 0 && start.is_none_or(|s| s < -1));
    let corrected: Vec<usize> = (0..cuts.len()).filter(|&axis| may_be_before(axis)).collect();
    for &axis in &corrected {
        begins[axis] = None;
    }
    let begin = bound_vector(cx, x, 1, &begins, &entries, &corrected)?;
    let end = bound_vector(cx, x, 2, &ends, &entries, &[])?;
    let steps = cx.b.ints(&steps)?;
    Ok(vec![cx.b.one(Op::StridedSlice(masks), &[x, begin, end, steps])?])
}

/// The bounds of all axes; those that are not known are taken from operand `i`, and on some axes made 0 where they are lower.
fn bound_vector(
    cx: &mut Cx<'_>,
    x: ValueId,
    i: usize,
    known: &[Option<i64>],
    entries: &[usize],
    corrected: &[usize],
) -> Result<ValueId, Refusal> {
    if known.iter().all(Option::is_some) {
        return cx.vector_of(known, |cx, _| cx.input(i));
    }
    let operand = cx.input(i)?;
    let operand = cx.narrowed(operand)?;
    cx.vector_of(known, |cx, axis| {
        let bound = cx.b.slice(operand, &[entries[axis] as i64], &[1])?;
        if !corrected.contains(&axis) {
            return Ok(bound);
        }
        let extent = cx.extent_vector(x, axis)?;
        from_first(cx, bound, extent)
    })
}

/// `begin` as an index from the start, and no lower than 0.
fn from_first(cx: &mut Cx<'_>, begin: ValueId, extent: ValueId) -> Result<ValueId, Refusal> {
    let zero = cx.b.scalar(0i32);
    let from_end = cx.b.add(begin, extent)?;
    let from_end = cx.b.binary(Binary::Maximum, from_end, zero)?;
    let counts_from_end = cx.b.compare(Compare::Less, begin, zero)?;
    Ok(cx.b.select(counts_from_end, from_end, begin)?)
}

/// Slices where which axes are sliced, or in what steps, is only known at run time.
fn along_run_time_axes(cx: &mut Cx<'_>, x: ValueId) -> Results {
    let (starts, ends) = (cx.input(1)?, cx.input(2)?);
    let count = cx.entries(starts, "starts")?;
    let axes = match cx.optional(3) {
        Some(axes) => axes,
        None => cx.b.ints(&(0..count).collect::<Vec<_>>())?,
    };
    let by_axis = ByAxis::new(cx, axes, cx.rank(x))?;
    let begin = by_axis.spread(cx, starts, 0)?;
    let end = by_axis.spread(cx, ends, i32::MAX)?;
    let ones = cx.b.ints(&vec![1; cx.rank(x)])?;
    let steps = match cx.optional(4) {
        Some(steps) => by_axis.spread(cx, steps, 1)?,
        None => ones,
    };
    let shape = cx.shape_of(x)?;
    let counted = from_first(cx, begin, shape)?;
    let counts_down = cx.b.compare(Compare::Less, steps, ones)?;
    let begin = cx.b.select(counts_down, counted, begin)?;
    Ok(vec![cx.b.one(Op::StridedSlice(SliceMasks::default()), &[x, begin, end, steps])?])
}

impl Cx<'_> {
    /// `len` elements of `x` along `axis`, from `begin`.
    pub fn slice_axis(&mut self, x: ValueId, axis: usize, begin: usize, len: usize) -> Result<ValueId, Refusal> {
        let mut begins = vec![0; self.rank(x)];
        let mut sizes: Vec<i64> = self.shape(x).dims().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
        (begins[axis], sizes[axis]) = (begin as i64, len as i64);
        Ok(self.b.slice(x, &begins, &sizes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(dim: i64, start: i64, end: i64, step: i64) -> Vec<i64> {
        let cut = cut(Number::Known(dim), 0, Number::Known(start), Number::Known(end), step).unwrap();
        match cut {
            Cut::Whole => (0..dim).collect(),
            Cut::Elements { begin, len, step } => (0..len).map(|i| begin + i * step).collect(),
            Cut::Open { .. } => panic!("all is known"),
        }
    }

    #[test]
    fn bounds_are_read_as_onnx_reads_them() {
        assert_eq!(elements(6, 1, -1, 2), [1, 3]);
        assert_eq!(elements(6, -1, i64::MIN, -1), [5, 4, 3, 2, 1, 0]);
        assert_eq!(elements(6, i64::MAX, i64::MIN + 1, -4), [5, 1]);
        assert_eq!(elements(6, -1, -7, -1), [5, 4, 3, 2, 1, 0]);
        assert_eq!(elements(6, -100, i64::MAX, 1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(elements(6, 4, 2, 1), [0i64; 0]);
        assert_eq!(elements(6, 0, 6, i64::MAX), [0]);
        assert_eq!(elements(6, 5, 0, i64::MIN), [5]);
        assert_eq!(elements(6, -100, -100, -1), [0]);
        assert_eq!(elements(0, -1, i64::MIN, -1), [0i64; 0]);
    }
}

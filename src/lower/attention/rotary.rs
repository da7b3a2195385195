//! Rotary embeddings: pairs of elements turned by angles that hang on the position.

use crate::graph::{Op, Unary, ValueId};
use crate::lower::conv::require_float32;
use crate::lower::reshape::Part;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::Tensor;

use super::heads::unpack_heads;

/// Which two elements are a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lower) enum Pairs {
    /// One from either half.
    Halves,
    /// Neighbours.
    Neighbours,
}

/// Cosines and sines with an entry for every element that is turned: with both of a pair, and the sign of the sine with its place in it.
#[derive(Debug, Clone, Copy)]
pub(in crate::lower) struct Angles {
    cos: ValueId,
    sin: ValueId,
}

impl Angles {
    /// From tables with an entry for each pair on the last axis. Constant tables are laid out anew at once.
    pub fn new(cx: &mut Cx<'_>, cos: ValueId, sin: ValueId, pairs: Pairs) -> Result<Angles, Refusal> {
        let negative = cx.b.unary(Unary::Neg, sin)?;
        Ok(Angles { cos: in_pairs(cx, cos, cos, pairs)?, sin: in_pairs(cx, negative, sin, pairs)? })
    }

    /// The rows at `positions`.
    pub fn at(self, cx: &mut Cx<'_>, positions: ValueId) -> Result<Angles, Refusal> {
        let positions = cx.narrowed(positions)?;
        Ok(Angles { cos: cx.b.gather(self.cos, positions, 0)?, sin: cx.b.gather(self.sin, positions, 0)? })
    }

    /// A new axis of 1, for what has one more.
    pub fn with_axis(self, cx: &mut Cx<'_>, axis: usize) -> Result<Angles, Refusal> {
        Ok(Angles { cos: insert_axis(cx, self.cos, axis)?, sin: insert_axis(cx, self.sin, axis)? })
    }

    /// `x` with the first elements of its last axis turned, as many as there are angles for.
    pub fn turn(self, cx: &mut Cx<'_>, x: ValueId, pairs: Pairs) -> Result<ValueId, Refusal> {
        let last = cx.rank(x) - 1;
        let unknown =
            || Refusal::new("the size of a head must be known", "pin the model's dynamic inputs with --shape NAME=..");
        let size = cx.dim(x, last).ok_or_else(unknown)?;
        let turned = cx.dim(self.cos, cx.rank(self.cos) - 1).ok_or_else(unknown)?;
        if turned > size {
            return Err(Refusal::new(format!("{turned} of {size} elements are turned"), "check the tables' extents"));
        }
        let head = if turned == size { x } else { cx.slice_axis(x, last, 0, turned)? };
        let crossed = crossed(cx, head, pairs)?;
        let (a, b) = (cx.b.mul(head, self.cos)?, cx.b.mul(crossed, self.sin)?);
        let y = cx.b.add(a, b)?;
        if turned == size {
            return Ok(y);
        }
        let rest = cx.slice_axis(x, last, turned, size - turned)?;
        Ok(cx.b.concat(&[y, rest], last)?)
    }
}

/// Entries for the first and the second of each pair, as the pairs lie.
fn in_pairs(cx: &mut Cx<'_>, first: ValueId, second: ValueId, pairs: Pairs) -> Result<ValueId, Refusal> {
    let rank = cx.rank(first);
    let Some(last) = rank.checked_sub(1) else { return Err(Refusal::new("a table of cosines has no axes", "")) };
    if pairs == Pairs::Halves {
        return Ok(cx.b.concat(&[first, second], last)?);
    }
    let (first, second) = (insert_axis(cx, first, rank)?, insert_axis(cx, second, rank)?);
    let both = cx.b.concat(&[first, second], rank)?;
    let mut parts: Vec<Part> = (0..last).map(|axis| Part::Axes(axis..axis + 1)).collect();
    parts.push(Part::Axes(last..rank + 1));
    cx.reshape_parts(both, &parts)
}

/// Each element's partner in its place.
fn crossed(cx: &mut Cx<'_>, x: ValueId, pairs: Pairs) -> Result<ValueId, Refusal> {
    let last = cx.rank(x) - 1;
    let size = cx.dim(x, last).unwrap_or(0);
    match pairs {
        Pairs::Halves => {
            let axis = cx.b.scalar(last as i32);
            let halves = cx.b.emit(Op::Split { parts: 2 }, &[Some(axis), Some(x)])?;
            Ok(cx.b.concat(&[halves[1], halves[0]], last)?)
        }
        Pairs::Neighbours => {
            let partners: Vec<i32> = (0..size as i32).map(|i| i ^ 1).collect();
            let partners = cx.b.constant(Tensor::vector(partners));
            Ok(cx.b.gather(x, partners, last)?)
        }
    }
}

/// Lowers ONNX `RotaryEmbedding` to `SPLIT → CONCATENATION`, `MUL`, `MUL`, `ADD`.
///
/// # Accepts
/// float32; heads packed in the last axis or on an axis of their own; `interleaved`, `rotary_embedding_dim`; with `position_ids` or without.
/// # Produces
/// `GATHER?` of both tables at the positions, `SPLIT → CONCATENATION` (`GATHER` where pairs are neighbours), `MUL`, `MUL`, `ADD`, with
/// `SLICE` and `CONCATENATION` where only a part is turned.
/// # Refuses
/// Packed heads without `num_heads`; a size of a head that is not known.
pub(in crate::lower) fn rotary_embedding(cx: &mut Cx<'_>) -> Results {
    let (x, cos, sin) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    require_float32(cx, x)?;
    let pairs = if cx.flag_or("interleaved", false)? { Pairs::Neighbours } else { Pairs::Halves };
    // The tables tell how much is turned.
    cx.ignore(&["rotary_embedding_dim"]);
    let heads = cx.heads_or_none("num_heads")?;
    let angles = Angles::new(cx, cos, sin, pairs)?;
    let angles = match cx.optional(3) {
        Some(positions) => angles.at(cx, positions)?,
        None => angles,
    };
    Ok(vec![turn_heads(cx, x, angles, pairs, heads)?])
}

impl Cx<'_> {
    /// As [`Cx::heads`], where 0 also stands for "not said".
    pub(in crate::lower) fn heads_or_none(&self, name: &str) -> Result<Option<usize>, Refusal> {
        if self.int(name)? == Some(0) { Ok(None) } else { self.heads(name) }
    }
}

/// Turns `[batch, heads, sequence, size]` or `[batch, sequence, heads * size]` by angles `[batch, sequence, ..]`.
pub(in crate::lower) fn turn_heads(
    cx: &mut Cx<'_>,
    x: ValueId,
    angles: Angles,
    pairs: Pairs,
    heads: Option<usize>,
) -> Result<ValueId, Refusal> {
    match (cx.rank(x), heads) {
        (4, _) => {
            let angles = angles.with_axis(cx, 1)?;
            angles.turn(cx, x, pairs)
        }
        (3, Some(heads)) => {
            let apart = unpack_heads(cx, x, heads)?;
            let angles = angles.with_axis(cx, 2)?;
            let y = angles.turn(cx, apart, pairs)?;
            cx.reshape_parts(y, &[Part::Axes(0..1), Part::Axes(1..2), Part::Axes(2..4)])
        }
        (3, None) => Err(Refusal::new("is missing for packed heads", "give it").about("attribute num_heads")),
        _ => Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "use three or four axes")),
    }
}

//! Which part of a value's range its users can tell apart; only that part needs a scale.
//!
//! Walks from the outputs back to the inputs. What operators see of their operands is said by [`sees`]; here it is only put
//! together.

use super::observe::Statistics;
use super::range::Range;
use super::spec::{Sees, sees};
use crate::graph::{Graph, Node, ValueId};
use crate::tensor::DType;

/// Ranges of a graph's values: what was seen, cut to what matters.
pub(super) struct Relevant<'a> {
    graph: &'a Graph,
    statistics: &'a Statistics,
    /// What matters to the users of each value taken together, given what calibration saw of their results.
    matters: Vec<Option<Range>>,
    /// What would matter whatever calibration had seen. Constants are cut to this alone: a row of a table that no sample looked up
    /// is a row all the same.
    always: Vec<Option<Range>>,
}

/// Elements of a row that lie this far below the maximum get less than 1.2e-7 of its softmax: nothing, in `float32`.
const SOFTMAX_REACH: f32 = 16.0;

impl<'a> Relevant<'a> {
    pub(super) fn new(graph: &'a Graph, statistics: &'a Statistics) -> Relevant<'a> {
        let nothing = || vec![None; graph.values.len()];
        let mut relevant = Relevant { graph, statistics, matters: nothing(), always: nothing() };
        for &output in &graph.outputs {
            relevant.matters[output.0 as usize] = Some(Range::EVERYTHING);
            relevant.always[output.0 as usize] = Some(Range::EVERYTHING);
        }
        for node in graph.nodes.iter().rev() {
            for (i, input) in node.inputs.iter().enumerate() {
                let Some(id) = *input else { continue };
                let (through, always) = (relevant.through(node, i), relevant.always_through(node, i));
                widen(&mut relevant.matters[id.0 as usize], through);
                widen(&mut relevant.always[id.0 as usize], always);
            }
        }
        relevant
    }

    /// What the users of a value can tell apart, whatever its range is.
    pub(super) fn always(&self, id: ValueId) -> Range {
        self.always[id.0 as usize].unwrap_or(Range::EVERYTHING)
    }

    /// Range of a value computed at run time; `None` where it never was a finite number.
    pub(super) fn range(&self, id: ValueId) -> Option<Range> {
        let matters = self.matters[id.0 as usize].unwrap_or(Range::EVERYTHING);
        Some(self.seen(id)?.clamped_to(matters))
    }

    /// Range that operand `i` of `node` needs, be it constant or computed.
    pub(super) fn operand(&self, node: &Node, i: usize) -> Option<Range> {
        let id = node.input(i)?;
        match self.graph.constant(id) {
            // Stand-ins for infinity count as far as they matter, and not at all where all of them would.
            Some(data) => {
                let limits = self.always_through(node, i);
                let limited = data.to_f32s().ok()?.into_iter().map(|x| x.max(limits.min).min(limits.max));
                Range::of_moderate(&limited.collect::<Vec<_>>())
            }
            None => Some(self.range(id)?.clamped_to(self.through(node, i))),
        }
    }

    /// Values of which less than a tenth of the range seen is kept: which, what was seen, what is kept.
    pub(super) fn cut(&self) -> impl Iterator<Item = (ValueId, Range, Range)> {
        let ids = (0..self.graph.values.len()).map(|i| ValueId(i as u32));
        ids.filter_map(|id| {
            let (seen, kept) = (self.seen(id)?.with_zero(), self.range(id)?.with_zero());
            let width = |r: Range| f64::from(r.max) - f64::from(r.min);
            (width(kept) < width(seen) / 10.0).then_some((id, seen, kept))
        })
    }

    /// What `node` can tell apart about its operand `i`, its results being what was seen.
    pub(super) fn through(&self, node: &Node, i: usize) -> Range {
        self.limits(node, i, |id| self.range(id)).unwrap_or(Range::EVERYTHING)
    }

    /// What `node` can tell apart about its operand `i`, whatever its results are.
    fn always_through(&self, node: &Node, i: usize) -> Range {
        self.limits(node, i, |id| Some(self.always(id))).unwrap_or(Range::EVERYTHING)
    }

    /// `needed` says what must be told apart of a result.
    fn limits(&self, node: &Node, i: usize, needed: impl Fn(ValueId) -> Option<Range>) -> Option<Range> {
        let result = || needed(*node.outputs.first()?);
        match sees(&node.op, i) {
            Sees::Everything => None,
            Sees::AsResult => {
                let results = node.outputs.iter().filter(|id| self.graph.dtype(**id) == DType::F32);
                let ranges: Option<Vec<Range>> = results.map(|&id| needed(id)).collect();
                ranges?.into_iter().reduce(Range::hull)
            }
            Sees::Within(min, max) => Some(Range { min, max }),
            Sees::Logits => {
                let lowest = self.statistics.get(node.input(i)?)?.lowest_row_maximum?;
                Some(Range { min: lowest - SOFTMAX_REACH, max: f32::INFINITY })
            }
            Sees::AddedTo(other) => {
                let (r, y) = (result()?, self.whole(node.input(other)?)?);
                Some(Range { min: r.min - y.max, max: r.max - y.min })
            }
            Sees::LessenedBy(other) => {
                let (r, y) = (result()?, self.whole(node.input(other)?)?);
                Some(Range { min: r.min + y.min, max: r.max + y.max })
            }
            Sees::TakenFrom(other) => {
                let (r, x) = (result()?, self.whole(node.input(other)?)?);
                Some(Range { min: x.min - r.max, max: x.max - r.min })
            }
        }
    }

    fn seen(&self, id: ValueId) -> Option<Range> {
        self.statistics.get(id)?.range
    }

    /// All that a value is, infinities left out.
    fn whole(&self, id: ValueId) -> Option<Range> {
        match self.graph.constant(id) {
            Some(data) => Range::of(&data.to_f32s().ok()?),
            None => self.seen(id),
        }
    }
}

fn widen(range: &mut Option<Range>, by: Range) {
    *range = Some(range.map_or(by, |range| range.hull(by)));
}

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
    /// What matters to the users of each value taken together; `None` where nobody uses it.
    matters: Vec<Option<Range>>,
}

/// Elements of a row that lie this far below the maximum get less than 1.2e-7 of its softmax: nothing, in `float32`.
const SOFTMAX_REACH: f32 = 16.0;

impl<'a> Relevant<'a> {
    pub(super) fn new(graph: &'a Graph, statistics: &'a Statistics) -> Relevant<'a> {
        let matters = vec![None; graph.values.len()];
        let mut relevant = Relevant { graph, statistics, matters };
        for &output in &graph.outputs {
            relevant.matters[output.0 as usize] = Some(Range::EVERYTHING);
        }
        for node in graph.nodes.iter().rev() {
            for (i, input) in node.inputs.iter().enumerate() {
                let Some(id) = *input else { continue };
                let through = relevant.through(node, i);
                let matters = &mut relevant.matters[id.0 as usize];
                *matters = Some(matters.map_or(through, |m| m.hull(through)));
            }
        }
        relevant
    }

    /// Range of a value computed at run time; `None` where it never was a finite number.
    pub(super) fn range(&self, id: ValueId) -> Option<Range> {
        let matters = self.matters[id.0 as usize].unwrap_or(Range::EVERYTHING);
        Some(self.seen(id)?.clamped_to(matters))
    }

    /// Range that operand `i` of `node` needs, be it constant or computed.
    pub(super) fn operand(&self, node: &Node, i: usize) -> Option<Range> {
        let id = node.input(i)?;
        let through = self.through(node, i);
        match self.graph.constant(id) {
            // Stand-ins for infinity count as far as they matter, and not at all where all of them would.
            Some(data) => {
                let limited = data.to_f32s().ok()?.into_iter().map(|x| x.max(through.min).min(through.max));
                Range::of_moderate(&limited.collect::<Vec<_>>())
            }
            None => Some(self.range(id)?.clamped_to(through)),
        }
    }

    /// Values that lost more than half of the range seen: name, what was seen, what is kept.
    pub(super) fn cut(&self) -> impl Iterator<Item = (ValueId, Range, Range)> {
        let ids = (0..self.graph.values.len()).map(|i| ValueId(i as u32));
        ids.filter_map(|id| {
            let (seen, kept) = (self.seen(id)?.with_zero(), self.range(id)?.with_zero());
            let width = |r: Range| f64::from(r.max) - f64::from(r.min);
            (width(kept) < width(seen) / 2.0).then_some((id, seen, kept))
        })
    }

    fn seen(&self, id: ValueId) -> Option<Range> {
        self.statistics.get(id)?.range
    }

    /// What `node` can tell apart about its operand `i`.
    pub(super) fn through(&self, node: &Node, i: usize) -> Range {
        self.limits(node, i).unwrap_or(Range::EVERYTHING)
    }

    fn limits(&self, node: &Node, i: usize) -> Option<Range> {
        let result = || self.range(*node.outputs.first()?);
        match sees(&node.op, i) {
            Sees::Everything => None,
            Sees::AsResult => {
                let results = node.outputs.iter().filter(|id| self.graph.dtype(**id) == DType::F32);
                let ranges: Option<Vec<Range>> = results.map(|&id| self.range(id)).collect();
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

    /// All that a value is, infinities left out.
    fn whole(&self, id: ValueId) -> Option<Range> {
        match self.graph.constant(id) {
            Some(data) => Range::of(&data.to_f32s().ok()?),
            None => self.seen(id),
        }
    }
}

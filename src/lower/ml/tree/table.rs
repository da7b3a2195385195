use super::Aggregate;
use super::read::{Ensemble, Mode, Node};
use crate::lower::{Refusal, countable};
use crate::tensor::Tensor;

/// Every level takes operators of its own.
const MOST_LEVELS: usize = 1 << 10;

/// All nodes of all trees, roots first. The children of a node lie side by side, the one for a comparison that fails first.
pub(super) struct Table<'a> {
    pub trees: usize,
    pub depth: usize,
    pub feature: Vec<i32>,
    /// What a feature is compared with, by `<=`. A leaf has NaN, which no comparison holds for.
    pub threshold: Vec<f32>,
    /// The first child; of a leaf, the leaf.
    pub child: Vec<i32>,
    /// Nodes that compare by `==`.
    pub equal: Vec<bool>,
    /// Nodes at which NaN goes to the second child.
    pub nan_goes_up: Vec<bool>,
    members: Vec<&'a [f32]>,
    weights: Vec<&'a [(usize, f32)]>,
}

impl<'a> Table<'a> {
    pub fn of(ensemble: &'a Ensemble) -> Result<Table<'a>, Refusal> {
        let mut table = Table {
            trees: ensemble.roots.len(),
            depth: 0,
            feature: Vec::new(),
            threshold: Vec::new(),
            child: Vec::new(),
            equal: Vec::new(),
            nan_goes_up: Vec::new(),
            members: Vec::new(),
            weights: Vec::new(),
        };
        let mut level = ensemble.roots.clone();
        let mut slots = level.len();
        while !level.is_empty() {
            countable(&[slots])?;
            if table.depth > MOST_LEVELS {
                let what =
                    format!("there are more than {MOST_LEVELS} levels of nodes, or a node leads back to one before it");
                return Err(
                    Refusal::new(what, "check the model with onnx.checker").about("attribute nodes_truenodeids")
                );
            }
            let mut next = Vec::new();
            for &at in &level {
                let node = ensemble.nodes.get(at).ok_or_else(|| super::does_not_fit("nodes_truenodeids"))?;
                let children = table.add(node, slots + next.len());
                next.extend(children.into_iter().flatten());
            }
            table.depth += usize::from(!next.is_empty());
            slots += next.len();
            level = next;
        }
        Ok(table)
    }

    /// Adds a node, whose children will be at `child` and after it; gives those, the first one first.
    fn add(&mut self, node: &'a Node, child: usize) -> Option<[usize; 2]> {
        let own = self.child.len() as i32;
        match node {
            Node::Leaf { weights } => {
                self.push(0, f32::NAN, own, false, false);
                self.weights.push(weights);
                self.members.push(&[]);
                None
            }
            Node::Branch { feature, mode, threshold, members, missing_is_true, on_true, on_false } => {
                // x < t is x <= the number before t; x > t is the opposite of x <= t.
                let (threshold, equal, swapped) = match mode {
                    Mode::Leq => (*threshold, false, false),
                    Mode::Lt => (threshold.next_down(), false, false),
                    Mode::Gt => (*threshold, false, true),
                    Mode::Gte => (threshold.next_down(), false, true),
                    Mode::Eq => (*threshold, true, false),
                    Mode::Neq => (*threshold, true, true),
                    Mode::Member => (f32::NAN, false, false),
                };
                // NaN is unequal to everything, and nothing else holds for it.
                let holds_for_nan = *mode == Mode::Neq || *missing_is_true;
                self.push(*feature, threshold, child as i32, equal, holds_for_nan != swapped);
                self.weights.push(&[]);
                self.members.push(members);
                Some(if swapped { [*on_true, *on_false] } else { [*on_false, *on_true] })
            }
        }
    }

    fn push(&mut self, feature: i32, threshold: f32, child: i32, equal: bool, nan_goes_up: bool) {
        self.feature.push(feature);
        self.threshold.push(threshold);
        self.child.push(child);
        self.equal.push(equal);
        self.nan_goes_up.push(nan_goes_up);
    }

    /// True where NaN does not go by itself where it should: no comparison holds for it, so it goes to the first child.
    pub fn corrects_nan(&self) -> bool {
        self.nan_goes_up.contains(&true)
    }

    /// The sets of the nodes that look for membership, filled with NaN to one length; `None` where there is none.
    pub fn members(&self) -> Option<Tensor> {
        let longest = self.members.iter().map(|set| set.len()).max().filter(|&n| n > 0)?;
        countable(&[self.members.len(), longest]).ok()?;
        let filled = |set: &&[f32]| {
            set.iter().copied().chain(std::iter::repeat_n(f32::NAN, longest - set.len())).collect::<Vec<_>>()
        };
        Some(Tensor::from_vec(&[self.members.len(), longest], self.members.iter().flat_map(filled).collect()))
    }

    /// What each node gives to each target, `[nodes, targets]`.
    pub fn leaves(&self, targets: usize, aggregate: Aggregate) -> Result<Tensor, Refusal> {
        let nothing = match aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f32::MAX,
            Aggregate::Max => f32::MIN,
        };
        let mut values = vec![nothing; countable(&[self.weights.len(), targets])?];
        for (row, weights) in self.weights.iter().enumerate() {
            for &(target, weight) in *weights {
                if target >= targets {
                    return Err(super::does_not_fit("n_targets"));
                }
                let value = &mut values[row * targets + target];
                *value = match aggregate {
                    Aggregate::Sum | Aggregate::Average => *value + weight,
                    Aggregate::Min => value.min(weight),
                    Aggregate::Max => value.max(weight),
                };
            }
        }
        Ok(Tensor::from_vec(&[self.weights.len(), targets], values))
    }
}

use std::collections::{BTreeMap, BTreeSet};

use super::does_not_fit;
use crate::lower::{Cx, Refusal};

/// When a row takes the true branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
    Member,
}

/// Nodes are named by their position in the ensemble.
pub(super) enum Node {
    Branch {
        feature: i32,
        mode: Mode,
        threshold: f32,
        members: Vec<f32>,
        missing_is_true: bool,
        on_true: usize,
        on_false: usize,
    },
    /// Target and weight.
    Leaf { weights: Vec<(usize, f32)> },
}

pub(super) struct Ensemble {
    pub nodes: Vec<Node>,
    pub roots: Vec<usize>,
}

impl Ensemble {
    fn leaves(&self) -> impl Iterator<Item = (usize, f32)> {
        self.nodes
            .iter()
            .flat_map(|node| if let Node::Leaf { weights } = node { weights.as_slice() } else { &[] })
            .copied()
    }

    /// Targets that leaves have something for.
    pub fn targets(&self) -> BTreeSet<usize> {
        self.leaves().map(|(target, _)| target).collect()
    }

    pub fn weights(&self) -> impl Iterator<Item = f32> {
        self.leaves().map(|(_, weight)| weight)
    }

    /// Makes everything count for one target.
    pub fn retarget(&mut self, target: usize) {
        for node in &mut self.nodes {
            if let Node::Leaf { weights } = node {
                weights.iter_mut().for_each(|w| w.0 = target);
            }
        }
    }
}

/// Floats that stand in one of two attributes, a list or a tensor.
pub(super) fn numbers(cx: &Cx<'_>, name: &str) -> Result<Option<Vec<f32>>, Refusal> {
    if let Some(list) = cx.floats(name)? {
        return Ok(Some(list.to_vec()));
    }
    let tensor = format!("{name}_as_tensor");
    tensor_numbers(cx, &tensor)
}

fn tensor_numbers(cx: &Cx<'_>, name: &str) -> Result<Option<Vec<f32>>, Refusal> {
    let Some(tensor) = cx.tensor(name)? else { return Ok(None) };
    let numbers = tensor.to_f64s().map_err(|e| Refusal::new(e.to_string(), "").about(format!("attribute {name}")))?;
    Ok(Some(numbers.into_iter().map(|x| x as f32).collect()))
}

/// An attribute of as many integers as there are nodes.
fn ids<'a>(cx: &Cx<'a>, name: &str, len: Option<usize>) -> Result<&'a [i64], Refusal> {
    let ids = cx.ints(name)?.unwrap_or_default();
    if len.is_some_and(|len| ids.len() != len) { Err(does_not_fit(name)) } else { Ok(ids) }
}

fn natural<T: TryFrom<i64>>(number: i64, name: &str) -> Result<T, Refusal> {
    T::try_from(number).ok().filter(|_| number >= 0).ok_or_else(|| does_not_fit(name))
}

/// The form in which nodes are named by tree and number (versions 1 and 3). `of`: whether leaves are for a `target` or a `class`.
pub(super) fn by_ids(cx: &Cx<'_>, of: &str) -> Result<Ensemble, Refusal> {
    cx.ignore(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
    let trees = ids(cx, "nodes_treeids", None)?;
    let len = Some(trees.len());
    let (numbers_, features) = (ids(cx, "nodes_nodeids", len)?, ids(cx, "nodes_featureids", len)?);
    let (on_true, on_false) = (ids(cx, "nodes_truenodeids", len)?, ids(cx, "nodes_falsenodeids", len)?);
    let modes =
        cx.strings("nodes_modes")?.filter(|m| m.len() == trees.len()).ok_or_else(|| does_not_fit("nodes_modes"))?;
    let values =
        numbers(cx, "nodes_values")?.filter(|v| v.len() == trees.len()).ok_or_else(|| does_not_fit("nodes_values"))?;
    let missing = cx.ints("nodes_missing_value_tracks_true")?.unwrap_or_default();

    let names: BTreeMap<(i64, i64), usize> =
        trees.iter().zip(numbers_).enumerate().map(|(i, (&t, &n))| ((t, n), i)).collect();
    let mut weights = leaf_weights(cx, of)?;
    let mut nodes = Vec::with_capacity(trees.len());
    let mut is_child = vec![false; trees.len()];
    for i in 0..trees.len() {
        let Some(mode) = mode(&modes[i])? else {
            nodes.push(Node::Leaf { weights: weights.remove(&(trees[i], numbers_[i])).unwrap_or_default() });
            continue;
        };
        let find = |child: i64| names.get(&(trees[i], child)).copied().ok_or_else(|| does_not_fit("nodes_truenodeids"));
        let (on_true, on_false) = (find(on_true[i])?, find(on_false[i])?);
        is_child[on_true] = true;
        is_child[on_false] = true;
        nodes.push(Node::Branch {
            feature: natural(features[i], "nodes_featureids")?,
            mode,
            threshold: values[i],
            members: Vec::new(),
            missing_is_true: missing.get(i).is_some_and(|&m| m != 0),
            on_true,
            on_false,
        });
    }
    let roots: Vec<usize> = (0..trees.len()).filter(|&i| !is_child[i]).collect();
    if roots.is_empty() {
        return Err(does_not_fit("nodes_treeids"));
    }
    Ok(Ensemble { nodes, roots })
}

/// `None` for a leaf.
fn mode(name: &str) -> Result<Option<Mode>, Refusal> {
    Ok(Some(match name {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Mode::Leq,
        "BRANCH_LT" => Mode::Lt,
        "BRANCH_GTE" => Mode::Gte,
        "BRANCH_GT" => Mode::Gt,
        "BRANCH_EQ" => Mode::Eq,
        "BRANCH_NEQ" => Mode::Neq,
        other => return Err(Refusal::new(format!("has {other:?}"), "").about("attribute nodes_modes")),
    }))
}

/// Targets and weights by tree and number.
type ByLeaf = BTreeMap<(i64, i64), Vec<(usize, f32)>>;

/// What leaves, by tree and number, have for each target.
fn leaf_weights(cx: &Cx<'_>, of: &str) -> Result<ByLeaf, Refusal> {
    let targets = ids(cx, &format!("{of}_ids"), None)?;
    let len = Some(targets.len());
    let (trees, nodes) = (ids(cx, &format!("{of}_treeids"), len)?, ids(cx, &format!("{of}_nodeids"), len)?);
    let name = format!("{of}_weights");
    let weights = numbers(cx, &name)?.filter(|w| w.len() == targets.len()).ok_or_else(|| does_not_fit(&name))?;
    let mut by_leaf = ByLeaf::new();
    for (i, &target) in targets.iter().enumerate() {
        by_leaf.entry((trees[i], nodes[i])).or_default().push((natural(target, &format!("{of}_ids"))?, weights[i]));
    }
    Ok(by_leaf)
}

/// The form in which nodes and leaves are named by their positions (version 5).
pub(super) fn by_positions(cx: &Cx<'_>) -> Result<Ensemble, Refusal> {
    cx.ignore(&["nodes_hitrates"]);
    let features = ids(cx, "nodes_featureids", None)?;
    let len = Some(features.len());
    let (on_true, on_false) = (ids(cx, "nodes_truenodeids", len)?, ids(cx, "nodes_falsenodeids", len)?);
    let (true_leafs, false_leafs) = (ids(cx, "nodes_trueleafs", len)?, ids(cx, "nodes_falseleafs", len)?);
    let fits = |name: &str, numbers: Option<Vec<f32>>| {
        numbers.filter(|v| v.len() == features.len()).ok_or_else(|| does_not_fit(name))
    };
    let splits = fits("nodes_splits", tensor_numbers(cx, "nodes_splits")?)?;
    let modes = fits("nodes_modes", tensor_numbers(cx, "nodes_modes")?)?;
    let missing = cx.ints("nodes_missing_value_tracks_true")?.unwrap_or_default();
    let sets = tensor_numbers(cx, "membership_values")?.unwrap_or_default();
    let mut sets = sets.split(|x| x.is_nan());
    let mut nodes = Vec::new();
    for i in 0..features.len() {
        // Leaves stand behind all branches.
        let child = |id: i64, is_leaf: i64| -> Result<usize, Refusal> {
            let id: usize = natural(id, "nodes_truenodeids")?;
            Ok(if is_leaf != 0 { features.len().saturating_add(id) } else { id })
        };
        let mode = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq, Mode::Member];
        let mode = *mode.get(modes[i] as usize).ok_or_else(|| does_not_fit("nodes_modes"))?;
        nodes.push(Node::Branch {
            feature: natural(features[i], "nodes_featureids")?,
            mode,
            threshold: splits[i],
            members: if mode == Mode::Member { sets.next().unwrap_or_default().to_vec() } else { Vec::new() },
            missing_is_true: missing.get(i).is_some_and(|&m| m != 0),
            on_true: child(on_true[i], true_leafs[i])?,
            on_false: child(on_false[i], false_leafs[i])?,
        });
    }
    let targets = ids(cx, "leaf_targetids", None)?;
    let weights = tensor_numbers(cx, "leaf_weights")?
        .filter(|w| w.len() == targets.len())
        .ok_or_else(|| does_not_fit("leaf_weights"))?;
    for (&target, &weight) in targets.iter().zip(&weights) {
        nodes.push(Node::Leaf { weights: vec![(natural(target, "leaf_targetids")?, weight)] });
    }
    let roots = ids(cx, "tree_roots", None)?
        .iter()
        .map(|&root| natural(root, "tree_roots"))
        .collect::<Result<Vec<usize>, _>>()?;
    if roots.is_empty() {
        return Err(does_not_fit("tree_roots"));
    }
    Ok(Ensemble { nodes, roots })
}

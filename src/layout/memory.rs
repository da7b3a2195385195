//! The algebra of layouts: in which order the elements of a value lie in memory.
//!
//! A layout lists factors of a value's axes, slowest in memory first. An axis may be there in several factors, anywhere in that
//! order: `[N, g·c, H, W]` that was computed channels-last and then seen as groups lies as `N, H, W, g, c`. So transposes and
//! reshapes alike are changes of the *labels* of memory, and any chain of them is one layout again.
//!
//! Axes of size 1 are kept in the list, because they tell which shape comes natural, but they never make two layouts differ.

use crate::graph::Dim;
use crate::tensor::Perm;

/// A factor of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub axis: usize,
    /// Counts the factors of one axis, the outermost first.
    pub part: usize,
    pub size: Dim,
}

/// The factors of all axes of a value, slowest in memory first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Layout(Vec<Part>);

/// How to get from one layout to another: the memory seen as an array of `sizes`, its axes taken in `order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moves {
    pub sizes: Vec<Dim>,
    pub order: Vec<usize>,
}

impl Moves {
    pub(super) fn none(&self) -> bool {
        self.order.is_sorted()
    }

    /// The way back.
    pub(super) fn inverse(&self) -> Option<Moves> {
        let perm = Perm::new(self.order.clone())?;
        Some(Moves { sizes: perm.apply(&self.sizes), order: perm.inverse().axes().to_vec() })
    }
}

/// A factor on its way into a layout: `key` orders the factors of one axis.
struct Labelled<K> {
    axis: usize,
    key: K,
    size: Dim,
}

impl Layout {
    /// Row-major order: the layout of every value whose shape is what it says.
    pub(super) fn rows(dims: &[Dim]) -> Layout {
        Layout(dims.iter().enumerate().map(|(axis, &size)| Part { axis, part: 0, size }).collect())
    }

    /// The result of transposing a value of shape `dims`, in that value's memory.
    pub(super) fn transpose(dims: &[Dim], perm: &Perm) -> Layout {
        let inverse = perm.inverse();
        Layout(dims.iter().zip(inverse.axes()).map(|(&size, &axis)| Part { axis, part: 0, size }).collect())
    }

    /// From factors in memory order: numbers the parts of each axis and joins what lies together.
    fn build<K: Ord + Copy>(labelled: &[Labelled<K>]) -> Layout {
        let rank_in_axis = |of: &Labelled<K>| labelled.iter().filter(|l| l.axis == of.axis && l.key < of.key).count();
        let mut parts: Vec<Part> = Vec::with_capacity(labelled.len());
        let mut last_rank = 0;
        for item in labelled {
            let rank = rank_in_axis(item);
            match parts.last_mut() {
                Some(last) if last.axis == item.axis && rank == last_rank + 1 => {
                    last.size = product(last.size, item.size);
                }
                _ => parts.push(Part { axis: item.axis, part: rank, size: item.size }),
            }
            last_rank = rank;
        }
        let ranks: Vec<usize> = parts
            .iter()
            .map(|p| parts.iter().filter(|other| other.axis == p.axis && other.part < p.part).count())
            .collect();
        parts.iter_mut().zip(ranks).for_each(|(p, rank)| p.part = rank);
        Layout(parts)
    }

    pub(super) fn from_parts(parts: &[Part]) -> Layout {
        let labelled: Vec<_> = parts.iter().map(|p| Labelled { axis: p.axis, key: p.part, size: p.size }).collect();
        Layout::build(&labelled)
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// True where memory is in row-major order.
    pub(super) fn is_rows(&self) -> bool {
        self.0.iter().filter(|p| p.size != Some(1)).map(|p| (p.axis, p.part)).is_sorted()
    }

    /// Without axes of size 1: equal for layouts that are one and the same in memory.
    pub(super) fn canonical(&self) -> Layout {
        let kept: Vec<Part> = self.0.iter().filter(|p| p.size != Some(1)).copied().collect();
        Layout::from_parts(&kept)
    }

    /// The parts in row-major order of the value, each with its place in memory; runs that lie together count as one part.
    fn row_order(&self) -> Vec<(Dim, usize)> {
        let mut items: Vec<(usize, &Part)> = self.0.iter().enumerate().collect();
        items.sort_by_key(|(_, p)| (p.axis, p.part));
        coalesced(items.into_iter().map(|(place, p)| (p.size, place)), &self.0)
    }

    /// Layout of a value that is a view of this one: `view` is the layout it has where this one is in row-major order.
    ///
    /// `None` where the view divides memory across factors that lie apart.
    pub(super) fn through(&self, view: &Layout) -> Option<Layout> {
        if self.is_rows() {
            return Some(view.clone());
        }
        relabel(&self.row_order(), &view.0)
    }

    /// The way back: `self` is the layout of a view where the viewed value (of shape `dims`) is in row-major order; the result is
    /// the layout of the viewed value where the view is.
    pub(super) fn inverse(&self, dims: &[Dim]) -> Option<Layout> {
        let rows = Layout::rows(dims);
        if self.is_rows() {
            return Some(rows);
        }
        // Memory order is the viewed value's; "places" are those that the view's rows would have.
        let mut by_rows: Vec<usize> = (0..self.0.len()).collect();
        by_rows.sort_by_key(|&i| (self.0[i].axis, self.0[i].part));
        let in_rows: Vec<Part> = by_rows.iter().map(|&i| self.0[i]).collect();
        let mut place = vec![0; self.0.len()];
        by_rows.iter().enumerate().for_each(|(row, &i)| place[i] = row);
        let items = coalesced(self.0.iter().zip(place).map(|(p, row)| (p.size, row)), &in_rows);
        relabel(&items, &rows.0)
    }

    /// What has to be moved to have a value that lies as `self` lie as `to`. `None` where the two divide an axis in ways that have
    /// no common refinement; by way of row-major order it is always possible.
    pub(super) fn moves(&self, to: &Layout) -> Option<Moves> {
        let (from, to) = (self.row_order(), to.row_order());
        let sizes = |items: &[(Dim, usize)]| items.iter().map(|i| i.0).collect::<Vec<_>>();
        let pieces = refine(&sizes(&from), &sizes(&to))?;
        let mut pieces: Vec<(usize, usize, usize, Dim)> = Vec::from_iter(
            pieces
                .iter()
                .enumerate()
                .filter(|(_, p)| p.size != Some(1))
                .filter_map(|(count, p)| Some((from[p.x?].1, to[p.y].1, count, p.size))),
        );
        pieces.sort_by_key(|&(source, _, count, _)| (source, count));
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_by_key(|&i| (pieces[i].1, pieces[i].2));

        // Join neighbours that stay neighbours, of known extents.
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| place[from] = to);
        let mut group = vec![0; pieces.len()];
        let mut sizes: Vec<Dim> = Vec::new();
        for (i, piece) in pieces.iter().enumerate() {
            match sizes.last_mut() {
                Some(last) if place[i] == place[i - 1] + 1 && product(*last, piece.3).is_some() => {
                    *last = product(*last, piece.3);
                }
                _ => sizes.push(piece.3),
            }
            group[i] = sizes.len() - 1;
        }
        let mut order: Vec<usize> = order.into_iter().map(|i| group[i]).collect();
        order.dedup();
        Some(Moves { sizes, order })
    }
}

pub(super) fn product(a: Dim, b: Dim) -> Dim {
    a?.checked_mul(b?)
}

/// Joins items that follow each other both here and in `memory`, where an item's place is its index. Axes of size 1 and unknown
/// extents stay on their own.
fn coalesced(items: impl Iterator<Item = (Dim, usize)>, memory: &[Part]) -> Vec<(Dim, usize)> {
    let mut out: Vec<(Dim, usize)> = Vec::new();
    // Place that would continue the last item.
    let mut next = None;
    for (size, place) in items {
        let joins = next == Some(place) && size.is_some() && size != Some(1);
        match out.last_mut() {
            Some(last) if joins && last.0.is_some_and(|d| d != 1) && product(last.0, size).is_some() => {
                last.0 = product(last.0, size);
            }
            _ => out.push((size, place)),
        }
        next = (place + 1..memory.len()).find(|&i| memory[i].size != Some(1));
    }
    out
}

/// Gives memory (`items`: extents with their places, in the order in which `labels` run) new labels.
fn relabel(items: &[(Dim, usize)], labels: &[Part]) -> Option<Layout> {
    let sizes = |i: &(Dim, usize)| i.0;
    let pieces =
        refine(&items.iter().map(sizes).collect::<Vec<_>>(), &labels.iter().map(|l| l.size).collect::<Vec<_>>())?;
    let mut placed = Vec::with_capacity(pieces.len());
    let mut here = None;
    for (count, piece) in pieces.iter().enumerate() {
        // An axis of size 1 that memory does not know goes beside its predecessor.
        if let Some(x) = piece.x {
            here = Some(items[x].1);
        }
        let label = labels[piece.y];
        placed.push(((here, count), Labelled { axis: label.axis, key: (label.part, count), size: piece.size }));
    }
    placed.sort_by_key(|(place, _)| *place);
    Some(Layout::build(&placed.into_iter().map(|(_, labelled)| labelled).collect::<Vec<_>>()))
}

/// A factor common to two factorizations of the same sequence of elements.
pub(super) struct Piece {
    /// Factor of the first; `None` for a factor of 1 that only the second has.
    pub x: Option<usize>,
    /// Factor of the second.
    pub y: usize,
    pub size: Dim,
}

/// The coarsest common refinement of two factorizations, outermost factor first. Unknown extents only match each other, whole.
pub(super) fn refine(xs: &[Dim], ys: &[Dim]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(xs.len().max(ys.len()));
    let (mut i, mut j) = (0, 0);
    // What is left of factors `i` and `j`.
    let (mut left_x, mut left_y) = (xs.first().copied(), ys.first().copied());
    loop {
        let (mut done_x, mut done_y) = (false, false);
        match (left_x, left_y) {
            (None, None) => return Some(pieces),
            (Some(Some(1)), Some(Some(1))) => {
                pieces.push(Piece { x: Some(i), y: j, size: Some(1) });
                (done_x, done_y) = (true, true);
            }
            (Some(Some(1)), _) => done_x = true,
            (_, Some(Some(1))) => {
                pieces.push(Piece { x: None, y: j, size: Some(1) });
                done_y = true;
            }
            (Some(a), Some(b)) if a == b => {
                pieces.push(Piece { x: Some(i), y: j, size: a });
                (done_x, done_y) = (true, true);
            }
            (Some(Some(a)), Some(Some(b))) if a != 0 && b != 0 && a % b == 0 => {
                pieces.push(Piece { x: Some(i), y: j, size: Some(b) });
                left_x = Some(Some(a / b));
                done_y = true;
            }
            (Some(Some(a)), Some(Some(b))) if a != 0 && b != 0 && b % a == 0 => {
                pieces.push(Piece { x: Some(i), y: j, size: Some(a) });
                left_y = Some(Some(b / a));
                done_x = true;
            }
            _ => return None,
        }
        if done_x {
            i += 1;
            left_x = xs.get(i).copied();
        }
        if done_y {
            j += 1;
            left_y = ys.get(j).copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use proptest::prelude::*;

    fn known(dims: &[usize]) -> Vec<Dim> {
        dims.iter().copied().map(Some).collect()
    }

    /// The value that lies as `layout` in `memory`, in row-major order.
    fn read(memory: &[i32], layout: &Layout, dims: &[usize]) -> Tensor {
        let rows = Layout::rows(&known(dims));
        let moves = layout.moves(&rows).unwrap();
        let sizes: Vec<usize> = moves.sizes.iter().map(|d| d.unwrap()).collect();
        let flat = Tensor::from_vec(&sizes, memory.to_vec());
        flat.permute(&Perm::new(moves.order).unwrap()).reshape(dims).unwrap()
    }

    #[test]
    fn a_flattened_channels_last_value_keeps_its_memory() {
        // [2,8,3,5] lies as 2,3,5,8; flattened to [2,120], axis 1 lies as (3·5: inner), then (8: outer).
        let nhwc = Layout::transpose(&known(&[2, 3, 5, 8]), &Perm::to_channels_first(4));
        let flat = nhwc.through(&Layout::rows(&known(&[2, 120]))).unwrap();
        let part = |axis, part, size| Part { axis, part, size: Some(size) };
        assert_eq!(flat.parts(), [part(0, 0, 2), part(1, 1, 15), part(1, 0, 8)]);
        let back = flat.through(&Layout::rows(&known(&[2, 8, 3, 5]))).unwrap();
        assert_eq!(back, nhwc);
    }

    #[test]
    fn size_one_axes_make_no_difference() {
        let a = Layout::transpose(&known(&[1, 1, 1, 8]), &Perm::to_channels_first(4));
        assert!(a.is_rows());
        assert_eq!(a.canonical(), Layout::rows(&known(&[1, 8, 1, 1])).canonical());
        assert_eq!(a.parts().last().unwrap().axis, 1, "the list still tells that the channels come last");
        assert!(a.moves(&Layout::rows(&known(&[1, 8, 1, 1]))).unwrap().none());
    }

    #[test]
    fn unknown_extents_pass_through_transposes_and_simple_reshapes() {
        let nhwc = Layout::transpose(&[None, Some(7), None, Some(4)], &Perm::to_channels_first(4));
        let rows = Layout::rows(&[None, Some(4), Some(7), None]);
        assert_eq!(
            nhwc.moves(&rows).unwrap(),
            Moves { sizes: vec![None, Some(7), None, Some(4)], order: vec![0, 3, 1, 2] }
        );
        let one = Layout::transpose(&[None, Some(7), Some(5), Some(4)], &Perm::to_channels_first(4));
        let flat = one.through(&Layout::rows(&[None, Some(140)])).unwrap();
        assert_eq!(flat.parts().len(), 3);
        assert_eq!(one.through(&Layout::rows(&[None, Some(70)])), None, "nothing tells that the unknown is even");
    }

    #[test]
    fn reshapes_across_what_lies_apart_are_refused() {
        let swapped = Layout::transpose(&known(&[2, 3]), &Perm::new(vec![1, 0]).unwrap());
        assert_eq!(swapped.through(&Layout::rows(&known(&[2, 3]))), None, "3·2 read as 2·3");
        assert!(swapped.through(&Layout::rows(&known(&[3, 2]))).is_some());
        assert!(swapped.through(&Layout::rows(&known(&[6]))).is_some());
        let empty = Layout::transpose(&known(&[0, 3]), &Perm::new(vec![1, 0]).unwrap());
        assert_eq!(empty.through(&Layout::rows(&known(&[0, 5]))), None);
    }

    /// Reshapes of `dims` that are worth trying, and the permutation that `seed` picks.
    fn step(dims: &[usize], seed: usize) -> (Vec<usize>, Option<Perm>) {
        let n = dims.len();
        match seed % 5 {
            0 if n > 1 => {
                let at = seed / 5 % (n - 1);
                let mut out = dims.to_vec();
                out[at] *= out.remove(at + 1);
                (out, None)
            }
            1 => {
                let at = seed / 5 % n;
                let factor = [2, 3, 1, dims[at]][seed / 7 % 4];
                let mut out = dims.to_vec();
                if factor != 0 && out[at].is_multiple_of(factor) {
                    out.splice(at..=at, [factor, dims[at] / factor]);
                }
                (out, None)
            }
            2 => {
                let mut out: Vec<usize> = dims.iter().copied().filter(|&d| d != 1).collect();
                out.insert(seed / 5 % (out.len() + 1), 1);
                (out, None)
            }
            _ => {
                let mut axes: Vec<usize> = (0..n).collect();
                axes.rotate_left(seed / 5 % n);
                axes.swap(seed / 11 % n, seed / 13 % n);
                let perm = Perm::new(axes).unwrap();
                (perm.apply(dims), Some(perm))
            }
        }
    }

    proptest! {
        /// A chain of transposes and reshapes equals the one layout that it composes to, seen from either end.
        #[test]
        fn chains_compose(dims in prop::collection::vec(1usize..5, 1..5), seeds in prop::collection::vec(0usize..5000, 1..6)) {
            let count: usize = dims.iter().product();
            let memory: Vec<i32> = (0..count as i32).collect();
            let mut value = Tensor::from_vec(&dims, memory.clone());
            let mut layout = Layout::rows(&known(&dims));
            for seed in seeds {
                if value.rank() > 7 {
                    break;
                }
                let shape = value.shape().to_vec();
                let (to, perm) = step(&shape, seed);
                let view = match &perm {
                    Some(perm) => Layout::transpose(&known(&shape), perm),
                    None => Layout::rows(&known(&to)),
                };
                let Some(next) = layout.through(&view) else { break };
                value = match &perm {
                    Some(perm) => value.permute(perm),
                    None => value.reshape(&to).unwrap(),
                };
                layout = next;
                prop_assert_eq!(&read(&memory, &layout, &to), &value);
                prop_assert_eq!(layout.is_rows(), value.view::<i32>().unwrap().as_ref() == memory.as_slice());
                // And back: with the view in row-major order, the source lies as `inverse` says.
                if let Some(back) = layout.inverse(&known(&dims)) {
                    let bytes = value.view::<i32>().unwrap().into_owned();
                    let source = read(&bytes, &back, &dims);
                    let source = source.view::<i32>().unwrap();
                    prop_assert_eq!(source.as_ref(), memory.as_slice());
                }
            }
        }
    }
}

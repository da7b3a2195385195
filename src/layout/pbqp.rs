//! A solver for choices that depend on each other in pairs (partitioned boolean quadratic programming).
//!
//! Each node takes one of its states, at a cost; each edge costs what the states of its two ends say. Nodes of degree 0, 1 and 2
//! are eliminated without loss (their best answer is folded into their neighbours), which solves chains, trees and nested
//! diamonds exactly; where only nodes of higher degree are left, one of them is decided by what is best around it.
//! After B. Scholz, E. Eckstein: Register allocation for irregular architectures (2002).

use std::collections::{BTreeMap, BTreeSet};

/// More than any sum of costs.
pub(super) const NEVER: u64 = 1 << 62;

type Node = usize;

#[derive(Default)]
pub(super) struct Problem {
    costs: Vec<Vec<u64>>,
    /// For each node, its neighbours and what a pair of states costs: `matrix[own][other]`.
    edges: Vec<BTreeMap<Node, Vec<Vec<u64>>>>,
}

/// A node that is gone, with what its state depends on.
struct Eliminated {
    node: Node,
    costs: Vec<u64>,
    edges: BTreeMap<Node, Vec<Vec<u64>>>,
}

fn sum(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(NEVER)
}

/// The first of the cheapest.
fn cheapest(costs: impl Iterator<Item = u64>) -> (usize, u64) {
    costs.enumerate().min_by_key(|&(state, cost)| (cost, state)).unwrap_or((0, 0))
}

impl Problem {
    pub(super) fn node(&mut self, costs: Vec<u64>) -> Node {
        self.costs.push(costs);
        self.edges.push(BTreeMap::new());
        self.costs.len() - 1
    }

    /// Adds to what the states of `a` and `b` cost together.
    pub(super) fn edge(&mut self, a: Node, b: Node, cost: impl Fn(usize, usize) -> u64) {
        let (states_a, states_b) = (self.costs[a].len(), self.costs[b].len());
        for (from, to, flipped) in [(a, b, false), (b, a, true)] {
            let (rows, columns) = if flipped { (states_b, states_a) } else { (states_a, states_b) };
            let matrix = self.edges[from].entry(to).or_insert_with(|| vec![vec![0; columns]; rows]);
            for (i, row) in matrix.iter_mut().enumerate() {
                for (j, entry) in row.iter_mut().enumerate() {
                    *entry = sum(*entry, if flipped { cost(j, i) } else { cost(i, j) });
                }
            }
        }
    }

    /// A state for each node; of equals the first.
    pub(super) fn solve(mut self) -> Vec<usize> {
        let mut queue: BTreeSet<(usize, Node)> = self.edges.iter().enumerate().map(|(n, e)| (e.len(), n)).collect();
        let mut gone = Vec::with_capacity(self.costs.len());
        while let Some(&(least, node)) = queue.first() {
            let node = if least <= 2 { node } else { queue.last().map_or(node, |&(_, most)| most) };
            queue.remove(&(self.edges[node].len(), node));
            let edges = std::mem::take(&mut self.edges[node]);
            for &neighbour in edges.keys() {
                queue.remove(&(self.edges[neighbour].len(), neighbour));
                self.edges[neighbour].remove(&node);
            }
            let costs = std::mem::take(&mut self.costs[node]);
            let costs = self.eliminate(costs, &edges);
            queue.extend(edges.keys().map(|&neighbour| (self.edges[neighbour].len(), neighbour)));
            gone.push(Eliminated { node, costs, edges });
        }
        let mut states = vec![0; gone.len()];
        for Eliminated { node, costs, edges } in gone.into_iter().rev() {
            let total = |state: usize| {
                edges.iter().fold(costs[state], |cost, (&other, matrix)| sum(cost, matrix[state][states[other]]))
            };
            states[node] = cheapest((0..costs.len()).map(total)).0;
        }
        states
    }

    /// Folds what a node costs into its neighbours. Returns its costs: all but one state are ruled out where it had to be decided.
    fn eliminate(&mut self, mut costs: Vec<u64>, edges: &BTreeMap<Node, Vec<Vec<u64>>>) -> Vec<u64> {
        let mut around = edges.iter();
        match (around.next(), around.next(), around.next()) {
            (None, ..) => {}
            (Some((&y, to_y)), None, _) => {
                for j in 0..self.costs[y].len() {
                    let best = cheapest((0..costs.len()).map(|i| sum(costs[i], to_y[i][j]))).1;
                    self.costs[y][j] = sum(self.costs[y][j], best);
                }
            }
            (Some((&y, to_y)), Some((&z, to_z)), None) => {
                let best = |j: usize, k: usize| {
                    cheapest((0..costs.len()).map(|i| sum(sum(costs[i], to_y[i][j]), to_z[i][k]))).1
                };
                self.edge(y, z, best);
            }
            _ => {
                let total = |i: usize| {
                    edges.iter().fold(costs[i], |cost, (&y, to_y)| {
                        let others = self.costs[y].iter().zip(&to_y[i]).map(|(&a, &b)| sum(a, b));
                        sum(cost, cheapest(others).1)
                    })
                };
                let decided = cheapest((0..costs.len()).map(total)).0;
                for (&y, to_y) in edges {
                    let folded = self.costs[y].iter_mut().zip(&to_y[decided]);
                    folded.for_each(|(cost, &extra)| *cost = sum(*cost, extra));
                }
                costs.iter_mut().enumerate().filter(|(i, _)| *i != decided).for_each(|(_, cost)| *cost = u64::MAX);
            }
        }
        costs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers that look random, the same for the same seed.
    fn number(seed: u64, at: u64) -> u64 {
        let x = (seed ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ x >> 31).wrapping_mul(0x94d0_49bb_1331_11eb) >> 56
    }

    struct Sample {
        states: Vec<usize>,
        edges: Vec<(usize, usize)>,
        seed: u64,
    }

    impl Sample {
        fn own(&self, node: usize, state: usize) -> u64 {
            number(self.seed, (node * 10 + state) as u64)
        }

        fn pair(&self, edge: usize, a: usize, b: usize) -> u64 {
            number(self.seed, (1000 + edge * 100 + a * 10 + b) as u64)
        }

        fn cost(&self, states: &[usize]) -> u64 {
            let own: u64 = states.iter().enumerate().map(|(n, &s)| self.own(n, s)).sum();
            let pairs = self.edges.iter().enumerate().map(|(e, &(a, b))| self.pair(e, states[a], states[b]));
            own + pairs.sum::<u64>()
        }

        fn solved(&self) -> Vec<usize> {
            let mut problem = Problem::default();
            for (node, &states) in self.states.iter().enumerate() {
                problem.node((0..states).map(|s| self.own(node, s)).collect());
            }
            for (edge, &(a, b)) in self.edges.iter().enumerate() {
                problem.edge(a, b, |i, j| self.pair(edge, i, j));
            }
            problem.solve()
        }

        fn best(&self) -> u64 {
            let count: usize = self.states.iter().product();
            let states = |mut code: usize| -> Vec<usize> {
                self.states
                    .iter()
                    .map(|&n| {
                        let s = code % n;
                        code /= n;
                        s
                    })
                    .collect()
            };
            (0..count).map(|code| self.cost(&states(code))).min().unwrap()
        }
    }

    proptest! {
        #[test]
        fn trees_and_rings_are_solved_exactly(
            states in prop::collection::vec(1usize..4, 1..8),
            parents in prop::collection::vec(0usize..100, 8),
            seed: u64,
        ) {
            let mut edges: Vec<(usize, usize)> = (1..states.len()).map(|n| (parents[n] % n, n)).collect();
            if states.len() > 2 {
                edges.push((0, states.len() - 1));
            }
            let sample = Sample { states, edges, seed };
            prop_assert_eq!(sample.cost(&sample.solved()), sample.best());
        }

        /// Past what can be eliminated without loss there is no such promise; but each node is to be best for the others.
        #[test]
        fn dense_problems_get_an_answer(states in prop::collection::vec(1usize..4, 4..7), seed: u64) {
            let n = states.len();
            let edges = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect();
            let sample = Sample { states, edges, seed };
            let solved = sample.solved();
            prop_assert!(solved.iter().zip(&sample.states).all(|(s, n)| s < n));
            prop_assert!(sample.cost(&solved) <= 2 * sample.best());
        }
    }

    #[test]
    fn long_chains_take_linear_time() {
        let mut problem = Problem::default();
        let mut last = problem.node(vec![0, 1]);
        for _ in 0..100_000 {
            let next = problem.node(vec![1, 1, 0]);
            problem.edge(last, next, |a, b| if a == b { 0 } else { 5 });
            last = next;
        }
        assert_eq!(problem.solve().len(), 100_001);
    }
}

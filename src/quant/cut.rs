//! Minimum cuts: the cheapest division of a set of things in two, given what each costs on either side and what it costs
//! to part two of them.

use std::collections::VecDeque;

/// A network of vertices with capacities; vertex [`SOURCE`] and vertex [`SINK`] are there from the start.
pub(super) struct Network {
    /// Edges that leave each vertex, as indices into `edges`.
    leaving: Vec<Vec<usize>>,
    /// Edge `i ^ 1` runs against edge `i`.
    edges: Vec<Edge>,
}

struct Edge {
    to: usize,
    /// What can still flow.
    room: u64,
}

pub(super) const SOURCE: usize = 0;
pub(super) const SINK: usize = 1;

/// More than all that can flow elsewhere.
pub(super) const NEVER: u64 = 1 << 40;

impl Network {
    pub(super) fn new() -> Network {
        Network { leaving: vec![Vec::new(), Vec::new()], edges: Vec::new() }
    }

    pub(super) fn add_vertex(&mut self) -> usize {
        self.leaving.push(Vec::new());
        self.leaving.len() - 1
    }

    /// It costs `cost` to have `from` on the side of the source and `to` on that of the sink.
    pub(super) fn part(&mut self, from: usize, to: usize, cost: u64) {
        for (end, to, room) in [(from, to, cost), (to, from, 0)] {
            self.leaving[end].push(self.edges.len());
            self.edges.push(Edge { to, room });
        }
    }

    /// For each vertex, whether it stands on the side of the source in the cheapest division; where several cost the same, as
    /// few as possible do. Dinic's algorithm.
    pub(super) fn source_side(mut self) -> Vec<bool> {
        loop {
            let distance = self.distances();
            if distance[SINK].is_none() {
                return distance.iter().map(Option::is_some).collect();
            }
            let mut next = vec![0; self.leaving.len()];
            while self.augment(&distance, &mut next) {}
        }
    }

    /// Number of edges with room from the source to each vertex.
    fn distances(&self) -> Vec<Option<u32>> {
        let mut distance = vec![None; self.leaving.len()];
        distance[SOURCE] = Some(0);
        let mut queue = VecDeque::from([(SOURCE, 0)]);
        while let Some((vertex, steps)) = queue.pop_front() {
            for &edge in &self.leaving[vertex] {
                let Edge { to, room } = self.edges[edge];
                if room > 0 && distance[to].is_none() {
                    distance[to] = Some(steps + 1);
                    queue.push_back((to, steps + 1));
                }
            }
        }
        distance
    }

    /// Sends flow along one shortest path; `next` remembers which edges of a vertex lead nowhere any more.
    fn augment(&mut self, distance: &[Option<u32>], next: &mut [usize]) -> bool {
        let mut path: Vec<usize> = Vec::new();
        let mut vertex = SOURCE;
        while vertex != SINK {
            match self.leaving[vertex].get(next[vertex]) {
                Some(&edge) => {
                    let Edge { to, room } = self.edges[edge];
                    let closer = distance[to].zip(distance[vertex]).is_some_and(|(to, from)| to == from + 1);
                    if room > 0 && closer {
                        path.push(edge);
                        vertex = to;
                    } else {
                        next[vertex] += 1;
                    }
                }
                None => {
                    let Some(edge) = path.pop() else { return false };
                    vertex = self.edges[edge ^ 1].to;
                    next[vertex] += 1;
                }
            }
        }
        let flow = path.iter().map(|&edge| self.edges[edge].room).min().unwrap_or(0);
        for edge in path {
            self.edges[edge].room -= flow;
            self.edges[edge ^ 1].room += flow;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cost of a division.
    fn cost(parts: &[(usize, usize, u64)], side: impl Fn(usize) -> bool) -> u64 {
        parts.iter().filter(|&&(from, to, _)| side(from) && !side(to)).map(|&(_, _, cost)| cost).sum()
    }

    proptest! {
        #[test]
        fn no_division_is_cheaper(parts in prop::collection::vec((0usize..8, 0usize..8, 0u64..9), 0..30)) {
            let mut network = Network::new();
            for _ in 2..8 {
                network.add_vertex();
            }
            for &(from, to, cost) in &parts {
                network.part(from, to, cost);
            }
            let found = network.source_side();
            prop_assert!(found[SOURCE] && !found[SINK]);
            let cheapest = (0u32..64).map(|bits| {
                cost(&parts, |v| match v { SOURCE => true, SINK => false, v => bits >> (v - 2) & 1 == 1 })
            });
            prop_assert_eq!(Some(cost(&parts, |v| found[v])), cheapest.min());
        }
    }
}

//! A solver for choices that depend on each other: every variable takes one of its states, tables say what the states of few
//! variables cost together, and the sum is to be least.
//!
//! Variables are eliminated one after the other: the tables that one stands in are replaced by a table over its neighbours, which
//! holds the best that it can do for each of their states. That is exact, and takes linear time as long as the tables stay small,
//! which they do where a graph is not much more than chains, branches and skips. Where all would grow large, the variable with
//! most neighbours is decided by what seems best around it.

use std::collections::{BTreeMap, BTreeSet};

/// More than any sum of costs.
pub(super) const NEVER: u64 = 1 << 62;

/// Logarithm of the largest table that is made, in 1/1024 bits.
const LARGEST: u32 = 12 << 10;

pub(super) type Variable = usize;

/// What the states of some variables cost together; the state of the last variable counts fastest.
#[derive(Debug, Clone)]
struct Table {
    variables: Vec<Variable>,
    costs: Vec<u64>,
}

#[derive(Default)]
pub(super) struct Problem {
    /// Number of states of each variable.
    states: Vec<usize>,
    /// For each variable, what its states cost by themselves.
    own: Vec<Vec<u64>>,
    tables: BTreeMap<Vec<Variable>, Vec<u64>>,
}

fn sum(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(NEVER)
}

/// The first of the cheapest.
fn cheapest(costs: impl Iterator<Item = u64>) -> (usize, u64) {
    costs.enumerate().min_by_key(|&(state, cost)| (cost, state)).unwrap_or((0, 0))
}

/// 1024 times the binary logarithm, for numbers as small as those of states.
fn log(states: usize) -> u32 {
    let floor = states.max(1).ilog2();
    // Between powers of two a straight line is near enough.
    (floor << 10) + (((states.max(1) - (1 << floor)) << 10) >> floor) as u32
}

impl Problem {
    pub(super) fn variable(&mut self, own: Vec<u64>) -> Variable {
        self.states.push(own.len());
        self.own.push(own);
        self.states.len() - 1
    }

    /// Adds to what the states of `a` and `b` cost together.
    pub(super) fn pair(&mut self, a: Variable, b: Variable, cost: impl Fn(usize, usize) -> u64) {
        match (self.states[a], self.states[b]) {
            (_, 1) => self.own[a].iter_mut().enumerate().for_each(|(i, own)| *own = sum(*own, cost(i, 0))),
            (1, _) => self.own[b].iter_mut().enumerate().for_each(|(j, own)| *own = sum(*own, cost(0, j))),
            (rows, columns) => {
                let flipped = a > b;
                let (outer, inner) = if flipped { (columns, rows) } else { (rows, columns) };
                let variables = if flipped { vec![b, a] } else { vec![a, b] };
                let costs = self.tables.entry(variables).or_insert_with(|| vec![0; rows * columns]);
                for i in 0..outer {
                    for j in 0..inner {
                        let extra = if flipped { cost(j, i) } else { cost(i, j) };
                        costs[i * inner + j] = sum(costs[i * inner + j], extra);
                    }
                }
            }
        }
    }

    /// A state for each variable; of equals the first.
    pub(super) fn solve(self) -> Vec<usize> {
        let count = self.states.len();
        let mut solver = Solver {
            neighbours: vec![BTreeSet::new(); count],
            within: vec![Vec::new(); count],
            tables: Vec::with_capacity(self.tables.len()),
            own: self.own,
            states: self.states,
        };
        for (variables, costs) in self.tables {
            solver.add(Table { variables, costs });
        }
        solver.run()
    }
}

struct Solver {
    states: Vec<usize>,
    own: Vec<Vec<u64>>,
    /// Tables that are not replaced yet.
    tables: Vec<Option<Table>>,
    /// For each variable, the tables it stands in.
    within: Vec<Vec<usize>>,
    neighbours: Vec<BTreeSet<Variable>>,
}

/// A variable that is gone, and what its state depends on.
struct Eliminated {
    variable: Variable,
    own: Vec<u64>,
    tables: Vec<Table>,
}

impl Solver {
    fn add(&mut self, table: Table) {
        for &a in &table.variables {
            self.within[a].push(self.tables.len());
            self.neighbours[a].extend(table.variables.iter().copied().filter(|&b| b != a));
        }
        self.tables.push(Some(table));
    }

    fn run(mut self) -> Vec<usize> {
        let states = std::mem::take(&mut self.states);
        let weight = |neighbours: &BTreeSet<Variable>| neighbours.iter().map(|&n| log(states[n])).sum::<u32>();
        let mut weights: Vec<u32> = self.neighbours.iter().map(weight).collect();
        let mut queue: BTreeSet<(u32, Variable)> = weights.iter().copied().zip(0..).collect();
        let mut gone = Vec::with_capacity(states.len());
        while let Some(&(least, variable)) = queue.first() {
            let decide = least > LARGEST;
            let variable = if decide { queue.last().map_or(variable, |&(_, most)| most) } else { variable };
            queue.remove(&(weights[variable], variable));
            let neighbours: Vec<Variable> = std::mem::take(&mut self.neighbours[variable]).into_iter().collect();
            for &n in &neighbours {
                queue.remove(&(weights[n], n));
                self.neighbours[n].remove(&variable);
                weights[n] -= log(states[variable]);
            }
            let within = std::mem::take(&mut self.within[variable]);
            let tables: Vec<Table> = within.into_iter().filter_map(|t| self.tables[t].take()).collect();
            let mut eliminated = Eliminated { variable, own: std::mem::take(&mut self.own[variable]), tables };
            let made = if decide {
                eliminated.decided(&states)
            } else {
                vec![eliminated.minimized(neighbours.clone(), &states)]
            };
            for table in made {
                match table.variables[..] {
                    [] => {}
                    [n] => self.own[n].iter_mut().zip(&table.costs).for_each(|(own, &cost)| *own = sum(*own, cost)),
                    _ => {
                        for &a in &table.variables {
                            let new = table.variables.iter().filter(|b| **b != a && !self.neighbours[a].contains(b));
                            weights[a] += new.map(|&b| log(states[b])).sum::<u32>();
                        }
                        self.add(table);
                    }
                }
            }
            queue.extend(neighbours.iter().map(|&n| (weights[n], n)));
            gone.push(eliminated);
        }
        let mut picked = vec![0; states.len()];
        for Eliminated { variable, own, tables } in gone.into_iter().rev() {
            let total = |state: usize| {
                let at = |v: Variable| if v == variable { state } else { picked[v] };
                tables.iter().fold(own[state], |cost, table| sum(cost, table.costs[table.index(&states, at)]))
            };
            picked[variable] = cheapest((0..own.len()).map(total)).0;
        }
        picked
    }
}

impl Table {
    fn index(&self, states: &[usize], at: impl Fn(Variable) -> usize) -> usize {
        self.variables.iter().fold(0, |index, &v| index * states[v] + at(v))
    }

    /// Every combination of states of `variables`, in the order of a table's costs.
    fn over(
        variables: Vec<Variable>,
        states: &[usize],
        mut cost: impl FnMut(&dyn Fn(Variable) -> usize) -> u64,
    ) -> Table {
        let size = variables.iter().map(|&v| states[v]).product();
        let mut at = vec![0; variables.len()];
        let mut costs = Vec::with_capacity(size);
        for _ in 0..size {
            costs.push(cost(&|v| variables.iter().position(|&other| other == v).map_or(0, |i| at[i])));
            for i in (0..at.len()).rev() {
                at[i] += 1;
                if at[i] < states[variables[i]] {
                    break;
                }
                at[i] = 0;
            }
        }
        Table { variables, costs }
    }
}

impl Eliminated {
    /// The best that the variable can do, for each combination of its neighbours' states.
    fn minimized(&self, neighbours: Vec<Variable>, states: &[usize]) -> Table {
        Table::over(neighbours, states, |at| {
            let total = |state: usize| {
                let at = |v: Variable| if v == self.variable { state } else { at(v) };
                self.tables.iter().fold(self.own[state], |cost, t| sum(cost, t.costs[t.index(states, at)]))
            };
            cheapest((0..self.own.len()).map(total)).1
        })
    }

    /// Rules out all states but one, and gives what that makes of the tables.
    fn decided(&mut self, states: &[usize]) -> Vec<Table> {
        let others =
            |table: &Table| table.variables.iter().copied().filter(|&v| v != self.variable).collect::<Vec<_>>();
        let with = |table: &Table, state: usize| {
            Table::over(others(table), states, |at| {
                table.costs[table.index(states, |v| if v == self.variable { state } else { at(v) })]
            })
        };
        let total = |state: usize| {
            let least = |table: &Table| with(table, state).costs.into_iter().min().unwrap_or(0);
            self.tables.iter().fold(self.own[state], |cost, table| sum(cost, least(table)))
        };
        let decided = cheapest((0..self.own.len()).map(total)).0;
        let tables = self.tables.iter().map(|table| with(table, decided)).collect();
        self.own.iter_mut().enumerate().filter(|(state, _)| *state != decided).for_each(|(_, own)| *own = u64::MAX);
        tables
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
        pairs: Vec<(usize, usize)>,
        seed: u64,
    }

    impl Sample {
        fn own(&self, variable: usize, state: usize) -> u64 {
            number(self.seed, (variable * 10 + state) as u64)
        }

        fn pair(&self, pair: usize, a: usize, b: usize) -> u64 {
            number(self.seed, (1000 + pair * 100 + a * 10 + b) as u64)
        }

        fn cost(&self, states: &[usize]) -> u64 {
            let own: u64 = states.iter().enumerate().map(|(n, &s)| self.own(n, s)).sum();
            let pairs = self.pairs.iter().enumerate().map(|(e, &(a, b))| self.pair(e, states[a], states[b]));
            own + pairs.sum::<u64>()
        }

        fn solved(&self) -> Vec<usize> {
            let mut problem = Problem::default();
            for (variable, &states) in self.states.iter().enumerate() {
                problem.variable((0..states).map(|s| self.own(variable, s)).collect());
            }
            for (pair, &(a, b)) in self.pairs.iter().enumerate() {
                problem.pair(a, b, |i, j| self.pair(pair, i, j));
            }
            problem.solve()
        }

        fn best(&self) -> u64 {
            let states = |mut code: usize| -> Vec<usize> {
                let digit = |&n: &usize| (code % n, code /= n).0;
                self.states.iter().map(digit).collect()
            };
            (0..self.states.iter().product()).map(|code| self.cost(&states(code))).min().unwrap()
        }
    }

    proptest! {
        #[test]
        fn small_problems_are_solved_exactly(
            states in prop::collection::vec(1usize..4, 1..8),
            pairs in prop::collection::vec((0usize..8, 0usize..8), 0..16),
            seed: u64,
        ) {
            let n = states.len();
            let pairs = pairs.into_iter().map(|(a, b)| (a % n, b % n)).filter(|(a, b)| a != b).collect();
            let sample = Sample { states, pairs, seed };
            prop_assert_eq!(sample.cost(&sample.solved()), sample.best());
        }
    }

    #[test]
    fn dense_problems_get_an_answer() {
        let pairs = (0..40).flat_map(|a| (a + 1..40).map(move |b| (a, b))).collect();
        let sample = Sample { states: vec![3; 40], pairs, seed: 7 };
        let solved = sample.solved();
        assert!(solved.iter().all(|&s| s < 3));
        assert!(sample.cost(&solved) < sample.cost(&[0; 40]));
    }

    #[test]
    fn long_chains_take_linear_time() {
        let mut problem = Problem::default();
        let mut last = problem.variable(vec![0, 1]);
        for _ in 0..100_000 {
            let next = problem.variable(vec![1, 1, 0]);
            problem.pair(last, next, |a, b| if a == b { 0 } else { 5 });
            last = next;
        }
        assert_eq!(problem.solve().len(), 100_001);
    }
}

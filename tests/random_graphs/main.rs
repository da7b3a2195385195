//! Random small models of operators that models are made of, in every neighbourhood: converted with rewrites on and off, they
//! compute in the executable graph and in LiteRT what ONNX Runtime computes.
//!
//! The same models come up in every run; `LITESMITH_RANDOM_GRAPHS=20000` asks for more of them.

#[path = "../common/mod.rs"]
mod common;
mod grow;
mod net;
mod oracle;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::case::{Data, Wrong, check_conversion};
use common::{Tolerance, onnx};
use net::{Net, text};
use oracle::Oracle;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// Of all four tests together, where nothing else is asked for.
const MODELS: u32 = 2000;

/// What becomes a model.
#[derive(Debug, Clone)]
struct Recipe {
    opset: usize,
    /// Which extents the inputs have.
    inputs: usize,
    dynamic: bool,
    /// For each node: operator, operand, and everything else.
    nodes: Vec<(usize, usize, u64)>,
    /// A value that is an output although nodes read it.
    shown: usize,
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let node = (0..grow::OPERATORS.len(), 0usize..1000, 0u64..1 << 40);
    let nodes = prop::collection::vec(node, 3..=12);
    (0usize..3, 0usize..64, prop::bool::weighted(0.15), nodes, 0usize..100)
        .prop_map(|(opset, inputs, dynamic, nodes, shown)| Recipe { opset, inputs, dynamic, nodes, shown })
}

impl Recipe {
    fn net(&self) -> Net {
        const DIMS: [&[usize]; 8] =
            [&[2, 3, 6, 4], &[1, 4, 5, 5], &[2, 4, 6], &[3, 6], &[1, 8], &[2, 2, 3, 4, 2], &[6], &[1, 1, 7, 3]];
        let (first, second) = (DIMS[self.inputs % 8], DIMS[self.inputs / 8]);
        // Usually alike, so that they meet.
        let second = if self.shown % 4 == 3 { second } else { first };
        let mut net = Net::new([17, 13, 21][self.opset], &[first, second], self.dynamic);
        for &(operator, operand, rest) in &self.nodes {
            grow::grow(&mut net, operator, operand, rest);
        }
        net
    }
}

/// Each operator may round its result, and pass on what its operands have lost: the error grows with the number of operators on the
/// way. The magnitudes of values are about 1 throughout, so that this much is granted to numbers near zero, too.
fn tolerance(depth: usize) -> Tolerance {
    let granted = 5e-6 * (depth as f64 + 2.0);
    Tolerance { relative: 2.0 * granted, absolute: granted, whole: 0.0 }
}

enum Verdict {
    Right,
    /// None of the operators fits its operand.
    NoModel,
    Wrong(String),
}

/// Where a part keeps the model at hand: a fault in the runtime ends the process.
fn kept(part: u8) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("random_graph_{part}.onnx"))
}

/// How often each operator was in a model.
type Seen = BTreeMap<String, usize>;

fn judge(recipe: &Recipe, oracle: &mut Oracle, part: u8, seen: &mut Seen) -> Verdict {
    let mut net = recipe.net();
    let model = net.model(recipe.shown);
    if model.graph.as_ref().is_none_or(|g| g.output.is_empty()) {
        return Verdict::NoModel;
    }
    for node in model.graph.iter().flat_map(|graph| &graph.node) {
        *seen.entry(node.op_type.clone()).or_default() += 1;
    }
    let bytes = onnx::bytes(&model);
    std::fs::write(kept(part), &bytes).expect("the file can be written");
    let (inputs, request) = net.data();
    let outputs = match oracle.run(&bytes, &request) {
        Ok(outputs) => outputs,
        Err(why) => return Verdict::Wrong(format!("ONNX Runtime: {why}")),
    };
    let data = Data { inputs: inputs.into_iter().collect(), outputs: outputs.into_iter().collect() };
    match check_conversion(&|converter| converter.convert_bytes(bytes.clone()), &data, tolerance(net.depth())) {
        Ok(()) => Verdict::Right,
        Err(Wrong::Refused(why)) => Verdict::Wrong(format!("refused: {why}")),
        Err(wrong) => Verdict::Wrong(wrong.to_string()),
    }
}

fn run(part: u8) {
    let Some(mut oracle) = Oracle::start() else { return };
    let asked = std::env::var("LITESMITH_RANDOM_GRAPHS").ok().and_then(|n| n.parse().ok());
    let cases = asked.unwrap_or(MODELS).div_ceil(4);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[part; 32]);
    let state = RefCell::new((&mut oracle, Seen::new()));
    let result = TestRunner::new_with_rng(config, rng).run(&recipes(), |recipe| {
        let (oracle, seen) = &mut *state.borrow_mut();
        match judge(&recipe, oracle, part, seen) {
            Verdict::Right | Verdict::NoModel => Ok(()),
            Verdict::Wrong(what) => Err(TestCaseError::fail(what)),
        }
    });
    match result {
        Ok(()) => {
            let seen = state.into_inner().1;
            let (nodes, kinds) = (seen.values().sum::<usize>(), seen.len());
            println!("{cases} models of {nodes} nodes of {kinds} operators");
            // Else they would say little.
            assert!(nodes > 5 * cases as usize && (kinds > 60 || cases < 500), "{cases} models: {seen:?}");
        }
        Err(TestError::Fail(why, recipe)) => {
            let model = recipe.net().model(recipe.shown);
            std::fs::write(kept(part), onnx::bytes(&model)).expect("the file can be written");
            panic!("{why}\n{}{}", text(&model), kept(part).display());
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

// In parts, which run side by side.

#[test]
fn models_compute_the_same_1() {
    run(1);
}

#[test]
fn models_compute_the_same_2() {
    run(2);
}

#[test]
fn models_compute_the_same_3() {
    run(3);
}

#[test]
fn models_compute_the_same_4() {
    run(4);
}

//! Statistics over samples.

use super::*;
use crate::graph::{Execute, Origin};
use rayon::ThreadPoolBuilder;

/// Runs graphs of `ADD`, `LOG` and `SOFTMAX`: enough to be looked at.
struct Runner(Graph);

impl Execute for Runner {
    fn execute(&self, inputs: &[Tensor], visit: &mut dyn FnMut(ValueId, &Tensor)) -> Result<(), String> {
        let mut values: Vec<Option<Tensor>> = self.0.values.iter().map(|v| v.data.clone()).collect();
        for (&id, tensor) in self.0.inputs.iter().zip(inputs) {
            visit(id, tensor);
            values[id.0 as usize] = Some(tensor.clone());
        }
        for node in &self.0.nodes {
            let operand = |i: usize| values[node.inputs[i].unwrap().0 as usize].as_ref().unwrap();
            let a = operand(0).to_f32s().unwrap();
            let result: Vec<f32> = match node.op {
                Op::Binary(Binary::Add, _) => a.iter().zip(operand(1).to_f32s().unwrap()).map(|(a, b)| a + b).collect(),
                Op::Unary(Unary::Log) => a.iter().map(|x| x.ln()).collect(),
                Op::Softmax { .. } => vec![0.5; a.len()],
                _ => return Err(format!("no {} here", node.op.name())),
            };
            let result = Tensor::from_vec(operand(0).shape(), result);
            visit(node.outputs[0], &result);
            values[node.outputs[0].0 as usize] = Some(result);
        }
        Ok(())
    }
}

fn observed(net: &Net, samples: Vec<Vec<f32>>) -> Result<Observations, ObserveError> {
    let shape = net.graph.shape(net.graph.inputs[0]).as_fixed().unwrap();
    let samples: Vec<Vec<Tensor>> = samples.into_iter().map(|s| vec![Tensor::from_vec(&shape, s)]).collect();
    observe(&net.graph, &Runner(net.graph.clone()), &samples, &|| ())
}

/// `x + [1, 2]`
fn sum() -> (Net, ValueId, ValueId) {
    let mut net = Net::new();
    let x = net.input("x", &[2], (0.0, 0.0));
    let c = net.constant(&[2], vec![1.0, 2.0]);
    let y = net.binary(Binary::Add, x, c, "y", (0.0, 0.0));
    net.graph.outputs = vec![y];
    (net, x, y)
}

#[test]
fn extremes_are_those_of_all_samples() {
    let (net, x, y) = sum();
    let statistics = observed(&net, vec![vec![1.0, -3.0], vec![0.5, 4.0]]).unwrap();
    assert_eq!(statistics.samples, 2);
    assert_eq!(statistics.values[&x.0].range, Some(Range { min: -3.0, max: 4.0 }));
    assert_eq!(statistics.values[&y.0].range, Some(Range { min: -1.0, max: 6.0 }));
}

#[test]
fn threads_and_shards_do_not_show_in_the_bytes() {
    let (net, ..) = sum();
    // Zeros of both signs: which was first must not be seen.
    let samples: Vec<Vec<f32>> = (0..40).map(|i| vec![if i % 2 == 0 { 0.0 } else { -0.0 }, (i % 7) as f32]).collect();
    let bytes = |seen: &Observations| CalibrationStatistics::new(&net.graph, seen).to_json();
    let one_thread = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let expected = bytes(&one_thread.install(|| observed(&net, samples.clone()).unwrap()));
    for threads in [2, 7] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(bytes(&pool.install(|| observed(&net, samples.clone()).unwrap())), expected);
    }
    let (first, second) = samples.split_at(13);
    let (first, second) = (observed(&net, first.to_vec()).unwrap(), observed(&net, second.to_vec()).unwrap());
    assert_eq!(bytes(&second.clone().merge(first.clone())), expected);
    assert_eq!(bytes(&first.merge(second)), expected);
    let read = CalibrationStatistics::from_json(&expected).unwrap();
    assert_eq!(bytes(&read.observations(&net.graph).unwrap()), expected);
}

#[test]
fn numbers_that_are_none_are_traced_to_where_they_arise() {
    let mut net = Net::new();
    let x = net.input("x", &[2], (0.0, 0.0));
    let log = net.unary(Unary::Log, x, "log", (0.0, 0.0));
    let sum = net.binary(Binary::Add, log, log, "sum", (0.0, 0.0));
    net.graph.outputs = vec![sum];
    let origin = net.graph.add_origin(Origin { name: "/m/log".into(), op: "Log".into() });
    net.graph.nodes[0].origin = Some(origin);
    let fails = |samples| observed(&net, samples).unwrap_err().to_string();
    let good = vec![1.0, 2.0];
    assert_eq!(
        fails(vec![good.clone(), vec![-1.0, 1.0], vec![0.0, 1.0]]),
        "calibration sample 1 makes NaN in \"log\", computed by Log \"/m/log\""
    );
    assert_eq!(
        fails(vec![good.clone(), good.clone(), vec![1.0, 0.0]]),
        "calibration sample 2 makes infinity in \"log\", computed by Log \"/m/log\""
    );
    assert_eq!(fails(vec![vec![f32::INFINITY, 0.0]]), "calibration sample 0 makes infinity in \"x\"");
}

#[test]
fn infinite_constants_may_make_infinite_values() {
    let mut net = Net::new();
    let x = net.input("x", &[3, 2], (0.0, 0.0));
    let inf = f32::NEG_INFINITY;
    let mask = net.constant(&[3, 2], vec![0.0, inf, 0.0, 0.0, inf, inf]);
    let masked = net.binary(Binary::Add, x, mask, "masked", (0.0, 0.0));
    let y = net.op(Op::Softmax { beta: 1.0 }, &[masked], "y", (0.0, 0.0));
    net.graph.outputs = vec![y];
    let statistics = observed(&net, vec![vec![-3.0, 9.0, 1.0, 2.0, 7.0, 7.0]]).unwrap();
    let seen = &statistics.values[&masked.0];
    assert_eq!(seen.range, Some(Range { min: -3.0, max: 2.0 }));
    assert_eq!(seen.lowest_row_maximum, Some(-3.0), "a row that is masked as a whole has no maximum");
    assert_eq!(statistics.values[&y.0].lowest_row_maximum, None);
}

#[test]
fn samples_that_do_not_fit_are_named() {
    let (net, ..) = sum();
    let run = |samples: Vec<Vec<Tensor>>| observe(&net.graph, &Runner(net.graph.clone()), &samples, &|| ());
    assert_eq!(run(vec![]), Err(ObserveError::NoSamples));
    assert_eq!(run(vec![vec![]]), Err(ObserveError::Count { sample: 0, expected: 1, actual: 0 }));
    let wrong = run(vec![vec![Tensor::vector(vec![1.0f32, 2.0])], vec![Tensor::vector(vec![1i32, 2])]]);
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "calibration sample 1 has int32[2] for input \"x\", which is float32[2]"
    );
}

#[test]
fn vector_lanes_miss_nothing() {
    let mut net = Net::new();
    let x = net.input("x", &[37], (0.0, 0.0));
    for at in 0..37 {
        let mut values: Vec<f32> = vec![0.25; 37];
        values[at] = -5.0;
        values[(at + 11) % 37] = 5.0;
        let range = observed(&net, vec![values.clone()]).unwrap().values[&x.0].range;
        assert_eq!(range, Some(Range { min: -5.0, max: 5.0 }));
        values[at] = f32::NAN;
        assert!(observed(&net, vec![values]).is_err(), "NaN at {at}");
    }
}

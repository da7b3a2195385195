//! How passes are tested: a small graph before, the graph that is expected after, both built, compared as text, and run on the
//! same numbers.

use std::fmt::Write;
use std::ops::{Deref, DerefMut};

use crate::graph::{
    Activation, Builder, Evaluate, Graph, InferError, Model, NoEvaluate, Op, Padding, Shape, Type, ValueId, Window2d,
    verify,
};
use crate::tensor::{DType, Tensor};

pub type Run = fn(&mut Graph, &dyn Evaluate) -> Result<usize, InferError>;

pub const F32_4: &str = "f32[4]";

/// A [`Builder`] with what tests need beyond it.
pub struct NetBuilder<'a>(Builder<'a>);

impl<'a> Deref for NetBuilder<'a> {
    type Target = Builder<'a>;
    fn deref(&self) -> &Builder<'a> {
        &self.0
    }
}

impl DerefMut for NetBuilder<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl NetBuilder<'_> {
    /// Some different numbers, none of them round: eighths from -1 on, and every third one negated.
    pub fn weights(&mut self, shape: &[usize]) -> ValueId {
        let len = shape.iter().product();
        let number = |i: usize| (i % 17) as f32 / 8.0 - 1.0 + 0.0625;
        let values = (0..len).map(|i| if i % 3 == 0 { -number(i) } else { number(i) }).collect();
        self.floats(shape, values)
    }

    pub fn floats(&mut self, shape: &[usize], values: Vec<f32>) -> ValueId {
        self.constant(Tensor::from_vec(shape, values))
    }

    /// An operator with weights of the given shape and, as convolutions have them, a bias of zeros.
    pub fn conv(&mut self, op: Op, x: ValueId, filter: &[usize]) -> Result<ValueId, InferError> {
        let outputs = match op {
            Op::DepthwiseConv2d { .. } => filter[3],
            Op::Conv3d { .. } => filter[4],
            _ => filter[0],
        };
        let (filter, bias) = (self.weights(filter), self.floats(&[outputs], vec![0.0; outputs]));
        self.one(op, &[x, filter, bias])
    }
}

pub fn window(padding: Padding) -> Window2d {
    Window2d { padding, stride: [1, 1], dilation: [1, 1] }
}

pub fn conv_2d(padding: Padding) -> Op {
    Op::Conv2d { window: window(padding), activation: Activation::None }
}

pub fn fully_connected() -> Op {
    Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None }
}

/// A graph under test; its outputs are called `y0`, `y1`, ….
pub struct Net(pub Graph);

impl Net {
    /// `inputs` are types such as `f32[1,?,4]`.
    pub fn new(
        inputs: &[&str],
        build: impl FnOnce(&mut NetBuilder<'_>, &[ValueId]) -> Result<Vec<ValueId>, InferError>,
    ) -> Net {
        let mut graph = Graph::new("net");
        let ids: Vec<ValueId> =
            inputs.iter().enumerate().map(|(i, ty)| graph.add_input(format!("x{i}"), parse(ty))).collect();
        let outputs = build(&mut NetBuilder(Builder::new(&mut graph, &NoEvaluate)), &ids).unwrap();
        for (i, &output) in outputs.iter().enumerate() {
            graph.value_mut(output).name = format!("y{i}");
        }
        graph.outputs = outputs;
        crate::graph::remove_dead(&mut graph);
        assert_valid(&graph);
        Net(graph)
    }

    /// Runs `run` and returns the graph it leaves, which must be valid.
    pub fn after(&self, run: Run) -> (usize, Graph) {
        let mut graph = self.0.clone();
        let count = run(&mut graph, &NoEvaluate).unwrap();
        assert_valid(&graph);
        (count, graph)
    }

    pub fn becomes(&self, run: Run, expected: &Net) {
        let (count, found) = self.after(run);
        assert_eq!(text(&found), text(&expected.0), "from\n{}", text(&self.0));
        assert!(count > 0);
        let (again, _) = Net(found.clone()).after(run);
        assert_eq!(again, 0, "what a pass leaves, it leaves alone");
        computes_the_same(&self.0, &found);
    }

    pub fn unchanged_by(&self, run: Run) {
        let (count, found) = self.after(run);
        assert_eq!(text(&found), text(&self.0));
        assert_eq!(count, 0);
    }
}

/// `run` turns the one net into the other.
pub fn check<F, G>(run: Run, inputs: &[&str], before: F, after: G)
where
    F: FnOnce(&mut NetBuilder<'_>, &[ValueId]) -> Result<ValueId, InferError>,
    G: FnOnce(&mut NetBuilder<'_>, &[ValueId]) -> Result<ValueId, InferError>,
{
    let before = Net::new(inputs, |b, x| Ok(vec![before(b, x)?]));
    before.becomes(run, &Net::new(inputs, |b, x| Ok(vec![after(b, x)?])));
}

/// `run` finds nothing to do.
pub fn unchanged<F>(run: Run, inputs: &[&str], net: F)
where
    F: FnOnce(&mut NetBuilder<'_>, &[ValueId]) -> Result<ValueId, InferError>,
{
    Net::new(inputs, |b, x| Ok(vec![net(b, x)?])).unchanged_by(run);
}

fn assert_valid(graph: &Graph) {
    let violations = verify(&Model::single(graph.clone()));
    assert!(violations.is_empty(), "{violations:?} in\n{graph}");
}

/// Both graphs give the same outputs for the same inputs, with every unknown extent 1, and 3.
pub fn computes_the_same(before: &Graph, after: &Graph) {
    computes_the_same_within(before, after, 2e-6);
}

/// [`computes_the_same`] within a relative tolerance.
pub fn computes_the_same_within(before: &Graph, after: &Graph, tolerance: f64) {
    let mut compared = 0;
    for unknown in [1, 3] {
        let inputs: Vec<Tensor> =
            before.inputs.iter().enumerate().map(|(i, &id)| sample(i, &before.value(id).ty, unknown)).collect();
        // Not every extent fits every graph.
        let Ok(expected) = execute(before, &inputs) else { continue };
        let found = execute(after, &inputs).unwrap();
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!((expected.dtype(), expected.shape()), (found.dtype(), found.shape()));
            let (e, f) = (expected.to_f64s().unwrap(), found.to_f64s().unwrap());
            let close = |(e, f): (&f64, &f64)| {
                e == f || (e.is_nan() && f.is_nan()) || (e - f).abs() <= tolerance * (0.5 + e.abs())
            };
            assert!(e.iter().zip(&f).all(close), "{e:?}\nbecame {f:?}\nfrom\n{before}to\n{after}");
        }
        compared += 1;
    }
    assert!(compared > 0, "run on no inputs:\n{before}");
}

fn execute(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    crate::exec::Runner::new(graph).and_then(|runner| runner.run(inputs)).map_err(|e| e.to_string())
}

/// Numbers on either side of zero and of the bounds that activations have.
fn sample(seed: usize, ty: &Type, unknown: usize) -> Tensor {
    let shape: Vec<usize> = ty.shape.dims().iter().map(|d| d.unwrap_or(unknown)).collect();
    let count = shape.iter().product();
    let values = (0..count).map(|i| ((i * 37 + seed * 11) % 29) as f64 * 0.8125 - 11.0).collect();
    Tensor::from_vec::<f64>(&shape, values).cast(ty.dtype).unwrap()
}

fn parse(ty: &str) -> Type {
    let (dtype, shape) = ty.strip_suffix(']').and_then(|ty| ty.split_once('[')).unwrap();
    let dtype = match dtype {
        "f32" => DType::F32,
        "i32" => DType::I32,
        "i64" => DType::I64,
        "bool" => DType::Bool,
        other => panic!("{other} is not used in tests"),
    };
    let dims =
        shape.split(',').filter(|d| !d.is_empty()).map(|d| if d == "?" { None } else { Some(d.parse().unwrap()) });
    Type::new(dtype, Shape(dims.collect()))
}

/// A graph as text that does not depend on how values are numbered, with all data of constants.
fn text(graph: &Graph) -> String {
    let mut numbers = std::collections::HashMap::new();
    let mut name = |id: ValueId| match &graph.value(id).data {
        Some(data) => format!("{}{:?} {:?}", data.dtype(), data.shape(), data.to_f64s().unwrap()),
        None => {
            let next = numbers.len();
            format!("%{}", numbers.entry(id).or_insert(next))
        }
    };
    let mut text = String::new();
    for &input in &graph.inputs {
        writeln!(text, "input {} {}", name(input), graph.value(input).name).unwrap();
    }
    for node in &graph.nodes {
        let inputs: Vec<String> = node.inputs.iter().map(|id| id.map_or("-".into(), &mut name)).collect();
        let outputs: Vec<String> =
            node.outputs.iter().map(|&id| format!("{} {}", name(id), graph.value(id).ty)).collect();
        writeln!(text, "{} = {:?} {:?} ({})", outputs.join(", "), node.op, node.precision, inputs.join(", ")).unwrap();
    }
    for &output in &graph.outputs {
        writeln!(text, "output {} {}", name(output), graph.value(output).name).unwrap();
    }
    text
}

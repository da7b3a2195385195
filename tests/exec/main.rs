//! Every operator, run alone by `Runner`, by `Evaluator` and (where there is one) by LiteRT, against values worked out by hand or by
//! a plain definition.

mod arithmetic;
#[path = "../common/mod.rs"]
mod common;
mod dense;
mod litert;
mod movement;
mod reductions;
mod robustness;
mod runner;
mod spatial;

use litesmith::exec::{Evaluator, Runner};
use litesmith::graph::{Builder, Evaluate, Graph, NoEvaluate, Op, Shape, Type};
use litesmith::tensor::{DType, Element, Tensor};

/// An operator and its operands.
pub struct Case {
    op: Op,
    /// With whether it is given at each run, not a constant of the graph.
    operands: Vec<(Option<Tensor>, bool)>,
    /// LiteRT has a kernel for it, as far as one is known.
    in_litert: bool,
}

/// How far sums in another order may lie apart.
const ROUNDING: f64 = 3e-6;

pub fn case(op: Op) -> Case {
    Case { op, operands: Vec::new(), in_litert: true }
}

impl Case {
    pub fn input(mut self, tensor: Tensor) -> Case {
        self.operands.push((Some(tensor), true));
        self
    }

    pub fn constant(mut self, tensor: Tensor) -> Case {
        self.operands.push((Some(tensor), false));
        self
    }

    pub fn absent(mut self) -> Case {
        self.operands.push((None, false));
        self
    }

    /// LiteRT is not asked, for the reason given.
    pub fn only_here(mut self, _why: &str) -> Case {
        self.in_litert = false;
        self
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::new("case");
        let mut ids = Vec::new();
        for (i, (tensor, given)) in self.operands.iter().enumerate() {
            ids.push(tensor.as_ref().map(|tensor| match given {
                true => graph.add_input(format!("x{i}"), Type::of(tensor)),
                false => graph.add_constant(format!("c{i}"), tensor.clone()),
            }));
        }
        let mut builder = Builder::new(&mut graph, &NoEvaluate);
        let outputs = builder.emit(self.op.clone(), &ids).unwrap_or_else(|e| panic!("{:?}: {e}", self.op));
        for (i, &id) in outputs.iter().enumerate() {
            graph.value_mut(id).name = format!("y{i}");
        }
        graph.outputs = outputs;
        graph
    }

    pub fn results(&self) -> Vec<Tensor> {
        self.results_within(ROUNDING)
    }

    /// Results of `Runner` and of `Evaluator`, which must agree with each other, with the inferred types, and up to `tolerance`
    /// with LiteRT.
    fn results_within(&self, tolerance: f64) -> Vec<Tensor> {
        let graph = self.graph();
        let given: Vec<Tensor> =
            self.operands.iter().filter(|(_, given)| *given).filter_map(|(t, _)| t.clone()).collect();
        let runner = Runner::new(&graph).unwrap_or_else(|e| panic!("{e}"));
        let results = runner.run(&given).unwrap_or_else(|e| panic!("{:?}: {e}", self.op));
        let again = runner.run(&given).unwrap();
        assert!(results == again || has_nan(&results), "{:?}: a second run gives other results", self.op);
        let types: Vec<Type> = graph.outputs.iter().map(|&id| graph.value(id).ty.clone()).collect();
        let operands: Vec<Option<&Tensor>> = self.operands.iter().map(|(t, _)| t.as_ref()).collect();
        let folded = Evaluator.evaluate(&self.op, &operands, &types);
        let folded = folded.unwrap_or_else(|| panic!("{:?} is not folded", self.op));
        assert!(results == folded || has_nan(&results), "{:?}: {results:?} run, {folded:?} folded", self.op);
        for (result, ty) in results.iter().zip(&types) {
            let fits = result.dtype() == ty.dtype && Shape::fixed(result.shape()).agrees_with(&ty.shape);
            assert!(fits, "{:?}: {result:?} where {ty} was inferred", self.op);
        }
        if self.in_litert {
            litert::check(&graph, &given, &results, tolerance);
        }
        results
    }

    pub fn result(&self) -> Tensor {
        self.result_within(ROUNDING)
    }

    fn result_within(&self, tolerance: f64) -> Tensor {
        let mut results = self.results_within(tolerance);
        assert_eq!(results.len(), 1);
        results.remove(0)
    }

    /// The one result is exactly this.
    pub fn gives(&self, expected: &Tensor) {
        let result = self.result();
        assert_eq!(result.shape(), expected.shape(), "{:?}", self.op);
        assert!(same(&result, expected), "{:?}: {result:?} instead of {expected:?}", self.op);
    }

    /// The one result is this up to `tolerance`, relative to the larger of 1 and the number.
    pub fn gives_about(&self, expected: &Tensor, tolerance: f64) {
        let result = self.result_within(tolerance.max(ROUNDING));
        assert_eq!((result.shape(), result.dtype()), (expected.shape(), expected.dtype()), "{:?}", self.op);
        let (result, expected) = (result.to_f64s().unwrap(), expected.to_f64s().unwrap());
        for (i, (a, b)) in result.iter().zip(&expected).enumerate() {
            let close = (a - b).abs() <= tolerance * b.abs().max(1.0) || a == b;
            assert!(close, "{:?}: {a} instead of {b} at {i}", self.op);
        }
    }

    /// Neither runs nor is folded.
    pub fn fails(&self) {
        let graph = self.graph();
        let given: Vec<Tensor> =
            self.operands.iter().filter(|(_, given)| *given).filter_map(|(t, _)| t.clone()).collect();
        let ran = Runner::new(&graph).and_then(|runner| runner.run(&given));
        assert!(ran.is_err(), "{:?} gives {ran:?}", self.op);
        let operands: Vec<Option<&Tensor>> = self.operands.iter().map(|(t, _)| t.as_ref()).collect();
        assert!(Evaluator.evaluate(&self.op, &operands, &[]).is_none());
    }
}

fn has_nan(tensors: &[Tensor]) -> bool {
    tensors.iter().any(|t| t.dtype().is_float() && t.to_f64s().unwrap().iter().any(|x| x.is_nan()))
}

/// Equal, where a NaN equals a NaN.
fn same(a: &Tensor, b: &Tensor) -> bool {
    if a.dtype() != b.dtype() {
        return false;
    }
    if !a.dtype().is_float() {
        return a == b;
    }
    let (a, b) = (a.to_f64s().unwrap(), b.to_f64s().unwrap());
    a.iter().zip(&b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
}

pub fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_vec(shape, values.to_vec())
}

pub fn ints(values: &[i32]) -> Tensor {
    Tensor::vector(values.to_vec())
}

/// Numbers that look random and are the same at every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }

    /// From `low` up to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn shape(&mut self, rank: usize, most: usize) -> Vec<usize> {
        (0..rank).map(|_| self.between(1, most)).collect()
    }

    /// Floats in -1..1.
    pub fn floats(&mut self, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        Tensor::from_vec(shape, (0..count).map(|_| self.below(20001) as f32 / 10000.0 - 1.0).collect())
    }

    /// Small integers in a type that elements are only moved in.
    pub fn numbers(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        let count: usize = shape.iter().product();
        let values: Vec<i64> = (0..count).map(|_| self.below(120) as i64).collect();
        if dtype == DType::Bool {
            return Tensor::from_bools(shape, &values.iter().map(|v| v % 2 == 0).collect::<Vec<_>>());
        }
        Tensor::from_vec(shape, values).cast(dtype).unwrap()
    }
}

/// All indices of a shape, in row-major order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &dim in shape {
        all = all.into_iter().flat_map(|head| (0..dim).map(move |i| [head.clone(), vec![i]].concat())).collect();
    }
    all
}

/// The element at an index.
pub fn at<T: Element>(x: &Tensor, index: &[usize]) -> T {
    let flat = index.iter().zip(x.shape()).fold(0, |flat, (&i, &dim)| {
        assert!(i < dim, "index {index:?} in {:?}", x.shape());
        flat * dim + i
    });
    x.view::<T>().unwrap()[flat]
}

/// A tensor whose elements are a function of their index.
pub fn define<T: Element>(shape: &[usize], f: impl Fn(&[usize]) -> T) -> Tensor {
    Tensor::from_vec(shape, indices(shape).iter().map(|index| f(index)).collect())
}

//! Accounts of small graphs whose noise is known.

use super::running::noise;
use super::*;
use crate::exec::Runner;
use crate::graph::Execute;
use crate::quant::observe;

fn simulate(graph: &Graph) -> Result<Box<dyn Execute>, String> {
    Runner::new(graph).map(|runner| Box::new(runner) as Box<dyn Execute>).map_err(|e| e.to_string())
}

/// Quantizes the graph that `build` makes for samples of its input "x", and gives an account of it.
fn of(build: impl Fn(&mut Net) -> Vec<ValueId>, samples: Vec<Vec<Tensor>>, detail: Detail) -> Account {
    let mut net = Net::new();
    net.graph.outputs = build(&mut net);
    let float = net.graph;
    let statistics =
        observe(&float, &Runner::new(&float).unwrap(), &samples, &|| ()).unwrap().statistics(Method::MinMax);
    let mut quantized = float.clone();
    let choices = Choices::all(Quantize::Int8);
    quantize_integer(&mut quantized, &statistics, &choices, IntegerOptions::default()).unwrap();
    let which = spread(samples.len(), 16);
    account(&float, &quantized, &simulate, &samples, &which, detail).unwrap()
}

fn samples(shape: &[usize], count: usize) -> Vec<Vec<Tensor>> {
    (0..count).map(|i| vec![Tensor::from_vec(shape, noise(shape.iter().product(), i))]).collect()
}

#[test]
fn rounding_to_8_bits_is_some_48_db_below_a_uniform_signal() {
    let build = |net: &mut Net| {
        let x = net.input("x", &[1, 16, 16, 4], (0.0, 0.0));
        let y = net.conv(x, "conv", (0.0, 0.0));
        let z = net.unary(Unary::Relu, y, "relu", (0.0, 0.0));
        vec![net.conv(z, "y", (0.0, 0.0))]
    };
    let account = of(build, samples(&[1, 16, 16, 4], 3), Detail::Operators);
    assert_eq!(account.samples, 3);
    let names: Vec<&str> = account.operators.iter().map(|operator| operator.value.as_str()).collect();
    assert_eq!(names, ["conv", "relu", "y"]);
    for operator in &account.operators {
        assert_eq!(operator.dtype, "int8", "{operator:?}");
        let own = operator.own.unwrap();
        assert!((30.0..60.0).contains(&operator.sqnr) && own >= operator.sqnr - 0.5, "{operator:?}");
        assert!(operator.stored.unwrap().max * 1.02 > operator.seen.max && operator.clipped < 0.01, "{operator:?}");
    }
    assert_eq!(account.outputs[0].name, "y");
    assert_eq!(account.outputs[0].sqnr, account.operators[2].sqnr, "an output is its operator's result");
    assert_eq!(account.worst(), account.mean());
}

#[test]
fn float_nodes_add_no_noise_and_integers_are_counted() {
    let build = |net: &mut Net| {
        let x = net.input("x", &[1, 8, 8, 4], (0.0, 0.0));
        let y = net.conv(x, "conv", (0.0, 0.0));
        let sine = net.unary(Unary::Sin, y, "sine", (0.0, 0.0));
        let axis = net.ints(&[3]);
        let op = Op::ArgMax { to: DType::I32 };
        vec![net.op(op, &[sine, axis], "class", (0.0, 0.0))]
    };
    let account = of(build, samples(&[1, 8, 8, 4], 2), Detail::Operators);
    let sine = account.operators.iter().find(|operator| operator.value == "sine").unwrap();
    assert_eq!((sine.dtype, sine.own, sine.cause), ("float32", None, Cause::Float));
    assert!(sine.sqnr < 60.0 && sine.stored.is_none());
    assert!(account.worst() > 5.0, "most classes are the same: {}", account.worst());
}

#[test]
fn causes_are_told_apart() {
    let build = |net: &mut Net| {
        let x = net.input("x", &[1, 64, 64, 1], (0.0, 0.0));
        let factor = net.constant(&[], vec![2.0]);
        vec![net.binary(Binary::Mul, x, factor, "twice", (0.0, 0.0))]
    };
    let mut one = vec![Tensor::from_vec(&[1, 64, 64, 1], noise(4096, 1))];
    let plain = of(build, vec![one.clone()], Detail::Operators);
    assert_eq!(plain.operators[0].cause, Cause::Rounding);
    let mut values = one[0].to_f32s().unwrap();
    values[17] = 50.0;
    one[0] = Tensor::from_vec(&[1, 64, 64, 1], values);
    let far = of(build, vec![one], Detail::Operators);
    let Cause::Outliers { times } = far.operators[0].cause else { panic!("{:?}", far.operators[0]) };
    assert!((45.0..55.0).contains(&times), "{times}");
    let page = far.to_html();
    assert!(page.contains("outliers 50") && page.contains("twice"), "{page}");
}

#[test]
fn outputs_alone_are_the_same_numbers() {
    let build = |net: &mut Net| {
        let x = net.input("x", &[1, 16, 16, 4], (0.0, 0.0));
        let y = net.conv(x, "conv", (0.0, 0.0));
        let y = net.unary(Unary::Neg, y, "minus", (0.0, 0.0));
        vec![net.conv(y, "y", (0.0, 0.0))]
    };
    let whole = of(build, samples(&[1, 16, 16, 4], 2), Detail::Operators);
    let short = of(build, samples(&[1, 16, 16, 4], 2), Detail::Outputs);
    assert_eq!(short, Account { operators: Vec::new(), ..whole.clone() });
    assert_eq!(whole.operators.len(), 3, "what is written as another operator is there under its name");
}

#[test]
fn samples_are_taken_at_even_distances() {
    assert_eq!(spread(8, 4), [0, 2, 4, 6]);
    assert_eq!(spread(3, 16), [0, 1, 2]);
    assert!(spread(0, 16).is_empty());
}

//! One more node, or a handful that belong together, on a value there is: with attributes and constants that fit its extents.

use tract_onnx::pb::AttributeProto;

use crate::common::onnx::{float, int, ints, string};
use crate::net::{Choices, Net, Value};

/// What adds a node; `None` where the value doesn't suit.
type Grow = fn(&mut Net, &Value, &mut Choices) -> Option<()>;

/// Simple ones first: a failing model shrinks towards them.
pub const OPERATORS: &[Grow] = &[
    unary,
    activation,
    arithmetic_with_constant,
    arithmetic_of_values,
    extremum,
    transpose,
    reshape,
    flatten,
    squeeze,
    unsqueeze,
    concat,
    split,
    slice,
    gather,
    pad,
    expand,
    tile,
    reduce,
    arg_extremum,
    softmax,
    mat_mul,
    mat_mul_of_values,
    gemm,
    conv,
    conv_transpose,
    pool,
    global_pool,
    batch_normalization,
    layer_normalization,
    instance_normalization,
    p_relu,
    depth_to_space,
    space_to_depth,
    resize,
    cum_sum,
    where_,
    power,
    exponential,
    reshape_by_shape,
    hard_swish,
    clip,
    cast,
    variance,
    attention,
];

const MOST_ELEMENTS: usize = 800;
const MOST_AXES: usize = 5;

/// Adds operator number `operator`, to the latest value more often than to another.
pub fn grow(net: &mut Net, operator: usize, operand: usize, rest: u64) {
    let count = net.values.len();
    let x =
        if operand.is_multiple_of(3) { net.values[count - 1].clone() } else { net.values[operand / 3 % count].clone() };
    OPERATORS[operator](net, &x, &mut Choices(rest));
}

fn elements(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// One node with a result of these extents.
fn one(
    net: &mut Net,
    op: &str,
    x: &Value,
    others: &[&str],
    attributes: Vec<AttributeProto>,
    dims: Vec<usize>,
) -> Option<()> {
    if elements(&dims) > MOST_ELEMENTS || dims.len() > MOST_AXES {
        return None;
    }
    let mut inputs = vec![x.name.as_str()];
    inputs.extend(others);
    let name = net.node(op, &inputs, attributes);
    net.add(name, dims, x);
    Some(())
}

fn same(net: &mut Net, op: &str, x: &Value, attributes: Vec<AttributeProto>) -> Option<()> {
    one(net, op, x, &[], attributes, x.dims.clone())
}

/// An axis, and how a node may write it: counted from the start or from the end.
fn axis(x: &Value, choices: &mut Choices) -> Option<(usize, i64)> {
    let axis = choices.below(x.dims.len());
    let written = if choices.flag() { axis as i64 - x.dims.len() as i64 } else { axis as i64 };
    (!x.dims.is_empty()).then_some((axis, written))
}

/// A value of `dims`, computed from `x`, that is not in the net yet.
fn temporary(name: String, dims: &[usize], x: &Value) -> Value {
    Value { name, dims: dims.to_vec(), depth: x.depth + 1, ..x.clone() }
}

fn unary(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["Relu", "Neg", "Abs", "Sigmoid", "Tanh", "Identity", "Softplus", "Softsign", "Erf", "Sin"]);
    same(net, op, x, vec![])
}

fn activation(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let alpha = choices.pick(&[0.5f32, 0.1, 0.0, 1.0, 1.5]);
    match choices.below(5) {
        0 => same(net, "LeakyRelu", x, vec![float("alpha", alpha)]),
        1 => same(net, "Elu", x, vec![float("alpha", alpha)]),
        2 => same(net, "HardSigmoid", x, vec![float("alpha", alpha), float("beta", 0.4)]),
        3 => same(net, "Selu", x, vec![]),
        _ => same(net, "Celu", x, vec![float("alpha", alpha.max(0.1))]),
    }
}

fn hard_swish(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    if choices.flag() && net.opset >= 14 {
        return same(net, "HardSwish", x, vec![]);
    }
    // As exporters take it apart.
    let (three, low, high) = (net.scalar(3.0), net.scalar(0.0), net.scalar(6.0));
    let y = net.node("Add", &[&x.name, &three], vec![]);
    let y = net.node("Clip", &[&y, &low, &high], vec![]);
    let y = net.node("Mul", &[&x.name, &y], vec![]);
    one(net, "Div", &temporary(y, &x.dims, x), &[&high], vec![], x.dims.clone())
}

/// A constant that broadcasts to `dims`: of one element, of the last axes, or with ones in between.
fn broadcast_constant(net: &mut Net, dims: &[usize], choices: &mut Choices) -> String {
    let mut own = dims.to_vec();
    match choices.below(4) {
        0 => own.clear(),
        1 => drop(own.drain(..choices.below(dims.len() + 1))),
        2 => own.iter_mut().for_each(|n| *n = if choices.flag() { 1 } else { *n }),
        _ => {}
    }
    net.positive(&own)
}

fn arithmetic_with_constant(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["Add", "Mul", "Sub", "Div"]);
    let constant = broadcast_constant(net, &x.dims, choices);
    if op != "Div" && choices.flag() {
        let name = net.node(op, &[&constant, &x.name], vec![]);
        net.add(name, x.dims.clone(), x);
        return Some(());
    }
    one(net, op, x, &[&constant], vec![], x.dims.clone())
}

/// Another value that `x` can be combined with, and the extents of that.
fn partner(net: &Net, x: &Value, choices: &mut Choices) -> Option<(Value, Vec<usize>)> {
    let broadcast = |y: &Value| {
        let rank = x.dims.len().max(y.dims.len());
        let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
        let dim = |axis| match (at(&x.dims, axis), at(&y.dims, axis)) {
            (1, n) | (n, 1) => Some(n),
            (m, n) => (m == n).then_some(n),
        };
        (0..rank).map(dim).collect::<Option<Vec<usize>>>()
    };
    let fits: Vec<_> = net.values.iter().filter_map(|y| Some((y.clone(), broadcast(y)?))).collect();
    Some(choices.pick(&fits))
}

fn deeper(x: &Value, y: &Value) -> Value {
    Value { depth: x.depth.max(y.depth), ..x.clone() }
}

fn arithmetic_of_values(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["Add", "Sub", "Mul"]);
    let (y, dims) = partner(net, x, choices)?;
    one(net, op, &deeper(x, &y), &[&y.name], vec![], dims)
}

fn extremum(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["Max", "Min"]);
    if choices.flag() {
        let constant = broadcast_constant(net, &x.dims, choices);
        return one(net, op, x, &[&constant], vec![], x.dims.clone());
    }
    let (y, dims) = partner(net, x, choices)?;
    one(net, op, &deeper(x, &y), &[&y.name], vec![], dims)
}

fn clip(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let (low, high) = choices.pick(&[(0.0, 6.0), (-1.0, 1.0), (-0.5, 0.75), (0.0, f32::INFINITY), (0.0, 1.0)]);
    let low = if choices.flag() { String::new() } else { net.scalar(low) };
    let high = if high.is_infinite() { String::new() } else { net.scalar(high) };
    one(net, "Clip", x, &[&low, &high], vec![], x.dims.clone())
}

fn permutation(rank: usize, choices: &mut Choices) -> Vec<usize> {
    let mut left: Vec<usize> = (0..rank).rev().collect();
    let mut axes = Vec::new();
    while !left.is_empty() {
        axes.push(left.remove(choices.below(left.len())));
    }
    axes
}

fn transpose(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let axes = match (choices.below(3), x.dims.len()) {
        // The two that frameworks are at odds about.
        (1, 4) => vec![0, 2, 3, 1],
        (2, 4) => vec![0, 3, 1, 2],
        (_, rank) => permutation(rank, choices),
    };
    let perm: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
    let dims = axes.iter().map(|&a| x.dims[a]).collect();
    one(net, "Transpose", x, &[], vec![ints("perm", &perm)], dims)
}

/// Extents with as many elements: neighbours merged, or one taken apart.
fn reshaped(x: &Value, choices: &mut Choices) -> Vec<usize> {
    let mut dims = x.dims.clone();
    for _ in 0..1 + choices.below(2) {
        let at = choices.below(dims.len());
        match choices.below(3) {
            0 if dims.len() > 1 && at + 1 < dims.len() => {
                let next = dims.remove(at + 1);
                dims[at] *= next;
            }
            1 if dims.len() < MOST_AXES && !dims.is_empty() => {
                let part = [2, 3].into_iter().find(|p| dims[at].is_multiple_of(*p) && dims[at] > 0).unwrap_or(1);
                dims[at] /= part;
                dims.insert(at, part);
            }
            _ if dims.len() < MOST_AXES => dims.insert(at, 1),
            _ => {}
        }
    }
    dims
}

fn reshape(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let dims = reshaped(x, choices);
    let mut target: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
    if choices.flag() && !dims.is_empty() && elements(&dims) > 0 {
        target[choices.below(dims.len())] = -1;
    }
    if x.dims.first() == dims.first() && choices.flag() && target.first().is_some_and(|&n| n > 0) {
        target[0] = 0;
    }
    let target = net.ints(&target);
    one(net, "Reshape", x, &[&target], vec![], dims)
}

/// The first extent taken from the shape of the operand, as exporters with dynamic axes write it.
fn reshape_by_shape(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let [first, rest @ ..] = x.dims.as_slice() else { return None };
    (elements(&x.dims) > 0).then_some(())?;
    let shape = net.node("Shape", &[&x.name], vec![]);
    let (zero, one_more, remaining) = (net.ints(&[0]), net.ints(&[1]), net.ints(&[-1]));
    let extent = net.node("Gather", &[&shape, &zero], vec![int("axis", 0)]);
    let (parts, dims) = match choices.flag() {
        true => (vec![extent, one_more, remaining], vec![*first, 1, elements(rest)]),
        false => (vec![extent, remaining], vec![*first, elements(rest)]),
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let target = net.node("Concat", &parts, vec![int("axis", 0)]);
    one(net, "Reshape", x, &[&target], vec![], dims)
}

fn flatten(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let at = choices.below(x.dims.len() + 1);
    let dims = vec![elements(&x.dims[..at]), elements(&x.dims[at..])];
    one(net, "Flatten", x, &[], vec![int("axis", at as i64)], dims)
}

fn squeeze(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let of_one: Vec<usize> = (0..x.dims.len()).filter(|&a| x.dims[a] == 1).collect();
    if of_one.is_empty() {
        return None;
    }
    let gone = choices.pick(&of_one);
    let mut dims = x.dims.clone();
    dims.remove(gone);
    let axes = net.ints(&[gone as i64]);
    one(net, "Squeeze", x, &[&axes], vec![], dims)
}

fn unsqueeze(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let at = choices.below(x.dims.len() + 1);
    let mut dims = x.dims.clone();
    dims.insert(at, 1);
    let axes = net.ints(&[at as i64]);
    one(net, "Unsqueeze", x, &[&axes], vec![], dims)
}

fn concat(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let (axis, written) = axis(x, choices)?;
    let alike =
        |y: &&Value| y.dims.len() == x.dims.len() && (0..x.dims.len()).all(|a| a == axis || x.dims[a] == y.dims[a]);
    let others: Vec<Value> = net.values.iter().filter(alike).cloned().collect();
    let y = choices.pick(&others);
    let mut dims = x.dims.clone();
    dims[axis] += y.dims[axis];
    one(net, "Concat", &deeper(x, &y), &[&y.name], vec![int("axis", written)], dims)
}

fn split(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let (axis, written) = axis(x, choices)?;
    let first = 1 + choices.below(x.dims[axis].saturating_sub(1));
    let second = x.dims[axis].checked_sub(first).filter(|&n| n > 0)?;
    let sizes = net.ints(&[first as i64, second as i64]);
    let results = net.nodes("Split", &[&x.name, &sizes], vec![int("axis", written)], 2);
    for (name, size) in results.into_iter().zip([first, second]) {
        let mut dims = x.dims.clone();
        dims[axis] = size;
        net.add(name, dims, x);
    }
    Some(())
}

fn slice(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let (axis, written) = axis(x, choices)?;
    let extent = x.dims[axis] as i64;
    let step = choices.pick(&[1i64, 2, -1, -2]);
    let start = choices.below(extent as usize) as i64;
    let (end, len) = if step > 0 {
        let end = if choices.flag() { i64::MAX } else { extent };
        (end, (extent - start + step - 1) / step)
    } else {
        (i64::MIN, start / -step + 1)
    };
    let start = if choices.flag() { start - extent } else { start };
    let mut dims = x.dims.clone();
    dims[axis] = len as usize;
    let operands = [&[start], &[end], &[written], &[step]].map(|v: &[i64; 1]| net.ints(v));
    let others: Vec<&str> = operands.iter().map(String::as_str).collect();
    (len > 0).then_some(())?;
    one(net, "Slice", x, &others, vec![], dims)
}

fn gather(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let (axis, written) = axis(x, choices)?;
    let extent = x.dims[axis].max(1);
    let index = |choices: &mut Choices| choices.below(2 * extent) as i64 - extent as i64;
    let mut dims = x.dims.clone();
    let indices = match choices.below(3) {
        0 => {
            dims.remove(axis);
            let index = index(choices);
            net.int(index)
        }
        1 => {
            dims[axis] = 2;
            let indices = [index(choices), index(choices)];
            net.ints(&indices)
        }
        _ => {
            dims[axis] = 3;
            let indices = [index(choices), index(choices), 0];
            net.ints(&indices)
        }
    };
    one(net, "Gather", x, &[&indices], vec![int("axis", written)], dims)
}

fn pad(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let rank = x.dims.len();
    let mode = choices.pick(&["constant", "reflect", "edge"]);
    let mut pads = vec![0i64; 2 * rank];
    for _ in 0..2 {
        let at = choices.below(2 * rank);
        let most = if mode == "reflect" { x.dims.get(at % rank.max(1)).copied().unwrap_or(0).min(3) } else { 3 };
        *pads.get_mut(at)? = choices.below(most) as i64;
    }
    let padded = |(a, &n): (usize, &usize)| n + (pads[a] + pads[a + rank]) as usize;
    let dims = x.dims.iter().enumerate().map(padded).collect();
    let pads = net.ints(&pads);
    let value = if mode == "constant" && choices.flag() { Some(net.scalar(-0.5)) } else { None };
    let mut others = vec![pads.as_str()];
    others.extend(value.as_deref());
    one(net, "Pad", x, &others, vec![string("mode", mode)], dims)
}

fn expand(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let mut dims: Vec<usize> = x.dims.iter().map(|&n| if n == 1 { 1 + choices.below(3) } else { n }).collect();
    if choices.flag() {
        dims.insert(0, 2);
    }
    let target: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
    let target = net.ints(&target);
    one(net, "Expand", x, &[&target], vec![], dims)
}

fn tile(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let times: Vec<usize> = x.dims.iter().map(|_| 1 + choices.below(2)).collect();
    let dims = x.dims.iter().zip(&times).map(|(n, t)| n * t).collect();
    let times: Vec<i64> = times.iter().map(|&t| t as i64).collect();
    let times = net.ints(&times);
    (!x.dims.is_empty()).then_some(())?;
    one(net, "Tile", x, &[&times], vec![], dims)
}

fn reduce(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2", "ReduceSumSquare"]);
    let (axis, written) = axis(x, choices)?;
    let keep = !choices.flag();
    let mut axes = vec![written];
    let mut dims = x.dims.clone();
    if choices.flag() && x.dims.len() > 1 {
        let other = (axis + 1) % x.dims.len();
        axes.push(other as i64);
        dims[other] = 1;
    }
    dims[axis] = 1;
    if !keep {
        let rank = x.dims.len() as i64;
        let gone: Vec<usize> = axes.iter().map(|&a| (if a < 0 { a + rank } else { a }) as usize).collect();
        dims = x.dims.iter().enumerate().filter(|(a, _)| !gone.contains(a)).map(|(_, &n)| n).collect();
    }
    let keep = int("keepdims", keep.into());
    if net.opset >= 18 || op == "ReduceSum" {
        let axes = net.ints(&axes);
        return one(net, op, x, &[&axes], vec![keep], dims);
    }
    one(net, op, x, &[], vec![ints("axes", &axes), keep], dims)
}

fn arg_extremum(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["ArgMax", "ArgMin"]);
    let (axis, written) = axis(x, choices)?;
    let keep = choices.flag();
    let mut dims = x.dims.clone();
    if keep {
        dims[axis] = 1;
    } else {
        dims.remove(axis);
    }
    // Far apart, so that rounding decides nothing: of equal elements it is the first.
    let step = net.scalar(1e-2);
    let steps = net.node("Div", &[&x.name, &step], vec![]);
    let coarse = net.node("Round", &[&steps], vec![]);
    let at = net.node(op, &[&coarse], vec![int("axis", written), int("keepdims", keep.into())]);
    one(net, "Cast", &temporary(at, &dims, x), &[], vec![int("to", 1)], dims)
}

fn softmax(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["Softmax", "LogSoftmax"]);
    let (_, written) = axis(x, choices)?;
    same(net, op, x, vec![int("axis", written)])
}

/// A product with weights; sums of `inputs` numbers stay about as large as these.
fn mat_mul(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let &inputs = x.dims.last()?;
    let outputs = 1 + choices.below(6);
    let weights = net.weights(&[inputs, outputs], (inputs as f32).sqrt());
    let mut dims = x.dims.clone();
    *dims.last_mut()? = outputs;
    one(net, "MatMul", x, &[&weights], vec![], dims)
}

fn mat_mul_of_values(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let rank = x.dims.len();
    let fits = |y: &&Value| {
        rank > 1
            && y.dims.len() == rank
            && y.dims[..rank - 2] == x.dims[..rank - 2]
            && y.dims[rank - 2] == x.dims[rank - 1]
    };
    let others: Vec<Value> = net.values.iter().filter(fits).cloned().collect();
    if others.is_empty() {
        return None;
    }
    let y = choices.pick(&others);
    let mut dims = x.dims.clone();
    dims[rank - 1] = y.dims[rank - 1];
    one(net, "MatMul", &deeper(x, &y), &[&y.name], vec![], dims)
}

fn attention(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let rank = x.dims.len();
    if rank < 2 || elements(&x.dims) == 0 {
        return None;
    }
    let mut axes: Vec<i64> = (0..rank as i64).collect();
    axes.swap(rank - 1, rank - 2);
    let mut square = x.dims.clone();
    square[rank - 1] = square[rank - 2];
    (elements(&square) <= MOST_ELEMENTS).then_some(())?;
    let turned = net.node("Transpose", &[&x.name], vec![ints("perm", &axes)]);
    let scores = net.node("MatMul", &[&x.name, &turned], vec![]);
    let scale = net.scalar(0.25);
    let scores = net.node(if choices.flag() { "Div" } else { "Mul" }, &[&scores, &scale], vec![]);
    let weights = net.node("Softmax", &[&scores], vec![int("axis", -1)]);
    one(net, "MatMul", &temporary(weights, &square, x), &[&x.name], vec![], x.dims.clone())
}

fn gemm(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let [rows, columns] = *x.dims.as_slice() else { return None };
    let (trans_a, trans_b) = (choices.flag(), choices.flag());
    let (m, k, n) = if trans_a { (columns, rows, 1 + choices.below(5)) } else { (rows, columns, 1 + choices.below(5)) };
    let weights = net.weights(&if trans_b { [n, k] } else { [k, n] }, (k as f32).sqrt());
    let bias = match choices.below(4) {
        0 => net.weights(&[n], 1.0),
        1 => net.weights(&[m, 1], 1.0),
        2 => net.weights(&[], 1.0),
        _ => net.weights(&[m, n], 1.0),
    };
    let mut attributes = vec![int("transA", trans_a.into()), int("transB", trans_b.into())];
    if choices.flag() {
        attributes.extend([float("alpha", 0.5), float("beta", 1.5)]);
    }
    one(net, "Gemm", x, &[&weights, &bias], attributes, vec![m, n])
}

/// A divisor of the channels.
fn groups(channels: usize, choices: &mut Choices) -> usize {
    let divisors: Vec<usize> = (1..=channels).filter(|g| channels.is_multiple_of(*g)).collect();
    choices.pick(&divisors)
}

fn conv(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let [batch, channels, spatial @ ..] = x.dims.as_slice() else { return None };
    if !(1..=2).contains(&spatial.len()) || *channels == 0 {
        return None;
    }
    let group = groups(*channels, choices);
    let outputs = group * (1 + choices.below(2));
    let mut weights = vec![outputs, channels / group];
    let (mut strides, mut dilations, mut pads) = (vec![], vec![], vec![0i64; 2 * spatial.len()]);
    let mut dims = vec![*batch, outputs];
    for (i, &extent) in spatial.iter().enumerate() {
        let (kernel, stride, dilation) = (1 + choices.below(3), 1 + choices.below(2), 1 + choices.below(2));
        let before = choices.below(3).min(kernel - 1);
        let after = choices.below(2).min(kernel - 1);
        (pads[i], pads[i + spatial.len()]) = (before as i64, after as i64);
        let window = dilation * (kernel - 1) + 1;
        dims.push((extent + before + after).checked_sub(window)? / stride + 1);
        weights.push(kernel);
        strides.push(stride as i64);
        dilations.push(dilation as i64);
    }
    let by = (elements(&weights[1..]) as f32).sqrt();
    let w = net.weights(&weights, by);
    let bias = choices.flag().then(|| net.weights(&[outputs], 1.0));
    let mut others = vec![w.as_str()];
    others.extend(bias.as_deref());
    let attributes =
        vec![int("group", group as i64), ints("strides", &strides), ints("dilations", &dilations), ints("pads", &pads)];
    one(net, "Conv", x, &others, attributes, dims)
}

fn conv_transpose(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let [batch, channels, height, width] = *x.dims.as_slice() else { return None };
    let outputs = 1 + choices.below(3);
    let (kernel, stride) = (1 + choices.below(3), 1 + choices.below(2));
    let pad = choices.below(2).min(kernel - 1);
    let extra = choices.below(2).min(stride - 1);
    let extent = |n: usize| ((n.checked_sub(1)?) * stride + kernel + extra).checked_sub(2 * pad).filter(|&n| n > 0);
    let dims = vec![batch, outputs, extent(height)?, extent(width)?];
    let weights = net.weights(&[channels, outputs, kernel, kernel], (channels.max(1) as f32).sqrt());
    let attributes = vec![
        ints("strides", &[stride as i64; 2]),
        ints("pads", &[pad as i64; 4]),
        ints("output_padding", &[extra as i64; 2]),
    ];
    one(net, "ConvTranspose", x, &[&weights], attributes, dims)
}

fn pool(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let [batch, channels, height, width] = *x.dims.as_slice() else { return None };
    let op = choices.pick(&["MaxPool", "AveragePool"]);
    let (kernel, stride) = (1 + choices.below(3), 1 + choices.below(2));
    let pad = choices.below(2).min(kernel / 2);
    let extent = |n: usize| Some((n + 2 * pad).checked_sub(kernel)? / stride + 1);
    let dims = vec![batch, channels, extent(height)?, extent(width)?];
    let mut attributes = vec![
        ints("kernel_shape", &[kernel as i64; 2]),
        ints("strides", &[stride as i64; 2]),
        ints("pads", &[pad as i64; 4]),
    ];
    if op == "AveragePool" && choices.flag() {
        attributes.push(int("count_include_pad", 1));
    }
    one(net, op, x, &[], attributes, dims)
}

fn global_pool(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["GlobalAveragePool", "GlobalMaxPool"]);
    let mut dims = x.dims.clone();
    dims.iter_mut().skip(2).for_each(|n| *n = 1);
    (dims.len() > 2).then_some(())?;
    one(net, op, x, &[], vec![], dims)
}

fn batch_normalization(net: &mut Net, x: &Value, _: &mut Choices) -> Option<()> {
    let &channels = x.dims.get(1)?;
    let scale = net.positive(&[channels]);
    let (bias, mean) = (net.weights(&[channels], 1.0), net.weights(&[channels], 1.0));
    let variance = net.positive(&[channels]);
    one(net, "BatchNormalization", x, &[&scale, &bias, &mean, &variance], vec![], x.dims.clone())
}

/// The divisor is kept from getting small: it would enlarge what was rounded before.
fn layer_normalization(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let (axis, written) = axis(x, choices)?;
    (net.opset >= 17).then_some(())?;
    let (scale, bias) = (net.positive(&x.dims[axis..]), net.weights(&x.dims[axis..], 1.0));
    let attributes = vec![int("axis", written), float("epsilon", 0.01)];
    one(net, "LayerNormalization", x, &[&scale, &bias], attributes, x.dims.clone())
}

fn instance_normalization(net: &mut Net, x: &Value, _: &mut Choices) -> Option<()> {
    let channels = *x.dims.get(1).filter(|_| x.dims.len() > 2)?;
    let (scale, bias) = (net.positive(&[channels]), net.weights(&[channels], 1.0));
    one(net, "InstanceNormalization", x, &[&scale, &bias], vec![float("epsilon", 0.01)], x.dims.clone())
}

/// A normalization as exporters took it apart before there was an operator.
fn variance(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    (net.opset < 18 && !x.dims.is_empty()).then_some(())?;
    let axes = || vec![ints("axes", &[-1]), int("keepdims", 1)];
    let mean = net.node("ReduceMean", &[&x.name], axes());
    let centred = net.node("Sub", &[&x.name, &mean], vec![]);
    let squared = if choices.flag() {
        net.node("Mul", &[&centred, &centred], vec![])
    } else {
        let two = net.scalar(2.0);
        net.node("Pow", &[&centred, &two], vec![])
    };
    let mean = net.node("ReduceMean", &[&squared], axes());
    let epsilon = net.scalar(0.01);
    let mean = net.node("Add", &[&mean, &epsilon], vec![]);
    let deviation = net.node("Sqrt", &[&mean], vec![]);
    one(net, "Div", &temporary(centred, &x.dims, x), &[&deviation], vec![], x.dims.clone())
}

fn p_relu(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    (!x.dims.is_empty()).then_some(())?;
    let slope = match (choices.below(3), x.dims.as_slice()) {
        (0, [_, channels, spatial @ ..]) => {
            let mut dims = vec![*channels];
            dims.extend(spatial.iter().map(|_| 1));
            net.positive(&dims)
        }
        (1, [.., last]) => net.positive(&[*last]),
        _ => net.positive(&[1]),
    };
    one(net, "PRelu", x, &[&slope], vec![], x.dims.clone())
}

fn depth_to_space(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let [batch, channels, height, width] = *x.dims.as_slice() else { return None };
    let mode = choices.pick(&["DCR", "CRD"]);
    (channels > 0 && channels % 4 == 0).then_some(())?;
    let attributes = vec![int("blocksize", 2), string("mode", mode)];
    one(net, "DepthToSpace", x, &[], attributes, vec![batch, channels / 4, 2 * height, 2 * width])
}

fn space_to_depth(net: &mut Net, x: &Value, _: &mut Choices) -> Option<()> {
    let [batch, channels, height, width] = *x.dims.as_slice() else { return None };
    (height % 2 == 0 && width % 2 == 0).then_some(())?;
    one(net, "SpaceToDepth", x, &[], vec![int("blocksize", 2)], vec![batch, 4 * channels, height / 2, width / 2])
}

fn resize(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let [batch, channels, height, width] = *x.dims.as_slice() else { return None };
    let attributes = match choices.below(4) {
        0 => vec![
            string("mode", "nearest"),
            string("coordinate_transformation_mode", "asymmetric"),
            string("nearest_mode", "floor"),
        ],
        1 => vec![string("mode", "linear"), string("coordinate_transformation_mode", "half_pixel")],
        2 => vec![string("mode", "linear"), string("coordinate_transformation_mode", "align_corners")],
        _ => vec![string("mode", "linear"), string("coordinate_transformation_mode", "asymmetric")],
    };
    let scales = net.floats(&[4], &[1.0, 1.0, 2.0, 2.0]);
    one(net, "Resize", x, &["", &scales], attributes, vec![batch, channels, 2 * height, 2 * width])
}

fn cum_sum(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let (_, written) = axis(x, choices)?;
    let axis = net.int(written);
    let attributes = vec![int("exclusive", choices.below(2) as i64), int("reverse", choices.below(2) as i64)];
    one(net, "CumSum", x, &[&axis], attributes, x.dims.clone())
}

fn where_(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let op = choices.pick(&["Less", "Greater"]);
    let (y, dims) = partner(net, x, choices)?;
    // No computed value lies this near by chance.
    let bound = net.scalar(0.123_45);
    let condition = net.node(op, &[&x.name, &bound], vec![]);
    let condition = if choices.flag() { net.node("Not", &[&condition], vec![]) } else { condition };
    (elements(&dims) <= MOST_ELEMENTS && dims.len() <= MOST_AXES).then_some(())?;
    let zero = net.scalar(0.0);
    let other = if choices.flag() { zero } else { y.name.clone() };
    let dims = if other == y.name { dims } else { x.dims.clone() };
    let name = net.node("Where", &[&condition, &x.name, &other], vec![]);
    net.add(name, dims, &deeper(x, &y));
    Some(())
}

fn power(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    // What is raised stays small.
    let exponent = choices.pick(&[2.0, 3.0, 1.0]);
    let exponent = net.scalar(exponent);
    let bounded = net.node("Tanh", &[&x.name], vec![]);
    one(net, "Pow", &temporary(bounded, &x.dims, x), &[&exponent], vec![], x.dims.clone())
}

fn exponential(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    let bounded = net.node("Sigmoid", &[&x.name], vec![]);
    let op = choices.pick(&["Exp", "Sqrt", "Log", "Reciprocal"]);
    // Away from where roots and logarithms are steep.
    let half = net.scalar(0.5);
    let above = net.node("Add", &[&bounded, &half], vec![]);
    one(net, op, &temporary(above, &x.dims, x), &[], vec![], x.dims.clone())
}

fn cast(net: &mut Net, x: &Value, choices: &mut Choices) -> Option<()> {
    // Whole numbers by way of an integer type.
    let to = choices.pick(&[6i64, 7]);
    let four = net.scalar(4.0);
    let steps = net.node("Mul", &[&x.name, &four], vec![]);
    let whole = net.node("Round", &[&steps], vec![]);
    let cast = net.node("Cast", &[&whole], vec![int("to", to)]);
    one(net, "Cast", &temporary(cast, &x.dims, x), &[], vec![int("to", 1)], x.dims.clone())
}

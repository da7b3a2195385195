//! Operators that exporters take apart, put together again before lowering: GELU, normalization over axes of one sample, and products
//! of integers whose data is quantized at run time.
//!
//! Owns: finding them in an ONNX graph by what they compute, in whatever order the operands stand. Each becomes one node of the
//! domain `litesmith`. A match is only taken where no one else uses what lies inside it.

use std::collections::{BTreeSet, HashMap};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

use indexmap::IndexMap;

use crate::onnx::{Attribute, Graph, Node};
use crate::tensor::Tensor;

/// Replaces what is recognized; the names of final values stay.
pub(super) fn recognize(graph: &mut Graph) {
    graph.nodes.iter_mut().flat_map(Node::graphs_mut).for_each(recognize);
    let found = Finder::new(graph).find();
    if found.is_empty() {
        return;
    }
    let mut replaced: HashMap<usize, Option<Node>> = HashMap::new();
    for Match { nodes, last, node } in found {
        replaced.extend(nodes.into_iter().map(|i| (i, None)));
        replaced.insert(last, Some(node));
    }
    let nodes = std::mem::take(&mut graph.nodes).into_iter().enumerate();
    graph.nodes = nodes.filter_map(|(i, node)| replaced.remove(&i).unwrap_or(Some(node))).collect();
}

/// Nodes that are one operator together.
struct Match {
    nodes: BTreeSet<usize>,
    /// The one of them that makes the result.
    last: usize,
    /// What stands for them.
    node: Node,
}

/// Stands for a user of a value that is no node: an output of the graph, or a subgraph.
const OUTSIDE: usize = usize::MAX;

struct Finder<'a> {
    graph: &'a Graph,
    producers: HashMap<&'a str, usize>,
    users: HashMap<&'a str, Vec<usize>>,
}

/// A number times values, with the nodes that multiply them.
#[derive(Default)]
struct Product<'a> {
    factor: f64,
    values: Vec<&'a str>,
    nodes: Vec<usize>,
}

impl<'a> Finder<'a> {
    fn new(graph: &'a Graph) -> Finder<'a> {
        let mut finder = Finder { graph, producers: HashMap::new(), users: HashMap::new() };
        for (i, node) in graph.nodes.iter().enumerate() {
            finder.producers.extend(node.outputs.iter().map(|o| (o.as_str(), i)));
            for input in &node.inputs {
                finder.users.entry(input).or_default().push(i);
            }
            for subgraph in subgraphs(node) {
                finder.add_captures(subgraph);
            }
        }
        for output in &graph.outputs {
            finder.users.entry(&output.name).or_default().push(OUTSIDE);
        }
        finder
    }

    /// A subgraph may use any value of the graphs around it.
    fn add_captures(&mut self, graph: &'a Graph) {
        let operands = graph.nodes.iter().flat_map(|n| &n.inputs);
        for name in operands.chain(graph.outputs.iter().map(|o| &o.name)) {
            self.users.entry(name).or_default().push(OUTSIDE);
        }
        for subgraph in graph.nodes.iter().flat_map(subgraphs) {
            self.add_captures(subgraph);
        }
    }

    fn find(&self) -> Vec<Match> {
        let mut taken = BTreeSet::new();
        let mut found = Vec::new();
        for last in 0..self.graph.nodes.len() {
            let Some(one) = self.gelu(last).or_else(|| self.normalization(last)).or_else(|| self.dynamic_product(last))
            else {
                continue;
            };
            if self.is_closed(&one) && taken.is_disjoint(&one.nodes) {
                taken.extend(&one.nodes);
                found.push(one);
            }
        }
        found
    }

    /// True where only nodes of the match use what is inside it.
    fn is_closed(&self, one: &Match) -> bool {
        let inside = one.nodes.iter().filter(|&&i| i != one.last).flat_map(|&i| &self.graph.nodes[i].outputs);
        inside.filter(|o| !o.is_empty()).all(|o| self.users_of(o).iter().all(|user| one.nodes.contains(user)))
    }

    fn users_of(&self, name: &str) -> &[usize] {
        self.users.get(name).map_or(&[], Vec::as_slice)
    }

    /// The node of the standard operator `op` that makes `name`, and its operands.
    fn made_by(&self, name: &str, op: &str) -> Option<(usize, &'a [String])> {
        let index = *self.producers.get(name)?;
        let node = &self.graph.nodes[index];
        (node.op == op && node.domain.is_empty()).then_some((index, node.inputs.as_slice()))
    }

    /// The same for an operator of two operands.
    fn made_by_pair(&self, name: &str, op: &str) -> Option<(usize, &'a str, &'a str)> {
        match self.made_by(name, op)? {
            (index, [a, b]) => Some((index, a, b)),
            _ => None,
        }
    }

    fn constant(&self, name: &str) -> Option<Tensor> {
        if let Some(tensor) = self.graph.initializers.get(name) {
            return Some(tensor.clone());
        }
        let (index, _) = self.made_by(name, "Constant")?;
        match self.graph.nodes[index].attributes.first()? {
            (_, Attribute::Tensor(tensor)) => Some(tensor.clone()),
            (_, Attribute::Float(x)) => Some(Tensor::scalar(*x)),
            (_, Attribute::Ints(v)) => Some(Tensor::vector(v.clone())),
            _ => None,
        }
    }

    /// The number that a constant holds which changes no shape.
    fn scalar(&self, name: &str) -> Option<f64> {
        let tensor = self.constant(name)?;
        if tensor.len() != 1 || tensor.shape().len() > 1 {
            return None;
        }
        tensor.to_f64s().ok()?.first().copied()
    }

    fn is_scalar(&self, name: &str, value: f64) -> bool {
        self.scalar(name).is_some_and(|x| is_near(x, value))
    }

    /// The other summand where `name` is a sum with the constant `value`.
    fn plus(&self, name: &str, value: f64) -> Option<(usize, &'a str)> {
        let (index, a, b) = self.made_by_pair(name, "Add")?;
        let other = [(a, b), (b, a)].into_iter().find(|(_, c)| self.is_scalar(c, value));
        other.map(|(x, _)| (index, x))
    }

    /// `name` multiplied out, through values that nobody else uses.
    fn product(&self, name: &'a str) -> Product<'a> {
        let mut product = Product { factor: 1.0, ..Product::default() };
        let mut open = vec![name];
        while let Some(value) = open.pop() {
            // The longest product looked for is a constant times three values.
            let may_open = product.nodes.len() < 8 && (value == name || self.users_of(value).len() == 1);
            if let Some(x) = self.scalar(value) {
                product.factor *= x;
            } else if let (true, Some((index, a, b))) = (may_open, self.made_by_pair(value, "Mul")) {
                product.nodes.push(index);
                open.extend([a, b]);
            } else if let (true, Some((index, a, by))) = (may_open, self.quotient(value)) {
                product.nodes.push(index);
                product.factor /= by;
                open.push(a);
            } else if let (true, Some((index, a, times))) = (may_open, self.power(value)) {
                product.nodes.push(index);
                open.extend(std::iter::repeat_n(a, times));
            } else {
                product.values.push(value);
            }
        }
        product
    }

    fn quotient(&self, name: &str) -> Option<(usize, &'a str, f64)> {
        let (index, a, b) = self.made_by_pair(name, "Div")?;
        Some((index, a, self.scalar(b)?))
    }

    fn power(&self, name: &str) -> Option<(usize, &'a str, usize)> {
        let (index, a, exponent) = self.made_by_pair(name, "Pow")?;
        let exponent = self.scalar(exponent)?;
        let times = [2, 3].into_iter().find(|&n| exponent == n as f64)?;
        Some((index, a, times))
    }

    /// `0.5 * x * (1 + erf(x / sqrt(2)))`, or the form with tanh.
    fn gelu(&self, last: usize) -> Option<Match> {
        let root = &self.graph.nodes[last];
        if !matches!(root.op.as_str(), "Mul" | "Div") {
            return None;
        }
        let product = self.product(root.outputs.first()?);
        let &[a, b] = product.values.as_slice() else { return None };
        if !is_near(product.factor, 0.5) {
            return None;
        }
        [(a, b), (b, a)].into_iter().find_map(|(x, gate)| {
            let (add, bent) = self.plus(gate, 1.0)?;
            let mut nodes = BTreeSet::from_iter(product.nodes.iter().copied().chain([last, add]));
            let approximate = if let Some((erf, [argument])) = self.made_by(bent, "Erf") {
                let inner = self.product(argument);
                nodes.insert(erf);
                nodes.extend(&inner.nodes);
                (inner.values == [x] && is_near(inner.factor, FRAC_1_SQRT_2)).then_some("none")?
            } else if let Some((tanh, [argument])) = self.made_by(bent, "Tanh") {
                nodes.insert(tanh);
                nodes.extend(self.tanh_argument(argument, x)?);
                "tanh"
            } else {
                return None;
            };
            let approximate = Attribute::String(approximate.into());
            let node = substitute(root, "Gelu", vec![x.into()], [("approximate", approximate)]);
            Some(Match { nodes, last, node })
        })
    }

    /// Nodes of `sqrt(2 / pi) * (x + 0.044715 * x^3)`, with or without one `x` taken out.
    fn tanh_argument(&self, argument: &'a str, x: &str) -> Option<Vec<usize>> {
        let Product { factor, values, mut nodes } = self.product(argument);
        if !is_near(factor, FRAC_2_SQRT_PI / SQRT_2) {
            return None;
        }
        let (add, cubic, powers) = match *values.as_slice() {
            [sum] => {
                let (add, a, b) = self.made_by_pair(sum, "Add")?;
                let cubic = [(a, b), (b, a)].into_iter().find(|(a, _)| *a == x)?.1;
                (add, cubic, 3)
            }
            [a, b] => {
                let sum = [(a, b), (b, a)].into_iter().find(|(a, _)| *a == x)?.1;
                let (add, square) = self.plus(sum, 1.0)?;
                (add, square, 2)
            }
            _ => return None,
        };
        let inner = self.product(cubic);
        nodes.push(add);
        nodes.extend(&inner.nodes);
        let fits =
            is_near(inner.factor, 0.044715) && inner.values.len() == powers && inner.values.iter().all(|v| *v == x);
        fits.then_some(nodes)
    }

    /// `(x - mean(x)) / sqrt(variance(x) + epsilon)` over some axes, or without the mean (RMS), and a constant scale and bias after it.
    fn normalization(&self, last: usize) -> Option<Match> {
        let root = &self.graph.nodes[last];
        let [a, b] = root.inputs.as_slice() else { return None };
        let mut nodes = BTreeSet::from([last]);
        let (numerator, variance) = match root.op.as_str() {
            "Div" => (a, self.root_of(b, &mut nodes)?),
            "Mul" => [(a, b), (b, a)].into_iter().find_map(|(x, y)| Some((x, self.inverse_root_of(y, &mut nodes)?)))?,
            _ => return None,
        };
        let (add, u, v) = self.made_by_pair(variance, "Add")?;
        let (mean_square, epsilon) = [(u, v), (v, u)].into_iter().find_map(|(u, v)| Some((u, self.scalar(v)?)))?;
        let (mean, square, axes) = self.mean(mean_square)?;
        let squared = self.square(square, &mut nodes)?;
        nodes.extend([add, mean]);
        let centred = self.centred(squared, &axes);
        let x = match (centred, self.centred(numerator, &axes)) {
            // Some exporters subtract the mean twice.
            (Some((x, one)), Some((same, other))) if x == same => {
                nodes.extend(one.into_iter().chain(other));
                x
            }
            _ if squared == numerator => squared,
            _ => return None,
        };
        let mut inputs = vec![x.to_string()];
        let mut last = last;
        for op in ["Mul", "Add"] {
            if inputs.len() == 1 && op == "Add" {
                break;
            }
            let Some((next, constant)) = self.constant_operand_after(last, op) else { break };
            nodes.insert(next);
            last = next;
            inputs.push(constant.into());
        }
        let attributes = [
            ("axes", Attribute::Ints(axes)),
            ("epsilon", Attribute::Float(epsilon as f32)),
            ("centred", Attribute::Int((x != squared).into())),
        ];
        let node = substitute(&self.graph.nodes[last], "Normalization", inputs, attributes);
        Some(Match { nodes, last, node })
    }

    /// `Cast(MatMulInteger(q, B, z, zb)) * (s * sb)` or that of `ConvInteger`, with `q, s, z = DynamicQuantizeLinear(x)`, which others
    /// may use as well.
    fn dynamic_product(&self, last: usize) -> Option<Match> {
        let root = &self.graph.nodes[last];
        let [a, b] = root.inputs.as_slice() else { return None };
        if root.op != "Mul" || !root.domain.is_empty() {
            return None;
        }
        let of_sums = |(sums, scales): (&'a String, &'a String)| {
            let (cast, [integers]) = self.made_by(sums, "Cast")? else { return None };
            let product = *self.producers.get(integers.as_str())?;
            let (_, u, v) = self.made_by_pair(scales, "Mul")?;
            Some((cast, product, [(u, v), (v, u)]))
        };
        let (cast, product, scales) = [(a, b), (b, a)].into_iter().find_map(of_sums)?;
        let node = &self.graph.nodes[product];
        let op = match node.op.as_str() {
            "MatMulInteger" if node.domain.is_empty() => "DynamicQuantizeMatMul",
            "ConvInteger" if node.domain.is_empty() => "DynamicQuantizeConv",
            _ => return None,
        };
        let (data, weights, zero_point) = (node.inputs.first()?, node.inputs.get(1)?, node.inputs.get(2)?);
        let (quantize, [x]) = self.made_by(data, "DynamicQuantizeLinear")? else { return None };
        let [stored, scale, zero] = self.graph.nodes[quantize].outputs.as_slice() else { return None };
        let (_, of_weights) = scales.into_iter().find(|(own, _)| own == scale)?;
        // Of a scale for each column the Mul makes rows; more axes would mean something else.
        let may_have = if op == "DynamicQuantizeConv" { 0 } else { 1 };
        let sizes = self.constant(of_weights)?;
        let fits = sizes.len() == 1 || sizes.shape().len() <= may_have;
        let to_float = matches!(self.graph.nodes[cast].attributes.get("to"), Some(Attribute::Int(1)));
        if stored != data || zero != zero_point || !fits || !to_float {
            return None;
        }
        let zero_points = node.inputs.get(3).cloned();
        let inputs = [x.clone(), weights.clone(), of_weights.to_string()].into_iter().chain(zero_points).collect();
        let attributes = node.attributes.clone();
        let node = Node { attributes, ..substitute(root, op, inputs, []) };
        Some(Match { nodes: BTreeSet::from([last, cast, product]), last, node })
    }

    fn root_of(&self, name: &str, nodes: &mut BTreeSet<usize>) -> Option<&'a str> {
        let (index, x) = match self.made_by(name, "Sqrt") {
            Some((index, [x])) => (index, x.as_str()),
            _ => self
                .made_by_pair(name, "Pow")
                .filter(|(_, _, e)| self.scalar(e) == Some(0.5))
                .map(|(i, x, _)| (i, x))?,
        };
        nodes.insert(index);
        Some(x)
    }

    fn inverse_root_of(&self, name: &str, nodes: &mut BTreeSet<usize>) -> Option<&'a str> {
        let (index, root) = if let Some((index, [root])) = self.made_by(name, "Reciprocal") {
            (index, root.as_str())
        } else if let Some((index, one, root)) = self.made_by_pair(name, "Div") {
            (self.scalar(one) == Some(1.0)).then_some((index, root))?
        } else {
            let (index, x, exponent) = self.made_by_pair(name, "Pow")?;
            (self.scalar(exponent) == Some(-0.5)).then(|| nodes.insert(index))?;
            return Some(x);
        };
        let x = self.root_of(root, nodes)?;
        nodes.insert(index);
        Some(x)
    }

    /// The operand and axes of a mean that keeps its axes.
    fn mean(&self, name: &str) -> Option<(usize, &'a str, Vec<i64>)> {
        let (index, inputs) = self.made_by(name, "ReduceMean")?;
        let node = &self.graph.nodes[index];
        if matches!(node.attributes.get("keepdims"), Some(Attribute::Int(0))) {
            return None;
        }
        let axes = match (node.attributes.get("axes"), inputs) {
            (Some(Attribute::Ints(axes)), [_]) => axes.clone(),
            (None, [_, axes]) => self.constant(axes)?.to_i64s().ok()?,
            _ => return None,
        };
        (!axes.is_empty()).then(|| (index, inputs[0].as_str(), axes))
    }

    fn square(&self, name: &str, nodes: &mut BTreeSet<usize>) -> Option<&'a str> {
        let power = self.power(name).filter(|(_, _, times)| *times == 2).map(|(i, x, _)| (i, x));
        let product = self.made_by_pair(name, "Mul").filter(|(_, a, b)| a == b).map(|(i, a, _)| (i, a));
        let (index, x) = power.or(product)?;
        nodes.insert(index);
        Some(x)
    }

    /// `x` of `x - mean(x)` over `axes`, and the two nodes.
    fn centred(&self, name: &str, axes: &[i64]) -> Option<(&'a str, [usize; 2])> {
        let (sub, x, mean) = self.made_by_pair(name, "Sub")?;
        let (mean, of, over) = self.mean(mean)?;
        (of == x && over == axes).then_some((x, [sub, mean]))
    }

    /// The only user of a node's result, where it is `op` with a constant.
    fn constant_operand_after(&self, index: usize, op: &str) -> Option<(usize, &'a str)> {
        let result = self.graph.nodes[index].outputs.first()?;
        let &[user] = self.users_of(result) else { return None };
        let node = self.graph.nodes.get(user).filter(|n| n.op == op && n.domain.is_empty())?;
        let constant = node.inputs.iter().find(|&i| i != result && self.constant(i).is_some())?;
        Some((user, constant))
    }
}

fn subgraphs(node: &Node) -> impl Iterator<Item = &Graph> {
    node.attributes.values().flat_map(|attribute| match attribute {
        Attribute::Graph(graph) => std::slice::from_ref(graph.as_ref()),
        Attribute::Graphs(graphs) => graphs.as_slice(),
        _ => &[],
    })
}

/// Exporters write such constants in single precision, or with some six digits.
fn is_near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-5 * wanted.abs()
}

/// A node of our own that makes the result of `last`.
fn substitute<const N: usize>(last: &Node, op: &str, inputs: Vec<String>, attributes: [(&str, Attribute); N]) -> Node {
    Node {
        name: last.name.clone(),
        op: op.into(),
        domain: "litesmith".into(),
        opset: last.opset,
        inputs,
        outputs: last.outputs.clone(),
        attributes: IndexMap::from_iter(attributes.map(|(name, value)| (name.to_string(), value))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::onnx;

    /// Operators of a fixture after recognition, without constants.
    fn recognized(folder: &str, prefix: &str) -> Vec<(String, Vec<String>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases").join(folder);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with(prefix) || !name.ends_with(".onnx") {
                continue;
            }
            let mut model = onnx::read_file(&path).unwrap();
            recognize(&mut model.graph);
            let outputs: Vec<&String> = model.graph.outputs.iter().map(|o| &o.name).collect();
            let computed: Vec<&Node> = model.graph.nodes.iter().filter(|n| n.op != "Constant").collect();
            assert!(outputs.iter().all(|o| computed.iter().any(|n| n.outputs.contains(o))), "{name} lost an output");
            let domain = |n: &Node| if n.domain.is_empty() { String::new() } else { format!("{}::", n.domain) };
            found.push((name, computed.iter().map(|n| format!("{}{}", domain(n), n.op)).collect()));
        }
        found
    }

    #[test]
    fn exported_forms_become_one_node() {
        for (folder, prefix, count, op) in [
            ("activation", "pattern_gelu_", 8, "litesmith::Gelu"),
            ("functions", "pattern_layer_norm", 9, "litesmith::Normalization"),
            ("functions", "pattern_rms_norm", 1, "litesmith::Normalization"),
        ] {
            let found = recognized(folder, prefix);
            assert_eq!(found.len(), count, "{found:?}");
            for (name, ops) in found {
                assert_eq!(ops, [op], "{name}");
            }
        }
    }

    #[test]
    fn near_misses_stay() {
        let found = [recognized("activation", "pattern_near_gelu"), recognized("functions", "pattern_near_layer_norm")];
        assert_eq!(found.iter().flatten().count(), 6);
        // The inner mean of other axes is a mean all the same: what is left is divided by its root mean square.
        for (name, ops) in found.iter().flatten().filter(|(name, _)| !name.contains("other_axes")) {
            assert!(ops.iter().all(|op| !op.contains("::")), "{name}: {ops:?}");
        }
    }
}

//! A model in the making: nodes, values with their real extents, and the bytes of it all.

use litesmith::tensor::Tensor;
use tract_onnx::pb;
use tract_onnx::pb::tensor_shape_proto::dimension;

use crate::common::Random;
use crate::common::onnx::{FLOAT, bytes, floats, int64s, node, shaped};

/// A float value of a model.
#[derive(Debug, Clone)]
pub struct Value {
    pub name: String,
    pub dims: Vec<usize>,
    /// Operators between it and the inputs.
    pub depth: usize,
    pub used: bool,
}

/// Numbers that decide on a node, drawn from one: 0 stands for the simplest choice everywhere.
pub struct Choices(pub u64);

impl Choices {
    /// From `0..n`; 0 where there is nothing to choose.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        let choice = self.0 % n;
        self.0 /= n;
        choice as usize
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

pub struct Net {
    pub opset: i64,
    pub values: Vec<Value>,
    nodes: Vec<pb::NodeProto>,
    constants: Vec<pb::TensorProto>,
    inputs: usize,
    /// Whether axis 0 of the inputs is declared by name alone.
    dynamic: bool,
    names: usize,
    random: Random,
}

impl Net {
    pub fn new(opset: i64, inputs: &[&[usize]], dynamic: bool) -> Net {
        let value =
            |(i, dims): (usize, &&[usize])| Value { name: format!("x{i}"), dims: dims.to_vec(), depth: 0, used: false };
        let values = inputs.iter().enumerate().map(value).collect();
        let (nodes, constants) = (Vec::new(), Vec::new());
        Net { opset, values, nodes, constants, inputs: inputs.len(), dynamic, names: 0, random: Random::new(7) }
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}{}", self.names)
    }

    /// A constant of numbers between -1 and 1, divided by `by`.
    pub fn weights(&mut self, dims: &[usize], by: f32) -> String {
        let count = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|_| self.number() / by).collect();
        self.floats(dims, &values)
    }

    /// A constant of numbers between 0.5 and 1.5.
    pub fn positive(&mut self, dims: &[usize]) -> String {
        let count = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|_| 1.0 + self.number() / 2.0).collect();
        self.floats(dims, &values)
    }

    fn number(&mut self) -> f32 {
        self.random.below(2001) as f32 / 1000.0 - 1.0
    }

    pub fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        let name = self.fresh("w");
        let dims: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
        self.constants.push(floats(&name, &dims, values));
        name
    }

    pub fn scalar(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    pub fn ints(&mut self, values: &[i64]) -> String {
        let name = self.fresh("i");
        self.constants.push(int64s(&name, values));
        name
    }

    /// A scalar.
    pub fn int(&mut self, value: i64) -> String {
        let name = self.ints(&[value]);
        self.constants.last_mut().expect("it is there").dims.clear();
        name
    }

    /// A node of one result, which is no value of the net yet.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<pb::AttributeProto>) -> String {
        self.nodes(op, inputs, attributes, 1).remove(0)
    }

    pub fn nodes(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<pb::AttributeProto>,
        results: usize,
    ) -> Vec<String> {
        let names: Vec<String> = (0..results).map(|_| self.fresh("v")).collect();
        let mut made = node(op, inputs, &names.iter().map(String::as_str).collect::<Vec<_>>());
        made.attribute = attributes;
        for value in self.values.iter_mut().filter(|v| inputs.contains(&v.name.as_str())) {
            value.used = true;
        }
        self.nodes.push(made);
        names
    }

    /// Says that `name` is a float value of these extents, computed from `x` (and whatever else is no deeper).
    pub fn add(&mut self, name: String, dims: Vec<usize>, x: &Value) {
        self.values.push(Value { name, dims, depth: x.depth + 1, used: false });
    }

    pub fn depth(&self) -> usize {
        self.values.iter().map(|v| v.depth).max().unwrap_or(0)
    }

    /// The model; its outputs are the values that no node reads, and `shown`.
    pub fn model(&self, shown: usize) -> pb::ModelProto {
        let shape = |value: &Value, dynamic: bool| {
            let dim = |(axis, &n): (usize, &usize)| match dynamic && axis == 0 {
                true => Some(dimension::Value::DimParam("N".into())),
                false => Some(dimension::Value::DimValue(n as i64)),
            };
            shaped(&value.name, FLOAT, Some(value.dims.iter().enumerate().map(dim).collect()))
        };
        let (inputs, computed) = self.values.split_at(self.inputs);
        let is_output = |(i, value): &(usize, &Value)| !value.used || *i == shown;
        let output = |(_, value): (usize, &Value)| match self.dynamic {
            true => shaped(&value.name, FLOAT, Some(vec![None; value.dims.len()])),
            false => shape(value, false),
        };
        let mut model = crate::common::onnx::model(
            self.nodes.clone(),
            self.constants.clone(),
            inputs.iter().map(|value| shape(value, self.dynamic)).collect(),
            computed.iter().enumerate().filter(is_output).map(output).collect(),
        );
        model.opset_import[0].version = self.opset;
        model
    }

    /// Values for the inputs, between -2 and 2, and the same as a model whose initializers they are.
    pub fn data(&mut self) -> (Vec<(String, Tensor)>, Vec<u8>) {
        let mut tensors = Vec::new();
        let mut arrays = Vec::new();
        for i in 0..self.inputs {
            let value = self.values[i].clone();
            let numbers: Vec<f32> = (0..value.dims.iter().product()).map(|_| 2.0 * self.number()).collect();
            let dims: Vec<i64> = value.dims.iter().map(|&n| n as i64).collect();
            arrays.push(floats(&value.name, &dims, &numbers));
            tensors.push((value.name, Tensor::from_vec(&value.dims, numbers)));
        }
        (tensors, bytes(&crate::common::onnx::model(vec![], arrays, vec![], vec![])))
    }
}

/// A model as one reads it: a line for each node, with its attributes and constants.
pub fn text(model: &pb::ModelProto) -> String {
    let Some(graph) = &model.graph else { return String::new() };
    let constant = |name: &str| {
        let found = graph.initializer.iter().find(|t| t.name == name)?;
        let numbers = if found.int64_data.is_empty() {
            match found.float_data.len() {
                0..=8 => format!("{:?}", found.float_data),
                n => format!("{n} numbers"),
            }
        } else {
            format!("{:?}", found.int64_data)
        };
        Some(format!("{name}{:?}={numbers}", found.dims))
    };
    let mut text = format!("opset {}\n", model.opset_import[0].version);
    for input in &graph.input {
        text += &format!("input {}: {:?}\n", input.name, dims(input));
    }
    for node in &graph.node {
        let operands: Vec<String> = node.input.iter().map(|i| constant(i).unwrap_or_else(|| i.clone())).collect();
        let attributes: Vec<String> = node.attribute.iter().map(attribute).collect();
        text += &format!(
            "{} = {}({}) {}\n",
            node.output.join(", "),
            node.op_type,
            operands.join(", "),
            attributes.join(" ")
        );
    }
    let outputs: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    text + &format!("outputs {}\n", outputs.join(", "))
}

fn dims(value: &pb::ValueInfoProto) -> Vec<String> {
    let Some(pb::type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Vec::new();
    };
    let dim = |d: &pb::tensor_shape_proto::Dimension| match &d.value {
        Some(dimension::Value::DimValue(n)) => n.to_string(),
        Some(dimension::Value::DimParam(name)) => name.clone(),
        None => "?".into(),
    };
    tensor.shape.as_ref().map(|s| s.dim.iter().map(dim).collect()).unwrap_or_default()
}

fn attribute(a: &pb::AttributeProto) -> String {
    use pb::attribute_proto::AttributeType as Kind;
    let value = match Kind::try_from(a.r#type) {
        Ok(Kind::Int) => a.i.to_string(),
        Ok(Kind::Float) => a.f.to_string(),
        Ok(Kind::String) => String::from_utf8_lossy(&a.s).into_owned(),
        Ok(Kind::Ints) => format!("{:?}", a.ints),
        Ok(Kind::Floats) => format!("{:?}", a.floats),
        _ => "..".into(),
    };
    format!("{}={value}", a.name)
}

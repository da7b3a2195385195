//! Writes the quantized graph: nodes on integers, and conversions where they meet float ones.
//!
//! A value computed in int8 keeps its id and name; what is converted from it gets a name of its own. Outputs of the graph are
//! the other way round: the float value keeps both, for the name is the model's.

use rustc_hash::FxHashMap;

use super::materialize::{Channels, per_tensor};
use super::precision::Decision;
use super::propagate::Scales;
use super::range::Params;
use super::spec::{Role, Rule};
use serde::Serialize;

use crate::graph::{Graph, Node, Op, OriginId, Precision, Quant, Type, Value, ValueId};
use crate::tensor::{DType, Tensor};

/// What the solver decided for one node, free of references into the graph.
#[derive(Debug)]
pub(super) enum Plan {
    Untouched,
    Float,
    Int8 {
        operands: Vec<Want>,
        /// Of results that are `FLOAT32` in the float graph.
        results: Vec<Params>,
        channels: Option<Channels>,
    },
}

/// In what form a node takes an operand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    AsItIs,
    Int8(Params),
    Weights,
    /// Scale of the data that the weights are multiplied with.
    Bias(f32),
}

/// Plans one node.
///
/// # Errors
/// Where weights can't be quantized: a sentence.
pub(super) fn plan(graph: &Graph, node: &Node, decision: &Decision, scales: &Scales<'_>) -> Result<Plan, String> {
    let rule = match decision {
        Decision::Untouched => return Ok(Plan::Untouched),
        Decision::Float(_) => return Ok(Plan::Float),
        Decision::Int8(rule) => rule,
    };
    let scale = |i: usize| scales.operand(node, rule, i).map_or(1.0, |params| params.scale);
    let want = |i: usize| match rule.operands.get(i) {
        Some(Role::Weight { .. }) => Want::Weights,
        Some(Role::Bias { x, .. }) => Want::Bias(scale(*x)),
        _ => match scales.operand(node, rule, i) {
            Some(params) if node.input(i).is_some_and(|id| graph.dtype(id) == DType::F32) => Want::Int8(params),
            _ => Want::AsItIs,
        },
    };
    Ok(Plan::Int8 {
        operands: (0..node.inputs.len()).map(want).collect(),
        results: node.outputs.iter().map(|&id| scales.of(id)).collect(),
        channels: channels(graph, node, rule, scale)?,
    })
}

fn channels(graph: &Graph, node: &Node, rule: &Rule, scale: impl Fn(usize) -> f32) -> Result<Option<Channels>, String> {
    let constant = |i: usize| node.input(i).and_then(|id| graph.constant(id));
    let weights = rule.operands.iter().enumerate().find_map(|(i, role)| match role {
        Role::Weight { axis } => Some((constant(i)?, *axis, graph.value(node.input(i)?).quant.as_ref())),
        _ => None,
    });
    let Some((weights, axis, grid)) = weights else { return Ok(None) };
    let bias = rule.operands.iter().enumerate().find_map(|(i, role)| match role {
        Role::Bias { x, .. } => Some((constant(i)?, scale(*x))),
        _ => None,
    });
    let (bias, x) = bias.map_or((None, 1.0), |(bias, x)| (Some(bias), x));
    let channels = Channels::of(weights, axis, bias, x)?;
    Ok(Some(match grid {
        Some(grid) => channels.on_grid(grid, weights),
        None => channels,
    }))
}

/// How many conversions were inserted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Conversions {
    /// `QUANTIZE` of float values.
    pub quantize: usize,
    /// `QUANTIZE` of int8 values to another scale.
    pub requantize: usize,
    pub dequantize: usize,
}

/// Rewrites `graph` after the plans, one for each node.
///
/// # Errors
/// Where a constant can't be written as integers: its name, and a sentence.
pub(super) fn insert(graph: &mut Graph, plans: Vec<Plan>) -> Result<Conversions, (String, String)> {
    let nodes = std::mem::take(&mut graph.nodes);
    let mut forms = vec![Forms::default(); graph.values.len()];
    for (form, value) in forms.iter_mut().zip(&graph.values) {
        form.float_first = true;
        form.origin = None;
        form.is_float_value = value.ty.dtype == DType::F32;
    }
    for (i, form) in forms.iter_mut().enumerate() {
        form.float = Some(ValueId(i as u32));
    }
    for &output in &graph.outputs {
        forms[output.0 as usize].is_output = true;
    }
    let mut writer = Writer {
        graph,
        forms,
        constants: FxHashMap::default(),
        weights: FxHashMap::default(),
        done: Conversions::default(),
    };
    for (node, plan) in nodes.into_iter().zip(plans) {
        writer.write(node, plan)?;
    }
    for output in writer.graph.outputs.clone() {
        writer.float(output);
    }
    Ok(writer.done)
}

/// In what forms a value of the float graph exists so far.
#[derive(Debug, Clone, Default)]
struct Forms {
    float: Option<ValueId>,
    int8: Vec<(Params, ValueId)>,
    /// True where the float form is the value as computed, and not what a `DEQUANTIZE` made of it.
    float_first: bool,
    is_float_value: bool,
    is_output: bool,
    origin: Option<OriginId>,
}

struct Writer<'a> {
    graph: &'a mut Graph,
    forms: Vec<Forms>,
    /// Quantized constants by original, bits of the scale and zero point.
    constants: FxHashMap<(ValueId, u32, i32), ValueId>,
    /// Quantized weights by original, axis and bits of the scales.
    weights: FxHashMap<(ValueId, usize, Vec<u32>), ValueId>,
    done: Conversions,
}

impl Writer<'_> {
    fn write(&mut self, mut node: Node, plan: Plan) -> Result<(), (String, String)> {
        match plan {
            Plan::Untouched => {
                // Operators that look at shapes alone take what there is.
                for input in node.inputs.iter_mut().flatten() {
                    *input = self.any(*input);
                }
                self.graph.nodes.push(node);
            }
            Plan::Float => {
                for input in node.inputs.iter_mut().flatten() {
                    *input = self.float(*input);
                }
                node.outputs.iter().for_each(|id| self.forms[id.0 as usize].origin = node.origin);
                self.graph.nodes.push(node);
            }
            Plan::Int8 { operands, results, channels } => {
                for (input, want) in node.inputs.iter_mut().zip(operands) {
                    if let Some(id) = input {
                        *id = self.operand(*id, want, channels.as_ref())?;
                    }
                }
                for (output, params) in node.outputs.iter_mut().zip(results) {
                    *output = self.result(*output, params, node.origin);
                }
                self.graph.nodes.push(node);
            }
        }
        Ok(())
    }

    fn operand(&mut self, id: ValueId, want: Want, channels: Option<&Channels>) -> Result<ValueId, (String, String)> {
        let place = |graph: &Graph| graph.value(id).name.clone();
        let data = self.graph.constant(id).cloned();
        match (want, data, channels) {
            (Want::AsItIs, ..) => Ok(self.any(id)),
            (Want::Int8(params), None, _) => Ok(self.int8(id, params)),
            (Want::Int8(params), Some(data), _) => {
                let key = (id, params.scale.to_bits(), params.zero_point);
                if let Some(&known) = self.constants.get(&key) {
                    return Ok(known);
                }
                let stored = per_tensor(&data, params).map_err(|e| (place(self.graph), e))?;
                let constant = self.add_constant(id, stored, params.into());
                self.constants.insert(key, constant);
                Ok(constant)
            }
            (Want::Weights, Some(data), Some(channels)) => {
                let key = (id, channels.axis, channels.scales.iter().map(|s| s.to_bits()).collect());
                if let Some(&known) = self.weights.get(&key) {
                    return Ok(known);
                }
                let stored = channels.quantize(&data).map_err(|e| (place(self.graph), e))?;
                let constant = self.add_constant(id, stored, channels.quant());
                self.weights.insert(key, constant);
                Ok(constant)
            }
            (Want::Bias(x), Some(data), Some(channels)) => {
                let (stored, quant) = channels.bias(&data, x).map_err(|e| (place(self.graph), e))?;
                Ok(self.add_constant(id, stored, quant))
            }
            (Want::Weights | Want::Bias(_), ..) => Err((place(self.graph), "the weights are no constants".into())),
        }
    }

    fn add_constant(&mut self, original: ValueId, data: Tensor, quant: Quant) -> ValueId {
        let id = self.graph.add_constant(self.graph.value(original).name.clone(), data);
        self.graph.value_mut(id).quant = Some(quant);
        id
    }

    /// Makes `id` the int8 result of the node that is about to be written.
    fn result(&mut self, id: ValueId, params: Params, origin: Option<OriginId>) -> ValueId {
        let form = &mut self.forms[id.0 as usize];
        form.origin = origin;
        if !form.is_float_value {
            return id;
        }
        form.float = None;
        form.float_first = false;
        let stored = if form.is_output {
            self.derived(id, "quantized", Some(params))
        } else {
            let value = self.graph.value_mut(id);
            value.ty.dtype = DType::I8;
            value.quant = Some(params.into());
            id
        };
        self.forms[id.0 as usize].int8.push((params, stored));
        stored
    }

    /// The value in whatever form is there.
    fn any(&self, id: ValueId) -> ValueId {
        match self.forms.get(id.0 as usize) {
            Some(form) => form.float.or(form.int8.first().map(|(_, id)| *id)).unwrap_or(id),
            None => id,
        }
    }

    /// The value as float, dequantized where need be.
    fn float(&mut self, id: ValueId) -> ValueId {
        let form = &self.forms[id.0 as usize];
        if let Some(float) = form.float {
            return float;
        }
        let Some(&(_, stored)) = form.int8.first() else { return id };
        let float = if form.is_output { id } else { self.derived(id, "dequantized", None) };
        self.convert(Op::Dequantize, id, stored, float);
        self.forms[id.0 as usize].float = Some(float);
        self.done.dequantize += 1;
        float
    }

    /// The value as int8 with the given parameters, quantized or requantized where need be.
    fn int8(&mut self, id: ValueId, params: Params) -> ValueId {
        let form = &self.forms[id.0 as usize];
        if let Some((_, known)) = form.int8.iter().find(|(p, _)| *p == params) {
            return *known;
        }
        // What was computed in float is rounded once, whatever other forms there are.
        let from = match (form.float, form.int8.first()) {
            (Some(float), _) if form.float_first => float,
            (_, Some(&(_, stored))) => stored,
            _ => id,
        };
        let (suffix, count) = match form.float_first {
            true => ("quantized", &mut self.done.quantize),
            false => ("requantized", &mut self.done.requantize),
        };
        *count += 1;
        let to = self.derived(id, suffix, Some(params));
        self.convert(Op::Quantize { to: DType::I8 }, id, from, to);
        self.forms[id.0 as usize].int8.push((params, to));
        to
    }

    fn convert(&mut self, op: Op, of: ValueId, from: ValueId, to: ValueId) {
        let origin = self.forms[of.0 as usize].origin;
        let (inputs, outputs) = (vec![Some(from)], vec![to]);
        self.graph.nodes.push(Node { op, inputs, outputs, origin, precision: Precision::Any });
    }

    /// A new value for another form of `id`; int8 with parameters, else float.
    fn derived(&mut self, id: ValueId, suffix: &str, params: Option<Params>) -> ValueId {
        let value = self.graph.value(id);
        let name = match self.forms[id.0 as usize].int8.len() {
            0 | 1 => format!("{}_{suffix}", value.name),
            more => format!("{}_{suffix}_{more}", value.name),
        };
        let dtype = if params.is_some() { DType::I8 } else { DType::F32 };
        let ty = Type { dtype, shape: value.ty.shape.clone() };
        let quant = params.map(Quant::from);
        self.graph.add_value(Value { name, ty, data: None, quant, variable: false })
    }
}

//! Writes the quantized graph: nodes on integers, and conversions where they meet float ones.
//!
//! A value computed in integers keeps its id and name; what is converted from it gets a name of its own. Outputs of the graph are
//! the other way round: the float value keeps both, for the name is the model's.

use rustc_hash::FxHashMap;

use super::form::Form;
use super::materialize::{Channels, Storage, per_tensor};
use super::precision::Decision;
use super::propagate::Scales;
use super::spec::{Role, Rule};
use serde::Serialize;

use crate::graph::{Graph, Node, Op, OriginId, Precision, Quant, Type, Value, ValueId};
use crate::tensor::{DType, Tensor};

/// What the solver decided for one node, free of references into the graph.
#[derive(Debug)]
pub(super) enum Plan {
    Untouched,
    Float,
    Integer {
        operands: Vec<Want>,
        /// Of results that are `FLOAT32` in the float graph.
        results: Vec<Form>,
        channels: Option<Channels>,
    },
}

/// In what form a node takes an operand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    AsItIs,
    Stored(Form),
    Weights,
    /// For data of this form that the weights are multiplied with.
    Bias(Form),
}

/// Plans one node.
///
/// # Errors
/// Where weights can't be quantized: a sentence.
pub(super) fn plan(graph: &Graph, node: &Node, decision: &Decision, scales: &Scales<'_>) -> Result<Plan, String> {
    let rule = match decision {
        Decision::Untouched => return Ok(Plan::Untouched),
        Decision::Float(_) => return Ok(Plan::Float),
        Decision::Integer(rule) => rule,
    };
    let data = |i: usize| scales.operand(node, rule, i).unwrap_or(Form::int16(1.0));
    let want = |i: usize| match rule.operands.get(i) {
        Some(Role::Weight { .. }) => Want::Weights,
        Some(Role::Bias { x, .. }) => Want::Bias(data(*x)),
        _ => match scales.operand(node, rule, i) {
            Some(form) if node.input(i).is_some_and(|id| graph.dtype(id) == DType::F32) => Want::Stored(form),
            _ => Want::AsItIs,
        },
    };
    Ok(Plan::Integer {
        operands: (0..node.inputs.len()).map(want).collect(),
        results: node.outputs.iter().map(|&id| scales.of(id)).collect(),
        channels: channels(graph, node, rule, data)?,
    })
}

fn channels(graph: &Graph, node: &Node, rule: &Rule, data: impl Fn(usize) -> Form) -> Result<Option<Channels>, String> {
    let constant = |i: usize| node.input(i).and_then(|id| graph.constant(id));
    let weights = rule.operands.iter().enumerate().find_map(|(i, role)| match role {
        Role::Weight { axis, bits, granularity } => {
            Some((node.input(i)?, Storage { axis: *axis, bits: *bits, granularity: *granularity }))
        }
        _ => None,
    });
    let Some((weights, storage)) = weights else { return Ok(None) };
    let bias = rule.operands.iter().enumerate().find_map(|(i, role)| match role {
        Role::Bias { x, .. } => Some((constant(i)?, data(*x))),
        _ => None,
    });
    let Some(data) = graph.constant(weights) else { return Ok(None) };
    let channels = Channels::of(data, storage, bias)?;
    Ok(Some(match &graph.value(weights).quant {
        Some(grid) => channels.on_grid(grid, data),
        None => channels,
    }))
}

/// How many conversions were inserted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Conversions {
    /// `QUANTIZE` of float values.
    pub quantize: usize,
    /// `QUANTIZE` of integers to another scale or width.
    pub requantize: usize,
    pub dequantize: usize,
}

/// Rewrites `graph` after the plans, one for each node.
///
/// # Errors
/// Where a constant can't be written as integers: its name, and a sentence.
pub(super) fn insert(graph: &mut Graph, plans: Vec<Plan>) -> Result<Conversions, (String, String)> {
    let nodes = std::mem::take(&mut graph.nodes);
    let values = graph.values.iter().enumerate();
    let mut kept: Vec<Kept> = values
        .map(|(i, value)| Kept {
            float: Some(ValueId(i as u32)),
            float_first: true,
            is_float_value: value.ty.dtype == DType::F32,
            ..Kept::default()
        })
        .collect();
    for &output in &graph.outputs {
        kept[output.0 as usize].is_output = true;
    }
    let mut writer = Writer {
        graph,
        kept,
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
struct Kept {
    float: Option<ValueId>,
    stored: Vec<(Form, ValueId)>,
    /// True where the float form is the value as computed, and not what a `DEQUANTIZE` made of it.
    float_first: bool,
    is_float_value: bool,
    is_output: bool,
    origin: Option<OriginId>,
}

struct Writer<'a> {
    graph: &'a mut Graph,
    kept: Vec<Kept>,
    /// Quantized constants by original, type, bits of the scale and zero point.
    constants: FxHashMap<(ValueId, DType, u32, i32), ValueId>,
    /// Quantized weights by original, storage and bits of the scales.
    weights: FxHashMap<(ValueId, Storage, Vec<u32>), ValueId>,
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
                node.outputs.iter().for_each(|id| self.kept[id.0 as usize].origin = node.origin);
                self.graph.nodes.push(node);
            }
            Plan::Integer { operands, results, channels } => {
                for (input, want) in node.inputs.iter_mut().zip(operands) {
                    if let Some(id) = input {
                        *id = self.operand(*id, want, channels.as_ref())?;
                    }
                }
                for (output, form) in node.outputs.iter_mut().zip(results) {
                    *output = self.result(*output, form, node.origin);
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
            (Want::Stored(form), None, _) => Ok(self.stored(id, form)),
            (Want::Stored(form), Some(data), _) => {
                let key = (id, form.dtype, form.params.scale.to_bits(), form.params.zero_point);
                if let Some(&known) = self.constants.get(&key) {
                    return Ok(known);
                }
                let stored = per_tensor(&data, form).map_err(|e| (place(self.graph), e))?;
                let constant = self.add_constant(id, stored, form.quant());
                self.constants.insert(key, constant);
                Ok(constant)
            }
            (Want::Weights, Some(data), Some(channels)) => {
                let key = (id, channels.storage, channels.scales.iter().map(|s| s.to_bits()).collect());
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

    /// Makes `id` the integer result of the node that is about to be written.
    fn result(&mut self, id: ValueId, form: Form, origin: Option<OriginId>) -> ValueId {
        let kept = &mut self.kept[id.0 as usize];
        kept.origin = origin;
        if !kept.is_float_value {
            return id;
        }
        kept.float = None;
        kept.float_first = false;
        let stored = if kept.is_output {
            self.derived(id, "quantized", Some(form))
        } else {
            let value = self.graph.value_mut(id);
            value.ty.dtype = form.dtype;
            value.quant = Some(form.quant());
            id
        };
        self.kept[id.0 as usize].stored.push((form, stored));
        stored
    }

    /// The value in whatever form is there.
    fn any(&self, id: ValueId) -> ValueId {
        match self.kept.get(id.0 as usize) {
            Some(kept) => kept.float.or(kept.stored.first().map(|(_, id)| *id)).unwrap_or(id),
            None => id,
        }
    }

    /// The value as float, dequantized where need be.
    fn float(&mut self, id: ValueId) -> ValueId {
        let kept = &self.kept[id.0 as usize];
        if let Some(float) = kept.float {
            return float;
        }
        let Some(&(_, stored)) = kept.stored.first() else { return id };
        let float = if kept.is_output { id } else { self.derived(id, "dequantized", None) };
        self.convert(Op::Dequantize, id, stored, float);
        self.kept[id.0 as usize].float = Some(float);
        self.done.dequantize += 1;
        float
    }

    /// The value as integers of the given form, quantized or requantized where need be.
    fn stored(&mut self, id: ValueId, form: Form) -> ValueId {
        let kept = &self.kept[id.0 as usize];
        if let Some((_, known)) = kept.stored.iter().find(|(f, _)| *f == form) {
            return *known;
        }
        // What was computed in float is rounded once, whatever other forms there are.
        let from = match (kept.float, kept.stored.first()) {
            (Some(float), _) if kept.float_first => float,
            (_, Some(&(_, stored))) => stored,
            _ => id,
        };
        let (suffix, count) = match kept.float_first {
            true => ("quantized", &mut self.done.quantize),
            false => ("requantized", &mut self.done.requantize),
        };
        *count += 1;
        let to = self.derived(id, suffix, Some(form));
        self.convert(Op::Quantize { to: form.dtype }, id, from, to);
        self.kept[id.0 as usize].stored.push((form, to));
        to
    }

    fn convert(&mut self, op: Op, of: ValueId, from: ValueId, to: ValueId) {
        let origin = self.kept[of.0 as usize].origin;
        let (inputs, outputs) = (vec![Some(from)], vec![to]);
        self.graph.nodes.push(Node { op, inputs, outputs, origin, precision: Precision::Any });
    }

    /// A new value for `id` in another form; `None` for float.
    fn derived(&mut self, id: ValueId, suffix: &str, form: Option<Form>) -> ValueId {
        let value = self.graph.value(id);
        let name = match self.kept[id.0 as usize].stored.len() {
            0 | 1 => format!("{}_{suffix}", value.name),
            more => format!("{}_{suffix}_{more}", value.name),
        };
        let dtype = form.map_or(DType::F32, |form| form.dtype);
        let ty = Type { dtype, shape: value.ty.shape.clone() };
        let quant = form.map(Form::quant);
        self.graph.add_value(Value { name, ty, data: None, quant, variable: false })
    }
}

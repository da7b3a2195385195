//! Weights stored as `FLOAT16` or small integers, while all that flows between operators stays float: no samples needed.
//!
//! Owns: [`slot`], the table of operators that have weights and of the forms their kernels take; [`store`], how numbers
//! become integers. Three forms: `FLOAT16` behind a `DEQUANTIZE` that runtimes run once; integers that the kernel multiplies
//! with data it quantizes as it goes (dynamic range, "hybrid"); integers behind a `DEQUANTIZE`. A constant that has no form is left
//! as it is, and the report says why.

mod slot;
mod store;

pub(super) use slot::is_worth_four_bits;
pub(super) use store::{most, packed, scales_of};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub(super) use slot::Slot;
use store::{Scales, Stored};

use super::QuantError;
use super::choice::{Choice, Choices, Quantize};
use crate::graph::{Graph, InferError, NoEvaluate, Node, Op, Precision, Type, Value, ValueId, rewrite};
use crate::tensor::{DType, Tensor};

/// How finely a tensor of integers is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// One scale for each output channel.
    #[default]
    Channel,
    /// One scale for the whole tensor.
    Tensor,
}

/// The integers of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightOptions {
    /// 8 or 4. Operators whose kernels take no 4-bit weights get 8.
    pub bits: u8,
    pub granularity: Granularity,
    /// One scale for each run of so many 4-bit weights, in matrix products and embeddings on floats: 32, 64, 128 or 256.
    pub block_size: Option<usize>,
}

impl Default for WeightOptions {
    fn default() -> WeightOptions {
        WeightOptions { bits: 8, granularity: Granularity::Channel, block_size: None }
    }
}

impl WeightOptions {
    /// Those that are named, and defaults for the rest: 8 bits, or 4 in blocks, and a scale for each channel.
    ///
    /// # Errors
    /// Where no kernel takes such weights.
    pub fn new(
        bits: Option<u8>,
        granularity: Option<Granularity>,
        block_size: Option<usize>,
    ) -> Result<WeightOptions, String> {
        let bits = bits.unwrap_or(if block_size.is_some() { 4 } else { 8 });
        if !matches!(bits, 4 | 8) {
            return Err(format!("{bits}-bit weights: they have 8 or 4 bits"));
        }
        match block_size {
            Some(_) if bits == 8 => {
                return Err("blocks are for 4-bit weights: runtimes have no kernel for blocks of 8-bit ones".into());
            }
            Some(size) if !matches!(size, 32 | 64 | 128 | 256) => {
                return Err(format!("blocks of {size}: they have 32, 64, 128 or 256 weights"));
            }
            _ => {}
        }
        Ok(WeightOptions { bits, granularity: granularity.unwrap_or_default(), block_size })
    }
}

/// What became of the weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WeightReport {
    pub stored: Vec<StoredWeights>,
    pub kept: Vec<KeptWeights>,
}

/// A constant in its new form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredWeights {
    pub value: String,
    /// The builtin that uses it.
    pub op: &'static str,
    /// `int4`, `int8` or `float16`.
    pub dtype: &'static str,
    /// Weights of one scale, where they are runs of a row.
    pub block_size: Option<usize>,
}

/// A constant that stays `FLOAT32`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptWeights {
    pub value: String,
    pub op: &'static str,
    pub reason: String,
}

/// Stores the weights of nodes that are chosen for it in another form; such nodes are on floats.
///
/// # Errors
/// Where nodes can't be written again, which a valid graph doesn't lead to.
pub fn quantize_weights(graph: &mut Graph, choices: &Choices) -> Result<WeightReport, QuantError> {
    let mut choices = choices.clone();
    rewrite(graph, &NoEvaluate, |cx, node| embed(cx, node, &mut choices))
        .map_err(|e| QuantError::Constant { place: "an embedding".into(), message: e.message })?;
    let nodes = std::mem::take(&mut graph.nodes);
    let mut rewriter = Rewriter { graph, choices, made: FxHashMap::default(), report: WeightReport::default() };
    for node in nodes {
        rewriter.node(node);
    }
    let report = rewriter.report;
    crate::graph::remove_dead(graph);
    Ok(report)
}

/// Where the weights of a node stand and which forms they may get, where it computes on floats; `None` where it has none, or so few
/// that they stay as they are.
pub(super) fn slot_of(graph: &Graph, node: &Node) -> Option<Slot> {
    if let Some(table) = embedded(graph, node) {
        return Some(Slot::lookup(graph.shape(table).as_fixed()?.try_into().ok()?));
    }
    slot::of(graph, node).filter(|slot| node.input(slot.operand).is_some_and(|id| is_weight(graph, id)))
}

/// Whether a node has float constants that are worth another form.
pub(super) fn has_constants(graph: &Graph, node: &Node) -> bool {
    node.inputs.iter().flatten().any(|&id| is_weight(graph, id))
}

/// Whether a node is `EMBEDDING_LOOKUP`, or becomes it.
pub(super) fn is_embedding(graph: &Graph, node: &Node) -> bool {
    node.op == Op::EmbeddingLookup || embedded(graph, node).is_some()
}

fn is_weight(graph: &Graph, id: ValueId) -> bool {
    graph.constant(id).is_some_and(|data| data.dtype() == DType::F32 && slot::is_worth_it(data))
}

/// The table of a `GATHER` of rows.
fn embedded(graph: &Graph, node: &Node) -> Option<ValueId> {
    let (Op::Gather { axis: 0, batch_dims: 0 }, Some(table), Some(ids)) = (&node.op, node.input(0), node.input(1))
    else {
        return None;
    };
    let is_table = is_weight(graph, table) && graph.shape(table).rank() == 2;
    (is_table && graph.constant(ids).is_none() && graph.shape(ids).is_fixed()).then_some(table)
}

/// `GATHER` of rows is `EMBEDDING_LOOKUP`, whose kernel turns integer rows into floats itself.
fn embed(
    cx: &mut crate::graph::RewriteCx<'_>,
    node: &Node,
    choices: &mut Choices,
) -> Result<Option<Vec<ValueId>>, InferError> {
    let choice = choices.of(node);
    if !matches!(choice.quantize, Quantize::Dynamic | Quantize::Weights) {
        return Ok(None);
    }
    let graph = cx.graph();
    let (Some(table), Some(ids)) = (embedded(graph, node), node.input(1)) else { return Ok(None) };
    let Some(mut dims) = graph.shape(ids).as_fixed() else { return Ok(None) };
    let row = graph.shape(table).dim(1).unwrap_or(0);
    let ids = cx.b.reshape(ids, &[-1])?;
    let ids = cx.b.cast(ids, DType::I32)?;
    let rows = cx.b.one(Op::EmbeddingLookup, &[ids, table])?;
    choices.set(rows, choice);
    dims.push(row);
    let dims: Vec<i64> = dims.into_iter().map(|d| d as i64).collect();
    Ok(Some(vec![cx.b.reshape(rows, &dims)?]))
}

struct Rewriter<'a> {
    graph: &'a mut Graph,
    choices: Choices,
    /// What stands for a constant in a form, so that shared weights stay shared.
    made: FxHashMap<(ValueId, Form), Result<ValueId, String>>,
    report: WeightReport,
}

/// In what form a node takes a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// Behind a `DEQUANTIZE`.
    Float16,
    /// The kernel takes the integers as they are, or they stand behind a `DEQUANTIZE`.
    Integers { bits: u8, axis: usize, scales: Scales, block_size: Option<usize>, direct: bool },
}

impl Rewriter<'_> {
    fn node(&mut self, mut node: Node) {
        let mut direct = false;
        for (operand, form) in self.forms(&node) {
            let Some(id) = node.input(operand) else { continue };
            match self.in_form(id, form, &node) {
                Ok(to) => {
                    node.inputs[operand] = Some(to);
                    direct |= matches!(form, Form::Integers { direct: true, .. });
                }
                Err(reason) => {
                    let value = self.graph.value(id).name.clone();
                    self.report.kept.push(KeptWeights { value, op: node.op.name(), reason });
                }
            }
        }
        if direct && let Some(asymmetric_inputs) = asymmetric(&mut node.op) {
            // A zero point of the data's own: twice as fine where it has one sign, as after RELU.
            *asymmetric_inputs = true;
        }
        self.graph.nodes.push(node);
    }

    /// The operands of a node that get another form.
    fn forms(&self, node: &Node) -> Vec<(usize, Form)> {
        let is_weight = |id: ValueId| is_weight(self.graph, id);
        let choice = self.choices.of(node);
        if choice.quantize == Quantize::Float16 {
            let operands = node.inputs.iter().enumerate().filter(|(_, id)| id.is_some_and(is_weight));
            return operands.map(|(i, _)| (i, Form::Float16)).collect();
        }
        if !matches!(choice.quantize, Quantize::Dynamic | Quantize::Weights) {
            return Vec::new();
        }
        let slot = slot::of(self.graph, node);
        let weights =
            |slot: &Slot| node.input(slot.operand).filter(|&id| is_weight(id)).and_then(|id| self.graph.constant(id));
        let form = slot.and_then(|slot| Some((slot.operand, self.integers(choice, &slot, weights(&slot)?))));
        form.into_iter().collect()
    }

    fn integers(&self, choice: Choice, slot: &Slot, weights: &Tensor) -> Form {
        let (dynamic, options) = (choice.quantize == Quantize::Dynamic, choice.weights);
        let block_size = options.block_size.filter(|&size| slot.takes_blocks(size));
        let wants_4 = options.bits == 4 && slot.four_bits && slot::is_worth_four_bits(weights);
        let scales = match options.granularity {
            Granularity::Channel => Scales::Each,
            Granularity::Tensor if slot.wants_scale_each && dynamic => Scales::Repeated,
            Granularity::Tensor => Scales::One,
        };
        // Runs of a row have a kernel, but no DEQUANTIZE.
        let direct = slot.direct && (dynamic || slot.is_lookup || (wants_4 && block_size.is_some()));
        let (bits, block_size) = if wants_4 { (4, block_size) } else { (8, None) };
        Form::Integers { bits, axis: slot.axis, scales, block_size, direct }
    }

    /// What stands for constant `id` in a form.
    fn in_form(&mut self, id: ValueId, form: Form, user: &Node) -> Result<ValueId, String> {
        if let Some(made) = self.made.get(&(id, form)) {
            return made.clone();
        }
        let made = self.make(id, form, user);
        self.made.insert((id, form), made.clone());
        made
    }

    fn make(&mut self, id: ValueId, form: Form, user: &Node) -> Result<ValueId, String> {
        let value = self.graph.value(id);
        let (name, data) = (value.name.clone(), value.data.clone().ok_or("is not constant")?);
        let (stored, direct) = match form {
            Form::Float16 => (store::float16(&data)?, false),
            Form::Integers { block_size: Some(size), direct, .. } => (store::blocks(&data, size)?, direct),
            Form::Integers { bits, axis, scales, block_size: None, direct } => {
                (store::integers(&data, bits, axis, scales)?, direct)
            }
        };
        let dtype = stored.data().dtype();
        let block_size = if let Stored::Blocks { size, .. } = &stored { Some(*size) } else { None };
        let report = StoredWeights { value: name.clone(), op: user.op.name(), dtype: dtype.name(), block_size };
        self.report.stored.push(report);
        let constant = self.add(&name, stored);
        if direct {
            return Ok(constant);
        }
        let ty = Type { dtype: DType::F32, shape: self.graph.shape(constant).clone() };
        let name = format!("{name}/dequantized");
        let real = self.graph.add_value(Value { name, ty, data: None, quant: None, variable: false });
        self.graph.nodes.push(Node {
            op: Op::Dequantize,
            inputs: vec![Some(constant)],
            outputs: vec![real],
            origin: user.origin,
            precision: Precision::Float,
        });
        Ok(real)
    }

    /// Adds the constant, with what describes it.
    fn add(&mut self, name: &str, stored: Stored) -> ValueId {
        let (data, quant) = stored.into_parts(|scales| self.graph.add_constant(format!("{name}/scales"), scales));
        let id = self.graph.add_constant(name, data);
        self.graph.value_mut(id).quant = quant;
        id
    }
}

/// The option of kernels that may quantize their data with a zero point.
fn asymmetric(op: &mut Op) -> Option<&mut bool> {
    match op {
        Op::FullyConnected { asymmetric_inputs, .. } | Op::BatchMatMul { asymmetric_inputs, .. } => {
            Some(asymmetric_inputs)
        }
        _ => None,
    }
}

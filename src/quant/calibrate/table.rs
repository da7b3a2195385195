//! Ranges by name that another program found, as ONNX Runtime's `write_calibration_table` writes them.
//!
//! Where the table lacks a value of a graph that only moves elements of others, its range follows from theirs; where it is a fixed one, as
//! that of a softmax, from the operator.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::graph::{Graph, Node, Op, ValueId};
use crate::quant::observe::{Observed, Statistics};
use crate::quant::range::Range;
use crate::quant::spec::{Sees, bounds, sees};
use crate::tensor::DType;

/// The range of each value that a table knows, by the value's name in the ONNX model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RangeTable {
    ranges: BTreeMap<String, Range>,
}

/// What a table knew of a graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableReport {
    /// Values whose range stands in the table.
    pub found: usize,
    /// Values whose range follows from those of others.
    pub derived: usize,
    /// Values without a range: what computes on them stays float.
    pub missing: Vec<String>,
}

/// What ONNX Runtime writes of one value, or a pair of numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Ends { lowest: Value, highest: Value },
    Pair([f64; 2]),
}

impl RangeTable {
    /// Reads `calibration.json` of ONNX Runtime, JSON of the form `{"name": [least, greatest]}`, or lines `name bound` as in
    /// `calibration.cache`, where a range is `-bound` to `bound`.
    ///
    /// # Errors
    /// A sentence that says what is no range.
    pub fn parse(text: &str) -> Result<RangeTable, String> {
        let entries = if text.trim_start().starts_with('{') { json(text)? } else { lines(text)? };
        let mut ranges = BTreeMap::new();
        for (name, [min, max]) in entries {
            let range = Range { min: min as f32 + 0.0, max: max as f32 + 0.0 };
            if !(range.min <= range.max && range.min.is_finite() && range.max.is_finite()) {
                return Err(format!("the range of {name:?}, {min} to {max}, is none"));
            }
            ranges.insert(name, range);
        }
        if ranges.is_empty() { Err("the table is empty".into()) } else { Ok(RangeTable { ranges }) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Range> {
        self.ranges.get(name).copied()
    }

    /// The range of one more value; one that the table has stays.
    pub(crate) fn add(&mut self, name: &str, range: Range) {
        self.ranges.entry(name.into()).or_insert(range);
    }

    /// Ranges of the values of a graph, as far as they are known.
    pub(crate) fn statistics(&self, graph: &Graph) -> (Statistics, TableReport) {
        let bounds = bounds(graph);
        let mut known: Vec<Option<Range>> = vec![None; graph.values.len()];
        let mut report = TableReport::default();
        let computed: Vec<ValueId> =
            graph.inputs.iter().chain(graph.nodes.iter().flat_map(|n| &n.outputs)).copied().collect();
        let computed = computed.into_iter().filter(|&id| graph.dtype(id) == DType::F32 && graph.constant(id).is_none());
        let computed: Vec<ValueId> = computed.collect();
        for &id in &computed {
            let range = self.ranges.get(&graph.value(id).name).copied();
            known[id.0 as usize] = range.map(|range| range.clamped_to(bounds[id.0 as usize]));
            report.found += usize::from(range.is_some());
        }
        let mut derive = |id: ValueId, range: Option<Range>, known: &mut Vec<Option<Range>>| {
            let place = &mut known[id.0 as usize];
            if let (None, Some(range), DType::F32) = (&place, range, graph.dtype(id)) {
                *place = Some(range.clamped_to(bounds[id.0 as usize]));
                report.derived += 1;
            }
        };
        for node in graph.nodes.iter().rev().filter(|node| moves_all(&node.op)) {
            if let (Some(from), Some(to)) = (node.input(0), node.outputs.first()) {
                derive(from, known[to.0 as usize].filter(|_| graph.constant(from).is_none()), &mut known);
            }
        }
        for node in &graph.nodes {
            let range = passed_on(graph, node, &known);
            for &id in &node.outputs {
                let own = bounds[id.0 as usize];
                let fixed = Some(own).filter(|own| own.min.is_finite() && own.max.is_finite());
                derive(id, range.or(fixed), &mut known);
            }
        }
        let mut statistics = Statistics::default();
        for id in computed {
            let (name, range) = (graph.value(id).name.clone(), known[id.0 as usize]);
            if range.is_none() {
                report.missing.push(name.clone());
            }
            statistics.values.insert(id.0, Observed { name, range, lowest_row_maximum: None });
        }
        (statistics, report)
    }
}

/// True where the result has all elements of the first operand, and no others.
fn moves_all(op: &Op) -> bool {
    matches!(op, Op::Transpose | Op::Reshape)
}

/// The range of results that consist of elements of the operands.
fn passed_on(graph: &Graph, node: &Node, known: &[Option<Range>]) -> Option<Range> {
    let operands = node.inputs.iter().enumerate().filter_map(|(i, id)| Some((i, (*id)?)));
    let floats = operands.filter(|(_, id)| graph.dtype(*id) == DType::F32);
    let each = floats.map(|(i, id)| match (sees(&node.op, i), graph.constant(id)) {
        (Sees::AsResult, None) => known[id.0 as usize],
        (Sees::AsResult, Some(data)) => Range::of(&data.to_f32s().ok()?),
        _ => None,
    });
    let all: Option<Vec<Range>> = each.collect();
    all?.into_iter().reduce(Range::hull)
}

fn json(text: &str) -> Result<Vec<(String, [f64; 2])>, String> {
    let no_table = |e: serde_json::Error| format!("no calibration table: {e}");
    let mut table: Value = serde_json::from_str(text).map_err(no_table)?;
    // Tables of newer versions lie inside an object that says what class it was written of.
    let values = if table.get("CLS").is_some() { table.get_mut("data").map(Value::take) } else { Some(table) };
    let values: BTreeMap<String, Value> = serde_json::from_value(values.unwrap_or_default()).map_err(no_table)?;
    let range = |(name, value): (String, Value)| {
        let entry: Entry = serde_json::from_value(value).map_err(|_| {
            format!("no calibration table: {name:?} has neither \"lowest\" and \"highest\" nor two numbers")
        })?;
        let ends = match &entry {
            Entry::Ends { lowest, highest } => numbers(lowest).zip(numbers(highest)).map(|(low, high)| {
                [low.into_iter().fold(f64::INFINITY, f64::min), high.into_iter().fold(f64::NEG_INFINITY, f64::max)]
            }),
            Entry::Pair(ends) => Some(*ends),
        };
        Ok((
            name.clone(),
            ends.ok_or_else(|| format!("no calibration table: the range of {name:?} is not made of numbers"))?,
        ))
    };
    values.into_iter().filter(|(name, _)| name != "CLS").map(range).collect()
}

/// A number, a list of some, or an array of NumPy as ONNX Runtime writes it.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Number(number) => Some(vec![number.as_f64()?]),
        Value::Array(list) => list.iter().map(Value::as_f64).collect(),
        Value::Object(array) => array.get("data").filter(|data| !data.is_object()).and_then(numbers),
        _ => None,
    }
}

fn lines(text: &str) -> Result<Vec<(String, [f64; 2])>, String> {
    let entry = |line: &str| {
        let (name, bound) = line.trim_end().rsplit_once(' ')?;
        let bound: f64 = bound.parse().ok()?;
        Some((name.to_string(), [-bound.abs(), bound.abs()]))
    };
    let wrong = |i: usize| {
        format!("no calibration statistics and no calibration table: line {} is not a name and a number", i + 1)
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(i, line)| entry(line).ok_or_else(|| wrong(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Binary, Builder, NoEvaluate, Shape, Type, Unary};

    #[test]
    fn every_form_of_a_table_is_read() {
        let ends = |text: &str| RangeTable::parse(text).map(|table| table.ranges["a b"]).map(|r| (r.min, r.max));
        for (text, expected) in [
            (r#"{"a b": [-1, 2.5]}"#, (-1.0, 2.5)),
            (
                r#"{"CLS": "TensorsData", "data": {"a b": {"lowest": -1.0, "highest": 2.5, "CLS": "TensorData"}}}"#,
                (-1.0, 2.5),
            ),
            (
                r#"{"CLS": "TensorsData", "data": {"a b": {"lowest": {"data": [-1.0, 0.0], "dtype": "float32", "CLS": "numpy.array"},
                    "highest": {"data": 2.5, "dtype": "float32", "CLS": "numpy.array"}, "CLS": "TensorData"}}}"#,
                (-1.0, 2.5),
            ),
            ("x 1.0\na b 2.5\n\n", (-2.5, 2.5)),
        ] {
            assert_eq!(ends(text), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "{}",
            "{",
            "a b",
            "a nan\n",
            r#"{"a": [2, 1]}"#,
            r#"{"a": [1e300, 1e301]}"#,
            r#"{"a": {"avg": 1}}"#,
            r#"{"CLS": 1}"#,
        ] {
            assert!(RangeTable::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_follow_what_moves_elements() {
        let mut graph = Graph::new("test");
        let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[1, 4])));
        let mut b = Builder::new(&mut graph, &NoEvaluate);
        let relu = b.unary(Unary::Relu, x).unwrap();
        let joined = b.one(Op::Concatenation { axis: 1 }, &[x, x]).unwrap();
        let sum = b.one(Op::Binary(Binary::Add, Activation::None), &[joined, joined]).unwrap();
        let softmax = b.one(Op::Softmax { beta: 1.0 }, &[sum]).unwrap();
        graph.outputs = vec![softmax];
        let (statistics, report) = RangeTable::parse(r#"{"x": [-3, 2], "gone": [0, 1]}"#).unwrap().statistics(&graph);
        let of = |id: ValueId| statistics.values[&id.0].range.map(|r| (r.min, r.max));
        assert_eq!((of(x), of(relu), of(joined)), (Some((-3.0, 2.0)), None, Some((-3.0, 2.0))));
        assert_eq!((of(sum), of(softmax)), (None, Some((0.0, 1.0))));
        assert_eq!((report.found, report.derived), (1, 2));
        assert_eq!(report.missing, [relu, sum].map(|id| graph.value(id).name.clone()));
    }
}

//! An [`Inspection`] as text that fits in 100 columns.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{InspectedGraph, InspectedOperator, InspectedQuantization, InspectedTensor, Inspection, Role};

const WIDTH: usize = 100;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let constants: u64 = self.constant_bytes.values().sum();
        write!(f, "{} in the file, {} of constants", bytes(self.file_bytes as u64), bytes(constants))?;
        match &self.min_runtime_version {
            Some(runtime) => writeln!(f, ", for runtimes from {runtime} on")?,
            None => writeln!(f)?,
        }
        if !self.description.is_empty() {
            writeln!(f, "{}", clipped(&self.description, WIDTH))?;
        }
        let by_type = self.constant_bytes.iter().map(|(ty, n)| format!("{ty} {}", bytes(*n)));
        list(f, "constants", by_type)?;
        list(f, "operators", self.operator_counts.iter().map(|(name, count)| format!("{name} {count}")))?;
        list(f, "metadata", self.metadata.iter().map(|entry| format!("{} {}", entry.name, bytes(entry.bytes))))?;
        for signature in &self.signatures {
            let ports = |ports: &[(String, u32)]| {
                ports.iter().map(|(name, tensor)| format!("{name} = {tensor}")).collect::<Vec<_>>().join(", ")
            };
            let line = format!(
                "signature {:?} of graph {}: {} -> {}",
                signature.key,
                signature.graph,
                ports(&signature.inputs),
                ports(&signature.outputs)
            );
            writeln!(f, "{}", clipped(&line, WIDTH))?;
        }
        self.graphs.iter().enumerate().try_for_each(|(index, graph)| show_graph(f, index, graph))
    }
}

fn show_graph(f: &mut fmt::Formatter<'_>, index: usize, graph: &InspectedGraph) -> fmt::Result {
    writeln!(f, "\ngraph {index} {:?}", graph.name)?;
    let tensor = |&index: &i32| {
        let tensor = usize::try_from(index).ok().and_then(|index| graph.tensors.get(index));
        (index, tensor)
    };
    for (role, tensors) in [("input", &graph.inputs), ("output", &graph.outputs)] {
        for (index, tensor) in tensors.iter().map(tensor) {
            let ty = tensor.map_or_else(String::new, type_text);
            let name = tensor.map_or("", |tensor| &tensor.name);
            writeln!(f, "{}", clipped(&format!("  {role:<6} {index} {ty} {name}"), WIDTH))?;
        }
    }
    writeln!(f, "operators")?;
    let operators = graph.operators.iter().enumerate().map(|(index, op)| operator_row(index, op, graph));
    table(f, &operators.collect::<Vec<_>>())?;
    writeln!(f, "tensors")?;
    let tensors = graph.tensors.iter().enumerate().map(|(index, tensor)| tensor_row(index, tensor));
    table(f, &tensors.collect::<Vec<_>>())
}

fn operator_row(index: usize, operator: &InspectedOperator, graph: &InspectedGraph) -> Vec<String> {
    let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
    let result = operator.outputs.first().and_then(|&id| graph.tensors.get(usize::try_from(id).ok()?));
    let custom = if operator.custom { "custom " } else { "" };
    vec![
        index.to_string(),
        format!("{custom}{} v{}", operator.name, operator.version),
        format!("{} -> {}", ids(&operator.inputs), ids(&operator.outputs)),
        result.map(type_text).unwrap_or_default(),
        notable_options(&operator.options),
    ]
}

/// Without options that say what goes without saying.
fn notable_options(options: &[(String, Value)]) -> String {
    let notable = options.iter().filter(|(name, value)| match name.as_str() {
        "dilation_w_factor" | "dilation_h_factor" | "dilation_d_factor" => *value != 1,
        "stride_w" | "stride_h" | "stride_d" => *value != 1,
        "quantized_bias_type" => *value != "FLOAT32",
        "pot_scale_int16" => *value != true,
        "batch_dims" => *value != 0,
        name if name.ends_with("_mask") => *value != 0,
        _ => true,
    });
    let text = notable.map(|(name, value)| match value {
        Value::Bool(true) => name.clone(),
        // These enums speak for themselves.
        Value::String(value) if matches!(name.as_str(), "padding" | "fused_activation_function") => value.clone(),
        Value::String(value) => format!("{name} {value}"),
        value => format!("{name} {value}"),
    });
    text.collect::<Vec<_>>().join(", ")
}

fn tensor_row(index: usize, tensor: &InspectedTensor) -> Vec<String> {
    let role = match tensor.role {
        Role::Input => "input",
        Role::Output => "output",
        Role::Constant => "constant",
        Role::Variable => "variable",
        Role::Inner => "",
        Role::Unused => "unused",
    };
    let mut notes = Vec::new();
    notes.extend(tensor.bytes.map(bytes));
    notes.extend((tensor.shared_with > 0).then(|| format!("shared with {}", tensor.shared_with)));
    notes.extend(tensor.sparse.then(|| "sparse".to_owned()));
    notes.extend(tensor.quantization.as_ref().map(quantization));
    vec![index.to_string(), role.to_owned(), type_text(tensor), tensor.name.clone(), notes.join(", ")]
}

fn type_text(tensor: &InspectedTensor) -> String {
    let dims = tensor.shape_signature.as_ref().filter(|s| s.len() == tensor.shape.len()).unwrap_or(&tensor.shape);
    let dims: Vec<_> = dims.iter().map(|&d| if d < 0 { "?".to_owned() } else { d.to_string() }).collect();
    format!("{}[{}]", tensor.element_type, dims.join(","))
}

fn quantization(quantization: &InspectedQuantization) -> String {
    match quantization {
        InspectedQuantization::Affine { scale, zero_point, axis } if scale.len() > 1 => {
            let (low, high) = scale.iter().fold((f32::INFINITY, 0f32), |(low, high), &s| (low.min(s), high.max(s)));
            let zero = if zero_point.iter().any(|&z| z != 0) { " with zero points" } else { "" };
            format!("{} scales {}..{} on axis {axis}{zero}", scale.len(), number(low), number(high))
        }
        InspectedQuantization::Affine { scale, zero_point, .. } => {
            let scale = scale.first().copied().unwrap_or_default();
            match zero_point.first() {
                Some(zero_point) => format!("scale {} zero {zero_point}", number(scale)),
                None => format!("scale {}", number(scale)),
            }
        }
        InspectedQuantization::Blockwise { block_size, scales, .. } => {
            format!("blocks of {block_size}, scales in {scales}")
        }
        InspectedQuantization::Other(name) => name.clone(),
    }
}

/// As few digits as tell the number, and no more than five.
fn number(x: f32) -> String {
    let whole = x.to_string();
    match x.abs() {
        _ if whole.len() <= 7 => whole,
        1e-3..1e4 => format!("{x:.5}"),
        _ => format!("{x:.4e}"),
    }
}

/// A count of bytes in the unit that suits it.
fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// `title` and what it holds, over as many lines as it takes.
fn list(f: &mut fmt::Formatter<'_>, title: &str, items: impl Iterator<Item = String>) -> fmt::Result {
    let mut line = String::new();
    let mut items = items.peekable();
    if items.peek().is_none() {
        return Ok(());
    }
    write!(f, "{title:<10}")?;
    while let Some(item) = items.next() {
        let comma = if items.peek().is_some() { "," } else { "" };
        let item = format!("{}{comma}", clipped(&item, WIDTH - 12));
        if 10 + line.chars().count() + 1 + item.chars().count() > WIDTH {
            write!(f, "{line}\n{:10}", "")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&item);
    }
    writeln!(f, "{line}")
}

/// Rows with their columns aligned. Columns are as wide as they need to be, up to a share of the line; the last one takes the
/// rest.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    const MOST: [usize; 4] = [6, 30, 26, 26];
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = MOST.iter().enumerate().map(|(column, &most)| width(column).min(most)).collect();
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            match widths.get(column) {
                Some(&width) if column == 0 => write!(line, " {cell:>width$}")?,
                Some(&width) => write!(line, "  {:<width$}", clipped(cell, width))?,
                None => write!(line, "  {}", clipped(cell, WIDTH.saturating_sub(line.chars().count() + 2)))?,
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `text` on one line of at most `width` characters; what is cut is cut from the middle, as names differ at their ends.
fn clipped(text: &str, width: usize) -> String {
    let text: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() <= width {
        return text.into_iter().collect();
    }
    let tail = width.saturating_sub(1) / 2;
    let head = &text[..width.saturating_sub(1 + tail)];
    head.iter().chain(['…'].iter()).chain(&text[text.len() - tail..]).collect()
}

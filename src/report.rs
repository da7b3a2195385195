//! What a conversion did, for the summary and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::graph::{Graph, Model};
use crate::onnx;
use crate::quant::{
    Account, QuantReport, Recipe, RecipeReport, Repaired, SearchReport, TableReport, WeightReport, Widened,
};
use crate::target::Fit;

/// What became of a model.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What the source is: `ONNX` or `TFLite`.
    pub source: &'static str,
    /// Its nodes.
    pub source_nodes: usize,
    /// How many there are of each operator, by name; with its domain where it is an ONNX operator of another domain than ONNX's own.
    pub source_operators: BTreeMap<String, usize>,
    /// Bytes of its constants by element type.
    pub source_bytes: BTreeMap<&'static str, u64>,
    /// Bytes of the model file, without external data.
    pub source_file_bytes: u64,
    /// Operators of the result, by name.
    pub operators: BTreeMap<&'static str, usize>,
    /// Bytes of the result's constants by element type.
    pub bytes: BTreeMap<&'static str, u64>,
    /// Bytes of the `.tflite` file.
    pub file_bytes: u64,
    /// How often each pass found something to do, in the order of the passes.
    pub passes: Vec<(&'static str, usize)>,
    /// What a user may want to know about nodes that were converted all the same.
    pub notes: Vec<String>,
    /// What became of the rules of a recipe.
    pub recipe: Option<RecipeReport>,
    /// What the target takes, where another than LiteRT is asked for.
    pub target: Option<Fit>,
    /// What a search found, where there was one.
    pub search: Option<SearchReport>,
    /// The recipe that gives this result without a search.
    pub found: Option<Recipe>,
    /// What ranges come of, where there are any.
    pub calibration: Option<CalibrationReport>,
    pub quantization: Option<QuantReport>,
    pub weights: Option<WeightReport>,
    /// Repairs that were tried, in order.
    pub repairs: Vec<Repaired>,
    /// Noise of the quantized model on samples, where that was asked for.
    pub account: Option<Account>,
}

/// What calibration went by.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CalibrationReport {
    pub samples: u64,
    /// Ranges that go beyond what was seen, because more samples would have shown more.
    pub widened: Option<Widened>,
    /// What a table of ranges knew, where one stood in place of samples.
    pub table: Option<TableReport>,
}

impl Report {
    pub(crate) fn of_source(model: &onnx::Model, file_bytes: u64) -> Report {
        let mut report = Report {
            source: "ONNX",
            source_nodes: model.graph.nodes.len(),
            source_file_bytes: file_bytes,
            ..Report::default()
        };
        for node in &model.graph.nodes {
            let name = if node.domain.is_empty() { node.op.clone() } else { format!("{}::{}", node.domain, node.op) };
            *report.source_operators.entry(name).or_default() += 1;
        }
        for data in model.graph.initializers.values() {
            *report.source_bytes.entry(data.dtype().name()).or_default() += data.bytes().len() as u64;
        }
        report
    }

    pub(crate) fn of_file(model: &Model, file_bytes: u64) -> Report {
        let mut found = Report::default();
        found.add_result(model);
        Report {
            source: "TFLite",
            source_nodes: found.operators.values().sum(),
            source_operators: found.operators.iter().map(|(name, n)| (name.to_string(), *n)).collect(),
            source_bytes: found.bytes,
            source_file_bytes: file_bytes,
            ..Report::default()
        }
    }

    pub(crate) fn add_passes(&mut self, counts: Vec<(&'static str, usize)>) {
        self.passes.extend(counts.into_iter().filter(|(_, n)| *n > 0));
    }

    pub(crate) fn add_result(&mut self, model: &Model) {
        for graph in model.graphs.iter().flat_map(Graph::with_regions) {
            let mut used = vec![false; graph.values.len()];
            for node in &graph.nodes {
                *self.operators.entry(node.op.name()).or_default() += 1;
                node.inputs.iter().flatten().for_each(|id| used[id.0 as usize] = true);
            }
            for (value, _) in graph.values.iter().zip(used).filter(|(_, used)| *used) {
                if let Some(data) = &value.data {
                    *self.bytes.entry(data.dtype().name()).or_default() += data.bytes().len() as u64;
                }
            }
        }
    }

    /// `TRANSPOSE` operators that are left.
    pub fn transposes(&self) -> usize {
        self.operators.get("TRANSPOSE").copied().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: usize = self.operators.values().sum();
        let operators: Vec<String> = self.operators.iter().map(|(name, n)| format!("{name} {n}")).collect();
        writeln!(f, "operators   {} {} nodes -> {count}: {}", self.source_nodes, self.source, operators.join(", "))?;
        writeln!(f, "transposes  {}", self.transposes())?;
        writeln!(f, "constants   {} -> {}", ByType(&self.source_bytes), ByType(&self.bytes))?;
        writeln!(f, "file        {} -> {}", Bytes(self.source_file_bytes), Bytes(self.file_bytes))?;
        if let Some(recipe) = &self.recipe {
            write_recipe(f, recipe)?;
        }
        if let Some(fit) = &self.target {
            write!(f, "{fit}")?;
        }
        if let Some(search) = &self.search {
            write_search(f, search)?;
        }
        if let Some(calibration) = &self.calibration {
            write_calibration(f, calibration)?;
        }
        if let Some(quantization) = &self.quantization {
            write_quantization(f, quantization)?;
        }
        if let Some(weights) = &self.weights {
            write_weights(f, weights)?;
        }
        for Repaired { repair, layers, gain, kept } in &self.repairs {
            let unless = if *kept { "" } else { ", not made" };
            writeln!(f, "repair      {}: {gain:+.2} dB, {layers} layers{unless}", repair.name())?;
        }
        if let Some(account) = &self.account {
            write_account(f, account)?;
        }
        for note in &self.notes {
            writeln!(f, "note        {note}")?;
        }
        Ok(())
    }
}

/// Each rule, how many operators it was followed for, and what it did not get.
fn write_recipe(f: &mut fmt::Formatter<'_>, report: &RecipeReport) -> fmt::Result {
    for (i, rule) in report.rules.iter().enumerate() {
        writeln!(f, "rule {:<6} {} -> {} operators", i + 1, rule.rule, rule.applied.len())?;
        for note in &rule.notes {
            writeln!(f, "  note      {note}")?;
        }
    }
    Ok(())
}

/// What was reached, what it cost, and every operator that was lifted.
fn write_search(f: &mut fmt::Formatter<'_>, report: &SearchReport) -> fmt::Result {
    let (goal, before, reached, kept) = (report.goal, report.before, report.reached, report.kept * 100.0);
    writeln!(
        f,
        "search      {goal} asked: {before} before, {reached} now; {kept:.1} % of the multiplications in int8"
    )?;
    let (count, fallback, tried) = (report.lifted.len(), report.fallback, report.tried);
    let fallback = if fallback == "none" { "float" } else { fallback };
    writeln!(f, "  lifted    {count} operators to {fallback}, {tried} graphs simulated")?;
    for lifted in &report.lifted {
        let name = lifted.origin.as_ref().map_or(&lifted.value, |origin| &origin.name);
        let (op, alone, share) = (lifted.op, lifted.alone, lifted.share * 100.0);
        writeln!(f, "    {op} {name}: {alone:.1} dB alone, {share:.1} % of the multiplications")?;
    }
    Ok(())
}

/// What ranges come of.
fn write_calibration(f: &mut fmt::Formatter<'_>, report: &CalibrationReport) -> fmt::Result {
    if let Some(TableReport { found, derived, missing }) = &report.table {
        writeln!(f, "ranges      {found} of the table, {derived} that follow from them, {} unknown", missing.len())?;
        missing.iter().take(5).try_for_each(|name| writeln!(f, "  unknown   {name}"))?;
        return match missing.len().saturating_sub(5) {
            0 => Ok(()),
            more => writeln!(f, "  unknown   and {more} more; what computes on them stays float"),
        };
    }
    writeln!(f, "samples     {}", report.samples)?;
    if let Some(Widened { values, widened, median_percent, most_percent, most }) = &report.widened {
        writeln!(
            f,
            "  widened   {widened} of {values} ranges, as more samples would show more: by {median_percent:.0} % (median), at most \
             {most_percent:.0} % ({most})"
        )?;
    }
    Ok(())
}

/// What was quantized, and every node that was not, by reason.
fn write_quantization(f: &mut fmt::Formatter<'_>, report: &QuantReport) -> fmt::Result {
    match report.int16 {
        0 => writeln!(f, "int8        {} operators, {} float", report.int8, report.float.len())?,
        int16 => writeln!(f, "int16       {int16} operators, {} int8, {} float", report.int8, report.float.len())?,
    }
    let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for node in &report.float {
        let name = node.origin.as_ref().map_or(&node.value, |o| &o.name);
        let names = reasons.entry((node.op, &node.reason)).or_default();
        if names.last() != Some(name) {
            names.push(name.clone());
        }
    }
    for ((op, reason), names) in reasons {
        let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
        let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        writeln!(f, "  float     {op}: {reason} ({}{more})", shown.join(", "))?;
    }
    for cut in &report.cut {
        let (seen, kept) = (cut.seen, cut.kept);
        writeln!(f, "  cut       {}: [{}, {}] to [{}, {}]", cut.value, seen.min, seen.max, kept.min, kept.max)?;
    }
    for raised in &report.raised {
        writeln!(
            f,
            "  raised    {}: coarser weights in {} channels for the bias to fit",
            raised.value,
            raised.channels.len()
        )?;
    }
    Ok(())
}

/// How many constants have which form, and every one that could not have it.
fn write_weights(f: &mut fmt::Formatter<'_>, report: &WeightReport) -> fmt::Result {
    let mut forms: BTreeMap<(&str, Option<usize>), usize> = BTreeMap::new();
    for stored in &report.stored {
        *forms.entry((stored.dtype, stored.block_size)).or_default() += 1;
    }
    let form = |((dtype, block), n): ((&str, Option<usize>), usize)| match block {
        Some(size) => format!("{n} {dtype} in blocks of {size}"),
        None => format!("{n} {dtype}"),
    };
    let forms: Vec<String> = forms.into_iter().map(form).collect();
    writeln!(f, "weights     {}", if forms.is_empty() { "none stored otherwise".into() } else { forms.join(", ") })?;
    for kept in &report.kept {
        writeln!(f, "  float32   {} of {}: {}", kept.value, kept.op, kept.reason)?;
    }
    Ok(())
}

/// Noise of the outputs, and of the operators where it is worst.
fn write_account(f: &mut fmt::Formatter<'_>, account: &Account) -> fmt::Result {
    const SHOWN: usize = 10;
    for output in &account.outputs {
        writeln!(f, "noise       {}: {:.1} dB on {} samples", output.name, output.sqnr, account.samples)?;
    }
    for operator in account.by_noise().into_iter().take(SHOWN) {
        let name = operator.origin.as_ref().map_or(&operator.value, |o| &o.name);
        let own = operator.own.map(|own| format!(", {own:.1} alone")).unwrap_or_default();
        writeln!(f, "  {:>5.1} dB  {} {name}{own}: {}", operator.sqnr, operator.op, operator.cause)?;
    }
    Ok(())
}

/// A number of bytes for people.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        match self.0 {
            0..10_000 => write!(f, "{} B", self.0),
            10_000..10_000_000 => write!(f, "{:.1} kB", n / 1e3),
            _ => write!(f, "{:.1} MB", n / 1e6),
        }
    }
}

struct ByType<'a>(&'a BTreeMap<&'static str, u64>);

impl fmt::Display for ByType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.0.values().sum();
        write!(f, "{}", Bytes(total))?;
        let parts: Vec<String> = self.0.iter().map(|(name, n)| format!("{name} {}", Bytes(*n))).collect();
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

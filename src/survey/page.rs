//! The survey as a page: from what most people ask for down to single operators.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Mode, Survey};
use crate::page::{Cell, Table, WIDEST_DB, decibel_bar, decibels, document, escape};
use crate::{Bytes, Report};

pub(super) fn page(survey: &Survey) -> String {
    let nodes = survey.modes.first().map_or(0, |mode| mode.report.source_nodes);
    let runtime = match &survey.runtime {
        Some((_, Some(version))) => format!(", run in LiteRT {version} with {} thread(s)", survey.threads),
        Some((_, None)) => format!(", run in LiteRT with {} thread(s)", survey.threads),
        None => String::new(),
    };
    let mut body = format!(
        "<h1>{}</h1>\n<p class=dim>{nodes} ONNX nodes, converted by litesmith {}{runtime}</p>\n",
        escape(&survey.model),
        env!("CARGO_PKG_VERSION")
    );
    for missing in &survey.missing {
        let _ = writeln!(body, "<p>Missing: {}</p>", escape(missing));
    }
    let sections: [(&str, String); 6] = [
        ("Modes", modes(survey)),
        ("Size", sizes(survey)),
        ("Exactness", exactness(survey)),
        ("Time", times(survey)),
        ("What stays float, and why", fallbacks(survey)),
        ("Operators before and after", operators(survey)),
    ];
    for (title, html) in sections.into_iter().filter(|(_, html)| !html.is_empty()) {
        let _ = write!(body, "<h2>{title}</h2>\n{html}");
    }
    let accounts = || survey.modes.iter().filter_map(|mode| Some((mode.name, mode.report.account.as_ref()?)));
    let worst = accounts().map(|(_, account)| account.worst()).fold(f64::INFINITY, f64::min);
    for (name, account) in accounts() {
        let _ =
            write!(body, "<h2>Error by operator: {name}</h2>\n{}", account.operators_html(account.worst() <= worst));
    }
    document(&format!("litesmith: {}", survey.model), &body)
}

/// All that can be said of each mode in one number.
fn modes(survey: &Survey) -> String {
    let accuracy = |mode: &Mode| Some(mode.verified.as_ref()?.accuracy?.of_file());
    let labelled = survey.modes.iter().any(|mode| accuracy(mode).is_some());
    let mut heads = vec!["mode", ">size", "*>of first", ">SQNR", ">time", "*>in integers"];
    if labelled {
        heads.insert(3, ">accuracy");
    }
    let mut table = Table::new(&heads);
    let first = survey.modes.first().map_or(1, |mode| mode.report.file_bytes).max(1) as f64;
    for mode in &survey.modes {
        let size = mode.report.file_bytes;
        let of_first = size as f64 / first;
        let worst = mode.verified.as_ref().map(|v| v.worst_db());
        let time = mode.timing.as_ref().map(|t| t.milliseconds.median);
        let mut cells = vec![
            Cell::html(mode.name),
            Cell::number(size as f64, Bytes(size)),
            Cell::number(of_first, format!("{:.0} %", of_first * 100.0)).more(),
            worst.map_or(Cell::html(""), |db| Cell::number(db, decibels(db))),
            time.map_or(Cell::html(""), |t| Cell::number(t, milliseconds(t))),
            in_integers(&mode.report).more(),
        ];
        if labelled {
            let share = accuracy(mode).map(|a| Cell::number(a, format!("{:.2} %", a * 100.0)));
            cells.insert(3, share.unwrap_or(Cell::html("")));
        }
        table.row(cells);
    }
    table.html()
}

fn in_integers(report: &Report) -> Cell {
    let Some(quantization) = &report.quantization else { return Cell::number(0.0, "none") };
    let integers = quantization.int8 + quantization.int16;
    Cell::number(integers as f64, format!("{integers} of {}", integers + quantization.float.len()))
}

fn milliseconds(time: f64) -> String {
    if time < 1.0 { format!("{:.1} µs", time * 1e3) } else { format!("{time:.2} ms") }
}

/// The class of the style for an element type.
fn class(dtype: &str) -> &'static str {
    match dtype {
        "float32" => "f32",
        "float16" => "f16",
        "int8" | "uint8" => "i8",
        "int4" => "i4",
        "int32" => "i32",
        _ => "other",
    }
}

/// Constants by type and what else the file holds, as bars of one scale.
fn sizes(survey: &Survey) -> String {
    let widest = survey.modes.iter().map(|mode| mode.report.file_bytes).max().unwrap_or(0).max(1) as f64;
    let mut bars = String::from("<div class=bars>\n");
    let mut types = BTreeSet::new();
    for mode in &survey.modes {
        let _ = write!(bars, "<span>{}</span><span class=bar>", mode.name);
        let mut part = |class: &str, bytes: u64, what: &str| {
            let width = bytes as f64 / widest * 100.0;
            let _ =
                write!(bars, "<i class={class} style=\"width:{width:.2}%\" title=\"{what}: {}\"></i>", Bytes(bytes));
        };
        for (dtype, bytes) in &mode.report.bytes {
            types.insert(*dtype);
            part(class(dtype), *bytes, dtype);
        }
        let constants: u64 = mode.report.bytes.values().sum();
        part("other", mode.report.file_bytes.saturating_sub(constants), "the rest of the file");
        let _ = writeln!(bars, "</span><span>{}</span>", Bytes(mode.report.file_bytes));
    }
    bars.push_str("</div>\n<div class=key>");
    for dtype in types {
        let _ = write!(bars, "<span><i class={}></i>{dtype}</span>", class(dtype));
    }
    bars + "<span><i class=other></i>the rest of the file</span></div>\n"
}

/// Accuracy where there are labels; noise of the worst output in any case.
fn exactness(survey: &Survey) -> String {
    let verified = || survey.modes.iter().filter_map(|mode| Some((mode.name, mode.verified.as_ref()?)));
    let Some((_, any)) = verified().next() else { return String::new() };
    let mut html = String::new();
    let accuracies: Vec<_> = verified().filter_map(|(name, v)| Some((name, v.accuracy?))).collect();
    if let Some((_, of)) = accuracies.first() {
        let model = of.of_model();
        let _ = write!(
            html,
            "<p>Samples whose label is told right, of {}. The ONNX model: {:.2} %. Bars begin at {:.0} %.</p><div class=bars>",
            of.samples,
            model * 100.0,
            floor(&accuracies) * 100.0
        );
        for (name, accuracy) in &accuracies {
            let share = (accuracy.of_file() - floor(&accuracies)) / (1.0 - floor(&accuracies)).max(1e-9) * 100.0;
            let lost = (accuracy.of_model() - accuracy.of_file()) * 100.0;
            let grade = if lost > 1.0 {
                "bad"
            } else if lost > 0.5 {
                "low"
            } else {
                "good"
            };
            let _ = writeln!(
                html,
                "<span>{name}</span><span class=bar><i class={grade} style=\"width:{share:.1}%\"></i></span><span>{:.2} %</span>",
                accuracy.of_file() * 100.0
            );
        }
        html.push_str("</div>\n");
    }
    let _ = write!(
        html,
        "<p>Signal to noise (SQNR) of the worst output against the ONNX model, on {} samples; full bars are {WIDEST_DB} dB and more, 20 dB is an \
         error of a tenth.</p><div class=bars>",
        any.samples
    );
    for (name, report) in verified() {
        let db = report.worst_db();
        let bar = decibel_bar(db.max(0.0));
        let _ = writeln!(html, "<span>{name}</span>{bar}<span>{}</span>", decibels(db));
    }
    html + "</div>\n"
}

/// Where bars of accuracy begin: a round number below all of them.
fn floor(accuracies: &[(&str, crate::verify::Accuracy)]) -> f64 {
    let least = accuracies.iter().map(|(_, a)| a.of_file().min(a.of_model())).fold(1.0, f64::min);
    if least > 0.9 { 0.9 } else { 0.0 }
}

fn times(survey: &Survey) -> String {
    let timed = || survey.modes.iter().filter_map(|mode| Some((mode.name, mode.timing.as_ref()?.milliseconds)));
    let widest = timed().map(|(_, spread)| spread.p90).fold(0.0, f64::max);
    if widest <= 0.0 {
        return String::new();
    }
    let mut html =
        String::from("<p>Median of one run; the line spans from the 10th to the 90th of 100 runs.</p><div class=bars>");
    for (name, spread) in timed() {
        let part = |time: f64| time / widest * 98.0;
        let _ = writeln!(
            html,
            "<span>{name}</span><span class=bar><i class=f32 style=\"width:{:.1}%\"></i>\
             <i class=spread style=\"left:{:.1}%;width:{:.1}%\"></i></span><span>{}</span>",
            part(spread.median),
            part(spread.p10),
            part(spread.p90 - spread.p10),
            milliseconds(spread.median)
        );
    }
    html + "</div>\n"
}

/// For each mode, reasons and the operators that they hold for.
fn fallbacks(survey: &Survey) -> String {
    let mut html = String::new();
    for mode in &survey.modes {
        let reasons = reasons(mode);
        if reasons.is_empty() {
            continue;
        }
        let _ = write!(html, "<h3>{}</h3>\n<ul>", mode.name);
        for ((op, reason), names) in reasons {
            let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
            let shown = names.iter().take(3).copied().collect::<Vec<_>>().join(", ");
            let _ = writeln!(html, "<li>{op}: {} <small>({}{more})</small></li>", escape(reason), escape(&shown));
        }
        html.push_str("</ul>\n");
    }
    let notes: BTreeSet<&String> = survey.modes.iter().flat_map(|mode| &mode.report.notes).collect();
    for note in notes {
        let _ = writeln!(html, "<p>Note: {}</p>", escape(note));
    }
    html
}

type Reasons<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a str>>;

/// Names of nodes or constants that kept their form, by operator and reason.
fn reasons(mode: &Mode) -> Reasons<'_> {
    let mut reasons = Reasons::new();
    let float = mode.report.quantization.iter().flat_map(|q| &q.float);
    for node in float {
        let name = node.origin.as_ref().map_or(&node.value, |origin| &origin.name);
        reasons.entry((node.op, &node.reason)).or_default().push(name);
    }
    for kept in mode.report.weights.iter().flat_map(|w| &w.kept) {
        reasons.entry((kept.op, &kept.reason)).or_default().push(&kept.value);
    }
    reasons
}

/// Operators of the ONNX model, and those of each file.
fn operators(survey: &Survey) -> String {
    let Some(first) = survey.modes.first() else { return String::new() };
    let mut before = Table::new(&["ONNX operator", ">nodes"]);
    for (op, &n) in &first.report.source_operators {
        before.row([Cell::text(op), Cell::number(n as f64, n)]);
    }
    let heads: Vec<String> = survey.modes.iter().map(|mode| format!(">{}", mode.name)).collect();
    let heads: Vec<&str> = std::iter::once("TFLite operator").chain(heads.iter().map(String::as_str)).collect();
    let mut after = Table::new(&heads);
    let all: BTreeSet<&str> = survey.modes.iter().flat_map(|mode| mode.report.operators.keys().copied()).collect();
    for op in all {
        let count = |mode: &Mode| mode.report.operators.get(op).copied().unwrap_or(0);
        let counts = survey.modes.iter().map(|mode| Cell::number(count(mode) as f64, count(mode)));
        after.row(std::iter::once(Cell::text(op)).chain(counts));
    }
    format!("{}<br>\n{}", before.html(), after.html())
}

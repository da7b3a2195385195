//! An account as one page of HTML.

use std::fmt::Write;

use super::{Account, Cause, OperatorNoise};

const STYLE: &str = "body{font:14px system-ui,sans-serif;margin:2em;max-width:80em}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.2em .6em;border-bottom:1px solid #ddd}td.n{text-align:right;font-variant-numeric:tabular-nums}\
td.b{width:12em}td.b i{display:block;height:.8em;background:#4a7}td.b i.low{background:#d80}td.b i.bad{background:#c33}\
small{color:#666}";

/// Bars are as long as their dB, up to this many.
const WIDEST: f64 = 60.0;

pub(super) fn page(account: &Account) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>litesmith: noise of quantization</title>\n\
         <style>{STYLE}</style>\n<h1>Noise of quantization</h1>\n\
         <p>Signal to noise against the float model, over {} samples; 20 dB is a tenth of the signal.</p>\n\
         <h2>Outputs</h2>\n<table><tr><th>output<th>dB<th></tr>\n",
        account.samples
    );
    for output in &account.outputs {
        let _ = writeln!(page, "<tr><td>{}{}{}</tr>", text(&output.name), number(output.sqnr), bar(output.sqnr));
    }
    page.push_str(
        "</table>\n<h2>Operators, the noisiest first</h2>\n<table><tr><th>operator<th>result<th>type<th>dB<th>\
         <th>its own part, dB<th>likely cause<th>seen<th>stored</tr>\n",
    );
    for operator in account.by_noise() {
        row(&mut page, operator);
    }
    page.push_str("</table></html>\n");
    page
}

fn row(page: &mut String, operator: &OperatorNoise) {
    let source =
        operator.origin.as_ref().map(|o| format!("<br><small>{}</small>", text(&format!("{} {}", o.op, o.name))));
    let own = operator.own.map_or("<td class=n>none".into(), number);
    let stored = operator.stored.map(|r| format!("{:.4} to {:.4}", r.min, r.max)).unwrap_or_default();
    let _ = writeln!(
        page,
        "<tr><td>{}{}<td>{}<td>{}{}{}{own}<td>{}<td>{:.4} to {:.4}<td>{stored}</tr>",
        operator.op,
        source.unwrap_or_default(),
        text(&operator.value),
        operator.dtype,
        number(operator.sqnr),
        bar(operator.sqnr),
        operator.cause,
        operator.seen.min,
        operator.seen.max,
    );
}

fn number(decibels: f64) -> String {
    format!("<td class=n>{decibels:.1}")
}

fn bar(decibels: f64) -> String {
    let class = match decibels {
        ..10.0 => " class=bad",
        10.0..20.0 => " class=low",
        _ => "",
    };
    format!("<td class=b><i{class} style=\"width:{:.0}%\"></i>", decibels.clamp(0.0, WIDEST) / WIDEST * 100.0)
}

/// Names come from the model, and may hold anything.
fn text(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Operands => write!(f, "its operands"),
            Cause::Float => write!(f, "float on noisy operands"),
            Cause::Clipped { share } => write!(f, "{:.2} % clipped", share * 100.0),
            Cause::CoarseScale { times } => write!(f, "scale {times:.1} times as coarse as it need be"),
            Cause::WeightSpread { times } => {
                write!(f, "channels of weights that differ {times:.0} times under one scale")
            }
            Cause::Outliers { times } => write!(f, "outliers {times:.1} times the 99.9th percentile"),
            Cause::Rounding => write!(f, "rounding"),
        }
    }
}

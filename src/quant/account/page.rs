//! An account as HTML: a page of its own, or a part of one.

use super::{Account, Cause, OperatorNoise};
use crate::page::{Cell, Point, Table, breakable, decibel_bar, decibels, document, plot};

pub(super) fn page(account: &Account) -> String {
    let mut outputs = Table::new(&["output", ">signal to noise", ""]);
    for output in &account.outputs {
        let db = output.sqnr;
        outputs.row([Cell::text(&output.name), Cell::number(db, decibels(db)), Cell::html(decibel_bar(db))]);
    }
    let body = format!(
        "<h1>Noise of quantization</h1>\n<p>Signal to noise against the float model, over {} samples; 20 dB is a tenth of the signal.</p>\n\
         <h2>Outputs</h2>\n{}<h2>Operators</h2>\n{}",
        account.samples,
        outputs.html(),
        operators(account, true)
    );
    document("litesmith: noise of quantization", &body)
}

/// Every operator: over the depth of the network, and as a table, the noisiest first, which may be folded up.
pub(super) fn operators(account: &Account, unfolded: bool) -> String {
    if account.operators.is_empty() {
        return "<p>No operator computes with samples.</p>\n".into();
    }
    let point =
        |operator: &OperatorNoise| Point { db: operator.sqnr, what: format!("{} {}", operator.op, name(operator)) };
    let points: Vec<Point> = account.operators.iter().map(point).collect();
    let own: Vec<Option<f64>> = account.operators.iter().map(|operator| operator.own).collect();
    let mut table = Table::new(&[">#", "operator", "*type", ">dB", "*", ">alone", "likely cause", "*seen", "*stored"]);
    let mut order: Vec<(usize, &OperatorNoise)> = account.operators.iter().enumerate().collect();
    order.sort_by(|a, b| a.1.sqnr.total_cmp(&b.1.sqnr));
    for (depth, operator) in order {
        table.row(row(depth, operator));
    }
    format!(
        "<p class=dim>Signal to noise in dB, from the input on the left to the output on the right; small grey dots: each operator \
         alone, on exact operands.</p>\n{}<details{}><summary>{} operators, the noisiest first</summary>\n{}</details>\n",
        plot(&points, &own),
        if unfolded { " open" } else { "" },
        account.operators.len(),
        table.html()
    )
}

/// The node of the source model, or else the result.
fn name(operator: &OperatorNoise) -> &str {
    operator.origin.as_ref().map_or(&operator.value, |origin| &origin.name)
}

fn row(depth: usize, operator: &OperatorNoise) -> [Cell; 9] {
    let own = operator.own.map_or(Cell::number(f64::INFINITY, "none"), |own| Cell::number(own, format!("{own:.1}")));
    let stored = operator.stored.map(|r| format!("{:.4} to {:.4}", r.min, r.max)).unwrap_or_default();
    [
        Cell::number(depth as f64, depth + 1),
        Cell::html(format!("{}<br><small>{}</small>", breakable(operator.op), breakable(name(operator)))),
        Cell::html(operator.dtype).more(),
        Cell::number(operator.sqnr, format!("{:.1}", operator.sqnr)),
        Cell::html(decibel_bar(operator.sqnr)).more(),
        own,
        Cell::html(operator.cause),
        Cell::html(format!("{:.4} to {:.4}", operator.seen.min, operator.seen.max)).more(),
        Cell::html(stored).more(),
    ]
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

//! Pages of HTML that need nothing else: one style for all that is shown to people in a browser.
//!
//! Owns: how a page looks, in light and in dark, on a desk and on a phone; columns that sort when their heads are pressed. Knows text and
//! numbers, not what they mean.

use std::fmt::Display;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A whole page around `body`.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" href=\"data:,\"><title>{}</title>\n<style>\n{STYLE}</style></head>\n<body>\n{body}\n\
         <script>\n{SCRIPT}</script></body></html>\n",
        escape(title)
    )
}

/// Names come from models, and may hold anything.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Escaped text that may be broken after an underscore, as names of operators in narrow columns.
pub fn breakable(text: &str) -> String {
    escape(text).replace('_', "_<wbr>")
}

/// How good a ratio of signal to noise in dB is, as a class of the style: below 10 and below 20 stand out.
pub fn grade(decibels: f64) -> &'static str {
    match decibels {
        ..10.0 => "bad",
        10.0..20.0 => "low",
        _ => "good",
    }
}

/// Bars of dB are as long as their number, up to this many.
pub const WIDEST_DB: f64 = 60.0;

/// A bar of dB.
pub fn decibel_bar(decibels: f64) -> String {
    let width = decibels.clamp(0.0, WIDEST_DB) / WIDEST_DB * 100.0;
    format!("<span class=bar><i class={} style=\"width:{width:.1}%\"></i></span>", grade(decibels))
}

/// dB for people: what has no noise is equal.
pub fn decibels(db: f64) -> String {
    match db {
        _ if db.is_finite() => format!("{db:.1} dB"),
        _ if db > 0.0 => "equal".into(),
        _ => "different".into(),
    }
}

/// A table whose columns sort; it scrolls by itself where it is too wide.
pub struct Table {
    html: String,
}

impl Table {
    /// A head with `>` before it is that of a column of numbers, one with `*` that of a column that a narrow screen does without; `*>` is both.
    pub fn new(heads: &[&str]) -> Table {
        let mut html = String::from("<div class=wide><table class=sort><thead><tr>");
        for head in heads {
            let more = head.starts_with('*');
            let number = head.trim_start_matches('*').starts_with('>');
            let class = format!("{}{}", if more { "more " } else { "" }, if number { "n" } else { "" });
            let _ = write!(html, "<th class=\"{class}\"><button>{}</button></th>", head.trim_start_matches(['*', '>']));
        }
        html.push_str("</tr></thead><tbody>\n");
        Table { html }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.html.push_str("<tr>");
        cells.into_iter().for_each(|cell| self.html.push_str(&cell.0));
        self.html.push_str("</tr>\n");
    }

    pub fn html(self) -> String {
        self.html + "</tbody></table></div>\n"
    }
}

/// A cell of a [`Table`].
pub struct Cell(String);

impl Cell {
    /// HTML as it stands.
    pub fn html(html: impl Display) -> Cell {
        Cell(format!("<td>{html}</td>"))
    }

    /// Text that may hold anything.
    pub fn text(text: &str) -> Cell {
        Cell::html(breakable(text))
    }

    /// What is sorted by a number.
    pub fn number(by: f64, html: impl Display) -> Cell {
        let by = if by.is_finite() { by } else { f64::MAX.copysign(by) };
        Cell(format!("<td class=n data-v=\"{by}\">{html}</td>"))
    }

    /// In a column that a narrow screen does without.
    pub fn more(self) -> Cell {
        match self.0.strip_prefix("<td class=n") {
            Some(rest) => Cell(format!("<td class=\"n more\"{rest}")),
            None => Cell(self.0.replacen("<td>", "<td class=more>", 1)),
        }
    }
}

/// A point of a [`plot`].
pub struct Point {
    pub db: f64,
    /// What it is of, for whoever points at it.
    pub what: String,
}

/// dB over the depth of a network: a dot for each result, and a small one for what the operator itself adds.
pub fn plot(points: &[Point], own: &[Option<f64>]) -> String {
    let mut html = String::from("<div class=plot>");
    for db in [10, 20, 30, 40, 50, 60] {
        let up = f64::from(db) / WIDEST_DB * 100.0;
        let _ = write!(html, "<b style=\"bottom:{up:.1}%\"><span>{db}</span></b>");
    }
    let last = points.len().saturating_sub(1).max(1) as f64;
    let up = |db: f64| db.clamp(0.0, WIDEST_DB) / WIDEST_DB * 100.0;
    for (i, (point, own)) in points.iter().zip(own).enumerate() {
        let right = i as f64 / last * 100.0;
        if let Some(own) = own {
            let _ = write!(html, "<i class=own style=\"left:{right:.2}%;bottom:{:.1}%\"></i>", up(*own));
        }
        let _ = write!(
            html,
            "<i class={} style=\"left:{right:.2}%;bottom:{:.1}%\" title=\"{}: {}\"></i>",
            grade(point.db),
            up(point.db),
            escape(&point.what),
            decibels(point.db),
        );
    }
    html + "</div>\n"
}

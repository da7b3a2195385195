use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::lower::{Documented, NEWEST, OPERATORS};
use crate::quant::{IntegerForm, IntegerKernel, integer_kernels};

/// List the ONNX operators that are converted, with the versions of their definitions
#[derive(clap::Args)]
pub struct Args {
    /// Print as JSON: also what is accepted, what it becomes, and what is refused
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print as Markdown tables that say the same
    #[arg(long)]
    markdown: bool,
    /// Print instead which TFLite operators compute in integers, as a Markdown table, or as JSON
    #[arg(long, conflicts_with = "markdown")]
    quantization: bool,
}

#[derive(Serialize)]
struct Operator {
    versions: &'static [i64],
    #[serde(flatten)]
    documented: Documented,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let text = if args.quantization {
        let kernels = integer_kernels();
        if args.json { serde_json::to_string_pretty(&kernels)? + "\n" } else { quantization(&kernels) }
    } else if args.json {
        let row = |o: &Documented| Operator {
            versions: o.versions(),
            documented: Documented { domain: domain(o.domain), ..*o },
        };
        serde_json::to_string_pretty(&OPERATORS.iter().map(row).collect::<Vec<_>>())? + "\n"
    } else if args.markdown {
        markdown()
    } else {
        let width = |text: fn(&Documented) -> &str| OPERATORS.iter().map(|o| text(o).len()).max().unwrap_or(0);
        let (domains, names) = (width(|o| domain(o.domain)), width(|o| o.op));
        let line = |o: &Documented| {
            let line = format!("{:domains$}  {:names$}  {}", domain(o.domain), o.op, versions(o));
            line.trim_end().to_string() + "\n"
        };
        OPERATORS.iter().map(line).collect()
    };
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// The standard operators have a domain without a name in files; people know it by this one.
fn domain(domain: &'static str) -> &'static str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

/// `1, 6, 13`: the versions of the operator set that changed the operator.
fn versions(operator: &Documented) -> String {
    let versions: Vec<String> = operator.versions().iter().map(i64::to_string).collect();
    versions.join(", ")
}

/// The page `docs/operators.md`.
fn markdown() -> String {
    let mut page = format!(
        "# Operators\n\nThe ONNX operators that are converted, up to operator set {NEWEST}. Printed by `litesmith ops --markdown`, from the \
         doc comments\nof the lowerings. Whatever is refused is named, with its node, when a model is converted.\n"
    );
    for group in OPERATORS.chunk_by(|a, b| a.domain == b.domain) {
        page += &format!(
            "\n## {}\n\n| operator | versions | accepts | becomes | refused |\n|---|---|---|---|---|\n",
            domain(group[0].domain)
        );
        for o in group {
            let cell = |text: &str| text.replace('|', "\\|");
            let (accepts, produces, refuses) = (cell(o.accepts), cell(o.produces), cell(o.refuses));
            page += &format!("| {} | {} | {accepts} | {produces} | {refuses} |\n", o.op, versions(o));
        }
    }
    page
}

/// The page `docs/quantization.md`.
fn quantization(kernels: &[IntegerKernel]) -> String {
    let mut page = String::from(
        "# Quantization by operator\n\nWhich TFLite operators compute in integers, and which scale their results have. Printed by \
         `litesmith ops --quantization`, from the\ntable that quantization works by: an operator is listed with integers where LiteRT's \
         kernels give what is meant, with XNNPACK and without. `NEG`, `SQUARE`,\n`SUM` and `DIV` by a constant become products and means first.\n\n| operator | int8 | int16x8 | constant weights |\n|---|---|---|---|\n",
    );
    let form = |form: &IntegerForm| match form {
        IntegerForm::Integer(how) => format!("yes: {how}"),
        IntegerForm::OnRequest(reason) | IntegerForm::Float(reason) => format!("float: {reason}"),
    };
    for kernel in kernels {
        let bits: Vec<String> = kernel.weight_bits.iter().map(|bits| format!("int{bits}")).collect();
        page +=
            &format!("| {} | {} | {} | {} |\n", kernel.op, form(&kernel.int8), form(&kernel.int16x8), bits.join(", "));
    }
    page
}

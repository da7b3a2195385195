//! Reads what the lowerings say of themselves: the table of operators, and the doc comment of the function in each row.
//!
//! So the documentation of operators, which the command prints, has one source that stands beside the code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Rust for a constant slice of `Documented`, one for each row of `src/lower/table.rs`, in its order.
pub fn emit(lower: &Path) -> io::Result<String> {
    let table = fs::read_to_string(lower.join("table.rs"))?;
    let mut docs = BTreeMap::new();
    let mut out = String::from("&[\n");
    for (domain, op, path) in table.lines().filter_map(row) {
        let doc = match docs.get(path) {
            Some(doc) => doc,
            None => docs.entry(path).or_insert(doc_of(lower, path)?),
        };
        let section = |name: &str| doc.get(name).map_or("", String::as_str);
        writeln!(
            out,
            "Documented {{ domain: {domain:?}, op: {op:?}, summary: {:?}, accepts: {:?}, produces: {:?}, refuses: {:?} }},",
            section(""),
            section("Accepts"),
            section("Produces"),
            section("Refuses"),
        )
        .expect("a string takes every write");
    }
    out.push_str("]\n");
    Ok(out)
}

/// Domain, operator and function of a line `std("Conv", conv::conv),`.
fn row(line: &str) -> Option<(&'static str, &str, &str)> {
    let (constructor, rest) = line.trim().strip_suffix("),")?.split_once("(\"")?;
    let domain = match constructor {
        "std" | "lists" => "",
        "ml" => "ai.onnx.ml",
        "ms" => "com.microsoft",
        "preview" => "ai.onnx.preview",
        _ => return None,
    };
    let (op, path) = rest.split_once("\", ")?;
    Some((domain, op, path))
}

/// The doc comment of a function `module::function`, cut at its headings; what stands before the first is under "".
fn doc_of(lower: &Path, path: &str) -> io::Result<BTreeMap<String, String>> {
    let (module, function) = path.rsplit_once("::").unwrap_or(("", path));
    let base = module.split("::").fold(lower.to_path_buf(), |p, part| p.join(part));
    let mut files = vec![base.with_extension("rs"), base.join("mod.rs")];
    files.extend(sources(&base)?);
    let mut sections = BTreeMap::new();
    for file in files.iter().filter(|f| f.is_file()) {
        let text = fs::read_to_string(file)?;
        let lines: Vec<&str> = text.lines().collect();
        let is_it = |line: &&str| line.split_once("fn ").is_some_and(|(_, f)| f.starts_with(&format!("{function}(")));
        let Some(at) = lines.iter().position(is_it) else { continue };
        let from = lines[..at].iter().rposition(|l| !l.starts_with("///") && !l.starts_with("#[")).map_or(0, |i| i + 1);
        let mut heading = String::new();
        for line in lines[from..at].iter().filter_map(|l| l.strip_prefix("///")).map(str::trim) {
            if let Some(name) = line.strip_prefix("# ") {
                heading = name.to_string();
                continue;
            }
            let text: &mut String = sections.entry(heading.clone()).or_default();
            if !text.is_empty() && !line.is_empty() {
                text.push(' ');
            }
            text.push_str(line);
        }
        break;
    }
    Ok(sections)
}

/// Every Rust file below a folder, if there is one.
fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

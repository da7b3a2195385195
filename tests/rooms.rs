//! Who may know whom: the direction of knowledge between the rooms of `src/`, read off their `use` lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms and what they may use, from the ground up. A room that is not listed may be used by nobody listed above it.
const ROOMS: &[(&str, &[&str])] = &[
    ("tensor", &[]),
    ("runtime", &[]),
    ("schema", &[]),
    ("page", &[]),
    ("samples", &["tensor"]),
    ("graph", &["schema", "tensor"]),
    ("onnx", &["tensor"]),
    ("lower", &["graph", "onnx", "tensor"]),
    ("layout", &["graph", "tensor"]),
    ("tflite", &["graph", "schema", "tensor"]),
    ("passes", &["graph", "tensor"]),
    ("exec", &["graph", "tensor"]),
    ("quant", &["graph", "page", "samples", "tensor"]),
    ("target", &["graph", "schema", "tensor", "tflite"]),
    ("verify", &["onnx", "runtime", "samples", "tensor"]),
    ("bench", &["runtime", "samples", "tensor", "verify"]),
    (
        "survey",
        &[
            "Bytes",
            "Calibration",
            "Converter",
            "Error",
            "Options",
            "Progress",
            "Quantize",
            "Report",
            "bench",
            "page",
            "verify",
        ],
    ),
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Tests may look at other rooms.
fn is_test(file: &Path) -> bool {
    file.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing.rs")))
}

/// Rooms that a file names after `crate::`, its tests left out: those may look further.
fn used(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let code = code.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or("").split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.insert(name);
        }
    }
    rooms
}

#[test]
fn rooms_know_only_what_is_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (room, allowed) in ROOMS {
        let mut files = Vec::new();
        rust_files(&source.join(room), &mut files);
        let single = source.join(format!("{room}.rs"));
        files.extend(single.exists().then_some(single));
        assert!(!files.is_empty(), "room {room} has no files");
        for file in files.iter().filter(|f| !is_test(f)) {
            let text = std::fs::read_to_string(file).expect("readable source");
            for name in used(&text) {
                if name != *room && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{}: {room} must not know {name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_is_listed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = std::fs::read_dir(source).expect("src").flatten().filter(|e| e.path().is_dir());
    let folders: BTreeSet<String> = folders.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let listed: BTreeSet<String> =
        ROOMS.iter().map(|(r, _)| r.to_string()).chain(["cli", "convert"].map(String::from)).collect();
    let unlisted: Vec<_> = folders.difference(&listed).collect();
    assert!(unlisted.is_empty(), "rooms without a floor: {unlisted:?}");
}

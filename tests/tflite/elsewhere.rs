//! Files that other tools made, where there are some: every `.tflite` below the folder that `LITESMITH_TFLITE_FILES` names.
//! With `LITESMITH_TFLITE_REWRITTEN`, a folder, what is written of them stays there, to be run and compared.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use litesmith::graph::{Op, verify};
use litesmith::tflite::{ReadError, WriteOptions, normalized, read, write};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "tflite") {
            found.push(path);
        }
    }
}

#[test]
fn files_of_other_tools_are_written_as_they_were_read() {
    let Ok(folder) = std::env::var("LITESMITH_TFLITE_FILES") else {
        println!("skipped: LITESMITH_TFLITE_FILES names no folder of files made elsewhere");
        return;
    };
    let mut paths = Vec::new();
    files(Path::new(&folder), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no .tflite file below {folder}");
    let rewritten = std::env::var("LITESMITH_TFLITE_REWRITTEN").ok();
    for (i, path) in paths.iter().enumerate() {
        let name = path.file_name().unwrap().to_string_lossy();
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        let model = match read(bytes.clone()) {
            Err(e @ ReadError::Unsupported { .. }) => {
                println!("{name}: {e}");
                continue;
            }
            result => result.unwrap_or_else(|e| panic!("{}: {e}", path.display())),
        };
        let nodes = model.graphs.iter().flat_map(|g| &g.nodes);
        let opaque: Vec<_> = nodes.clone().filter(|n| matches!(n.op, Op::Opaque(_))).map(|n| n.op.name()).collect();
        let written = write(&model, &WriteOptions::default()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (runtime, size) = (written.min_runtime, written.file_len());
        let again = written.to_bytes();
        let back = read(again.clone()).unwrap();
        assert_eq!(back, normalized(&model).unwrap(), "{}", path.display());
        assert_eq!(write(&back, &WriteOptions::default()).unwrap().to_bytes(), again, "{}", path.display());
        println!(
            "{name}: {} -> {size} bytes, {} nodes, {} carried {opaque:?}, runtime {runtime:?}",
            bytes.len(),
            nodes.count(),
            opaque.len(),
        );
        for violation in verify(&back) {
            println!("    {violation}");
        }
        if let Some(folder) = &rewritten {
            std::fs::write(format!("{folder}/{i:02}.tflite"), &again).unwrap();
            std::fs::write(format!("{folder}/{i:02}.original"), &bytes).unwrap();
        }
    }
}

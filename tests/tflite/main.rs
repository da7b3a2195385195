//! Files written and read again, files made elsewhere, and files that are broken.

mod broken;
mod elsewhere;
mod ops;

use litesmith::graph::verify;
use litesmith::tflite::{WriteOptions, normalized, read, write};

#[test]
fn every_operator_comes_back_as_it_was_written() {
    for ops::Named { name, model } in ops::all() {
        let bytes = write(&model, &WriteOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}")).into_bytes();
        let back = read(bytes.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(back, normalized(&model).unwrap(), "{name}");
        if name != "StridedSlice_new_axis" {
            assert_eq!(verify(&back), [], "{name}");
        }
        let again = write(&back, &WriteOptions::default()).unwrap().into_bytes();
        assert_eq!(again, bytes, "{name}: the same model gives the same bytes");
    }
}

#[test]
fn dump_for_hand_checks() {
    let Ok(folder) = std::env::var("LITESMITH_DUMP") else { return };
    for case in ops::all() {
        let written = write(&case.model, &WriteOptions::default()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        std::fs::write(format!("{folder}/{}.tflite", case.name), written.into_bytes()).unwrap();
    }
}

#[test]
fn temp_show() {
    let Ok(path) = std::env::var("SHOW") else { return };
    let i = litesmith::tflite::inspect(std::fs::read(path).unwrap().into()).unwrap();
    println!("{i}");
    if std::env::var("JSON").is_ok() {
        println!("{}", serde_json::to_string(&i).unwrap());
    }
}

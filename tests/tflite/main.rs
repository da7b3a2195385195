//! Files written and read again, files made elsewhere, and files that are broken.

mod ops;

use litesmith::tflite::{WriteOptions, write};

#[test]
fn dump_for_hand_checks() {
    let Ok(folder) = std::env::var("LITESMITH_DUMP") else { return };
    for case in ops::all() {
        let written = write(&case.model, &WriteOptions::default()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        std::fs::write(format!("{folder}/{}.tflite", case.name), written.into_bytes()).unwrap();
    }
}

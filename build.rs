//! Turns `schema/tflite.fbs` into `$OUT_DIR/tflite_schema.rs`, which `src/schema.rs` includes, and the doc comments of the
//! lowerings into `$OUT_DIR/operators.rs`, which `src/lower/documentation.rs` includes.
//!
//! `planus-translation` parses and types the schema; [`description`] reduces its result to what the emitter needs, and
//! [`emit`] writes Rust for the official `flatbuffers` runtime. Neither `flatc` nor a C++ compiler takes part. What all
//! tables have in common is generic code in `src/schema.rs`; only what differs from table to table is generated.

#[path = "build/description.rs"]
mod description;
#[path = "build/emit.rs"]
mod emit;
#[path = "build/operators.rs"]
mod operators;

use std::path::Path;
use std::{env, fs};

const SCHEMA: &str = "schema/tflite.fbs";
const LOWERINGS: &str = "src/lower";

fn main() {
    println!("cargo::rerun-if-changed={SCHEMA}");
    println!("cargo::rerun-if-changed={LOWERINGS}");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=build.rs");

    // The parser has printed what is wrong, with line numbers, when it returns nothing.
    let declarations = planus_translation::translate_files(&[SCHEMA]).expect("schema/tflite.fbs has errors");
    let schema = description::Schema::from_declarations(&declarations);
    let out = |file: &str| Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(file);
    fs::write(out("tflite_schema.rs"), emit::schema(&schema)).expect("OUT_DIR is writable");
    let documentation = operators::emit(Path::new(LOWERINGS)).expect("the lowerings can be read");
    fs::write(out("operators.rs"), documentation).expect("OUT_DIR is writable");
}

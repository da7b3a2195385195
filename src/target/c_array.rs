//! A file as C source, for firmware that has no file system.

use std::fmt::Write;

use bytes::Bytes;

use super::{arena, fit};
use crate::tflite;

/// Two C files that hold a `.tflite` file; C++ takes them too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CArray {
    /// Name of the array, and of the files without their endings.
    pub name: String,
    /// `NAME.h`: the array's declaration, its size, and what an interpreter has to register.
    pub header: String,
    /// `NAME.c`: the array.
    pub source: String,
}

/// How `MicroMutableOpResolver` spells operators whose name is not simply theirs with capitals.
const SPELLED: &[(&str, &str)] = &[
    ("BATCH_MATMUL", "BatchMatMul"),
    ("CUMSUM", "CumSum"),
    ("PADV2", "PadV2"),
    ("TFLite_Detection_PostProcess", "DetectionPostprocess"),
    ("UNIDIRECTIONAL_SEQUENCE_LSTM", "UnidirectionalSequenceLSTM"),
];

impl CArray {
    /// Writes `file` as an array called after `stem`.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn new(file: &Bytes, stem: &str) -> Result<CArray, tflite::ReadError> {
        let model = tflite::read(file.clone())?;
        let operators = fit::operators(&model);
        let name = identifier(stem);
        let header = header(&name, file.len(), &operators, arena::tensor_arena(&model));
        Ok(CArray { header, source: source(&name, file), name })
    }
}

fn header(name: &str, bytes: usize, operators: &[String], arena: Option<usize>) -> String {
    let upper = name.to_uppercase();
    let mut adds: Vec<String> = Vec::new();
    let mut others: Vec<&str> = Vec::new();
    for operator in operators {
        match resolver_name(operator) {
            Some(add) => adds.push(format!("(resolver).Add{add}();")),
            None => others.push(operator),
        }
    }
    let adds_text = if adds.is_empty() { "(void)(resolver);".into() } else { adds.join(" \\\n        ") };
    let mut notes = String::new();
    if !others.is_empty() {
        let _ = writeln!(notes, "/* Not in TensorFlow Lite for Microcontrollers: {}. */\n", others.join(", "));
    }
    if let Some(arena) = arena {
        let _ = writeln!(
            notes,
            "/* Estimate of what the values of the model take in the arena, in bytes. Scratch memory of kernels and the\n   \
             interpreter's own tables come on top: measure with arena_used_bytes(). */\n#define {upper}_VALUES_BYTES {arena}\n"
        );
    }
    format!(
        "/* Made by litesmith {}. */\n#ifndef {upper}_H\n#define {upper}_H\n\n#include <stddef.h>\n\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
         /* A .tflite file of {bytes} bytes, at a multiple of 16 bytes. */\nextern const unsigned char {name}[];\nextern const size_t {name}_size;\n\n\
         #ifdef __cplusplus\n}}\n#endif\n\n{notes}\
         /* tflite::MicroMutableOpResolver<{upper}_OPERATORS> resolver; {upper}_ADD_OPERATORS(resolver); */\n\
         #define {upper}_OPERATORS {}\n#define {upper}_ADD_OPERATORS(resolver) \\\n    do {{ \\\n        {adds_text} \\\n    }} while (0)\n\n#endif\n",
        env!("CARGO_PKG_VERSION"),
        adds.len().max(1),
    )
}

fn source(name: &str, file: &[u8]) -> String {
    const A_LINE: usize = 16;
    let mut text = String::with_capacity(file.len() * 6 + 512);
    let _ = write!(
        text,
        "#include \"{name}.h\"\n\n#if defined(__cplusplus)\n#define ALIGNED alignas(16)\n#elif defined(__GNUC__)\n\
         #define ALIGNED __attribute__((aligned(16)))\n#else\n#define ALIGNED _Alignas(16)\n#endif\n\n\
         ALIGNED const unsigned char {name}[] = {{\n"
    );
    for line in file.chunks(A_LINE) {
        text.push_str("   ");
        for byte in line {
            let _ = write!(text, " 0x{byte:02x},");
        }
        text.push('\n');
    }
    let _ = write!(text, "}};\n\nconst size_t {name}_size = sizeof({name});\n");
    text
}

/// What follows `Add` in `MicroMutableOpResolver`; `None` for operators that it does not have.
fn resolver_name(operator: &str) -> Option<String> {
    super::tflm::TABLE.row(operator)?;
    if let Some((_, spelled)) = SPELLED.iter().find(|(name, _)| *name == operator) {
        return Some((*spelled).into());
    }
    let word = |word: &str| match word {
        "2D" => "2D".to_string(),
        word => word.chars().take(1).chain(word.chars().skip(1).map(|c| c.to_ascii_lowercase())).collect(),
    };
    Some(operator.split('_').map(word).collect())
}

/// `stem` as C can name it.
fn identifier(stem: &str) -> String {
    let known = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = stem.chars().map(known).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("model_{name}") }
}

//! Operators that no lowering can be written for, and why.

use super::Refusal;

const STRINGS: (&str, &str) =
    ("TFLite graphs don't compute with strings", "take strings out of the model, and work on them before and after it");
const RANDOM: (&str, &str) = (
    "what it draws is another thing on each runtime: no file can say which numbers come out",
    "make the random numbers an input of the model, or export it for inference",
);
const MAPS: (&str, &str) = (
    "TFLite has tensors alone, no maps and no sequences of them",
    "export the model without it (zipmap=False), or end the model before it with --outputs",
);

/// Domain, operator, and what there is to say of it.
const REFUSED: &[(&str, &str, (&str, &str))] = &[
    ("", "Bernoulli", RANDOM),
    (
        "",
        "ImageDecoder",
        (
            "TFLite has no operator that decodes images",
            "decode the image before the model: its input is the pixels then",
        ),
    ),
    ("", "Multinomial", RANDOM),
    ("", "RandomNormal", RANDOM),
    ("", "RandomNormalLike", RANDOM),
    ("", "RandomUniform", RANDOM),
    ("", "RandomUniformLike", RANDOM),
    ("", "RegexFullMatch", STRINGS),
    ("", "StringConcat", STRINGS),
    ("", "StringNormalizer", STRINGS),
    ("", "StringSplit", STRINGS),
    ("ai.onnx.ml", "CastMap", MAPS),
    ("ai.onnx.ml", "CategoryMapper", STRINGS),
    ("ai.onnx.ml", "DictVectorizer", MAPS),
    ("ai.onnx.ml", "ZipMap", MAPS),
];

/// Why an operator is not in the table; for most there is nothing more to say.
pub(super) fn why(domain: &str, op: &str) -> Refusal {
    let row = REFUSED.iter().find(|row| (row.0, row.1) == (domain, op));
    let (what, hint) = row.map_or(("the operator is not supported", "`litesmith ops` lists what is"), |row| row.2);
    Refusal::new(what, hint)
}

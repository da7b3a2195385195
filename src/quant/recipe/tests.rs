use super::*;
use crate::graph::{Activation, Binary, Builder, NoEvaluate, Op, Origin, Shape, Type, ValueId};
use crate::quant::WeightOptions;
use crate::tensor::Tensor;

/// Two layers and a sum, as of two ONNX nodes: `x -> first -> second -> sum`.
fn graph() -> (Graph, Vec<ValueId>) {
    let mut graph = Graph::new("test");
    let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[1, 64])));
    let weights = graph.add_constant("weights", Tensor::from_vec(&[64, 64], vec![0.5f32; 64 * 64]));
    let dense = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
    let mut value = x;
    let mut results = Vec::new();
    for (name, op) in [("first", "Gemm"), ("second", "MatMul")] {
        let origin = graph.add_origin(Origin { name: format!("/block/{name}"), op: op.into() });
        let mut builder = Builder::new(&mut graph, &NoEvaluate);
        builder.set_origin(Some(origin), name);
        value = builder.one(dense.clone(), &[value, weights]).unwrap();
        graph.value_mut(value).name = format!("{name}_out");
        results.push(value);
    }
    let sum =
        Builder::new(&mut graph, &NoEvaluate).one(Op::Binary(Binary::Add, Activation::None), &[value, x]).unwrap();
    graph.value_mut(sum).name = "sum".into();
    results.push(sum);
    graph.outputs.push(sum);
    (graph, results)
}

/// What each of the three nodes is asked for.
fn asked(recipe: &str, default: Quantize) -> (Vec<Choice>, RecipeReport) {
    let (graph, _) = graph();
    let (choices, report) = Recipe::parse(recipe).unwrap().choices(&graph, default.into());
    (graph.nodes.iter().map(|node| choices.of(node)).collect(), report)
}

fn schemes(recipe: &str, default: Quantize) -> Vec<Quantize> {
    asked(recipe, default).0.into_iter().map(|choice| choice.quantize).collect()
}

#[test]
fn operators_are_found_by_any_of_their_names() {
    use Quantize::{Int8, None};
    for (rule, expected) in [
        ("op = \"Gemm\"", [None, Int8, Int8]),
        ("op = [\"MatMul\", \"ADD\"]", [Int8, None, None]),
        ("op = \"FULLY_CONNECTED\"", [None, None, Int8]),
        ("op = \"*\"", [None, None, None]),
        ("name = \"block\"", [None, None, Int8]),
        ("name = \"^/block/f\"", [None, Int8, Int8]),
        ("name = \"_out$\"", [None, None, Int8]),
        ("op = \"ADD\"\nname = \"block\"", [Int8, Int8, Int8]),
        ("results = [\"second_out\", \"out\"]", [Int8, None, Int8]),
        ("min_elements = 4096", [None, None, Int8]),
        ("min_elements = 4097", [Int8, Int8, Int8]),
    ] {
        assert_eq!(schemes(&format!("[[rule]]\n{rule}\nquantize = \"none\""), Int8), expected, "{rule}");
    }
}

#[test]
fn later_rules_win_where_they_can_be_followed() {
    let recipe = "[[rule]]\nquantize = \"int8\"\n[[rule]]\nquantize = \"dynamic\"\nweight_bits = 4\n[[rule]]\nop = \"Gemm\"\nweight_bits = 8";
    let (choices, report) = asked(recipe, Quantize::None);
    let bits: Vec<(Quantize, u8)> = choices.iter().map(|c| (c.quantize, c.weights.bits)).collect();
    assert_eq!(bits, [(Quantize::Dynamic, 8), (Quantize::Dynamic, 4), (Quantize::Int8, 8)], "a sum has no weights");
    let applied: Vec<usize> = report.rules.iter().map(|rule| rule.applied.len()).collect();
    assert_eq!(applied, [3, 2, 1]);
    assert!(report.rules.iter().all(|rule| rule.notes.is_empty()), "{report:?}");
}

#[test]
fn rules_that_come_to_nothing_say_so() {
    let notes = |rule: &str| asked(&format!("[[rule]]\n{rule}"), Quantize::None).1.rules.remove(0).notes.join(" ");
    assert!(notes("op = \"Convolution\"\nquantize = \"int8\"").contains("matches nothing"));
    assert!(notes("op = \"ADD\"\nquantize = \"dynamic\"").contains("ADD has no weights"));
    assert!(notes("op = \"Gemm\"\nweight_bits = 4").contains("is not quantized"));
    assert!(notes("op = \"Gemm\"\nquantize = \"weights\"\nblock_size = 256").contains("blocks"), "a row has 64");
    assert_eq!(notes("op = \"Gemm\"\nquantize = \"weights\"\nblock_size = 32"), "");
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, expected) in [
        ("[[rule]]\nquantize = \"int9\"", "line 2"),
        ("[[rule]]\nop = 3\nquantize = \"int8\"", "a name or a list of names"),
        ("[[rule]]\nscheme = \"int8\"", "unknown field `scheme`"),
        ("[[rule]]\nname = \"(\"\nquantize = \"int8\"", "is no regular expression: unclosed group"),
        ("[[rule]]\nquantize = \"int8\"\n[[rule]]\nop = \"Conv\"", "rule 2: it asks for nothing"),
        ("[[rule]]\nquantize = \"dynamic\"\nweight_bits = 3", "rule 1: 3-bit weights"),
        ("[[rule]]\nquantize = \"dynamic\"\nblock_size = 48", "rule 1: blocks of 48"),
        (
            "[{\"regex\": \"(\", \"operation\": \"*\", \"algorithm_key\": \"no_quantize\"}]",
            "rule 1: \"(\" is no regular",
        ),
        ("[{\"regex\": \".*\"}]", "rule 1: missing field `operation`"),
        ("[1", "EOF"),
    ] {
        let error = Recipe::parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let recipe = Recipe::parse(
        "[[rule]]\nquantize = \"int8\"\n[[rule]]\nop = [\"Conv\", \"Gemm\"]\nname = \"a\\\\.b\"\nresults = [\"x\\\"y\", \"\\u007f\"]\n\
         quantize = \"none\"\n[[rule]]\nop = \"Conv\"\nweight_bits = 4\nblock_size = 32\ngranularity = \"tensor\"\nsymmetric = true\n\
         min_elements = 7",
    );
    let recipe = recipe.unwrap();
    assert_eq!(Recipe::parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
    assert_eq!(Recipe::parse("").unwrap(), Recipe::default());
}

#[test]
fn json_of_ai_edge_quantizer_is_read() {
    let config = |activations: &str, weights: &str, compute: &str, explicit: bool| {
        format!(
            r#"{{ {activations} "weight_tensor_config": {{ {weights} }}, "compute_precision": "{compute}",
                "explicit_dequantize": {explicit}, "skip_checks": false, "min_weight_elements": 0 }}"#
        )
    };
    let rule = |operation: &str, algorithm: &str, config: &str| {
        let text = format!(
            r#"[{{"regex": ".*", "operation": "{operation}", "algorithm_key": "{algorithm}", "op_config": {config}}}]"#
        );
        Recipe::parse(&text).map(|mut recipe| recipe.rules.remove(0))
    };
    let min_max = "min_max_uniform_quantize";
    let bytes = r#""num_bits": 8, "symmetric": true, "granularity": "CHANNELWISE", "dtype": "INT""#;
    let activations = |bits, symmetric| {
        format!(
            r#""activation_tensor_config": {{"num_bits": {bits}, "symmetric": {symmetric}, "granularity": "TENSORWISE", "dtype": "INT"}},"#
        )
    };
    let found = rule("*", min_max, &config(&activations(8, false), bytes, "INTEGER", false)).unwrap();
    assert_eq!(found.quantize, Some(Quantize::Int8));
    assert_eq!((found.ops.len(), found.symmetric, found.weight_bits), (0, Some(false), Some(8)));
    let found = rule("*", min_max, &config(&activations(16, true), bytes, "INTEGER", false)).unwrap();
    assert_eq!(found.quantize, Some(Quantize::Int16x8));
    let found = rule("CONV_2D", min_max, &config("", bytes, "INTEGER", false)).unwrap();
    assert_eq!((found.quantize, found.ops.as_slice()), (Some(Quantize::Dynamic), &["CONV_2D".to_string()][..]));
    let blocks = r#""num_bits": 4, "granularity": "BLOCKWISE_64""#;
    let found = rule("*", "MSE", &config("", blocks, "FLOAT", true)).unwrap();
    assert_eq!((found.quantize, found.weight_bits, found.block_size), (Some(Quantize::Weights), Some(4), Some(64)));
    assert!(found.notes[0].contains("MSE"));
    let found = rule("*", "float_casting", &config("", r#""num_bits": 16, "dtype": "FLOAT""#, "FLOAT", true)).unwrap();
    assert_eq!(found.quantize, Some(Quantize::Float16));
    assert_eq!(rule("ADD", "no_quantize", "null").unwrap().quantize, Some(Quantize::None));
    assert!(rule("*", min_max, &config("", bytes, "INTEGER", true)).unwrap_err().contains("explicit_dequantize"));
    assert!(
        rule("*", min_max, &config(&activations(4, true), bytes, "INTEGER", false)).unwrap_err().contains("4-bit act")
    );
    assert!(
        rule("*", min_max, &config("", r#""num_bits": 2"#, "INTEGER", false)).unwrap_err().contains("2-bit weights")
    );
}

#[test]
fn all_names_are_known() {
    for name in NAMES {
        match Recipe::named(name).unwrap() {
            Ok(recipe) => assert!(!recipe.rules.is_empty() && !name.contains("wi2"), "{name}"),
            Err(what) => assert!(name.contains("wi2") || name.contains("wi8b"), "{name}: {what}"),
        }
    }
    assert!(Recipe::named("dynamic_wi3_afp32").is_none());
    let only = |name: &str| {
        let rule = Recipe::named(name).unwrap().unwrap().rules.remove(0);
        let weights = WeightOptions::new(rule.weight_bits, rule.granularity, rule.block_size).unwrap();
        (rule.quantize.unwrap(), weights.bits, weights.block_size)
    };
    assert_eq!(only("static_wi4_ai16"), (Quantize::Int16x8, 4, None));
    assert_eq!(only("static_wi8_ai8"), (Quantize::Int8, 8, None));
    assert_eq!(only("weight_only_wi4_afp32"), (Quantize::Weights, 4, None));
    assert_eq!(only("dynamic_wi4b64_afp32"), (Quantize::Dynamic, 4, Some(64)));
    assert_eq!(only("gemma4_mixed48_b32"), (Quantize::Dynamic, 4, Some(32)));
}

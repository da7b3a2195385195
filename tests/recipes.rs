//! Recipes as users give them: files and names, what they do to the result, what is told of them, what is refused.

mod common;

use std::path::PathBuf;

use common::command::{Ran, litesmith, says};
use common::fixtures;

fn digits(name: &str) -> String {
    fixtures().join("digits").join(name).display().to_string()
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// Converts the digits model with these arguments.
    fn convert(&self, output: &str, args: &[&str]) -> Ran {
        let (model, output) = (digits("digits.onnx"), self.path(output).display().to_string());
        litesmith([&["convert", &model, "-o", &output][..], args].concat())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

fn ok(ran: Ran) -> Ran {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    ran
}

#[test]
fn a_recipe_of_one_rule_is_the_scheme() {
    let (desk, samples) = (Desk::new(), digits("calibration.npz"));
    let all = desk.write("all.toml", "[[rule]]\nquantize = \"int8\"\n");
    ok(desk.convert("scheme.tflite", &["--quantize", "int8", "--calibration", &samples]));
    ok(desk.convert("recipe.tflite", &["--recipe", &all, "--calibration", &samples]));
    ok(desk.convert("named.tflite", &["--recipe", "static_wi8_ai8", "--calibration", &samples]));
    ok(desk.convert("quantize.tflite", &["--quantize", "static_wi8_ai8", "--calibration", &samples]));
    for name in ["recipe.tflite", "named.tflite", "quantize.tflite"] {
        assert!(desk.bytes(name) == desk.bytes("scheme.tflite"), "{name}");
    }
    ok(desk.convert("dynamic.tflite", &["--quantize", "dynamic", "--weight-bits", "4"]));
    ok(desk.convert("dynamic_wi4.tflite", &["--recipe", "dynamic_wi4_afp32"]));
    assert!(desk.bytes("dynamic.tflite") == desk.bytes("dynamic_wi4.tflite"));
}

#[test]
fn rules_refine_the_scheme_and_are_told_of() {
    let (desk, samples) = (Desk::new(), digits("calibration.npz"));
    let recipe = desk.write(
        "rules.toml",
        "[[rule]]\nop = \"Conv\"\nname = \"conv[34]\"\nquantize = \"none\"\n\n[[rule]]\nop = \"Attention\"\nquantize = \"none\"\n",
    );
    let args = ["--quantize", "int8", "--calibration", &samples, "--recipe", &recipe];
    let text = ok(desk.convert("mixed.tflite", &args)).stdout;
    says(
        &text,
        &[
            "Conv, name \"conv[34]\": none -> 2 operators",
            "rule 2",
            "it matches nothing",
            "it is not chosen for integers",
        ],
    );
    let json = ok(desk.convert("mixed.tflite", &[&args[..], &["--json"]].concat())).json();
    let rules = &json["recipe"]["rules"];
    assert_eq!((rules[0]["matched"].as_u64(), rules[1]["matched"].as_u64()), (Some(2), Some(0)), "{rules}");
    assert_eq!(rules[0]["applied"].as_array().unwrap().len(), 2);
    assert!(json["operators"]["DEQUANTIZE"].as_u64() >= Some(2), "{json}");
}

#[test]
fn the_json_of_ai_edge_quantizer_is_followed() {
    let desk = Desk::new();
    let recipe = desk.write(
        "recipe.json",
        r#"[{"regex": ".*", "operation": "*", "algorithm_key": "min_max_uniform_quantize", "op_config": {
              "weight_tensor_config": {"num_bits": 8, "symmetric": true, "granularity": "CHANNELWISE", "dtype": "INT"},
              "compute_precision": "INTEGER", "explicit_dequantize": false, "skip_checks": false, "min_weight_elements": 0}},
            {"regex": "relu4", "operation": "CONV_2D", "algorithm_key": "no_quantize"}]"#,
    );
    let text = ok(desk.convert("mixed.tflite", &["--recipe", &recipe])).stdout;
    says(&text, &["CONV_2D, name \"relu4\": none -> 1 operators", "weights     1 int8"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let desk = Desk::new();
    let int8 = desk.write("int8.toml", "[[rule]]\nop = \"Conv\"\nquantize = \"int8\"\n");
    let wrong = desk.write("wrong.toml", "[[rule]]\nquantize = \"int8\"\nbits = 4\n");
    for (args, expected) in [
        (&["--recipe", &int8][..], "need calibration samples"),
        (&["--recipe", &wrong], "unknown field `bits`"),
        (&["--recipe", "nowhere.toml"], "nowhere.toml"),
        (&["--recipe", "dynamic_wi2c_afp32"], "2-bit weights"),
        (&["--quantize", "dynamic_wi8b32_afp32"], "no kernel for blocks of 8-bit"),
        (&["--quantize", "dynamic_wi4_afp32", "--weight-bits", "8"], "--weight-bits"),
    ] {
        let ran = desk.convert("no.tflite", args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.stderr);
        says(&ran.stderr, &[expected]);
        assert!(!desk.path("no.tflite").exists());
    }
}

/// A float file and then its quantization are the quantized conversion.
#[test]
fn files_are_quantized_as_models_are() {
    let (desk, samples) = (Desk::new(), digits("calibration.npz"));
    ok(desk.convert("float.tflite", &[]));
    let float = desk.path("float.tflite").display().to_string();
    for scheme in [
        &["int8", "--calibration", &samples][..],
        &["int8", "--calibration", &samples, "--io-type", "int8"],
        &["int8", "--calibration", &samples, "--io-type", "uint8"],
        &["int16x8", "--calibration", &samples],
        &["dynamic"],
        &["float16"],
    ] {
        let args = [&["--quantize"], scheme].concat();
        ok(desk.convert("converted.tflite", &args));
        let output = desk.path("quantized.tflite").display().to_string();
        let ran = ok(litesmith([&["quantize", &float, "-o", &output][..], &args].concat()));
        says(&ran.stdout, &["TFLite nodes", "quantized.tflite"]);
        assert!(desk.bytes("quantized.tflite") == desk.bytes("converted.tflite"), "{scheme:?}");
    }
    let again = ok(litesmith(["quantize", &float, "--quantize", "dynamic", "--json"])).json();
    assert_eq!(again["source"], "TFLite");
    assert!(desk.path("float_quantized.tflite").is_file());
    for (args, expected) in [
        (&[][..], "say how to quantize"),
        (&["--quantize", "int8"], "need calibration samples"),
        (&["--quantize", "dynamic", "-o", &float], "would overwrite"),
    ] {
        let ran = litesmith([&["quantize", &float][..], args].concat());
        assert_eq!(ran.code, Some(1));
        says(&ran.stderr, &[expected]);
    }
    let ran = litesmith(["quantize", &digits("digits.onnx"), "--quantize", "dynamic", "-o", &float]);
    assert_eq!(ran.code, Some(1));
    says(&ran.stderr, &["digits.onnx", "not a .tflite file"]);
}

#[test]
fn a_search_reaches_its_goal_and_writes_the_recipe() {
    let (desk, samples) = (Desk::new(), digits("calibration.npz"));
    let int8 = ["--quantize", "int8", "--calibration", &samples];
    let ran = ok(desk.convert("found.tflite", &[&int8[..], &["--min-sqnr", "38", "--json"]].concat()));
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let search = &report["search"];
    let sqnr = |which: &str| search[which]["sqnr"].as_f64().unwrap();
    assert!(sqnr("before") < 38.0 && sqnr("reached") >= 38.0, "{search}");
    let kept = search["kept"].as_f64().unwrap();
    assert!(kept > 0.0 && kept < 1.0 && !search["lifted"].as_array().unwrap().is_empty(), "{search}");
    let recipe = desk.path("found.recipe.toml").display().to_string();
    ok(desk.convert("again.tflite", &["--recipe", &recipe, "--calibration", &samples]));
    assert!(desk.bytes("again.tflite") == desk.bytes("found.tflite"));

    // What int8 is good enough for stays as it is.
    ok(desk.convert("easy.tflite", &[&int8[..], &["--min-sqnr", "20"]].concat()));
    ok(desk.convert("plain.tflite", &int8));
    assert!(desk.bytes("easy.tflite") == desk.bytes("plain.tflite"));
    let wrong = desk.convert("wrong.tflite", &["--min-sqnr", "30"]);
    assert_ne!(wrong.code, Some(0));
    says(&wrong.stderr, &["--quantize int8"]);
    assert!(!desk.path("wrong.tflite").exists());
}

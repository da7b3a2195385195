//! What people see of a file.

use litesmith::tflite::{Role, WriteOptions, inspect, write};

use super::ops;

#[test]
fn every_operator_is_described_in_100_columns() {
    for case in ops::all() {
        let file = write(&case.model, &WriteOptions::default()).unwrap().to_bytes();
        let inspection = inspect(file.clone()).unwrap();
        let graph = &inspection.graphs[0];
        let op = &case.model.graphs[0].nodes[0].op;
        assert_eq!((graph.operators.len(), graph.operators[0].name.as_str()), (1, op.name()));
        let constants: u64 = graph.tensors.iter().filter(|t| t.shared_with == 0).filter_map(|t| t.bytes).sum();
        assert_eq!(inspection.constant_bytes.values().sum::<u64>(), constants, "{}", case.name);
        assert!(graph.tensors.iter().all(|t| t.role != Role::Unused), "{}", case.name);
        let text = inspection.to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{}: {line:?}", case.name);
        }
        let json = serde_json::to_value(&inspection).unwrap();
        assert_eq!(json["file_bytes"], file.len());
    }
}

#[test]
fn a_convolution_as_text() {
    let case = ops::all().into_iter().find(|case| case.name == "Conv2d_q_int8_int8_int32").unwrap();
    let file = write(&case.model, &WriteOptions::default()).unwrap().to_bytes();
    let inspection = inspect(file).unwrap();
    let text = inspection.to_string();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.ends_with("66 B of constants, for runtimes from 1.14.0 on"), "{first}");
    assert_eq!(rest, EXPECTED);
    let options = serde_json::to_value(&inspection).unwrap()["graphs"][0]["operators"][0]["options"].clone();
    assert_eq!((&options["padding"], &options["stride_h"]), (&"SAME".into(), &1.into()));
}

const EXPECTED: &str = r#"constants int32 12 B, int8 54 B
operators CONV_2D 1
metadata  min_runtime_version 16 B
signature "serving_default" of graph 0: x0 = 0 -> y0 = 3

graph 0 "main"
  input  0 int8[1,5,5,2] x0
  output 3 int8[1,5,5,3] y0
operators
  0  CONV_2D v3  0 1 2 -> 3  int8[1,5,5,3]  SAME, RELU
tensors
  0  input     int8[1,5,5,2]  x0       scale 0.05 zero 3
  1  constant  int8[3,3,3,2]  weights  54 B, 3 scales 0.01..0.03 on axis 0
  2  constant  int32[3]       bias     12 B, 3 scales 0.0005..0.0015 on axis 0
  3  output    int8[1,5,5,3]  y0       scale 0.5 zero 3
"#;

use std::collections::BTreeSet;

use litesmith::exec::Runner;
use litesmith::layout::{BoundaryError, ChannelsLast, channels_last, optimize};
use litesmith::tensor::Perm;

use crate::support::{float_graph, samples, transposes};

fn names(names: &[&str]) -> ChannelsLast {
    ChannelsLast::Names(names.iter().map(|n| n.to_string()).collect::<BTreeSet<_>>())
}

#[test]
fn a_convolutional_model_needs_no_transpose_then() {
    let before = float_graph(&[1, 3, 8, 8], |net, x| {
        let x = net.conv_bn_relu(x, 4, 3, 1);
        net.conv(x, 2, 1, 1)
    });
    let mut after = before.clone();
    channels_last(&mut after, &ChannelsLast::All).unwrap();
    assert_eq!(transposes(&after), transposes(&before) + 2);
    optimize(&mut after).unwrap();
    assert_eq!(transposes(&after), 0, "{after}");
    assert_eq!(after.shape(after.inputs[0]).as_fixed().unwrap(), [1, 8, 8, 3]);
    assert_eq!(after.shape(after.outputs[0]).as_fixed().unwrap(), [1, 8, 8, 2]);
    assert_eq!(after.value(after.inputs[0]).name, "input0");
    assert_eq!(after.value(after.outputs[0]).name, "output");

    let inputs = samples(&before, 1);
    let expected = Runner::new(&before).unwrap().run(&inputs).unwrap();
    let turned = [inputs[0].permute(&Perm::to_channels_last(4))];
    let found = Runner::new(&after).unwrap().run(&turned).unwrap();
    assert_eq!(expected[0].permute(&Perm::to_channels_last(4)), found[0]);
}

#[test]
fn only_those_that_are_named_change() {
    let mut graph = float_graph(&[1, 3, 8, 8], |net, x| net.conv(x, 4, 3, 1));
    channels_last(&mut graph, &names(&["input0"])).unwrap();
    optimize(&mut graph).unwrap();
    assert_eq!(graph.shape(graph.inputs[0]).as_fixed().unwrap(), [1, 8, 8, 3]);
    assert_eq!(graph.shape(graph.outputs[0]).as_fixed().unwrap(), [1, 4, 8, 8]);
    assert_eq!(transposes(&graph), 1);
}

#[test]
fn an_input_that_is_an_output_changes_once() {
    let mut graph = float_graph(&[1, 3, 8, 8], |net, x| net.conv(x, 4, 3, 1));
    graph.outputs.push(graph.inputs[0]);
    channels_last(&mut graph, &ChannelsLast::All).unwrap();
    optimize(&mut graph).unwrap();
    assert_eq!(graph.outputs[1], graph.inputs[0]);
    assert_eq!(transposes(&graph), 0);
}

#[test]
fn wrong_names_are_refused_and_change_nothing() {
    let mut graph = float_graph(&[1, 12], |net, x| net.dense(x, 3));
    let before = graph.clone();
    let unknown = channels_last(&mut graph, &names(&["image", "output"]));
    let known = vec!["input0".to_string(), "output".to_string()];
    assert_eq!(unknown, Err(BoundaryError::Unknown { names: vec!["image".into()], known }));
    let low = channels_last(&mut graph, &names(&["input0"]));
    assert_eq!(low, Err(BoundaryError::LowRank { names: vec!["input0".into()] }));
    channels_last(&mut graph, &ChannelsLast::All).unwrap();
    assert_eq!(graph, before);
}

//! Stand-ins for infinity: padding before a maximum, masks before a softmax.

use super::*;

const IMAGE: [usize; 4] = [1, 4, 4, 2];

#[test]
fn padding_with_the_lowest_number_does_not_ruin_the_range() {
    for lowest in [f32::NEG_INFINITY, f32::MIN, -1e30] {
        let mut net = Net::new();
        let x = net.input("x", &IMAGE, (-1.0, 1.0));
        let a = net.conv(x, "a", (-2.0, 8.0));
        let pads = net.graph.add_constant("pads", Tensor::from_vec(&[4, 2], vec![0i32, 0, 1, 1, 1, 1, 0, 0]));
        let value = net.constant(&[], vec![lowest]);
        let padded = net.op(Op::PadV2, &[a, pads, value], "padded", (lowest.max(f32::MIN), 8.0));
        let pooled = net.op(max_pool(), &[padded], "pooled", (-2.0, 8.0));
        let y = net.conv(pooled, "y", (-3.0, 3.0));
        let int8 = net.quantize(&[y]);
        assert_eq!(int8.conversions(), (1, 0, 1));
        let pad = int8.node("PADV2").input(2).unwrap();
        assert_eq!(int8.graph.const_ints(pad), Some(vec![-128]), "the lowest number that there is");
        assert_eq!(int8.scale("pooled"), 10.0 / 255.0);
    }
}

#[test]
fn padding_with_a_number_in_earnest_is_kept() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-2.0, 8.0));
    let pads = net.graph.add_constant("pads", Tensor::from_vec(&[4, 2], vec![0i32, 0, 1, 1, 1, 1, 0, 0]));
    let value = net.constant(&[], vec![23.5]);
    let padded = net.op(Op::PadV2, &[a, pads, value], "padded", (-2.0, 23.5));
    let y = net.conv(padded, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.scale("padded"), 0.1);
    assert_eq!(int8.graph.const_ints(int8.node("PADV2").input(2).unwrap()), Some(vec![127]));
}

/// Scores, masked by `mask`, through a softmax that other int8 operators use; rows reach at least 2.
fn attention(net: &mut Net, mask: impl Fn(&mut Net, ValueId) -> ValueId) -> ValueId {
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let scores = net.conv(x, "scores", (-8.0, 8.0));
    let masked = mask(net, scores);
    net.statistics.values.get_mut(&masked.0).unwrap().lowest_row_maximum = Some(2.0);
    let weights = net.op(Op::Softmax { beta: 1.0 }, &[masked], "weights", (0.0, 1.0));
    net.conv(weights, "y", (-3.0, 3.0))
}

#[test]
fn an_added_mask_reaches_as_far_as_the_softmax_sees() {
    for lowest in [f32::NEG_INFINITY, f32::MIN, -1e9, -1e4] {
        let mut net = Net::new();
        let y = attention(&mut net, |net, scores| {
            let mask = net.constant(&[1, 1, 4, 2], vec![0.0, lowest, 0.0, 0.0, lowest, 0.0, 0.0, 0.0]);
            net.binary(Binary::Add, scores, mask, "masked", (lowest.max(f32::MIN), 8.0))
        });
        let int8 = net.quantize(&[y]);
        // The softmax sees down to 16 below the lowest maximum of a row; to get there from a score of 8 takes -22.
        assert_eq!(int8.params(int8.named("masked")).0, 22.0 / 255.0, "{lowest}");
        let mask = int8.node("ADD").input(1).unwrap();
        assert_eq!(int8.params(mask), (22.0 / 255.0, 127));
        assert_eq!(int8.graph.const_ints(mask).unwrap()[..2], [127, -128]);
        assert_eq!(int8.scale("scores"), 16.0 / 255.0);
        assert!(int8.report.cut.iter().any(|cut| cut.value == "masked" && cut.kept.min == -14.0));
    }
}

#[test]
fn a_mask_computed_at_run_time_is_cut_likewise() {
    let mut net = Net::new();
    let y = attention(&mut net, |net, scores| {
        let keep = net.input("keep", &[1, 1, 4, 2], (0.0, 1.0));
        let one = net.constant(&[], vec![1.0]);
        let drop = net.binary(Binary::Sub, one, keep, "drop", (0.0, 1.0));
        let lowest = net.constant(&[], vec![-1e4]);
        let mask = net.binary(Binary::Mul, drop, lowest, "mask", (-1e4, 0.0));
        net.binary(Binary::Add, scores, mask, "masked", (-1e4 - 8.0, 8.0))
    });
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.scale("mask"), 22.0 / 255.0);
    assert_eq!(int8.scale("masked"), 22.0 / 255.0);
    assert_eq!(int8.conversions(), (2, 0, 1));
}

#[test]
fn a_selected_stand_in_is_below_all_that_the_softmax_sees() {
    let mut net = Net::new();
    let y = attention(&mut net, |net, scores| {
        let keep = Tensor::from_bools(&[1, 1, 4, 2], &[true, false, true, true, false, true, true, true]);
        let keep = net.graph.add_constant("keep", keep);
        let lowest = net.constant(&[], vec![f32::MIN]);
        net.op(Op::Select, &[keep, scores, lowest], "masked", (f32::MIN, 8.0))
    });
    let int8 = net.quantize(&[y]);
    let (scale, zero_point) = int8.params(int8.named("masked"));
    let lowest = int8.graph.const_ints(int8.node("SELECT_V2").input(2).unwrap()).unwrap()[0];
    let real = scale * (lowest - zero_point) as f32;
    assert!((-14.1..-13.9).contains(&real), "{real}");
}

#[test]
fn numbers_past_all_reason_that_matter_stay_float() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let mask = net.constant(&[1, 1, 4, 2], vec![0.0, f32::MIN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let masked = net.binary(Binary::Add, x, mask, "masked", (f32::MIN, 8.0));
    let y = net.conv(masked, "y", (f32::MIN, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.ops(), ["ADD", "CONV_2D"]);
    assert!(int8.reason("masked").contains("reach"));
}

//! The order of the passes.

use crate::graph::{Evaluate, Graph, InferError, Model, Violation, verify};

use super::{
    copy_factor, copy_overwritten, fold_input_scale_into_conv, fold_scale_into_conv, fuse_activation, fuse_clip,
    fuse_gelu, fuse_hard_swish, fuse_pad, fuse_rsqrt, fuse_squared_difference, fuse_transpose, merge_casts,
    merge_constants, merge_duplicates, merge_factors, merge_pads, merge_reshapes, merge_scales, merge_transposes,
    remove_broadcast, remove_dead, remove_flatten, remove_identity, replace_division, replace_gather, replace_matmul,
    replace_pad_value, replace_power, replace_split_v, replace_squeeze, replace_strided_slice, replace_transpose,
    sink_reshape,
};

/// A rewrite of a whole graph.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// The id that users see: the name of the file.
    pub name: &'static str,
    /// Rewrites the graph and says how often.
    pub run: fn(&mut Graph, &dyn Evaluate) -> Result<usize, InferError>,
}

const fn pass(name: &'static str, run: fn(&mut Graph, &dyn Evaluate) -> Result<usize, InferError>) -> Pass {
    Pass { name, run }
}

/// What does not ask where channels stand: formulas, data movement, duplicates. Fewer nodes are left for layout to move
/// transposes through, and what blocked their way is gone.
pub const BEFORE_LAYOUT: &[Pass] = &[
    // The same thing in one way only.
    pass("remove_dead", remove_dead::run),
    pass("merge_constants", merge_constants::run),
    pass("remove_identity", remove_identity::run),
    pass("replace_strided_slice", replace_strided_slice::run),
    pass("replace_gather", replace_gather::run),
    pass("replace_split_v", replace_split_v::run),
    pass("replace_squeeze", replace_squeeze::run),
    pass("replace_division", replace_division::run),
    pass("merge_casts", merge_casts::run),
    pass("merge_reshapes", merge_reshapes::run),
    pass("merge_transposes", merge_transposes::run),
    pass("merge_duplicates", merge_duplicates::run),
    pass("remove_broadcast", remove_broadcast::run),
    // Formulas, the larger ones first: they contain the smaller.
    pass("fuse_clip", fuse_clip::run),
    pass("fuse_gelu", fuse_gelu::run),
    pass("fuse_hard_swish", fuse_hard_swish::run),
    pass("fuse_squared_difference", fuse_squared_difference::run),
    pass("replace_power", replace_power::run),
    pass("fuse_rsqrt", fuse_rsqrt::run),
    pass("merge_scales", merge_scales::run),
    // Matrix products, which have no layout.
    pass("merge_factors", merge_factors::run),
    pass("fuse_transpose", fuse_transpose::run),
    pass("replace_matmul", replace_matmul::run),
    pass("remove_flatten", remove_flatten::run),
    pass("fold_scale_into_conv", fold_scale_into_conv::run),
    pass("fold_input_scale_into_conv", fold_input_scale_into_conv::run),
    // Out of the way of transposes.
    pass("merge_pads", merge_pads::run),
    pass("sink_reshape", sink_reshape::run),
];

/// What needs the neighbours of a convolution beside it: layout has moved the transposes away that stood between.
pub const AFTER_LAYOUT: &[Pass] = &[
    pass("merge_constants", merge_constants::run),
    pass("remove_identity", remove_identity::run),
    pass("merge_transposes", merge_transposes::run),
    pass("replace_transpose", replace_transpose::run),
    pass("merge_reshapes", merge_reshapes::run),
    pass("remove_flatten", remove_flatten::run),
    pass("merge_duplicates", merge_duplicates::run),
    pass("fuse_transpose", fuse_transpose::run),
    pass("merge_scales", merge_scales::run),
    // Scales before activations: a scale is not folded through one.
    pass("fold_scale_into_conv", fold_scale_into_conv::run),
    pass("fold_input_scale_into_conv", fold_input_scale_into_conv::run),
    pass("fuse_clip", fuse_clip::run),
    pass("fuse_activation", fuse_activation::run),
    // After activations: they tell what can't be negative.
    pass("merge_pads", merge_pads::run),
    pass("fuse_pad", fuse_pad::run),
    pass("replace_pad_value", replace_pad_value::run),
    pass("sink_reshape", sink_reshape::run),
    pass("remove_dead", remove_dead::run),
];

/// What keeps a runtime from a mistake: done last of all, and done even where no rewrites are wanted.
pub const ALWAYS: &[Pass] = &[pass("copy_factor", copy_factor::run), pass("copy_overwritten", copy_overwritten::run)];

/// One pass opens the way for another, seldom more than twice; the bound is for safety alone.
const MAX_ROUNDS: usize = 8;

/// Runs `passes` in their order, again and again until none finds anything; first in the graphs that operators run, each on its
/// own. Returns how often each rewrote, in the order of `passes`. Debug builds hold every pass to leaving a valid graph valid.
///
/// # Errors
/// Where a rewrite emits what does not fit its operands, which is a mistake in the rewrite.
pub fn run(
    graph: &mut Graph,
    evaluate: &dyn Evaluate,
    passes: &[Pass],
) -> Result<Vec<(&'static str, usize)>, InferError> {
    let mut counts: Vec<(&str, usize)> = passes.iter().map(|pass| (pass.name, 0)).collect();
    let valid_before = cfg!(debug_assertions) && violations(graph).is_empty();
    for region in graph.nodes.iter_mut().flat_map(|node| node.op.regions_mut()) {
        let inside = run(region, evaluate, passes)?;
        counts.iter_mut().zip(inside).for_each(|((_, count), (_, inside))| *count += inside);
    }
    debug_assert!(!valid_before || violations(graph).is_empty(), "the graphs inside: {:?}", violations(graph));
    for _ in 0..MAX_ROUNDS {
        let mut found = 0;
        for (pass, (_, count)) in passes.iter().zip(&mut counts) {
            let rewritten = (pass.run)(graph, evaluate)?;
            if rewritten > 0 && valid_before {
                let violations = violations(graph);
                assert!(violations.is_empty(), "{} broke the graph: {violations:?}", pass.name);
            }
            *count += rewritten;
            found += rewritten;
        }
        if found == 0 {
            break;
        }
    }
    Ok(counts)
}

fn violations(graph: &Graph) -> Vec<Violation> {
    verify(&Model::single(graph.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, conv_2d};
    use super::{AFTER_LAYOUT, ALWAYS, BEFORE_LAYOUT, run};
    use crate::graph::{Activation, Binary, Graph, NoEvaluate, Op, Padding, Unary};

    /// Every file that says what its pass does has a line in the order, under its name.
    #[test]
    fn the_order_has_every_pass() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/passes");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            if text.starts_with(&format!("//! `{name}`: ")) {
                files.push(name);
            }
        }
        files.sort();
        let lists = [BEFORE_LAYOUT, AFTER_LAYOUT, ALWAYS];
        let mut names: Vec<&str> = lists.iter().flat_map(|list| list.iter().map(|pass| pass.name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, files);
    }

    fn operators(graph: &Graph) -> Vec<&'static str> {
        graph.nodes.iter().map(|node| node.op.name()).collect()
    }

    #[test]
    fn one_pass_opens_the_way_for_the_next() {
        // Padding, convolution, batch normalization and a clip, each operator of its own: one convolution in the end.
        let mut graph = Net::new(&["f32[1,8,8,2]"], |b, x| {
            let c = [0.5f32, 3.0, 0.0, 6.0].map(|c| b.scalar(c));
            let y = b.pad(x[0], &[(0, 0), (1, 1), (1, 0), (0, 0)])?;
            let y = b.pad(y, &[(0, 0), (0, 0), (0, 1), (0, 0)])?;
            let y = b.conv(conv_2d(Padding::Valid), y, &[2, 3, 3, 2])?;
            let y = b.mul(y, c[0])?;
            let y = b.add(y, c[1])?;
            let y = b.binary(Binary::Maximum, c[2], y)?;
            Ok(vec![b.binary(Binary::Minimum, c[3], y)?])
        })
        .0;
        let counts = run(&mut graph, &NoEvaluate, AFTER_LAYOUT).unwrap();
        assert_eq!(operators(&graph), ["CONV_2D"]);
        let Op::Conv2d { window, activation } = &graph.nodes[0].op else { panic!() };
        assert_eq!((window.padding, *activation), (Padding::Same, Activation::Relu6));
        assert_eq!(graph.value(graph.outputs[0]).name, "y0");
        let found: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        let expected =
            [("fold_scale_into_conv", 2), ("fuse_clip", 2), ("fuse_activation", 1), ("merge_pads", 1), ("fuse_pad", 1)];
        assert_eq!(found, expected);
    }

    #[test]
    fn convolutions_of_one_dimension_become_neighbours() {
        let mut graph = Net::new(&["f32[?,1,8,2]"], |b, x| {
            let mut y = x[0];
            for _ in 0..2 {
                y = b.conv(conv_2d(Padding::Same), y, &[2, 1, 3, 2])?;
                y = b.one(Op::Squeeze { axes: vec![1] }, &[y])?;
                let (scale, shift) = (b.floats(&[2], vec![2.0, 3.0]), b.floats(&[2], vec![0.5, 1.0]));
                y = b.mul(y, scale)?;
                y = b.add(y, shift)?;
                y = b.unary(Unary::Relu, y)?;
                let axis = b.scalar(1i32);
                y = b.one(Op::ExpandDims, &[y, axis])?;
            }
            Ok(vec![y])
        })
        .0;
        run(&mut graph, &NoEvaluate, BEFORE_LAYOUT).unwrap();
        run(&mut graph, &NoEvaluate, AFTER_LAYOUT).unwrap();
        assert_eq!(operators(&graph), ["CONV_2D", "CONV_2D"]);
    }
}

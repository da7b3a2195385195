//! `remove_dead`: nodes none of whose results is needed go, and with them the data of constants that nothing uses.
//!
//! Not: operators whose meaning is not known; they may assign variables. Equal.

use crate::graph::{self, Evaluate, Graph, InferError};

pub(super) fn run(graph: &mut Graph, _: &dyn Evaluate) -> Result<usize, InferError> {
    let before = graph.nodes.len();
    graph::remove_dead(graph);
    Ok(before - graph.nodes.len())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Net;
    use super::run;
    use crate::graph::Unary;

    #[test]
    fn what_no_output_needs_goes() {
        let mut net = Net::new(&["f32[2]"], |b, x| Ok(vec![b.unary(Unary::Abs, x[0])?]));
        let expected = Net(net.0.clone());
        let (input, output) = (net.0.inputs[0], net.0.outputs[0]);
        let mut b = crate::graph::Builder::new(&mut net.0, &crate::graph::NoEvaluate);
        let constant = b.scalar(1.0f32);
        let unused = b.add(input, constant).unwrap();
        b.add(unused, output).unwrap();
        net.becomes(run, &expected);
        assert!(net.after(run).1.constant(constant).is_none(), "and its bytes are freed");
    }
}

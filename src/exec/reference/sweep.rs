//! Where a window stands as it moves along an axis.

use super::super::KernelError;
use crate::graph::Padding;

/// How a window moves along one axis.
#[derive(Debug, Clone, Copy)]
pub(in crate::exec) struct Sweep {
    /// Elements of the operand, and of the window.
    pub input: usize,
    pub filter: usize,
    pub stride: usize,
    pub dilation: usize,
    pub output: usize,
    /// Elements of padding before the first.
    pub before: usize,
    pub after: usize,
}

impl Sweep {
    /// `SAME` divides the padding evenly, with the odd element at the end.
    pub fn new(
        padding: Padding,
        input: usize,
        filter: usize,
        stride: usize,
        dilation: usize,
    ) -> Result<Sweep, KernelError> {
        let span = filter.checked_sub(1).and_then(|f| f.checked_mul(dilation)?.checked_add(1));
        let (Some(span), true) = (span, stride > 0 && dilation > 0) else {
            let what = format!("a window of {filter} that moves by {stride}, dilated by {dilation}");
            return Err(KernelError::operands(what));
        };
        let (output, total) = match padding {
            Padding::Same => {
                let output = input.div_ceil(stride);
                (output, (output.saturating_sub(1).saturating_mul(stride).saturating_add(span)).saturating_sub(input))
            }
            Padding::Valid => (input.checked_sub(span).map_or(0, |room| room / stride + 1), 0),
        };
        Ok(Sweep { input, filter, stride, dilation, output, before: total / 2, after: total - total / 2 })
    }

    /// The part of the operand that the undilated window sees at place `i` of the result.
    pub fn window(&self, i: usize) -> std::ops::Range<usize> {
        let start = i * self.stride;
        start.saturating_sub(self.before)..(start + self.filter).saturating_sub(self.before).min(self.input)
    }
}

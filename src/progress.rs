//! How far a conversion is, for whoever wants to show it.

/// Is told about stages and steps; calls may come from several threads.
pub trait Progress: Send + Sync {
    /// A new stage begins: `read`, `lower`, `optimize`, `calibrate`, `quantize`, `write`.
    fn stage(&self, name: &'static str);
    /// The stage has this many steps.
    fn total(&self, steps: usize);
    /// One step is done.
    fn advance(&self);
    /// All is done.
    fn finish(&self);
    /// Whether nobody waits for the result any more: no further sample is run then, and the conversion fails.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn stage(&self, _: &'static str) {}
    fn total(&self, _: usize) {}
    fn advance(&self) {}
    fn finish(&self) {}
}

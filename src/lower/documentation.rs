//! What is told of each operator: taken from the doc comments of the lowerings when the crate is built.

use super::opsets;

/// One accepted ONNX operator, as its lowering describes itself.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Documented {
    /// Empty for the standard operators.
    pub domain: &'static str,
    pub op: &'static str,
    /// What it becomes, in a sentence.
    pub summary: &'static str,
    pub accepts: &'static str,
    pub produces: &'static str,
    /// Empty where nothing is refused that the definition allows.
    pub refuses: &'static str,
}

impl Documented {
    /// Versions of the operator set that gave the operator its forms; empty where its domain does not count them.
    pub fn versions(&self) -> &'static [i64] {
        opsets::versions(self.domain, self.op)
    }
}

/// Every row of [`TABLE`](super::TABLE), in its order.
pub const OPERATORS: &[Documented] = include!(concat!(env!("OUT_DIR"), "/operators.rs"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::TABLE;

    #[test]
    fn every_lowering_says_what_it_does() {
        let rows: Vec<_> = TABLE.iter().filter(|r| r.domain != "litesmith").map(|r| (r.domain, r.op)).collect();
        let documented: Vec<_> = OPERATORS.iter().map(|d| (d.domain, d.op)).collect();
        assert_eq!(rows, documented);
        let silent = |d: &&Documented| d.summary.is_empty() || d.accepts.is_empty() || d.produces.is_empty();
        let silent: Vec<_> = OPERATORS.iter().filter(silent).map(|d| d.op).collect();
        assert!(silent.is_empty(), "no `# Accepts` or `# Produces` for {silent:?}");
    }

    #[test]
    fn every_operator_has_its_versions() {
        let counted = |d: &&Documented| matches!(d.domain, "" | "ai.onnx.ml") && d.versions().is_empty();
        let unknown: Vec<_> = OPERATORS.iter().filter(counted).map(|d| d.op).collect();
        // ONNX Runtime takes this one in the standard domain, which has no such operator.
        assert_eq!(unknown, ["SimplifiedLayerNormalization"]);
    }
}

//! The search for a mixed precision, and the recipe that stands for what it found.

use super::calibrate::Loaded;
use super::{Converter, simulate};
use crate::error::Error;
use crate::graph::Graph;
use crate::options::Search;
use crate::quant::{self, Choice, Choices, Quantize, Recipe, Rule, Statistics};
use crate::report::Report;

impl Converter {
    /// What is asked of each operator, so that the goal is reached.
    pub(super) fn search(
        &self,
        search: &Search,
        graph: &Graph,
        statistics: &Statistics,
        folds: &[Statistics],
        choices: Choices,
        report: &mut Report,
    ) -> Result<Choices, Error> {
        self.progress.stage("search");
        let samples = Loaded(
            self.samples(graph, search.evaluate.as_ref().or(self.options.calibration.as_ref()))?,
            &*self.progress,
        );
        let found = quant::Search {
            graph,
            statistics,
            folds,
            choices: &choices,
            fallback: Choice { quantize: search.fallback, ..self.default_choice() },
            options: self.integer_options(),
            goal: search.goal,
            simulate: &simulate,
            samples: &samples,
            labels: &search.labels,
        };
        let (choices, found) = found.run()?;
        report.found = Some(self.found(&found, search.fallback));
        report.search = Some(found);
        Ok(choices)
    }

    /// The rules that were given, and one for the operators that were lifted.
    fn found(&self, found: &quant::SearchReport, fallback: Quantize) -> Recipe {
        let default = self.default_choice();
        let weights = default.weights;
        let rule = |quantize: Quantize| Rule {
            quantize: Some(quantize),
            weight_bits: (weights.bits != 8).then_some(weights.bits),
            granularity: Some(weights.granularity).filter(|g| *g != quant::Granularity::default()),
            symmetric: default.symmetric.then_some(true),
            ..Rule::default()
        };
        let mut rules = vec![rule(default.quantize)];
        rules.extend(self.options.recipe.iter().flat_map(|recipe| recipe.rules.iter().cloned()));
        if !found.lifted.is_empty() {
            let results = found.lifted.iter().map(|lifted| lifted.value.clone()).collect();
            rules.push(Rule { results, ..rule(fallback) });
        }
        Recipe { rules }
    }
}

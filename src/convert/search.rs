//! The search for a mixed precision, and the recipe that stands for what it found.

use super::calibrate::Loaded;
use super::{Converter, simulate};
use crate::error::Error;
use crate::exec::Runner;
use crate::graph::Graph;
use crate::options::Search;
use crate::quant::{self, Choice, Choices, Observations, Quantize, Recipe, Rule, Statistics};
use crate::report::Report;

impl Converter {
    /// What is asked of each operator, so that the goal is reached.
    pub(super) fn search(
        &self,
        search: &Search,
        graph: &Graph,
        statistics: &Statistics,
        choices: Choices,
        report: &mut Report,
    ) -> Result<Choices, Error> {
        let folds = self.folds(search, graph, statistics)?;
        self.progress.stage("search");
        let samples = Loaded(
            self.samples(graph, search.evaluate.as_ref().or(self.options.calibration.as_ref()))?,
            &*self.progress,
        );
        let found = quant::Search {
            graph,
            statistics,
            folds: &folds,
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

    /// What the search judges samples by: each of those of calibration by ranges that the others gave.
    fn folds(&self, search: &Search, graph: &Graph, statistics: &Statistics) -> Result<Vec<Statistics>, Error> {
        /// Few samples need as many as can be; with many, a quarter more or less says little.
        const FOLDS: usize = 4;
        let samples = Loaded(self.samples(graph, self.options.calibration.as_ref())?, &*self.progress);
        let count = FOLDS.min(samples.0.len());
        if search.evaluate.is_some() || self.options.statistics.is_some() || count < 2 {
            return Ok(vec![statistics.clone()]);
        }
        let runner = Runner::new(graph).map_err(|e| Error::Options(format!("calibration can't run: {e}")))?;
        let part = |part: usize| {
            let numbers: Vec<usize> = (part..samples.0.len()).step_by(count).collect();
            quant::observe_part(graph, &runner, &samples, &numbers, &|| ())
        };
        let parts: Result<Vec<Observations>, _> = (0..count).map(part).collect();
        let parts = parts.map_err(|error| Error::observe(error, &samples.0))?;
        let without = |fold: usize| {
            let others = parts.iter().enumerate().filter(|(part, _)| *part != fold).map(|(_, seen)| seen.clone());
            others.fold(Observations::default(), Observations::merge).statistics(self.options.calibration_method)
        };
        Ok((0..count).map(without).collect())
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

//! Repairs: other float weights and biases that quantize better, for a model that computes the same.
//!
//! ```text
//! equalize   layers exchange factors of their channels, so that one scale fits all of them
//! smooth     the same between a constant factor, as normalizations end in, and the layers behind it
//! clip       scales of weights that lose least, if they clip
//! round      weights rounded so that their errors cancel in what the layer computes
//! bias       biases that take up the mean error of the weights
//! ```
//!
//! `layer` knows which layers there are and what they multiply, `moments` what samples show of it. Scales and roundings are expressed
//! as float weights that remember their grid, which the solver takes as it is; so it knows nothing of repairs.
//!
//! Whether a repair helps is measured: on samples that it has not seen, where there are several.

mod bias;
mod clip;
mod equalize;
mod layer;
mod moments;
mod round;
mod smooth;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::account::{Detail, Simulate, account, spread};
use super::observe::{ObserveError, Samples, Statistics};
use crate::graph::{Execute, Graph};
use layer::{Layer, Stored};

/// One way to repair a model, in the order of their application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    Equalize,
    Smooth,
    Clip,
    Round,
    Bias,
}

impl Repair {
    pub const ALL: [Repair; 5] = [Repair::Equalize, Repair::Smooth, Repair::Clip, Repair::Round, Repair::Bias];

    pub fn name(self) -> &'static str {
        match self {
            Repair::Equalize => "equalize",
            Repair::Smooth => "smooth",
            Repair::Clip => "clip",
            Repair::Round => "round",
            Repair::Bias => "bias",
        }
    }

    /// Whether values between layers change, and with them their ranges.
    fn moves_values(self) -> bool {
        matches!(self, Repair::Equalize | Repair::Smooth)
    }
}

/// Which repairs are made. As text: `none`, `auto`, or names with commas between.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Repairs {
    #[default]
    None,
    /// Those that bring the outputs closer to the float model's.
    Auto,
    /// These, in any case.
    These(Vec<Repair>),
}

impl FromStr for Repairs {
    type Err = String;

    fn from_str(text: &str) -> Result<Repairs, String> {
        let known = |name: &str| Repair::ALL.into_iter().find(|repair| repair.name() == name);
        match text {
            "none" => Ok(Repairs::None),
            "auto" => Ok(Repairs::Auto),
            list => {
                let names: Vec<&str> = Repair::ALL.iter().map(|repair| repair.name()).collect();
                let wrong = |name| format!("{name:?} is none of auto, none, {}", names.join(", "));
                let each = list.split(',').map(|name| known(name.trim()).ok_or_else(|| wrong(name)));
                each.collect::<Result<_, _>>().map(Repairs::These)
            }
        }
    }
}

impl TryFrom<String> for Repairs {
    type Error = String;

    fn try_from(text: String) -> Result<Repairs, String> {
        text.parse()
    }
}

/// What became of one repair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repaired {
    pub repair: Repair,
    /// Layers that it changed.
    pub layers: usize,
    /// What the outputs' signal to noise gained, in dB.
    pub gain: f64,
    pub kept: bool,
}

/// What repairs need and this room does not know.
pub trait Workshop {
    type Error;

    fn samples(&self) -> &dyn Samples;

    /// # Errors
    /// As observation fails.
    fn observe(&self, graph: &Graph) -> Result<Statistics, Self::Error>;

    /// The graph, quantized.
    ///
    /// # Errors
    /// As quantization fails.
    fn quantize(&self, graph: &Graph, statistics: &Statistics) -> Result<Graph, Self::Error>;

    /// # Errors
    /// A sentence.
    fn simulate(&self, graph: &Graph) -> Result<Box<dyn Execute>, String>;

    fn failed(&self, error: ObserveError) -> Self::Error;
}

/// A graph under repair.
struct State {
    /// With weights as they are to be multiplied: computes what the model computes.
    reference: Graph,
    /// What is quantized: the same nodes and values, with weights and biases that quantize better.
    graph: Graph,
    statistics: Statistics,
    quantized: Graph,
}

/// What a repair sees.
struct Cx<'a> {
    state: &'a State,
    simulate: Simulate<'a>,
    samples: &'a dyn Samples,
    /// The samples to learn from.
    which: &'a [usize],
    /// Nodes of the quantized graph, by result.
    producers: Vec<Option<usize>>,
}

impl<'a> Cx<'a> {
    fn new(state: &'a State, simulate: Simulate<'a>, samples: &'a dyn Samples, which: &'a [usize]) -> Cx<'a> {
        Cx { state, simulate, samples, which, producers: state.quantized.producers() }
    }

    /// Layers that compute on integers.
    fn layers(&self) -> Vec<Layer> {
        let mut layers = layer::layers(&self.state.reference);
        layers.retain(|layer| self.stored(layer).is_some());
        layers
    }

    /// How the layer's weights are stored where it computes on integers.
    fn stored(&self, layer: &Layer) -> Option<Stored> {
        layer.stored(&self.state.graph, &self.state.quantized, &self.producers)
    }
}

/// Repairs shorten the distance of the outputs by at least so many dB, or are not worth it.
const LEAST_GAIN: f64 = 0.1;

/// With one sample to learn from and to judge by, chance is that large.
const LEAST_GAIN_UNTESTED: f64 = 1.0;

/// Samples that are looked at.
const MOST_SAMPLES: usize = 32;

/// Repairs `graph`, of which `statistics` tell. Gives the graph that computes exactly what the model does, with what the repairs moved
/// between layers: the one to compare values with.
///
/// # Errors
/// Where samples can't be run, or the graph can't be quantized.
pub fn repair<W: Workshop + Sync>(
    graph: &mut Graph,
    statistics: &mut Statistics,
    repairs: &Repairs,
    workshop: &W,
) -> Result<(Graph, Vec<Repaired>), W::Error> {
    let (methods, auto) = match repairs {
        Repairs::None => return Ok((graph.clone(), Vec::new())),
        Repairs::Auto => (Repair::ALL.to_vec(), true),
        Repairs::These(these) => (Repair::ALL.into_iter().filter(|r| these.contains(r)).collect(), false),
    };
    let simulate = |graph: &Graph| workshop.simulate(graph);
    let float = graph.clone();
    let all = spread(workshop.samples().len(), MOST_SAMPLES);
    let (learn, judge): (Vec<usize>, Vec<usize>) = match all.as_slice() {
        [_, _, ..] => (all.iter().copied().step_by(2).collect(), all.iter().copied().skip(1).step_by(2).collect()),
        _ => (all.clone(), all.clone()),
    };
    let least = if learn == judge { LEAST_GAIN_UNTESTED } else { LEAST_GAIN };
    let score = |quantized: &Graph| -> Result<f64, W::Error> {
        let account = account(&float, quantized, &simulate, workshop.samples(), &judge, Detail::Outputs);
        Ok(account.map_err(|error| workshop.failed(error))?.mean())
    };
    let quantized = workshop.quantize(graph, statistics)?;
    let mut before = score(&quantized)?;
    let mut state = State { reference: float.clone(), graph: float.clone(), statistics: statistics.clone(), quantized };
    let mut report = Vec::new();
    for method in methods {
        let Some((tried, layers)) = attempt(method, &Cx::new(&state, &simulate, workshop.samples(), &learn), workshop)?
        else {
            continue;
        };
        let after = score(&tried.quantized)?;
        let kept = !auto || after - before >= least;
        report.push(Repaired { repair: method, layers, gain: after - before, kept });
        if !kept {
            continue;
        }
        // What has stood the test learns from all samples.
        let learnt = attempt(method, &Cx::new(&state, &simulate, workshop.samples(), &all), workshop)?;
        state = learnt.map_or(tried, |(state, _)| state);
        before = score(&state.quantized)?;
    }
    *graph = state.graph;
    *statistics = state.statistics;
    Ok((state.reference, report))
}

/// The state after a repair, and how many layers that changed; `None` where it changes nothing.
fn attempt<W: Workshop>(method: Repair, cx: &Cx<'_>, workshop: &W) -> Result<Option<(State, usize)>, W::Error> {
    let mut graph = cx.state.graph.clone();
    let changed = match method {
        Repair::Equalize => equalize::equalize(&mut graph, cx),
        Repair::Smooth => smooth::smooth(&mut graph, cx),
        Repair::Clip => clip::clip(&mut graph, cx),
        Repair::Round => round::round(&mut graph, cx),
        Repair::Bias => bias::bias(&mut graph, cx),
    };
    let layers = changed.map_err(|error| workshop.failed(error))?;
    if layers == 0 {
        return Ok(None);
    }
    let moved = method.moves_values();
    let statistics = if moved { workshop.observe(&graph)? } else { cx.state.statistics.clone() };
    let quantized = workshop.quantize(&graph, &statistics)?;
    let reference = if moved { graph.clone() } else { cx.state.reference.clone() };
    Ok(Some((State { reference, graph, statistics, quantized }, layers)))
}

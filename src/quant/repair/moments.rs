//! What samples show of the numbers that layers multiply: means, and how they vary together.

use std::collections::BTreeMap;

use super::Cx;
use super::layer::Layer;
use crate::graph::{Execute, Graph, Node, Op, Precision, Shape, Type, Value, ValueId};
use crate::quant::observe::ObserveError;
use crate::tensor::{DType, Tensor};

/// Of the inputs of one layer.
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    /// How many places were looked at.
    pub(super) places: usize,
    /// Mean of each tap: `[groups, taps]`.
    pub(super) mean: Vec<f64>,
    /// Mean square of each tap: `[groups, taps]`.
    pub(super) squares: Vec<f64>,
    /// Mean products of two taps: `[groups, taps, taps]`. Empty where nobody asked.
    pub(super) products: Vec<f64>,
}

/// Places that are looked at in one sample.
const PLACES: usize = 2048;

/// Calls `with` for every layer with its moments; not more than some of them are held at a time.
///
/// # Errors
/// Where samples can't be run.
pub(super) fn moments(
    cx: &Cx<'_>,
    layers: &[Layer],
    products: bool,
    mut with: impl FnMut(Vec<(&Layer, Moments)>),
) -> Result<(), ObserveError> {
    /// Numbers that are held at a time.
    const ROOM: usize = 1 << 24;
    let size = |layer: &Layer| layer.groups * layer.taps * if products { layer.taps } else { 1 };
    let mut rest = layers;
    while !rest.is_empty() {
        let mut room = ROOM;
        let fits = |layer: &&Layer| {
            let fits = size(layer) <= room;
            room = room.saturating_sub(size(layer));
            fits
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        with(of_some(cx, now, products)?);
        rest = later;
    }
    Ok(())
}

fn of_some<'a>(cx: &Cx<'_>, layers: &'a [Layer], products: bool) -> Result<Vec<(&'a Layer, Moments)>, ObserveError> {
    let failed = |sample| move |message| ObserveError::Run { sample, message };
    let runs = (cx.simulate)(&cx.state.reference).map_err(failed(0))?;
    let product = (cx.simulate)(&product()).map_err(failed(0))?;
    let mut of_value: BTreeMap<ValueId, Vec<usize>> = BTreeMap::new();
    for (i, layer) in layers.iter().enumerate() {
        of_value.entry(layer.x).or_default().push(i);
    }
    let mut moments: Vec<Moments> = vec![Moments::default(); layers.len()];
    for &sample in cx.which {
        let inputs = cx.samples.load(sample).map_err(|message| ObserveError::Load { sample, message })?;
        let mut wrong = None;
        let mut look = |id: ValueId, tensor: &Tensor| {
            for &i in of_value.get(&id).into_iter().flatten() {
                let Some(patches) = layers[i].patches(tensor, PLACES) else { continue };
                let product = products.then_some(product.as_ref());
                if let Err(message) = moments[i].add(&patches, product) {
                    wrong.get_or_insert(message);
                }
            }
        };
        runs.execute(&inputs, &mut look).map_err(failed(sample))?;
        if let Some(message) = wrong {
            return Err(ObserveError::Run { sample, message });
        }
    }
    moments.iter_mut().for_each(Moments::finish);
    Ok(layers.iter().zip(moments).collect())
}

/// The graph that multiplies a matrix with itself, over its rows.
fn product() -> Graph {
    let mut graph = Graph::new("product");
    let ty = || Type::new(DType::F32, Shape(vec![None, None, None]));
    let x = graph.add_input("x", ty());
    let value = Value { name: "y".into(), ty: ty(), data: None, quant: None, variable: false };
    let y = graph.add_value(value);
    let op = Op::BatchMatMul { adj_x: true, adj_y: false, asymmetric_inputs: false };
    let (inputs, outputs) = (vec![Some(x), Some(x)], vec![y]);
    graph.nodes.push(Node { op, inputs, outputs, origin: None, precision: Precision::Any });
    graph.outputs = vec![y];
    graph
}

impl Moments {
    fn add(&mut self, patches: &Tensor, product: Option<&dyn Execute>) -> Result<(), String> {
        let &[groups, places, taps] = patches.shape() else { return Ok(()) };
        let values = patches.view::<f32>().map_err(|e| e.to_string())?;
        self.places += places;
        self.mean.resize(groups * taps, 0.0);
        self.squares.resize(groups * taps, 0.0);
        for (row, values) in values.chunks_exact(taps.max(1)).enumerate() {
            let sums = &mut self.mean[row / places.max(1) * taps..][..taps];
            sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += f64::from(*x));
            let squares = &mut self.squares[row / places.max(1) * taps..][..taps];
            squares.iter_mut().zip(values).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
        }
        if let Some(product) = product.filter(|_| places > 0) {
            self.products.resize(groups * taps * taps, 0.0);
            product.execute(std::slice::from_ref(patches), &mut |id, tensor| {
                if let (1, Ok(more)) = (id.0, tensor.view::<f32>()) {
                    self.products.iter_mut().zip(more.iter()).for_each(|(sum, x)| *sum += f64::from(*x));
                }
            })?;
        }
        Ok(())
    }

    fn finish(&mut self) {
        let count = self.places.max(1) as f64;
        self.mean.iter_mut().chain(&mut self.squares).chain(&mut self.products).for_each(|sum| *sum /= count);
    }
}

/// The largest magnitude of each channel, the last axis, of some values.
///
/// # Errors
/// Where samples can't be run.
pub(super) fn largest(
    cx: &Cx<'_>,
    graph: &Graph,
    ids: &[ValueId],
) -> Result<BTreeMap<ValueId, Vec<f32>>, ObserveError> {
    let runs = (cx.simulate)(graph).map_err(|message| ObserveError::Run { sample: 0, message })?;
    let mut found: BTreeMap<ValueId, Vec<f32>> = ids.iter().map(|&id| (id, Vec::new())).collect();
    for &sample in cx.which {
        let inputs = cx.samples.load(sample).map_err(|message| ObserveError::Load { sample, message })?;
        let mut look = |id: ValueId, tensor: &Tensor| {
            let (Some(bounds), Some(&channels)) = (found.get_mut(&id), tensor.shape().last()) else { return };
            bounds.resize(channels, 0.0);
            for row in tensor.view::<f32>().iter().flat_map(|values| values.chunks_exact(channels.max(1))) {
                bounds.iter_mut().zip(row).for_each(|(bound, x)| *bound = bound.max(x.abs()));
            }
        };
        runs.execute(&inputs, &mut look).map_err(|message| ObserveError::Run { sample, message })?;
    }
    Ok(found)
}

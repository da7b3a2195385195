//! What was observed, with what tells whose it is: to be kept in a file, merged, and used for a conversion later.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::identity::{identity, names};
use super::seen::{MOST_SAMPLES, Observations, Seen, merge_values};
use crate::graph::{Graph, ValueId};

/// What the file says it is.
const FORMAT: &str = "litesmith calibration statistics";

/// Of the file; another one is refused.
const VERSION: u64 = 1;

/// What calibration saw of every value of a model, by name: ranges, sums of extremes and histograms, no tensors.
///
/// Statistics of parts of the samples [merge](CalibrationStatistics::merge) to those of all, to the bit. They belong to one float
/// graph: the model as it was converted with options that change it, as shapes, the batch, or the target.
///
/// ```no_run
/// use litesmith::{CalibrationStatistics, Collect, Converter, Quantize};
///
/// let converter = Converter::new().quantize(Quantize::Int8);
/// let here = converter.clone().calibration("samples/").calibrate_file("model.onnx", &Collect::default())?.statistics;
/// let all = here.merge(CalibrationStatistics::load("elsewhere.json")?)?;
/// converter.statistics(all).convert_file("model.onnx")?.save("model.tflite")?;
/// # Ok::<(), litesmith::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationStatistics {
    /// Version of litesmith that collected them.
    litesmith: String,
    /// Which graph they are of.
    model: String,
    samples: u64,
    values: BTreeMap<String, Seen>,
}

/// Why statistics can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    #[error("no calibration statistics of litesmith: {0}")]
    Format(String),
    /// No table of ranges either.
    #[error("{0}")]
    Table(String),
    #[error(
        "calibration statistics in version {found} of their format; this litesmith reads version {VERSION}: run `litesmith calibrate` again"
    )]
    Version { found: u64 },
    #[error("damaged calibration statistics: value {value:?} {flaw}; run `litesmith calibrate` again")]
    Damaged { value: String, flaw: &'static str },
    #[error(
        "the calibration statistics are of different models, or of one with different options (--shape, --batch, --target, ...): \
         only parts of one calibration can be merged"
    )]
    Different,
    #[error("the calibration statistics together have too many samples")]
    TooMany,
    #[error(
        "the calibration statistics are not of this model as it is converted here: {what} (they were collected by litesmith \
         {litesmith}); run `litesmith calibrate` on this model with the options of this conversion (--shape, --batch, --target, ...)"
    )]
    OtherModel { what: String, litesmith: String },
}

/// The file, after what says which version it is in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "version")]
    _version: u64,
    litesmith: String,
    model: String,
    samples: u64,
    values: BTreeMap<String, Seen>,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

impl CalibrationStatistics {
    /// What was observed of `graph`.
    pub fn new(graph: &Graph, seen: &Observations) -> CalibrationStatistics {
        let names = names(graph);
        let named = |(id, seen): (&u32, &Seen)| Some((names.get(*id as usize)?.clone(), seen.clone()));
        CalibrationStatistics {
            litesmith: env!("CARGO_PKG_VERSION").into(),
            model: identity(graph),
            samples: seen.samples as u64,
            values: seen.values.iter().filter_map(named).collect(),
        }
    }

    /// Number of samples that they were collected on.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// What was seen of each value, by its name.
    pub fn values(&self) -> &BTreeMap<String, Seen> {
        &self.values
    }

    /// What was seen on both sides; the same in whatever order and grouping.
    ///
    /// # Errors
    /// Where they are of different graphs.
    pub fn merge(mut self, other: CalibrationStatistics) -> Result<CalibrationStatistics, StatisticsError> {
        if self.model != other.model {
            return Err(StatisticsError::Different);
        }
        self.samples = self.samples.saturating_add(other.samples);
        if self.samples > MOST_SAMPLES {
            return Err(StatisticsError::TooMany);
        }
        merge_values(&mut self.values, other.values);
        self.litesmith = env!("CARGO_PKG_VERSION").into();
        Ok(self)
    }

    /// What was observed, for the very graph that it was observed of.
    ///
    /// # Errors
    /// For any other graph.
    pub fn observations(&self, graph: &Graph) -> Result<Observations, StatisticsError> {
        let names = names(graph);
        let ids: BTreeMap<&str, ValueId> =
            names.iter().enumerate().map(|(i, name)| (name.as_str(), ValueId(i as u32))).collect();
        let other = |what: String| StatisticsError::OtherModel { what, litesmith: self.litesmith.clone() };
        if let Some(name) = self.values.keys().find(|name| !ids.contains_key(name.as_str())) {
            return Err(other(format!("they have a value {name:?}, which it has not")));
        }
        if self.model != identity(graph) {
            return Err(other("its values have the same names, but its weights, shapes or operators differ".into()));
        }
        let found = |(name, seen): (&String, &Seen)| {
            let id = *ids.get(name.as_str())?;
            Some((id.0, Seen { name: graph.value(id).name.clone(), ..seen.clone() }))
        };
        let samples = usize::try_from(self.samples).unwrap_or(usize::MAX);
        Ok(Observations { samples, values: self.values.iter().filter_map(found).collect() })
    }

    /// The same bytes for the same statistics. A line for each value.
    ///
    /// `serde_json` writes the shortest digits that stand for a `float32` and reads each of them back as it was.
    pub fn to_json(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let mut json = format!(
            "{{\n\"format\": {},\n\"version\": {VERSION},\n\"litesmith\": {},\n\"model\": {},\n\"samples\": {},\n\"values\": {{",
            text(FORMAT),
            text(&self.litesmith),
            text(&self.model),
            self.samples
        );
        for (i, (name, seen)) in self.values.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let seen = serde_json::to_string(seen).unwrap_or_default();
            // Writing to a string never fails.
            let _ = write!(json, "{comma}\n{}: {seen}", text(name));
        }
        json + "\n}\n}\n"
    }

    /// True where a text says of itself that it is a file of statistics, sound or not.
    pub(crate) fn is_meant(text: &str) -> bool {
        let start = text.trim_start().strip_prefix('{').unwrap_or_default().trim_start();
        start.starts_with("\"format\"")
    }

    /// Reads what [`CalibrationStatistics::to_json`] wrote.
    ///
    /// # Errors
    /// Where it is something else, or can't be what samples gave.
    pub fn from_json(json: &str) -> Result<CalibrationStatistics, StatisticsError> {
        let format = |e: serde_json::Error| StatisticsError::Format(e.to_string());
        let header: Header = serde_json::from_str(json).map_err(format)?;
        if header.format != FORMAT {
            return Err(StatisticsError::Format(format!("\"format\" is {:?}", header.format)));
        }
        if header.version != VERSION {
            return Err(StatisticsError::Version { found: header.version });
        }
        let File { litesmith, model, samples, mut values, .. } = serde_json::from_str(json).map_err(format)?;
        for (name, seen) in &mut values {
            seen.name.clone_from(name);
            let more = (seen.samples > samples).then_some("has more samples than there are");
            if let Some(flaw) = more.or(seen.flaw()) {
                return Err(StatisticsError::Damaged { value: name.clone(), flaw });
            }
        }
        Ok(CalibrationStatistics { litesmith, model, samples, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Shape, Type};
    use crate::quant::Method;
    use crate::quant::observe::histogram::Histogram;
    use crate::quant::range::Range;
    use crate::tensor::DType;
    use proptest::prelude::*;

    fn graph(names: &[&str]) -> Graph {
        let mut graph = Graph::new("test");
        for name in names {
            graph.add_input(*name, Type::new(DType::F32, Shape(vec![None])));
        }
        graph
    }

    /// What samples of one value show.
    fn seen(samples: &[Vec<f32>]) -> Seen {
        let mut seen = Seen::new("x", Range { min: 0.0, max: f32::INFINITY });
        for values in samples {
            seen.add(Range::of(values));
            let mut histogram = Histogram::default();
            Range::of_moderate(values).into_iter().for_each(|range| histogram.add(values, range));
            seen.histogram.merge(&histogram);
        }
        seen
    }

    fn statistics(samples: &[Vec<f32>]) -> CalibrationStatistics {
        let seen = Observations { samples: samples.len(), values: [(0, seen(samples))].into() };
        CalibrationStatistics::new(&graph(&["x"]), &seen)
    }

    fn numbers() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite()), 0..9)
    }

    /// Uses what was read in every way.
    fn use_up(statistics: CalibrationStatistics) {
        let all = statistics.clone().merge(statistics).expect("of one graph");
        let values = all.values.into_values().enumerate().map(|(i, seen)| (i as u32, seen)).collect();
        let all = Observations { samples: 2, values };
        let methods =
            [Method::Auto, Method::MinMax, Method::Average, Method::Percentile(99.0), Method::Entropy, Method::Mse];
        for method in methods {
            all.statistics(method);
        }
    }

    #[test]
    fn what_is_no_statistics_is_refused() {
        let good = statistics(&[vec![-1.0, 2.5], vec![0.1]]).to_json();
        assert!(CalibrationStatistics::from_json(&good).is_ok());
        let longer = format!("\"counts\":[{}1", "0,".repeat(3000));
        let deep = "[".repeat(100_000);
        for (from, to, says) in [
            ("litesmith calibration", "another", "format"),
            ("\"version\": 1", "\"version\": 2", "version 2"),
            ("\"samples\": 2", "\"samples\": 1", "more samples"),
            ("\"samples\":2", "\"samples\":99999999999999", "damaged"),
            ("\"samples\":2", "\"samples\":0", "range"),
            ("\"min\":-1.0", "\"min\":-1e39", "range"),
            ("\"min\":-1.0", "\"min\":9.0", "range"),
            ("\"min\":-1.0", "\"min\":0.5", "range"),
            ("\"counts\":[1", "\"counts\":[18446744073709551615", "histogram"),
            ("\"counts\":[1", "\"counts\":[-1", "no calibration statistics"),
            ("\"counts\":[1", longer.as_str(), "histogram"),
            ("\"histogram\"", "\"histograms\"", "histograms"),
            ("\"values\": {", deep.as_str(), "no calibration statistics"),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from}");
            let error = CalibrationStatistics::from_json(&text).expect_err(to).to_string();
            assert!(error.contains(says), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn statistics_belong_to_one_graph() {
        let of_x = statistics(&[vec![1.0]]);
        let seen = of_x.observations(&graph(&["x"])).unwrap();
        assert_eq!((seen.samples, seen.values[&0].name.as_str()), (1, "x"));
        let error = of_x.observations(&graph(&["y"])).unwrap_err().to_string();
        assert!(error.contains("\"x\"") && error.contains("litesmith calibrate"), "{error}");
        let error = of_x.observations(&graph(&["x", "y"])).unwrap_err().to_string();
        assert!(error.contains("same names"), "{error}");
        let of_y = CalibrationStatistics::new(&graph(&["y"]), &Observations::default());
        assert_eq!(of_x.merge(of_y), Err(StatisticsError::Different));
    }

    proptest! {
        #[test]
        fn every_bit_survives_the_file(samples in prop::collection::vec(numbers(), 0..4)) {
            let written = statistics(&samples);
            let text = written.to_json();
            let read = CalibrationStatistics::from_json(&text).unwrap();
            prop_assert_eq!(&read, &written);
            prop_assert_eq!(read.to_json(), text);
        }

        #[test]
        fn no_file_does_harm(place in 0usize..400, byte in any::<u8>(), cut in any::<bool>()) {
            let mut text = statistics(&[vec![-1.0, 2.5, 1e-40], vec![0.1, 3e38]]).to_json().into_bytes();
            let place = place % text.len();
            if cut { text.truncate(place) } else { text[place] = byte }
            if let Ok(read) = CalibrationStatistics::from_json(&String::from_utf8_lossy(&text)) {
                use_up(read);
            }
        }
    }
}

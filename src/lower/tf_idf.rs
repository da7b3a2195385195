//! ONNX `TfIdfVectorizer`.

use std::ops::RangeInclusive;

use super::window::{drop_axis, insert_axis};
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Binary, Compare, Op, Reduce, ValueId};
use crate::tensor::{DType, Tensor};

/// Each skip takes operators of its own.
const MOST_SKIPS: usize = 256;

/// Lowers ONNX `TfIdfVectorizer` to `EQUAL` and sums.
///
/// # Accepts
/// int32 and int64 of known length, one sequence or several; each `mode`, skips and n-gram lengths.
/// # Produces
/// For each length and skip `GATHER → EQUAL → REDUCE_ALL → SUM`, then `GATHER` in the order of the result and `MUL` by the weights.
/// # Refuses
/// Strings; sequences of unknown length; two n-grams that count for the same number.
pub(super) fn tf_idf_vectorizer(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if !matches!(cx.dtype(x), DType::I32 | DType::I64) {
        return Err(Refusal::new(format!("a sequence of {}", cx.dtype(x)), "map tokens to int32 before the model"));
    }
    let request = Request::read(cx)?;
    let single = cx.rank(x) == 1;
    let rows = if single { insert_axis(cx, x, 0)? } else { x };
    let length = if cx.rank(rows) == 2 { cx.dim(rows, 1) } else { None };
    let length = length.ok_or_else(|| {
        Refusal::new(format!("sequences of {}", cx.shape(x)), "pin their length with --shape NAME=..")
    })?;
    let mut counts = Vec::new();
    for (n, grams) in &request.grams {
        counts.push(request.count(cx, rows, length, *n, grams)?);
    }
    // One column of zeros at the end, for numbers that no n-gram counts for.
    counts.push(zeros(cx, rows, 1)?);
    let all = if let &[only] = counts.as_slice() { only } else { cx.b.concat(&counts, 1)? };
    let mut y = cx.gather_axis(all, &request.columns, 1)?;
    if request.binary {
        let zero = cx.b.scalar(0f32);
        let some = cx.b.compare(Compare::Greater, y, zero)?;
        y = cx.b.cast(some, DType::F32)?;
    }
    if let Some(weights) = request.weights {
        let weights = cx.b.constant(Tensor::vector(weights));
        y = cx.b.mul(y, weights)?;
    }
    Ok(vec![if single { drop_axis(cx, y, 0)? } else { y }])
}

/// Attributes.
struct Request {
    /// By length, the n-grams that are looked for.
    grams: Vec<(usize, Vec<i64>)>,
    /// For each number of the result, which of all those n-grams counts for it.
    columns: Vec<i64>,
    /// What each number of the result is worth.
    weights: Option<Vec<f32>>,
    /// Whether an n-gram is there, not how often.
    binary: bool,
    max_skip: usize,
}

impl Request {
    fn read(cx: &Cx<'_>) -> Result<Request, Refusal> {
        let natural = |name: &str| {
            let n = cx.int(name)?.and_then(|n| i32::try_from(n).ok()).filter(|&n| n >= 0);
            n.map(|n| n as usize).ok_or_else(|| does_not_fit(name))
        };
        let lengths = natural("min_gram_length")?.max(1)..=natural("max_gram_length")?;
        let max_skip = natural("max_skip_count")?;
        if max_skip > MOST_SKIPS {
            let what = format!("is {max_skip}, and each skip takes operators of its own");
            return Err(Refusal::new(what, format!("use at most {MOST_SKIPS}")).about("attribute max_skip_count"));
        }
        let (weighted, binary) = match cx.string_or("mode", "")? {
            "TF" => (false, false),
            "IDF" => (true, true),
            "TFIDF" => (true, false),
            other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute mode")),
        };
        let Some(pool) = cx.ints("pool_int64s")? else {
            let what = "the n-grams are strings, which TFLite graphs don't compute with";
            return Err(Refusal::new(what, "map tokens to int32 before the model").about("attribute pool_strings"));
        };
        let indexes = cx.ints("ngram_indexes")?.unwrap_or_default();
        let (grams, place) = cut(pool, cx.ints("ngram_counts")?.unwrap_or_default(), &lengths)?;
        let columns = columns(indexes, &place)?;
        let weights = match cx.floats("weights")?.filter(|_| weighted) {
            Some(given) => Some(by_number(given, indexes, columns.len())?),
            None => None,
        };
        Ok(Request { grams, columns, weights, binary, max_skip })
    }

    /// How often each n-gram is in each row, `[N, grams]`.
    fn count(
        &self,
        cx: &mut Cx<'_>,
        rows: ValueId,
        length: usize,
        n: usize,
        grams: &[i64],
    ) -> Result<ValueId, Refusal> {
        let dtype = cx.dtype(rows);
        let pool = Tensor::from_vec(&[grams.len() / n, n], grams.to_vec()).cast(dtype);
        let pool = pool.map_err(|e| Refusal::new(e.to_string(), ""))?;
        let pool = cx.b.constant(pool);
        // Skips are between the elements of an n-gram: one element has none.
        let steps = if n == 1 { 1 } else { self.max_skip + 1 };
        let mut sum = None;
        for step in 1..=steps {
            let Some(span) = step.checked_mul(n - 1).filter(|&span| span < length) else { break };
            let starts = length - span;
            countable(&[starts, n, grams.len() / n])?;
            let places = (0..starts).flat_map(|start| (0..n).map(move |k| (start + k * step) as i32)).collect();
            let places = cx.b.constant(Tensor::from_vec(&[starts, 1, n], places));
            let found = cx.gather_at(rows, places, 1)?;
            let same = cx.b.compare(Compare::Equal, found, pool)?;
            let all = cx.b.reduce(Reduce::All, same, &[3], false)?;
            let all = cx.b.cast(all, DType::F32)?;
            let count = cx.b.reduce(Reduce::Sum, all, &[1], false)?;
            sum = Some(match sum {
                None => count,
                Some(sum) => cx.b.binary(Binary::Add, sum, count)?,
            });
        }
        match sum {
            Some(sum) => Ok(sum),
            None => zeros(cx, rows, grams.len() / n),
        }
    }
}

/// As many rows as there are, of so many zeros.
fn zeros(cx: &mut Cx<'_>, rows: ValueId, columns: usize) -> Result<ValueId, Refusal> {
    let (batch, columns) = (cx.extent_vector(rows, 0)?, cx.b.ints(&[columns])?);
    let shape = cx.b.concat(&[batch, columns], 0)?;
    let zero = cx.b.scalar(0f32);
    Ok(cx.b.one(Op::Fill, &[shape, zero])?)
}

fn does_not_fit(name: &str) -> Refusal {
    Refusal::new("does not fit the other attributes", "check the model with onnx.checker")
        .about(format!("attribute {name}"))
}

/// N-grams of the lengths that count, by length; and for every n-gram of the pool its place among those, if it is there.
type Cut = (Vec<(usize, Vec<i64>)>, Vec<Option<i64>>);

/// Cuts the pool where the n-grams of the next length begin.
fn cut(pool: &[i64], starts: &[i64], lengths: &RangeInclusive<usize>) -> Result<Cut, Refusal> {
    let (mut grams, mut places, mut next) = (Vec::new(), Vec::new(), 0i64);
    for (i, &start) in starts.iter().enumerate() {
        let n = i + 1;
        let end = starts.get(n).map_or(pool.len() as i64, |&end| end);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let part = range.and_then(|(start, end)| pool.get(start..end)).filter(|part| part.len() % n == 0);
        let part = part.ok_or_else(|| does_not_fit("ngram_counts"))?;
        let counts = lengths.contains(&n) && !part.is_empty();
        for _ in 0..part.len() / n {
            places.push(counts.then_some(next));
            next += i64::from(counts);
        }
        if counts {
            grams.push((n, part.to_vec()));
        }
    }
    Ok((grams, places))
}

/// For each number of the result the place of the n-gram that counts for it; past the last one where none does.
fn columns(indexes: &[i64], places: &[Option<i64>]) -> Result<Vec<i64>, Refusal> {
    let bad = || does_not_fit("ngram_indexes");
    if indexes.len() != places.len() {
        return Err(bad());
    }
    let numbers = indexes.iter().max().map_or(0, |n| n.saturating_add(1));
    let numbers = countable(&[usize::try_from(numbers).map_err(|_| bad())?])?;
    let none = places.iter().flatten().count() as i64;
    let mut columns = vec![none; numbers];
    for (&index, place) in indexes.iter().zip(places) {
        let column = usize::try_from(index).ok().and_then(|i| columns.get_mut(i)).ok_or_else(bad)?;
        match place {
            Some(_) if *column != none => {
                let what = format!("{index} stands for two n-grams");
                return Err(Refusal::new(what, "").about("attribute ngram_indexes"));
            }
            Some(place) => *column = *place,
            None => {}
        }
    }
    Ok(columns)
}

/// What each number of the result is worth.
fn by_number(weights: &[f32], indexes: &[i64], numbers: usize) -> Result<Vec<f32>, Refusal> {
    let mut worth = vec![0f32; numbers];
    if weights.len() != indexes.len() {
        return Err(does_not_fit("weights"));
    }
    for (&index, &weight) in indexes.iter().zip(weights) {
        let number = usize::try_from(index).ok().and_then(|i| worth.get_mut(i));
        *number.ok_or_else(|| does_not_fit("ngram_indexes"))? = weight;
    }
    Ok(worth)
}

//! ONNX `TfIdfVectorizer`.

use super::window::insert_axis;
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Binary, Compare, Reduce, ValueId};
use crate::tensor::{DType, Tensor};

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
    let length = cx.dim(rows, 1).filter(|_| cx.rank(rows) == 2);
    let length = length.ok_or_else(|| {
        Refusal::new(format!("sequences of {}", cx.shape(x)), "pin their length with --shape NAME=..")
    })?;
    let mut counts = Vec::new();
    for (n, grams) in &request.grams {
        counts.push(request.count(cx, rows, length, *n, grams)?);
    }
    let zero = cx.b.scalar(0f32);
    let mut y = if counts.is_empty() {
        let batch = cx.extent_vector(rows, 0)?;
        let one = cx.b.ints(&[1])?;
        let shape = cx.b.concat(&[batch, one], 0)?;
        cx.b.one(crate::graph::Op::Fill, &[shape, zero])?
    } else {
        let all = cx.b.concat(&counts, 1)?;
        // One column of zeros at the end, for numbers that no n-gram counts for.
        cx.b.pad(all, &[(0, 0), (0, 1)])?
    };
    y = cx.gather_axis(y, &request.columns, 1)?;
    if request.binary {
        let some = cx.b.compare(Compare::Greater, y, zero)?;
        y = cx.b.cast(some, DType::F32)?;
    }
    if let Some(weights) = request.weights {
        let weights = cx.b.constant(Tensor::vector(weights));
        y = cx.b.mul(y, weights)?;
    }
    Ok(vec![if single { super::window::drop_axis(cx, y, 0)? } else { y }])
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
        let bad = |name: &str| {
            Refusal::new("does not fit the other attributes", "check the model with onnx.checker")
                .about(format!("attribute {name}"))
        };
        let natural = |name: &str| {
            let n = cx.int(name)?.and_then(|n| i32::try_from(n).ok()).filter(|&n| n >= 0);
            n.map(|n| n as usize).ok_or_else(|| bad(name))
        };
        let (shortest, longest, max_skip) =
            (natural("min_gram_length")?.max(1), natural("max_gram_length")?, natural("max_skip_count")?);
        let binary = match cx.string_or("mode", "")? {
            "TF" | "TFIDF" => false,
            "IDF" => true,
            other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute mode")),
        };
        let weighted = cx.string_or("mode", "")? != "TF";
        let Some(pool) = cx.ints("pool_int64s")? else {
            let what = "the n-grams are strings, which TFLite graphs don't compute with";
            return Err(Refusal::new(what, "map tokens to int32 before the model").about("attribute pool_strings"));
        };
        let starts = cx.ints("ngram_counts")?.unwrap_or_default();
        let indexes = cx.ints("ngram_indexes")?.unwrap_or_default();
        let given = cx.floats("weights")?;
        let mut grams = Vec::new();
        let (mut of_gram, mut place) = (Vec::new(), Some(0i64));
        for (i, &start) in starts.iter().enumerate() {
            let n = i + 1;
            let end = starts.get(i + 1).map_or(pool.len() as i64, |&end| end);
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let part = range.and_then(|(start, end)| pool.get(start..end)).filter(|p| p.len() % n == 0);
            let part = part.ok_or_else(|| bad("ngram_counts"))?;
            let counts = (shortest..=longest).contains(&n) && !part.is_empty();
            for _ in 0..part.len() / n {
                of_gram.push(place.filter(|_| counts));
                place = place.map(|p| p + i64::from(counts));
            }
            if counts {
                grams.push((n, part.to_vec()));
            }
        }
        if indexes.len() != of_gram.len() {
            return Err(bad("ngram_indexes"));
        }
        let numbers = indexes.iter().copied().max().map_or(0, |n| n.saturating_add(1));
        let numbers = usize::try_from(numbers).map_err(|_| bad("ngram_indexes"))?;
        countable(&[numbers])?;
        let none = place.unwrap_or(0);
        let mut columns = vec![none; numbers];
        for (&index, gram) in indexes.iter().zip(&of_gram) {
            let column =
                usize::try_from(index).ok().and_then(|i| columns.get_mut(i)).ok_or_else(|| bad("ngram_indexes"))?;
            if let Some(gram) = gram {
                if *column != none {
                    return Err(
                        Refusal::new(format!("{index} stands for two n-grams"), "").about("attribute ngram_indexes")
                    );
                }
                *column = *gram;
            }
        }
        if grams.is_empty() {
            columns.fill(0);
        }
        let mut weights = None;
        if let Some(given) = given.filter(|_| weighted) {
            if given.len() != indexes.len() {
                return Err(bad("weights"));
            }
            let mut by_number = vec![0f32; numbers];
            for (&index, &weight) in indexes.iter().zip(given) {
                by_number[index as usize] = weight;
            }
            weights = Some(by_number);
        }
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
            None => {
                let batch = cx.extent_vector(rows, 0)?;
                let width = cx.b.ints(&[grams.len() / n])?;
                let shape = cx.b.concat(&[batch, width], 0)?;
                let zero = cx.b.scalar(0f32);
                Ok(cx.b.one(crate::graph::Op::Fill, &[shape, zero])?)
            }
        }
    }
}

//! Samples that a model is calibrated and compared on: folders of `.npz` or `.npy` files or of pictures, or one stacked `.npz`.
//!
//! Owns: finding the samples, reading them one at a time, and checking them against the model's inputs. Knows tensors and files, not
//! graphs.

mod images;
mod made_up;
mod numpy;
mod shard;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

pub use images::{Images, Resize};
pub use made_up::made_up;
pub use numpy::{read_npy, read_npz};
pub use shard::Shard;

use crate::tensor::{DType, Tensor};

/// What a sample must hold for one input of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    pub name: String,
    pub dtype: DType,
    /// `None` for extents that a sample may choose.
    pub dims: Vec<Option<usize>>,
}

/// What is wrong with a sample, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    #[error("{}: {what}", path.display())]
    File { path: PathBuf, what: String },
    #[error("{}: no samples: expected .npz or .npy files, or pictures (.png, .jpg)", path.display())]
    Empty { path: PathBuf },
    #[error("sample {sample}: no array for input {input:?}; it has {found:?}")]
    Missing { sample: String, input: String, found: Vec<String> },
    #[error("sample {sample}: array {array:?} is no input of the model; its inputs are {inputs:?}")]
    Unknown { sample: String, array: String, inputs: Vec<String> },
    #[error("sample {sample}: {found} tensors for the model's {wanted} inputs")]
    Count { sample: String, wanted: usize, found: usize },
    #[error("sample {sample}: input {input:?} takes {wanted}, but the array is {found}")]
    Type { sample: String, input: String, wanted: String, found: String },
}

/// Samples of a model, read when they are asked for.
#[derive(Debug)]
pub struct Samples {
    inputs: Vec<InputSpec>,
    source: Source,
    /// Those of the source that count.
    shard: Shard,
    images: Images,
}

#[derive(Debug)]
enum Source {
    /// One file a sample.
    Files(Vec<PathBuf>),
    /// Arrays that hold all samples along their first axis.
    Stacked { path: PathBuf, arrays: IndexMap<String, Tensor>, count: usize },
    /// Tensors in memory, in the order of the inputs.
    Memory(Vec<Vec<Tensor>>),
    /// Tensors in memory, by name.
    Named(Vec<IndexMap<String, Tensor>>),
}

impl Samples {
    fn new(source: Source, inputs: Vec<InputSpec>) -> Samples {
        Samples { inputs, source, shard: Shard::ALL, images: Images::default() }
    }

    /// How pictures become samples, where there are any.
    #[must_use]
    pub fn with_images(self, images: Images) -> Samples {
        Samples { images, ..self }
    }

    /// `path` is a folder of `.npz` files (an array for each input, by name; the name of a single one does not matter) or `.npy` files or
    /// pictures, `.png` and `.jpg` (both for models of one input), those of a folder that match `folder/name*.npz`, or one such file. A
    /// single `.npz` holds many samples along the first axis of its arrays.
    ///
    /// # Errors
    /// Where nothing is found, or a stacked file does not fit the inputs.
    pub fn open(path: &Path, inputs: Vec<InputSpec>) -> Result<Samples, SampleError> {
        let fail = |what: String| SampleError::File { path: path.to_path_buf(), what };
        if path.is_dir() || pattern(path).is_some() {
            return Ok(Samples::new(Source::Files(sample_files(path)?), inputs));
        }
        let arrays = match kind(path) {
            Some(Kind::Npz) => read_npz(path).map_err(fail)?,
            Some(Kind::Npy) => {
                let name = inputs.first().map(|i| i.name.clone()).unwrap_or_default();
                IndexMap::from([(name, read_npy(path).map_err(fail)?)])
            }
            Some(Kind::Image) => return Ok(Samples::new(Source::Files(vec![path.to_path_buf()]), inputs)),
            None if path.exists() => {
                return Err(fail("is neither a folder nor an .npz or .npy file nor a picture (.png, .jpg)".into()));
            }
            None => return Err(fail("there is no such file or folder".into())),
        };
        Samples::stacked(path, arrays, inputs)
    }

    /// As [`Samples::open`], where one `.npz` may also hold the right answers: an array of integers under a name that no input has,
    /// one for each sample.
    ///
    /// # Errors
    /// As [`Samples::open`].
    pub fn open_labelled(path: &Path, inputs: Vec<InputSpec>) -> Result<(Samples, Option<Vec<i64>>), SampleError> {
        if path.is_dir() || kind(path) != Some(Kind::Npz) || !path.exists() {
            return Ok((Samples::open(path, inputs)?, None));
        }
        let fail = |what: String| SampleError::File { path: path.to_path_buf(), what };
        let mut arrays = read_npz(path).map_err(fail)?;
        let is_label = |name: &str, array: &Tensor| !inputs.iter().any(|i| i.name == name) && array.dtype().is_int();
        let several = arrays.len() > 1;
        let name = arrays.iter().find(|(name, array)| several && is_label(name, array)).map(|(name, _)| name.clone());
        let labels = name.and_then(|name| arrays.shift_remove_entry(&name));
        let samples = Samples::stacked(path, arrays, inputs)?;
        let Some((name, labels)) = labels else { return Ok((samples, None)) };
        let numbers = labels.to_i64s().map_err(|e| fail(e.to_string()))?;
        if numbers.len() == samples.len() {
            return Ok((samples, Some(numbers)));
        }
        Err(fail(format!("{} labels in {name:?} for {} samples", numbers.len(), samples.len())))
    }

    /// Samples that are in memory already, each with one tensor for each input.
    pub fn from_tensors(samples: Vec<Vec<Tensor>>, inputs: Vec<InputSpec>) -> Samples {
        Samples::new(Source::Memory(samples), inputs)
    }

    /// Samples that are in memory already, each with an array for each input under its name.
    pub fn from_arrays(samples: Vec<IndexMap<String, Tensor>>, inputs: Vec<InputSpec>) -> Samples {
        Samples::new(Source::Named(samples), inputs)
    }

    fn stacked(path: &Path, arrays: IndexMap<String, Tensor>, inputs: Vec<InputSpec>) -> Result<Samples, SampleError> {
        let sample = path.display().to_string();
        let arrays = only_one(arrays, &inputs);
        check_names(&sample, &arrays, &inputs)?;
        let mut count = None;
        for input in &inputs {
            let array = &arrays[&input.name];
            let samples = match chunk(array, input) {
                Some(rows) if rows > 0 && array.shape()[0].is_multiple_of(rows) => array.shape()[0] / rows,
                _ => return Err(type_error(&sample, input, array, " (with samples along the first axis)")),
            };
            if *count.get_or_insert(samples) != samples {
                let what = format!("the arrays hold different numbers of samples: {samples} for {:?}", input.name);
                return Err(SampleError::File { path: path.to_path_buf(), what });
            }
        }
        match count {
            Some(count) if count > 0 => {
                Ok(Samples::new(Source::Stacked { path: path.to_path_buf(), arrays, count }, inputs))
            }
            _ => Err(SampleError::Empty { path: path.to_path_buf() }),
        }
    }

    pub fn len(&self) -> usize {
        self.shard.len(match &self.source {
            Source::Files(files) => files.len(),
            Source::Stacked { count, .. } => *count,
            Source::Memory(samples) => samples.len(),
            Source::Named(samples) => samples.len(),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What sample `i` is called in messages: its file, or its number.
    pub fn name(&self, i: usize) -> String {
        let i = self.shard.at(i);
        match &self.source {
            Source::Files(files) => files[i].display().to_string(),
            Source::Stacked { path, .. } => format!("{} [{i}]", path.display()),
            Source::Memory(_) | Source::Named(_) => format!("{i}"),
        }
    }

    /// Sample `i`: one tensor for each input, in order.
    ///
    /// # Errors
    /// Where a file can't be read or does not fit the model's inputs.
    ///
    /// # Panics
    /// Where `i` is not below [`Samples::len`].
    pub fn get(&self, i: usize) -> Result<Vec<Tensor>, SampleError> {
        let (name, i) = (self.name(i), self.shard.at(i));
        match &self.source {
            Source::Memory(samples) => {
                let (wanted, found) = (self.inputs.len(), samples[i].len());
                if wanted != found {
                    return Err(SampleError::Count { sample: name, wanted, found });
                }
                let pairs = self.inputs.iter().zip(&samples[i]);
                pairs.map(|(input, tensor)| fitted(&name, input, tensor.clone())).collect()
            }
            Source::Named(samples) => {
                check_names(&name, &samples[i], &self.inputs)?;
                self.inputs.iter().map(|input| fitted(&name, input, samples[i][&input.name].clone())).collect()
            }
            Source::Stacked { arrays, .. } => {
                self.inputs.iter().map(|input| fitted(&name, input, nth(&arrays[&input.name], input, i))).collect()
            }
            Source::Files(files) => {
                let path = &files[i];
                let fail = |what: String| SampleError::File { path: path.clone(), what };
                let arrays = match (kind(path), self.inputs.as_slice()) {
                    (Some(Kind::Npy), [input]) => IndexMap::from([(input.name.clone(), read_npy(path).map_err(fail)?)]),
                    (Some(Kind::Image), [input]) => {
                        IndexMap::from([(input.name.clone(), self.images.read(path, input).map_err(fail)?)])
                    }
                    (Some(Kind::Npy | Kind::Image), inputs) => {
                        let what = format!("is one array, but the model has {} inputs: use .npz", inputs.len());
                        return Err(fail(what));
                    }
                    _ => only_one(read_npz(path).map_err(fail)?, &self.inputs),
                };
                check_names(&name, &arrays, &self.inputs)?;
                self.inputs.iter().map(|input| fitted(&name, input, arrays[&input.name].clone())).collect()
            }
        }
    }
}

/// The `.npz` and `.npy` files of a folder, or its pictures where it has no others, in the order in which people number them;
/// `folder/prefix*.npz` takes only those.
///
/// # Errors
/// Where the folder can't be read or holds none.
pub fn sample_files(path: &Path) -> Result<Vec<PathBuf>, SampleError> {
    let (folder, wanted) = match pattern(path) {
        Some((before, after)) => (path.parent().unwrap_or(Path::new(".")), Some((before, after))),
        None => (path, None),
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries =
        std::fs::read_dir(folder).map_err(|e| SampleError::File { path: folder.into(), what: e.to_string() })?;
    let matches = |file: &PathBuf| {
        let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let fits = |(before, after): &(String, String)| {
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        };
        kind(file).is_some() && wanted.as_ref().is_none_or(fits)
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(matches).collect();
    // Pictures that lie beside arrays are what these were made of.
    if files.iter().any(|file| kind(file) != Some(Kind::Image)) {
        files.retain(|file| kind(file) != Some(Kind::Image));
    }
    files.sort_by_cached_key(|p| natural_key(p));
    if files.is_empty() { Err(SampleError::Empty { path: path.to_path_buf() }) } else { Ok(files) }
}

/// What stands before and after a `*` in the file name, where there is no such file.
fn pattern(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?;
    let (before, after) = name.split_once('*')?;
    (!path.exists()).then(|| (before.to_string(), after.to_string()))
}

#[derive(PartialEq)]
enum Kind {
    Npz,
    Npy,
    Image,
}

fn kind(path: &Path) -> Option<Kind> {
    if images::is_image(path) {
        return Some(Kind::Image);
    }
    match path.extension()?.to_str()? {
        "npz" => Some(Kind::Npz),
        "npy" => Some(Kind::Npy),
        _ => None,
    }
}

/// Text and numbers of a file name, so that numbers sort by value.
fn natural_key(path: &Path) -> Vec<(String, u64)> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut key = Vec::new();
    let mut rest = name.as_str();
    while !rest.is_empty() {
        let text = rest.len().min(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let (text, tail) = rest.split_at(text);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(digits);
        key.push((text.to_string(), number.parse().unwrap_or(u64::MAX)));
        rest = tail;
    }
    key
}

/// Where a file holds one array and the model has one input, the array is for it, whatever it is called.
fn only_one(arrays: IndexMap<String, Tensor>, inputs: &[InputSpec]) -> IndexMap<String, Tensor> {
    match inputs {
        [input] if arrays.len() == 1 => arrays.into_values().map(|array| (input.name.clone(), array)).collect(),
        _ => arrays,
    }
}

fn check_names(sample: &str, arrays: &IndexMap<String, Tensor>, inputs: &[InputSpec]) -> Result<(), SampleError> {
    if let Some(input) = inputs.iter().find(|i| !arrays.contains_key(&i.name)) {
        let found = arrays.keys().cloned().collect();
        return Err(SampleError::Missing { sample: sample.into(), input: input.name.clone(), found });
    }
    match arrays.keys().find(|name| !inputs.iter().any(|i| i.name == **name)) {
        Some(array) => {
            let inputs = inputs.iter().map(|i| i.name.clone()).collect();
            Err(SampleError::Unknown { sample: sample.into(), array: array.clone(), inputs })
        }
        None => Ok(()),
    }
}

fn fits(shape: &[usize], dims: &[Option<usize>]) -> bool {
    shape.len() == dims.len() && shape.iter().zip(dims).all(|(n, d)| d.is_none_or(|d| d == *n))
}

/// Rows of a stacked array that make one sample: the input's own first extent, or one where samples are stacked along an
/// axis of their own.
fn chunk(array: &Tensor, input: &InputSpec) -> Option<usize> {
    let shape = array.shape();
    let (_, rest) = shape.split_first()?;
    if fits(rest, &input.dims) {
        return Some(1);
    }
    let (first, dims) = input.dims.split_first()?;
    fits(rest, dims).then_some(first.unwrap_or(1))
}

fn nth(array: &Tensor, input: &InputSpec, i: usize) -> Tensor {
    let (shape, rows) = (array.shape(), chunk(array, input).unwrap_or(1));
    let own_axis = fits(&shape[1..], &input.dims);
    let mut dims = shape.to_vec();
    if own_axis {
        dims.remove(0);
    } else {
        dims[0] = rows;
    }
    let size = array.bytes().len() / (shape[0] / rows).max(1);
    let data = array.bytes().slice(i * size..(i + 1) * size);
    Tensor::new(array.dtype(), dims, data).unwrap_or_else(|e| unreachable!("checked when opened: {e}"))
}

/// The array as the input's type, where nothing is lost but the precision of wider floats.
fn fitted(sample: &str, input: &InputSpec, array: Tensor) -> Result<Tensor, SampleError> {
    let convertible = array.dtype() == input.dtype
        || (array.dtype().is_float() && input.dtype.is_float())
        || (array.dtype() == DType::I32 && input.dtype == DType::I64);
    if !convertible || !fits(array.shape(), &input.dims) {
        return Err(type_error(sample, input, &array, ""));
    }
    array.cast(input.dtype).map_err(|_| type_error(sample, input, &array, ""))
}

fn type_error(sample: &str, input: &InputSpec, array: &Tensor, note: &str) -> SampleError {
    let dims: Vec<String> = input.dims.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
    SampleError::Type {
        sample: sample.into(),
        input: input.name.clone(),
        wanted: format!("{}[{}]{note}", input.dtype, dims.join(",")),
        found: format!("{}{:?}", array.dtype(), array.shape()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dims: &[Option<usize>]) -> InputSpec {
        InputSpec { name: "x".into(), dtype: DType::F32, dims: dims.to_vec() }
    }

    #[test]
    fn stacked_arrays_are_cut_into_samples() {
        let array = Tensor::from_vec(&[4, 2], (0..8).map(|x| x as f32).collect());
        for (dims, count, shape) in [
            (vec![Some(1), Some(2)], 4, vec![1, 2]),
            (vec![Some(2), Some(2)], 2, vec![2, 2]),
            (vec![Some(2)], 4, vec![2]),
        ] {
            let arrays = IndexMap::from([("x".to_string(), array.clone())]);
            let samples = Samples::stacked(Path::new("s.npz"), arrays, vec![spec(&dims)]).unwrap();
            assert_eq!(samples.len(), count);
            let last = samples.get(count - 1).unwrap();
            assert_eq!(last[0].shape(), shape);
            assert_eq!(last[0].to_f32s().unwrap().last(), Some(&7.0));
        }
    }

    #[test]
    fn wrong_names_shapes_and_types_are_named() {
        let array = Tensor::from_vec(&[4, 3], vec![0f32; 12]);
        let open = |name: &str, array: &Tensor| {
            let arrays = IndexMap::from([(name.to_string(), array.clone()), ("z".to_string(), array.clone())]);
            Samples::stacked(Path::new("s.npz"), arrays, vec![spec(&[Some(1), Some(2)])]).map(|_| ())
        };
        assert!(matches!(open("x", &array), Err(SampleError::Unknown { .. })));
        assert!(matches!(open("y", &array), Err(SampleError::Missing { .. })));
        let ints = Samples::from_tensors(
            vec![vec![Tensor::from_vec(&[1, 2], vec![1i32, 2])]],
            vec![spec(&[Some(1), Some(2)])],
        );
        assert!(matches!(ints.get(0), Err(SampleError::Type { .. })));
    }

    #[test]
    fn the_name_of_a_single_array_does_not_matter() {
        let array = Tensor::from_vec(&[4, 2], vec![0f32; 8]);
        let open = |inputs: &[InputSpec]| {
            let arrays = IndexMap::from([("arr_0".to_string(), array.clone())]);
            Samples::stacked(Path::new("s.npz"), arrays, inputs.to_vec())
        };
        let x = spec(&[Some(1), Some(2)]);
        assert_eq!(open(std::slice::from_ref(&x)).unwrap().get(3).unwrap()[0].shape(), [1, 2]);
        let y = InputSpec { name: "y".into(), ..x.clone() };
        assert!(matches!(open(&[x, y]), Err(SampleError::Missing { .. })));
        assert!(matches!(open(&[spec(&[Some(1), Some(3)])]), Err(SampleError::Type { .. })), "its shape does");
    }

    #[test]
    fn files_sort_as_people_number_them() {
        let mut names = ["s_10.npz", "s_9.npz", "s_1.npz"].map(PathBuf::from);
        names.sort_by_cached_key(|p| natural_key(p));
        assert_eq!(names, ["s_1.npz", "s_9.npz", "s_10.npz"].map(PathBuf::from));
    }
}

//! A model, loaded and ready to run.

use std::ffi::c_int;
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ffi::{self, CompiledModel, Layout, Model, RankedTensorType, SIGNATURE};
use super::handle::{Buffer, Owned};
use super::prepare::{self, Described, Reporter};
use super::profile::{KernelTime, Profile, Profiler};
use super::{BadInput, ElementType, Library, RuntimeError, explain};

/// Which kernels compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// The XNNPACK delegate where it has the operator, built-in kernels elsewhere: what applications get.
    #[default]
    Xnnpack,
    /// LiteRT's optimised built-in kernels alone.
    Builtin,
    /// LiteRT's reference kernels: about ten times slower, closest to TFLite Micro, and some operators are missing.
    Reference,
}

impl Kernels {
    /// With or without XNNPACK.
    pub fn with_xnnpack(xnnpack: bool) -> Kernels {
        if xnnpack { Kernels::Xnnpack } else { Kernels::Builtin }
    }
}

/// How a model is prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads that one run uses; 0 is taken as 1.
    pub threads: usize,
    pub kernels: Kernels,
    /// Record what each kernel takes, for [`Session::profile`]; every run is slower for it.
    pub profile: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, kernels: Kernels::default(), profile: false }
    }
}

/// An input or output of the model as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the signature; that of the tensor if the model has no signature.
    pub name: String,
    pub element_type: ElementType,
    /// Extents; -1 where any is accepted. A tensor without `has_rank` in its file has the extents of its `shape`
    /// here, even if its `shape_signature` leaves some open.
    pub dims: Vec<i32>,
}

/// Data for one input: `bytes` are the elements in row-major order, little endian.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub name: &'a str,
    pub element_type: ElementType,
    pub dims: &'a [usize],
    pub bytes: &'a [u8],
}

/// Data of one output: `bytes` are the elements in row-major order, little endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub name: String,
    pub element_type: ElementType,
    pub dims: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A model, loaded and ready to run.
///
/// May move to another thread; for several threads make several sessions.
pub struct Session {
    // Dropped in this order: each refers to those below it.
    bound: Option<Bound>,
    compiled: Owned<CompiledModel>,
    _model: Owned<Model>,
    _bytes: Bytes,
    library: Library,
    signature: Described,
    /// The same model on built-in kernels, where outputs leave extents open. These see that a result fits its buffer; the delegate
    /// writes on behind it where an extent, which hangs on data, comes out larger than it was prepared.
    scout: Option<Box<Session>>,
}

/// Buffers of all inputs and outputs, for one set of input dims.
struct Bound {
    /// Dims of the inputs; `None` once LiteRT was asked for others.
    input_dims: Option<Vec<Vec<usize>>>,
    /// One for each distinct tensor, at its slot.
    buffers: Vec<Buffer>,
}

/// Layouts that may be overwritten behind those that were asked for: as many as a rank of 127 covers.
const ROOM: usize = 8;

impl Session {
    /// Loads the first signature of `model`, the content of a `.tflite` file; without one, the first subgraph.
    ///
    /// The bytes are kept, not copied, unless they start at an address that is no multiple of 16.
    ///
    /// # Errors
    /// [`RuntimeError::Status`] if LiteRT refuses the model: its `detail` is what LiteRT says about it.
    /// [`RuntimeError::Unsupported`] if an input or output is not plain data.
    pub fn new(library: &Library, model: impl Into<Bytes>, options: &Options) -> Result<Self, RuntimeError> {
        let bytes = aligned(model.into());
        let api = library.api();
        let environment = library.environment();
        // SAFETY: `bytes` never change or move; the session drops them, and keeps the library, after the rest.
        let loaded = unsafe { prepare::load(api, &environment, &bytes, options, Reporter::Buffer) };
        let (model, compiled) = loaded.map_err(|error| explain::explain(api, &bytes, options, error))?;
        let signature = prepare::describe(api, &model)?;
        drop(environment);
        let is_open = signature.outputs.iter().any(|info| info.dims.contains(&-1));
        let scout = if is_open && options.kernels == Kernels::Xnnpack {
            let options = Options { kernels: Kernels::Builtin, ..options.clone() };
            Some(Box::new(Self::new(library, bytes.clone(), &options)?))
        } else {
            None
        };
        let library = library.clone();
        let session = Self { bound: None, compiled, _model: model, _bytes: bytes, library, signature, scout };
        // Has the kernels prepared, so that what they refuse comes up now. With extents open it means nothing: they
        // are 1 until the first run.
        if !session.inputs().iter().any(|info| info.dims.contains(&-1)) {
            session.output_layouts(true)?;
        }
        Ok(session)
    }

    /// The model's inputs, in the model's order.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.signature.inputs
    }

    /// The model's outputs, in the model's order.
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.signature.outputs
    }

    /// Runs the model once. `inputs` in any order, each of the model's inputs once; where the model leaves an
    /// extent open, the dims given settle it. The outputs are in the model's order.
    ///
    /// # Errors
    /// [`RuntimeError::BadInput`] names the input that does not fit; nothing has run then.
    /// [`RuntimeError::Status`] if LiteRT cannot resize or run.
    /// [`RuntimeError::Unsupported`] if an output has a shape that depends on the data: LiteRT's interface
    /// cannot return it.
    pub fn run(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Output>, RuntimeError> {
        self.fill(inputs)?;
        self.invoke()?;
        self.read()
    }

    /// Runs the model `warmup` + `runs` times on the same inputs; how long each of the last `runs` runs took.
    /// Copying data in and out is not part of it.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn time(&mut self, inputs: &[Input<'_>], warmup: usize, runs: usize) -> Result<Vec<Duration>, RuntimeError> {
        self.fill(inputs)?;
        for _ in 0..warmup {
            self.invoke()?;
        }
        (0..runs)
            .map(|_| {
                let start = Instant::now();
                self.invoke()?;
                Ok(start.elapsed())
            })
            .collect()
    }

    /// Runs the model `runs` times on the same inputs, and tells what each kernel took; for sessions made to be profiled.
    ///
    /// # Errors
    /// As [`Session::run`], and [`RuntimeError::Unsupported`] where the library does not record.
    pub fn profile(&mut self, inputs: &[Input<'_>], runs: usize) -> Result<Vec<KernelTime>, RuntimeError> {
        self.fill(inputs)?;
        self.invoke()?;
        let library = self.library.clone();
        let mut profile = Profile::default();
        for _ in 0..runs {
            // SAFETY: the compiled model is alive, and so is the profiler, which is a part of it.
            let profiler = unsafe { Profiler::start(library.api(), &self.compiled) }?;
            self.invoke()?;
            profile.add(profiler.stop()?);
        }
        Ok(profile.kernels())
    }

    /// Checks the inputs and copies them into their buffers.
    fn fill(&mut self, inputs: &[Input<'_>]) -> Result<(), RuntimeError> {
        if let Some(scout) = &mut self.scout {
            scout.run(inputs)?;
        }
        let ordered = in_order(&self.signature.inputs, inputs)?;
        self.bind(&ordered)?;
        let api = self.library.api();
        let Some(bound) = &mut self.bound else {
            return Ok(());
        };
        for (input, &slot) in ordered.iter().zip(&self.signature.input_slots) {
            bound.buffers[slot].write(api, input.bytes)?;
        }
        Ok(())
    }

    /// Makes buffers for inputs of these dims, unless the present ones are for them.
    fn bind(&mut self, inputs: &[&Input<'_>]) -> Result<(), RuntimeError> {
        let input_dims: Vec<_> = inputs.iter().map(|input| input.dims.to_vec()).collect();
        if let Some(bound) = &mut self.bound {
            if bound.input_dims.as_ref() == Some(&input_dims) {
                return Ok(());
            }
            bound.input_dims = None;
        }
        for (index, input) in inputs.iter().enumerate() {
            self.resize(index, input)?;
        }
        let layouts = self.output_layouts(true)?;
        let output_dims = layouts.iter().map(extents).collect::<Result<Vec<_>, _>>()?;
        let mut buffers = Vec::new();
        // By slot: inputs come first, and those of the outputs that are new tensors have the next slots.
        for (info, slot, dims) in self.signature.tensors(&input_dims, &output_dims) {
            if slot == buffers.len() {
                buffers.push(self.buffer(info, dims)?);
            }
        }
        // Only here are the buffers let go that the interpreter had before.
        self.bound = Some(Bound { input_dims: Some(input_dims), buffers });
        Ok(())
    }

    /// Tells LiteRT the dims of one input. It refuses those that contradict the model.
    fn resize(&self, index: usize, input: &Input<'_>) -> Result<(), RuntimeError> {
        let expected = &self.signature.inputs[index].dims;
        if expected.is_empty() && input.dims.is_empty() {
            return Ok(()); // LiteRT takes no dims for "no new dims".
        }
        if expected.contains(&0) {
            return Err(no_elements(input.name));
        }
        let bad_dims = || RuntimeError::BadInput {
            name: input.name.to_owned(),
            reason: BadInput::Dims { given: input.dims.to_vec(), expected: expected.clone() },
        };
        let dims: Vec<c_int> =
            input.dims.iter().map(|&dim| c_int::try_from(dim)).collect::<Result<_, _>>().map_err(|_| bad_dims())?;
        // SAFETY: the compiled model is alive; pointer and length are those of `dims`, which the call copies.
        let status = unsafe {
            (self.library.api().resize_input_tensor)(
                self.compiled.as_ptr(),
                SIGNATURE,
                index,
                dims.as_ptr(),
                dims.len(),
            )
        };
        match status {
            ffi::INVALID_ARGUMENT => Err(bad_dims()),
            status => self.check("LiteRtCompiledModelResizeInputTensor", status),
        }
    }

    fn buffer(&self, info: &TensorInfo, dims: &[usize]) -> Result<Buffer, RuntimeError> {
        if dims.contains(&0) {
            return Err(no_elements(&info.name));
        }
        let too_big = || RuntimeError::Unsupported(format!("{:?} of dims {dims:?} is too big", info.name));
        let size = byte_size(info.element_type, dims).ok_or_else(too_big)?;
        let tensor_type = RankedTensorType::new(info.element_type, dims).ok_or_else(too_big)?;
        Buffer::new(self.library.api(), &self.library.environment(), &tensor_type, size)
    }

    /// Shapes of the outputs. `update`: prepare the kernels for the present input dims first.
    fn output_layouts(&self, update: bool) -> Result<Vec<Layout>, RuntimeError> {
        let count = self.signature.outputs.len();
        // LiteRT does not check that a rank fits into a layout, and writes on into the next: leave room behind.
        let mut layouts = vec![Layout::default(); count + ROOM];
        // SAFETY: the compiled model is alive, and `layouts` is longer than the length that is passed.
        let status = unsafe {
            (self.library.api().get_output_tensor_layouts)(
                self.compiled.as_ptr(),
                SIGNATURE,
                count,
                layouts.as_mut_ptr(),
                update,
            )
        };
        self.check("LiteRtGetCompiledModelOutputTensorLayouts", status)?;
        layouts.truncate(count);
        Ok(layouts)
    }

    fn invoke(&mut self) -> Result<(), RuntimeError> {
        let Some(bound) = &self.bound else {
            return Ok(());
        };
        let pointers = |slots: &[usize]| -> Vec<_> { slots.iter().map(|&slot| bound.buffers[slot].as_ptr()).collect() };
        let inputs = pointers(&self.signature.input_slots);
        let outputs = pointers(&self.signature.output_slots);
        // SAFETY: the compiled model and the buffers are alive and used by nobody else, there are as many as the
        // signature has inputs and outputs, and their sizes are those of the present dims.
        let status = unsafe {
            (self.library.api().run_compiled_model)(
                self.compiled.as_ptr(),
                SIGNATURE,
                inputs.len(),
                inputs.as_ptr(),
                outputs.len(),
                outputs.as_ptr(),
            )
        };
        self.check("LiteRtRunCompiledModel", status)
    }

    fn read(&mut self) -> Result<Vec<Output>, RuntimeError> {
        let layouts = self.output_layouts(false)?;
        let api = self.library.api();
        let Some(bound) = &mut self.bound else {
            return Ok(Vec::new());
        };
        let outputs = self.signature.outputs.iter().zip(&self.signature.output_slots);
        outputs
            .zip(&layouts)
            .map(|((info, &slot), layout)| {
                let dims = extents(layout)?;
                let buffer = &mut bound.buffers[slot];
                match byte_size(info.element_type, &dims) {
                    Some(size) if size <= buffer.size() => Ok(Output {
                        name: info.name.clone(),
                        element_type: info.element_type,
                        dims,
                        bytes: buffer.read(api, size)?,
                    }),
                    _ => Err(depends_on_data(&format!("output {:?}", info.name))),
                }
            })
            .collect()
    }

    /// An error if `status` is not OK, with what the interpreter says about it.
    fn check(&self, call: &'static str, status: ffi::Status) -> Result<(), RuntimeError> {
        if status == ffi::OK {
            return Ok(());
        }
        let detail = self.messages();
        // What the interpreter trips over when it is to put such an output into a buffer made beforehand.
        let trips = ["allocation_type == kTfLiteArenaRw", "Custom allocation is too small"];
        if detail.as_ref().is_some_and(|text| trips.iter().any(|trip| text.contains(trip))) {
            return Err(depends_on_data("an output"));
        }
        Err(RuntimeError::Status { call, code: status, detail })
    }

    /// The interpreter's messages since the last time they were asked for.
    fn messages(&self) -> Option<String> {
        let mut raw = ptr::null_mut();
        // SAFETY: the compiled model is alive.
        let status = unsafe { (self.library.api().get_error_messages)(self.compiled.as_ptr(), &mut raw) };
        if status != ffi::OK || raw.is_null() {
            return None;
        }
        // SAFETY: a zero-terminated string from `malloc`, which is ours now and is not used afterwards.
        let text = unsafe {
            let text = ffi::text(raw);
            ffi::free(raw);
            text
        };
        explain::tidy(&text)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("library", &self.library)
            .field("inputs", &self.inputs())
            .field("outputs", &self.outputs())
            .finish()
    }
}

/// The given inputs in the model's order, each with the type and size that its tensor takes.
fn in_order<'i, 'a>(known: &[TensorInfo], given: &'i [Input<'a>]) -> Result<Vec<&'i Input<'a>>, RuntimeError> {
    let bad = |name: &str, reason| Err(RuntimeError::BadInput { name: name.to_owned(), reason });
    for input in given {
        if !known.iter().any(|info| info.name == input.name) {
            let known = known.iter().map(|info| info.name.clone()).collect();
            return bad(input.name, BadInput::UnknownName { known });
        }
    }
    let mut ordered = Vec::with_capacity(known.len());
    for info in known {
        let mut named = given.iter().filter(|input| input.name == info.name);
        let Some(input) = named.next() else {
            return bad(&info.name, BadInput::Missing);
        };
        if named.next().is_some() {
            return bad(&info.name, BadInput::Repeated);
        }
        if input.element_type != info.element_type {
            let (given, expected) = (input.element_type, info.element_type);
            return bad(&info.name, BadInput::ElementType { given, expected });
        }
        let Some(expected) = byte_size(input.element_type, input.dims) else {
            let (given, expected) = (input.dims.to_vec(), info.dims.clone());
            return bad(&info.name, BadInput::Dims { given, expected });
        };
        if input.bytes.len() != expected {
            let (given, dims) = (input.bytes.len(), input.dims.to_vec());
            return bad(&info.name, BadInput::Size { given, expected, dims });
        }
        ordered.push(input);
    }
    Ok(ordered)
}

fn byte_size(element_type: ElementType, dims: &[usize]) -> Option<usize> {
    let count = dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))?;
    element_type.bytes_for(count)
}

/// The dims of an output after the kernels were prepared.
fn extents(layout: &Layout) -> Result<Vec<usize>, RuntimeError> {
    let Some(dims) = layout.dims() else {
        return Err(RuntimeError::Unsupported(format!("an output has more than {} dims", ffi::MAX_RANK)));
    };
    let dims = dims.iter().map(|&dim| usize::try_from(dim).ok());
    dims.collect::<Option<_>>().ok_or_else(|| depends_on_data("an output"))
}

fn no_elements(name: &str) -> RuntimeError {
    RuntimeError::Unsupported(format!("{name:?} has no elements, which LiteRT's compiled-model interface refuses"))
}

fn depends_on_data(what: &str) -> RuntimeError {
    RuntimeError::Unsupported(format!(
        "{what} has a shape that depends on the data, which LiteRT's compiled-model interface cannot return"
    ))
}

/// The same bytes at an address that is a multiple of 16, as the schema wants it for the data of constants.
fn aligned(bytes: Bytes) -> Bytes {
    const ALIGNMENT: usize = 16;
    if bytes.as_ptr().align_offset(ALIGNMENT) == 0 {
        return bytes;
    }
    let mut copy = Vec::<u8>::with_capacity(bytes.len().saturating_add(ALIGNMENT));
    let start = copy.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    copy.resize(start, 0);
    copy.extend_from_slice(&bytes);
    Bytes::from(copy).slice(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_keeps_the_bytes_and_copies_only_if_it_must() {
        let bytes = Bytes::from((0..100).collect::<Vec<u8>>());
        let odd = (0..16).map(|start| bytes.slice(start..)).find(|b| b.as_ptr() as usize % 16 == 3);
        let odd = odd.unwrap();
        let copy = aligned(odd.clone());
        assert_eq!(copy, odd);
        assert_eq!(copy.as_ptr() as usize % 16, 0);
        assert_eq!(aligned(copy.clone()).as_ptr(), copy.as_ptr());
    }

    #[test]
    fn byte_size_is_checked() {
        assert_eq!(byte_size(ElementType::Float32, &[]), Some(4));
        assert_eq!(byte_size(ElementType::Float32, &[2, 0]), Some(0));
        assert_eq!(byte_size(ElementType::Float32, &[usize::MAX, 2]), None);
    }
}

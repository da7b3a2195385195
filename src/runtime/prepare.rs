//! From the bytes of a model to a compiled model and the description of its inputs and outputs.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use super::ffi::{
    self, Api, CompiledModel, Environment, Model, RankedTensorType, RawOptions, SIGNATURE, Signature, Tensor,
};
use super::handle::{Owned, check};
use super::session::{Kernels, Options, TensorInfo};
use super::{ElementType, RuntimeError};

/// A model's structure, and the same model ready to run on the CPU. LiteRT checks the flatbuffer first.
///
/// # Safety
/// `bytes` stay where they are, unchanged, and `environment` lives, until both results are dropped; the compiled
/// model is dropped first.
pub(super) unsafe fn load(
    api: &Api,
    environment: &Owned<Environment>,
    bytes: &[u8],
    options: &Options,
    reporter: Reporter,
) -> Result<(Owned<Model>, Owned<CompiledModel>), RuntimeError> {
    // SAFETY: pointer and size are those of one slice, which the caller keeps; the new model is ours.
    let model = unsafe {
        Owned::create("LiteRtCreateModelFromBuffer", api.destroy_model, |out| {
            let start = bytes.as_ptr().cast();
            (api.create_model_from_buffer)(environment.as_ptr(), start, bytes.len(), out)
        })
    }?;
    let options = create_options(api, options, reporter)?;
    // SAFETY: all three objects are alive; the new object is ours and refers to the environment and the model,
    // which the caller keeps. It copies what it needs of the options.
    let compiled = unsafe {
        Owned::create("LiteRtCreateCompiledModel", api.destroy_compiled_model, |out| {
            (api.create_compiled_model)(environment.as_ptr(), model.as_ptr(), options.as_ptr(), out)
        })
    }?;
    Ok((model, compiled))
}

/// `LiteRtErrorReporterMode`: where the interpreter's own messages go.
#[derive(Clone, Copy)]
pub(super) enum Reporter {
    Stderr = 1,
    /// Into the compiled model, to be asked for there.
    Buffer = 2,
}

fn create_options(api: &Api, options: &Options, reporter: Reporter) -> Result<Owned<RawOptions>, RuntimeError> {
    // SAFETY: the new options are ours.
    let raw = unsafe { Owned::create("LiteRtCreateOptions", api.destroy_options, |out| (api.create_options)(out)) }?;
    // SAFETY: the options are alive.
    let status = unsafe { (api.set_options_hardware_accelerators)(raw.as_ptr(), ffi::CPU) };
    check("LiteRtSetOptionsHardwareAccelerators", status)?;
    let kernels = match options.kernels {
        Kernels::Xnnpack => "xnnpack",
        Kernels::Builtin => "builtin",
        Kernels::Reference => "reference",
    };
    let threads = options.threads.clamp(1, i32::MAX as usize);
    let cpu = format!("kernel_mode = \"{kernels}\"\nnum_threads = {threads}\n");
    // The first is read by the delegate, the second by the interpreter's own set-up: without it, built-in kernels
    // run on one thread and reference kernels are not used at all.
    add_opaque_options(api, &raw, c"xnnpack", cpu.clone())?;
    add_opaque_options(api, &raw, c"cpu_delegate", cpu)?;
    let run = format!("error_reporter_mode = {}\nenable_profiling = {}\n", reporter as i32, options.profile);
    add_opaque_options(api, &raw, c"runtime_options_string", run)?;
    Ok(raw)
}

/// Hands over a piece of TOML; `identifier` says who reads it.
fn add_opaque_options(
    api: &Api,
    options: &Owned<RawOptions>,
    identifier: &CStr,
    toml: String,
) -> Result<(), RuntimeError> {
    unsafe extern "C" fn free(payload: *mut c_void) {
        // SAFETY: LiteRT gives back, once, the pointer that `into_raw` made.
        drop(unsafe { CString::from_raw(payload.cast::<c_char>()) });
    }
    // Never with a zero byte inside: the text is put together above.
    let payload = CString::new(toml).unwrap_or_default().into_raw().cast::<c_void>();
    // SAFETY: the identifier is copied; `free` fits the payload, which is LiteRT's from here on.
    let created = unsafe {
        Owned::create("LiteRtCreateOpaqueOptions", api.destroy_opaque_options, |out| {
            (api.create_opaque_options)(identifier.as_ptr(), payload, free, out)
        })
    };
    let opaque = match created {
        Ok(opaque) => opaque,
        Err(error) => {
            // SAFETY: LiteRT took nothing, so the payload is still ours.
            unsafe { free(payload) };
            return Err(error);
        }
    };
    // SAFETY: both objects are alive; the call takes the opaque options over.
    check("LiteRtAddOpaqueOptions", unsafe { (api.add_opaque_options)(options.as_ptr(), opaque.release()) })
}

/// Inputs and outputs of the signature that runs, in the order in which LiteRT takes their buffers.
///
/// A slot stands for a tensor: an output that is also an input, or listed twice, has the same slot at both places.
/// Slots are numbered in the order of first appearance, inputs first.
pub(super) struct Described {
    pub(super) inputs: Vec<TensorInfo>,
    pub(super) outputs: Vec<TensorInfo>,
    pub(super) input_slots: Vec<usize>,
    pub(super) output_slots: Vec<usize>,
}

impl Described {
    /// Every input and output with its slot and the dims given for it.
    pub(super) fn tensors<'a>(
        &'a self,
        input_dims: &'a [Vec<usize>],
        output_dims: &'a [Vec<usize>],
    ) -> impl Iterator<Item = (&'a TensorInfo, usize, &'a [usize])> {
        let infos = self.inputs.iter().chain(&self.outputs);
        let slots = self.input_slots.iter().chain(&self.output_slots);
        let dims = input_dims.iter().chain(output_dims);
        infos.zip(slots).zip(dims).map(|((info, &slot), dims)| (info, slot, dims.as_slice()))
    }
}

/// Asks `model` for its inputs and outputs.
pub(super) fn describe(api: &Api, model: &Owned<Model>) -> Result<Described, RuntimeError> {
    let mut count = 0;
    // SAFETY: the model is alive.
    let status = unsafe { (api.get_num_model_signatures)(model.as_ptr(), &mut count) };
    check("LiteRtGetNumModelSignatures", status)?;
    if count == 0 {
        return Err(RuntimeError::Unsupported("it has no subgraph".into()));
    }
    let mut signature = ptr::null_mut();
    // SAFETY: the model is alive; the signature lives as long as it.
    let status = unsafe { (api.get_model_signature)(model.as_ptr(), SIGNATURE, &mut signature) };
    check("LiteRtGetModelSignature", status)?;

    let input_calls = Calls {
        count: ("LiteRtGetNumSignatureInputs", api.get_num_signature_inputs),
        name: ("LiteRtGetSignatureInputName", api.get_signature_input_name),
        tensor: ("LiteRtGetSignatureInputTensorByIndex", api.get_signature_input_tensor_by_index),
    };
    let output_calls = Calls {
        count: ("LiteRtGetNumSignatureOutputs", api.get_num_signature_outputs),
        name: ("LiteRtGetSignatureOutputName", api.get_signature_output_name),
        tensor: ("LiteRtGetSignatureOutputTensorByIndex", api.get_signature_output_tensor_by_index),
    };
    let mut known = Vec::new();
    // SAFETY (of both): the signature is one of a model that is alive.
    let (inputs, input_slots) = unsafe { tensors(api, signature, &input_calls, &mut known) }?;
    let (outputs, output_slots) = unsafe { tensors(api, signature, &output_calls, &mut known) }?;
    if outputs.is_empty() {
        return Err(RuntimeError::Unsupported("it has no outputs".into()));
    }
    Ok(Described { inputs, outputs, input_slots, output_slots })
}

/// The functions that describe one side of a signature, with their names for errors.
struct Calls {
    count: (&'static str, ffi::Count<Signature>),
    name: (&'static str, ffi::GetName<Signature>),
    tensor: (&'static str, ffi::GetTensor),
}

/// One side of a signature, and the slots of its tensors: their positions in `known`, which grows by the new ones.
///
/// # Safety
/// `signature` belongs to a model that is alive.
unsafe fn tensors(
    api: &Api,
    signature: *mut Signature,
    calls: &Calls,
    known: &mut Vec<*mut Tensor>,
) -> Result<(Vec<TensorInfo>, Vec<usize>), RuntimeError> {
    let mut count = 0;
    // SAFETY: the signature is alive.
    check(calls.count.0, unsafe { (calls.count.1)(signature, &mut count) })?;
    let (mut infos, mut slots) = (Vec::new(), Vec::new());
    for index in 0..count {
        let mut name = ptr::null();
        // SAFETY: the signature is alive.
        check(calls.name.0, unsafe { (calls.name.1)(signature, index, &mut name) })?;
        // SAFETY: LiteRT's names are zero-terminated and live as long as the model.
        let name = unsafe { ffi::text(name) };
        let mut tensor = ptr::null_mut();
        // SAFETY: the signature is alive.
        check(calls.tensor.0, unsafe { (calls.tensor.1)(signature, index, &mut tensor) })?;
        let mut tensor_type = RankedTensorType::default();
        // SAFETY: the tensor belongs to the same model.
        let status = unsafe { (api.get_ranked_tensor_type)(tensor, &mut tensor_type) };
        check("LiteRtGetRankedTensorType", status)?;
        infos.push(info(name, &tensor_type)?);
        slots.push(known.iter().position(|&other| other == tensor).unwrap_or(known.len()));
        if slots.last() == Some(&known.len()) {
            known.push(tensor);
        }
    }
    Ok((infos, slots))
}

fn info(name: String, tensor_type: &RankedTensorType) -> Result<TensorInfo, RuntimeError> {
    let unsupported = |what: String| Err(RuntimeError::Unsupported(format!("{name:?} {what}")));
    let element_type = match ElementType::from_litert_code(tensor_type.element_type) {
        Some(known) if known.bytes_for(1).is_some() => known,
        Some(known) => return unsupported(format!("holds {known:?}, which is no plain data")),
        None => {
            return unsupported(format!("has the unknown element type {}", tensor_type.element_type));
        }
    };
    let Some(dims) = tensor_type.layout.dims() else {
        return unsupported(format!("has more than {} dims", ffi::MAX_RANK));
    };
    Ok(TensorInfo { dims: dims.to_vec(), name, element_type })
}

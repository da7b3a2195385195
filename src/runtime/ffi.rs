//! The part of LiteRT's C interface that is used here: types, constants, and the functions as found in a
//! loaded library.
//!
//! Written after the headers `litert/c/*.h`, and tried with the library of `ai-edge-litert` 2.3.0. All functions are
//! plain C; a `LiteRtStatus` of 0 means success.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::ElementType;

/// `LiteRtStatus`.
pub(super) type Status = c_int;
pub(super) const OK: Status = 0;
pub(super) const INVALID_ARGUMENT: Status = 1;

/// The signature that runs: the first. LiteRT makes one for a model that has none.
pub(super) const SIGNATURE: usize = 0;

/// Objects that only LiteRT looks into. Distinct types, so that handles cannot be mixed up.
macro_rules! opaque {
    ($($name:ident),*) => {
        $(#[repr(C)] pub(super) struct $name { _private: [u8; 0] })*
    };
}
opaque!(Environment, Model, Signature, Tensor, RawOptions, OpaqueOptions, CompiledModel, TensorBuffer, Profiler);

/// `LITERT_TENSOR_MAX_RANK`.
pub(super) const MAX_RANK: usize = 8;

/// `LiteRtLayout`: `rank` and `has_strides` share the first word as bit fields of 7 bits and 1 bit.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Layout {
    rank_and_flags: u32,
    dimensions: [i32; MAX_RANK],
    strides: [u32; MAX_RANK],
}

impl Layout {
    /// `None` if the rank is over [`MAX_RANK`] or a dim over what the interface can say.
    fn new(dims: &[usize]) -> Option<Self> {
        let mut layout = Self::default();
        let dimensions = layout.dimensions.get_mut(..dims.len())?;
        for (slot, &dim) in dimensions.iter_mut().zip(dims) {
            *slot = i32::try_from(dim).ok()?;
        }
        layout.rank_and_flags = dims.len() as u32;
        Some(layout)
    }

    /// `None` if the rank is over [`MAX_RANK`].
    pub(super) fn dims(&self) -> Option<&[i32]> {
        // The compilers that the wheels are made with put the first bit field into the low bits.
        self.dimensions.get(..(self.rank_and_flags & 0x7f) as usize)
    }
}

/// `LiteRtRankedTensorType`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct RankedTensorType {
    pub(super) element_type: c_int,
    pub(super) layout: Layout,
}

impl RankedTensorType {
    /// `None` if the rank or a dim is over what the interface can say.
    pub(super) fn new(element_type: ElementType, dims: &[usize]) -> Option<Self> {
        Some(Self { element_type: element_type.litert_code(), layout: Layout::new(dims)? })
    }
}

/// `LiteRtEnvOption`.
#[repr(C)]
pub(super) struct EnvironmentOption {
    tag: c_int,
    value: Any,
}

/// `LiteRtAny`, of which only integers are used.
#[repr(C)]
struct Any {
    kind: c_int,
    integer: i64,
}

impl EnvironmentOption {
    /// `kLiteRtEnvOptionTagAutoRegisterAccelerators`: which accelerators to look for, as a bit set.
    pub(super) fn accelerators(set: c_int) -> Self {
        Self::integer(24, i64::from(set))
    }

    /// `kLiteRtEnvOptionTagMinLoggerSeverity`. Holds for the whole library, not for one environment.
    pub(super) fn minimum_severity(severity: c_int) -> Self {
        Self::integer(25, i64::from(severity))
    }

    fn integer(tag: c_int, integer: i64) -> Self {
        const ANY_INT: c_int = 2;
        Self { tag, value: Any { kind: ANY_INT, integer } }
    }
}

/// `ProfiledEventData` as the library fills it in; the header that is for C leaves out a word of each `MemoryUsage`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub(super) tag: *const c_char,
    pub(super) kind: c_int,
    pub(super) start_microseconds: u64,
    pub(super) elapsed_microseconds: u64,
    pub(super) memory: [[u64; 3]; 2],
    /// Of an operator: its node, or its number in the delegate.
    pub(super) index: u64,
    /// Of an operator: its subgraph.
    pub(super) subgraph: u64,
    pub(super) source: c_int,
}

/// `OPERATOR_INVOKE_EVENT`, and the two that delegates record for their own operators.
pub(super) const OPERATOR: c_int = 1 << 1;
pub(super) const IN_DELEGATE: [c_int; 2] = [1 << 2, 1 << 3];

// The C headers assert these sizes for 64-bit targets.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Layout>() == 68);
    assert!(size_of::<RankedTensorType>() == 72);
    assert!(size_of::<EnvironmentOption>() == 24);
    assert!(std::mem::offset_of!(EnvironmentOption, value) == 8);
};

/// `kLiteRtHwAcceleratorCpu`.
pub(super) const CPU: c_int = 1;
/// `kLiteRtTensorBufferTypeHostMemory`.
pub(super) const HOST_MEMORY: c_int = 1;
/// `kLiteRtTensorBufferLockModeRead` and `…Write`.
pub(super) const READ: c_int = 0;
pub(super) const WRITE: c_int = 1;
/// `kLiteRtLogSeverityError` and `…Silent`.
pub(super) const LOG_ERRORS: c_int = 3;
pub(super) const LOG_NOTHING: c_int = 4;

pub(super) type GetName<T> = unsafe extern "C" fn(*mut T, usize, *mut *const c_char) -> Status;
pub(super) type GetTensor = unsafe extern "C" fn(*mut Signature, usize, *mut *mut Tensor) -> Status;
pub(super) type Count<T> = unsafe extern "C" fn(*mut T, *mut usize) -> Status;
pub(super) type Destroy<T> = unsafe extern "C" fn(*mut T);

/// The functions, each under the name of its C symbol without the `LiteRt`.
pub(super) struct Api {
    pub(super) create_environment:
        unsafe extern "C" fn(c_int, *const EnvironmentOption, *mut *mut Environment) -> Status,
    pub(super) destroy_environment: Destroy<Environment>,

    pub(super) create_model_from_buffer:
        unsafe extern "C" fn(*mut Environment, *const c_void, usize, *mut *mut Model) -> Status,
    pub(super) destroy_model: Destroy<Model>,
    pub(super) get_num_model_signatures: Count<Model>,
    pub(super) get_model_signature: unsafe extern "C" fn(*mut Model, usize, *mut *mut Signature) -> Status,
    pub(super) get_num_signature_inputs: Count<Signature>,
    pub(super) get_signature_input_name: GetName<Signature>,
    pub(super) get_signature_input_tensor_by_index: GetTensor,
    pub(super) get_num_signature_outputs: Count<Signature>,
    pub(super) get_signature_output_name: GetName<Signature>,
    pub(super) get_signature_output_tensor_by_index: GetTensor,
    pub(super) get_ranked_tensor_type: unsafe extern "C" fn(*mut Tensor, *mut RankedTensorType) -> Status,

    pub(super) create_options: unsafe extern "C" fn(*mut *mut RawOptions) -> Status,
    pub(super) destroy_options: Destroy<RawOptions>,
    pub(super) set_options_hardware_accelerators: unsafe extern "C" fn(*mut RawOptions, c_int) -> Status,
    /// Takes ownership of the opaque options.
    pub(super) add_opaque_options: unsafe extern "C" fn(*mut RawOptions, *mut OpaqueOptions) -> Status,
    pub(super) create_opaque_options: unsafe extern "C" fn(
        *const c_char,
        *mut c_void,
        unsafe extern "C" fn(*mut c_void),
        *mut *mut OpaqueOptions,
    ) -> Status,
    pub(super) destroy_opaque_options: Destroy<OpaqueOptions>,

    pub(super) create_compiled_model:
        unsafe extern "C" fn(*mut Environment, *mut Model, *mut RawOptions, *mut *mut CompiledModel) -> Status,
    pub(super) destroy_compiled_model: Destroy<CompiledModel>,
    pub(super) resize_input_tensor:
        unsafe extern "C" fn(*mut CompiledModel, usize, usize, *const c_int, usize) -> Status,
    pub(super) get_output_tensor_layouts:
        unsafe extern "C" fn(*mut CompiledModel, usize, usize, *mut Layout, bool) -> Status,
    pub(super) run_compiled_model: unsafe extern "C" fn(
        *mut CompiledModel,
        usize,
        usize,
        *const *mut TensorBuffer,
        usize,
        *const *mut TensorBuffer,
    ) -> Status,
    /// Gives a string made with the C library's `malloc`.
    pub(super) get_error_messages: unsafe extern "C" fn(*mut CompiledModel, *mut *mut c_char) -> Status,

    /// Gives null for a model that was not made to be profiled; the profiler is the model's.
    pub(super) get_profiler: unsafe extern "C" fn(*mut CompiledModel, *mut *mut Profiler) -> Status,
    /// Forgets what was recorded before.
    pub(super) start_profiler: unsafe extern "C" fn(*mut Profiler) -> Status,
    pub(super) stop_profiler: unsafe extern "C" fn(*mut Profiler) -> Status,
    pub(super) get_num_profiler_events: unsafe extern "C" fn(*mut Profiler, *mut c_int) -> Status,
    pub(super) get_profiler_events: unsafe extern "C" fn(*mut Profiler, c_int, *mut Event) -> Status,

    pub(super) create_managed_tensor_buffer:
        unsafe extern "C" fn(*mut Environment, c_int, *const RankedTensorType, usize, *mut *mut TensorBuffer) -> Status,
    pub(super) destroy_tensor_buffer: Destroy<TensorBuffer>,
    pub(super) lock_tensor_buffer: unsafe extern "C" fn(*mut TensorBuffer, *mut *mut c_void, c_int) -> Status,
    pub(super) unlock_tensor_buffer: unsafe extern "C" fn(*mut TensorBuffer) -> Status,
}

/// What `text` says, read as UTF-8; nothing if it is null.
///
/// # Safety
/// `text` is null or zero-terminated.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Frees what LiteRT made with its `malloc`. Where LiteRT may have a heap of its own, a lost message is better
/// than a broken heap.
///
/// # Safety
/// `message` comes from `malloc` and is not used again.
pub(super) unsafe fn free(message: *mut c_char) {
    #[cfg(unix)]
    {
        unsafe extern "C" {
            #[link_name = "free"]
            fn c_free(pointer: *mut c_void);
        }
        // SAFETY: on Unix there is one C library in the process; the caller vouches for the rest.
        unsafe { c_free(message.cast()) }
    }
    #[cfg(not(unix))]
    let _ = message;
}

/// A symbol that is there in every LiteRT library.
pub(super) const ANY_LITERT: &CStr = c"LiteRtCreateEnvironment";

/// A symbol that came with 2.3. Symbols carry no version of their own, and older libraries have all functions above
/// but do other things: before 2.1.6 `LiteRtCreateModelFromBuffer` took no environment; 2.1.6 gives zeros for
/// outputs whose shape depends on the data; 2.2 cannot use one buffer for an input that is also an output.
pub(super) const SINCE_2_3: &CStr = c"LiteRtCompiledModelIsNonCpuFullyAccelerated";

impl Api {
    /// Looks all functions up; `Err` is the name of the first that is missing.
    ///
    /// # Safety
    /// `library` is a LiteRT library of a version whose functions have the types declared above.
    pub(super) unsafe fn load(library: &libloading::Library) -> Result<Self, &'static CStr> {
        // SAFETY (of every line): the caller vouches for the type of each function.
        unsafe {
            Ok(Self {
                create_environment: symbol(library, c"LiteRtCreateEnvironment")?,
                destroy_environment: symbol(library, c"LiteRtDestroyEnvironment")?,
                create_model_from_buffer: symbol(library, c"LiteRtCreateModelFromBuffer")?,
                destroy_model: symbol(library, c"LiteRtDestroyModel")?,
                get_num_model_signatures: symbol(library, c"LiteRtGetNumModelSignatures")?,
                get_model_signature: symbol(library, c"LiteRtGetModelSignature")?,
                get_num_signature_inputs: symbol(library, c"LiteRtGetNumSignatureInputs")?,
                get_signature_input_name: symbol(library, c"LiteRtGetSignatureInputName")?,
                get_signature_input_tensor_by_index: symbol(library, c"LiteRtGetSignatureInputTensorByIndex")?,
                get_num_signature_outputs: symbol(library, c"LiteRtGetNumSignatureOutputs")?,
                get_signature_output_name: symbol(library, c"LiteRtGetSignatureOutputName")?,
                get_signature_output_tensor_by_index: symbol(library, c"LiteRtGetSignatureOutputTensorByIndex")?,
                get_ranked_tensor_type: symbol(library, c"LiteRtGetRankedTensorType")?,
                create_options: symbol(library, c"LiteRtCreateOptions")?,
                destroy_options: symbol(library, c"LiteRtDestroyOptions")?,
                set_options_hardware_accelerators: symbol(library, c"LiteRtSetOptionsHardwareAccelerators")?,
                add_opaque_options: symbol(library, c"LiteRtAddOpaqueOptions")?,
                create_opaque_options: symbol(library, c"LiteRtCreateOpaqueOptions")?,
                destroy_opaque_options: symbol(library, c"LiteRtDestroyOpaqueOptions")?,
                create_compiled_model: symbol(library, c"LiteRtCreateCompiledModel")?,
                destroy_compiled_model: symbol(library, c"LiteRtDestroyCompiledModel")?,
                resize_input_tensor: symbol(library, c"LiteRtCompiledModelResizeInputTensor")?,
                get_output_tensor_layouts: symbol(library, c"LiteRtGetCompiledModelOutputTensorLayouts")?,
                run_compiled_model: symbol(library, c"LiteRtRunCompiledModel")?,
                get_error_messages: symbol(library, c"LiteRtCompiledModelGetErrorMessages")?,
                get_profiler: symbol(library, c"LiteRtCompiledModelGetProfiler")?,
                start_profiler: symbol(library, c"LiteRtStartProfiler")?,
                stop_profiler: symbol(library, c"LiteRtStopProfiler")?,
                get_num_profiler_events: symbol(library, c"LiteRtGetNumProfilerEvents")?,
                get_profiler_events: symbol(library, c"LiteRtGetProfilerEvents")?,
                create_managed_tensor_buffer: symbol(library, c"LiteRtCreateManagedTensorBuffer")?,
                destroy_tensor_buffer: symbol(library, c"LiteRtDestroyTensorBuffer")?,
                lock_tensor_buffer: symbol(library, c"LiteRtLockTensorBuffer")?,
                unlock_tensor_buffer: symbol(library, c"LiteRtUnlockTensorBuffer")?,
            })
        }
    }
}

/// # Safety
/// The symbol, if it is there, is of the type `T`, a function pointer.
unsafe fn symbol<T: Copy>(library: &libloading::Library, name: &'static CStr) -> Result<T, &'static CStr> {
    // SAFETY: the caller vouches for the type.
    unsafe { library.get::<T>(name) }.map(|symbol| *symbol).map_err(|_| name)
}

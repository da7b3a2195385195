//! Objects of LiteRT with an owner on this side.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use super::RuntimeError;
use super::ffi::{self, Api, Environment, RankedTensorType, Status, TensorBuffer};

/// An object of LiteRT, destroyed when dropped.
pub(super) struct Owned<T> {
    raw: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Owns what `create` stores through the pointer it is given. `call` names it in errors.
    ///
    /// # Safety
    /// If `create` returns [`ffi::OK`], it has stored a pointer to an object that nobody else destroys and
    /// that `destroy` may destroy, from any thread, as long as whatever the object refers to lives.
    pub(super) unsafe fn create(
        call: &'static str,
        destroy: unsafe extern "C" fn(*mut T),
        create: impl FnOnce(*mut *mut T) -> Status,
    ) -> Result<Self, RuntimeError> {
        let mut raw = ptr::null_mut();
        check(call, create(&mut raw))?;
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, destroy }),
            None => Err(RuntimeError::Status { call, code: ffi::OK, detail: Some("it made no object".into()) }),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.raw.as_ptr()
    }

    /// Gives the object away: whoever takes it destroys it.
    pub(super) fn release(self) -> *mut T {
        std::mem::ManuallyDrop::new(self).as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `create` was promised that `raw` is ours to destroy with this function; `release` does not
        // come here.
        unsafe { (self.destroy)(self.as_ptr()) }
    }
}

// SAFETY: LiteRT's objects on the CPU hold heap memory and a pool of worker threads, nothing that belongs to
// the thread that made them. (Shared use from several threads is another matter: `Owned` is not `Sync`.)
unsafe impl<T> Send for Owned<T> {}

/// An error if `status` is not OK.
pub(super) fn check(call: &'static str, status: Status) -> Result<(), RuntimeError> {
    match status {
        ffi::OK => Ok(()),
        code => Err(RuntimeError::Status { call, code, detail: None }),
    }
}

/// Memory of one input or output, allocated by LiteRT with the alignment and the padding its kernels want.
pub(super) struct Buffer {
    raw: Owned<TensorBuffer>,
    size: usize,
}

impl Buffer {
    /// A buffer of `size` zero bytes for a tensor of type `tensor_type`.
    ///
    /// Zeros, because LiteRT leaves some outputs unwritten (see the head of the `runtime` module), and what another
    /// owner of the memory left behind must not come out.
    pub(super) fn new(
        api: &Api,
        environment: &Owned<Environment>,
        tensor_type: &RankedTensorType,
        size: usize,
    ) -> Result<Self, RuntimeError> {
        // SAFETY: the arguments are valid for the call, which copies the type; the new buffer is ours.
        let raw = unsafe {
            Owned::create("LiteRtCreateManagedTensorBuffer", api.destroy_tensor_buffer, |out| {
                (api.create_managed_tensor_buffer)(environment.as_ptr(), ffi::HOST_MEMORY, tensor_type, size, out)
            })
        }?;
        let mut buffer = Self { raw, size };
        // SAFETY: the locked memory has `size` bytes.
        buffer.locked(api, ffi::WRITE, |memory| unsafe { ptr::write_bytes(memory, 0, size) })?;
        Ok(buffer)
    }

    pub(super) fn as_ptr(&self) -> *mut TensorBuffer {
        self.raw.as_ptr()
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Copies `bytes` to the start of the buffer; what does not fit is left out.
    pub(super) fn write(&mut self, api: &Api, bytes: &[u8]) -> Result<(), RuntimeError> {
        let length = bytes.len().min(self.size);
        self.locked(api, ffi::WRITE, |memory| {
            // SAFETY: the locked memory has `size` bytes and is LiteRT's own, so it does not overlap `bytes`.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory, length) }
        })
    }

    /// The first `length` bytes of the buffer, or all of them if it is smaller.
    pub(super) fn read(&mut self, api: &Api, length: usize) -> Result<Vec<u8>, RuntimeError> {
        let length = length.min(self.size);
        self.locked(api, ffi::READ, |memory| {
            // SAFETY: the locked memory has `size` bytes; LiteRT does not write to it while it is locked.
            unsafe { std::slice::from_raw_parts(memory, length) }.to_vec()
        })
    }

    fn locked<R>(&mut self, api: &Api, mode: c_int, access: impl FnOnce(*mut u8) -> R) -> Result<R, RuntimeError> {
        let mut memory = ptr::null_mut();
        // SAFETY: the buffer is alive and, since `&mut self` is ours, not locked.
        let status = unsafe { (api.lock_tensor_buffer)(self.as_ptr(), &mut memory, mode) };
        check("LiteRtLockTensorBuffer", status)?;
        let result = access(memory.cast());
        // SAFETY: locked just above.
        check("LiteRtUnlockTensorBuffer", unsafe { (api.unlock_tensor_buffer)(self.as_ptr()) })?;
        Ok(result)
    }
}

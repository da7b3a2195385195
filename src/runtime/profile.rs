//! What single kernels take, as LiteRT records it.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use serde::Serialize;

use super::RuntimeError;
use super::ffi::{self, Api, CompiledModel, Event};
use super::handle::{Owned, check};

/// One kernel of a model, over all runs that were recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelTime {
    /// What the runtime calls it: the operator, or the delegate's own name for what it made of some operators.
    pub name: String,
    /// Of the delegate and not of the interpreter.
    pub in_delegate: bool,
    /// The node of its subgraph, or a number that the delegate gives.
    pub index: u64,
    pub subgraph: u64,
    /// How often it ran in one run of the model: more than once in loops.
    pub calls: f64,
    /// What it took in one run of the model, on average. XNNPACK leaves out parts of a microsecond, each time.
    pub microseconds: f64,
}

/// Records runs of a compiled model from its start on.
pub(super) struct Profiler<'a> {
    api: &'a Api,
    raw: *mut ffi::Profiler,
}

/// What is put into memory that LiteRT is to fill.
const UNTOUCHED: u8 = 0xa5;

impl<'a> Profiler<'a> {
    /// # Safety
    /// `model` is alive as long as the profiler.
    pub(super) unsafe fn start(api: &'a Api, model: &Owned<CompiledModel>) -> Result<Self, RuntimeError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the caller vouches for the model.
        check("LiteRtCompiledModelGetProfiler", unsafe { (api.get_profiler)(model.as_ptr(), &mut raw) })?;
        if raw.is_null() {
            return Err(RuntimeError::Unsupported("this LiteRT records no profile of it".into()));
        }
        // SAFETY: the profiler belongs to the model.
        check("LiteRtStartProfiler", unsafe { (api.start_profiler)(raw) })?;
        Ok(Self { api, raw })
    }

    /// What was recorded: each time that an operator ran.
    pub(super) fn stop(self) -> Result<Vec<Seen>, RuntimeError> {
        let mut count: c_int = 0;
        // SAFETY (of both): the profiler is alive.
        check("LiteRtStopProfiler", unsafe { (self.api.stop_profiler)(self.raw) })?;
        let status = unsafe { (self.api.get_num_profiler_events)(self.raw, &mut count) };
        check("LiteRtGetNumProfilerEvents", status)?;
        let length = usize::try_from(count).unwrap_or(0);
        if length == 0 {
            return Ok(Vec::new());
        }
        // Twice the room, so that a library whose events are larger than ours is found out, and does no harm.
        let mut events = vec![MaybeUninit::<Event>::uninit(); length * 2];
        // SAFETY: as many bytes as the vector has; bytes make no valid or invalid event, they are only looked at below.
        unsafe { ptr::write_bytes(events.as_mut_ptr(), UNTOUCHED, events.len()) };
        // SAFETY: the profiler is alive, and the vector has room for more events than are written.
        let status = unsafe { (self.api.get_profiler_events)(self.raw, count, events.as_mut_ptr().cast()) };
        check("LiteRtGetProfilerEvents", status)?;
        // SAFETY: all bytes of the vector were written above.
        let bytes = unsafe { std::slice::from_raw_parts(events.as_ptr().cast::<u8>(), size_of_val(&*events)) };
        // The last word is a number of four bytes; what is behind it is padding.
        let written = bytes.iter().rposition(|&byte| byte != UNTOUCHED).map_or(0, |last| last + 1);
        if written.next_multiple_of(size_of::<Event>()) != length * size_of::<Event>() {
            return Err(RuntimeError::Unsupported(
                "this LiteRT records profiles in a form that is not known here".into(),
            ));
        }
        // SAFETY: LiteRT has written events of this size; any bits make one. Its tags live until the profiler starts anew.
        let seen = events[..length].iter().map(|event| unsafe { Seen::of(event.assume_init_ref()) });
        Ok(seen.flatten().collect())
    }
}

/// An operator that ran.
pub(super) struct Seen {
    name: String,
    in_delegate: bool,
    index: u64,
    subgraph: u64,
    microseconds: u64,
}

impl Seen {
    /// # Safety
    /// The event's tag is null or zero-terminated.
    unsafe fn of(event: &Event) -> Option<Seen> {
        let in_delegate = ffi::IN_DELEGATE.contains(&event.kind);
        if !in_delegate && event.kind != ffi::OPERATOR {
            return None;
        }
        // SAFETY: the caller vouches for it.
        let name = unsafe { ffi::text(event.tag) };
        let Event { index, subgraph, elapsed_microseconds: microseconds, .. } = *event;
        Some(Seen { name, in_delegate, index, subgraph, microseconds })
    }
}

/// Sums over runs, in the order in which kernels were first seen.
#[derive(Default)]
pub(super) struct Profile {
    runs: usize,
    kernels: Vec<KernelTime>,
}

impl Profile {
    pub(super) fn add(&mut self, seen: Vec<Seen>) {
        self.runs += 1;
        for Seen { name, in_delegate, index, subgraph, microseconds } in seen {
            let same = |k: &&mut KernelTime| {
                k.index == index && k.in_delegate == in_delegate && k.subgraph == subgraph && k.name == name
            };
            let time = microseconds as f64;
            match self.kernels.iter_mut().find(same) {
                Some(kernel) => {
                    kernel.calls += 1.0;
                    kernel.microseconds += time;
                }
                None => {
                    self.kernels.push(KernelTime {
                        name,
                        in_delegate,
                        index,
                        subgraph,
                        calls: 1.0,
                        microseconds: time,
                    });
                }
            }
        }
    }

    /// Means over the runs. The node that stands for a delegate is left out where its own operators are told.
    pub(super) fn kernels(mut self) -> Vec<KernelTime> {
        let told = self.kernels.iter().any(|kernel| kernel.in_delegate);
        self.kernels.retain(|kernel| kernel.in_delegate || !(told && kernel.name.contains("Delegate")));
        let runs = self.runs.max(1) as f64;
        for kernel in &mut self.kernels {
            kernel.calls /= runs;
            kernel.microseconds /= runs;
        }
        self.kernels
    }
}

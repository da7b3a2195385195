//! Long work on a thread of its own, while the one that asked for it listens to Ctrl-C.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use litesmith::Progress;
use pyo3::prelude::*;

use crate::error;

/// How far the work is: written by it, read by the thread that waits.
#[derive(Default)]
pub struct State {
    stage: Mutex<&'static str>,
    total: AtomicUsize,
    done: AtomicUsize,
    cancelled: AtomicBool,
}

impl Progress for State {
    fn stage(&self, name: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = name;
        self.total(0);
    }

    fn total(&self, steps: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(steps, Ordering::Relaxed);
    }

    fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn finish(&self) {}

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl State {
    fn tell(&self, listener: &Bound<'_, PyAny>) -> PyResult<()> {
        let stage = *self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        listener.call1((stage, done, total)).map(drop)
    }
}

/// How long Ctrl-C may go unheard.
const EARSHOT: Duration = Duration::from_millis(50);

/// As deep as the stack of a main thread.
const STACK: usize = 8 << 20;

/// Does `work` without the interpreter's lock. `listener` is called every now and then with the stage, the steps that are done and all
/// steps.
///
/// # Errors
/// What a signal's handler or the listener raises: the work is told to stop, and nobody waits for it. `InternalError` if it
/// panics.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    listener: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(Arc<State>) -> T + Send + 'static,
) -> PyResult<T> {
    let state = Arc::new(State::default());
    let (sender, receiver) = channel();
    let shared = state.clone();
    let task = move || {
        // Where nobody waits any more, nobody misses the result.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(|| work(shared))));
    };
    std::thread::Builder::new().stack_size(STACK).spawn(task)?;
    let receiver = Mutex::new(receiver);
    loop {
        let wait = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(EARSHOT);
        let received = py.detach(wait);
        let listened = py.check_signals().and_then(|()| listener.map_or(Ok(()), |listener| state.tell(listener)));
        if let Err(error) = listened {
            state.cancelled.store(true, Ordering::Relaxed);
            return Err(error);
        }
        match received {
            Ok(Ok(result)) => return Ok(result),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                return Err(error::raise(py, "InternalError", "a panic: please report it with the model"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

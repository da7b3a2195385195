//! LiteRT's own words about a model that it refuses.
//!
//! While a model is loaded, LiteRT tells its reasons to stderr only. So a model that was refused is loaded once
//! more, with stderr led into a file.

use super::RuntimeError;
use super::ffi::{self, Api};
use super::library::create_environment;
use super::prepare::{self, Reporter};
use super::session::Options;

/// `error` of loading `bytes`, with LiteRT's explanation added if it gives one.
///
/// For as long as the second attempt takes, what other threads write to stderr ends up in the explanation.
pub(super) fn explain(api: &Api, bytes: &[u8], options: &Options, error: RuntimeError) -> RuntimeError {
    let RuntimeError::Status { call, code, detail: None } = error else {
        return error;
    };
    let written = stderr_of(|| {
        if let Ok(environment) = create_environment(api, ffi::LOG_ERRORS) {
            // SAFETY: whatever is loaded is dropped here, before the environment and the bytes.
            drop(unsafe { prepare::load(api, &environment, bytes, options, Reporter::Stderr) });
        }
        // The severity holds for the whole library, so another environment sets it back.
        drop(create_environment(api, ffi::LOG_NOTHING));
    });
    RuntimeError::Status { call, code, detail: written.and_then(|text| tidy(&text)) }
}

/// LiteRT's messages on one line, without its log prefixes; `None` if they say nothing.
pub(super) fn tidy(messages: &str) -> Option<String> {
    let lines: Vec<_> = messages
        .lines()
        .filter(|line| !line.starts_with("INFO: "))
        .map(|line| line.strip_prefix("ERROR: ").unwrap_or(line))
        // The place in LiteRT's own sources, such as `[error_reporter.cc:27] `.
        .map(|line| match line.split_once("] ") {
            Some((place, rest)) if place.starts_with('[') => rest,
            _ => line,
        })
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// What is written to stderr while `action` runs; `None`, and `action` does not run, if that cannot be found out.
#[cfg(unix)]
fn stderr_of(action: impl FnOnce()) -> Option<String> {
    use std::ffi::c_int;
    use std::io::{Read, Seek, stderr};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::sync::{Mutex, PoisonError};

    unsafe extern "C" {
        safe fn dup2(from: c_int, to: c_int) -> c_int;
    }

    /// Leads stderr back on every way out.
    struct Restore(OwnedFd);
    impl Drop for Restore {
        fn drop(&mut self) {
            dup2(self.0.as_raw_fd(), stderr().as_raw_fd());
        }
    }

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = tempfile::tempfile().ok()?;
    let restore = Restore(stderr().as_fd().try_clone_to_owned().ok()?);
    if dup2(file.as_raw_fd(), stderr().as_raw_fd()) < 0 {
        return None;
    }
    action();
    drop(restore);
    let mut written = Vec::new();
    file.rewind().ok()?;
    file.read_to_end(&mut written).ok()?;
    Some(String::from_utf8_lossy(&written).into_owned())
}

#[cfg(not(unix))]
fn stderr_of(_action: impl FnOnce()) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy_keeps_the_message_alone() {
        let messages = "INFO: Created delegate.\nERROR: [error_reporter.cc:27] Didn't find op\n\n\nFailed.\n";
        assert_eq!(tidy(messages).as_deref(), Some("Didn't find op; Failed."));
        assert_eq!(tidy("\nINFO: Created delegate.\n"), None);
        assert_eq!(tidy("a[0] is odd").as_deref(), Some("a[0] is odd"));
    }
}

//! A loaded LiteRT library.

use std::fmt;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::RuntimeError;
use super::ffi::{self, Api, Environment, EnvironmentOption};
use super::handle::Owned;
use super::locate;

/// A LiteRT library, loaded and of a version that is known. Cheap to clone; may be shared between threads.
///
/// Once loaded, a file stays in the process until it ends, even if it is refused: LiteRT leaves exit handlers and
/// worker threads behind, and the process crashes when they are left without their code.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    version: Option<String>,
    api: Api,
    /// LiteRT does not promise that an environment can be used by several threads at a time.
    environment: Mutex<Owned<Environment>>,
}

impl Library {
    /// Loads the LiteRT library at `explicit`; else at the environment variable `LITESMITH_LITERT`; else of the
    /// package `ai_edge_litert` in the active virtual environment or in the Python on the `PATH`.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`], and those of [`Library::open`].
    pub fn find(explicit: Option<&Path>) -> Result<Self, RuntimeError> {
        let path = locate::locate(explicit, |name| std::env::var_os(name))
            .map_err(|tried| RuntimeError::NotFound { tried })?;
        Self::open(&path)
    }

    /// Loads the LiteRT library in the file `path`. This runs the file's initialisation code: `path` must come
    /// from the user or from their Python, never from a model.
    ///
    /// # Errors
    /// [`RuntimeError::Load`] for what is no LiteRT library, [`RuntimeError::UnknownVersion`] for one of a version
    /// not known here, [`RuntimeError::Status`] if LiteRT cannot start.
    pub fn open(path: &Path) -> Result<Self, RuntimeError> {
        let load_error = |reason: String| RuntimeError::Load { path: path.to_owned(), reason };
        // SAFETY: initialisation code runs; that of LiteRT is harmless, and the caller answers for any other.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| load_error(error.to_string()))?;
        // Never unloaded, see the type's documentation.
        let library = ManuallyDrop::new(library);
        let version = locate::package_version(path);
        if !has(&library, ffi::ANY_LITERT) {
            return Err(load_error("it has none of LiteRT's functions".into()));
        }
        let unknown = |reason| RuntimeError::UnknownVersion { path: path.to_owned(), reason };
        if let Some(reason) = unknown_version(&library, version.as_deref()) {
            return Err(unknown(reason));
        }
        // SAFETY: `unknown_version` has nothing to say against the version.
        let api =
            unsafe { Api::load(&library) }.map_err(|name| unknown(format!("it lacks {}", name.to_string_lossy())))?;
        let environment = create_environment(&api, ffi::LOG_NOTHING)?;
        let inner = Inner { path: path.to_owned(), version, api, environment: environment.into() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The file that was loaded.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Version of the Python package the library is part of, such as `2.3.0`. The library itself does not tell.
    pub fn version(&self) -> Option<&str> {
        self.inner.version.as_deref()
    }

    pub(super) fn api(&self) -> &Api {
        &self.inner.api
    }

    /// The environment, for one thread at a time.
    pub(super) fn environment(&self) -> MutexGuard<'_, Owned<Environment>> {
        // Nothing is left half done if a thread panicked with the guard in its hand.
        self.inner.environment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("path", &self.path()).field("version", &self.version()).finish()
    }
}

/// A new environment with the CPU as the only accelerator. `severity`: what the library writes to stderr from
/// now on, whichever environment it works for.
pub(super) fn create_environment(api: &Api, severity: i32) -> Result<Owned<Environment>, RuntimeError> {
    // Looking for a GPU would load another 18 MB library and may start its driver.
    let options = [EnvironmentOption::accelerators(ffi::CPU), EnvironmentOption::minimum_severity(severity)];
    // SAFETY: the two options are valid for the call, which copies them; the new environment is ours.
    unsafe {
        Owned::create("LiteRtCreateEnvironment", api.destroy_environment, |out| {
            (api.create_environment)(options.len() as i32, options.as_ptr(), out)
        })
    }
}

/// What makes the C interface of this library an unknown one, if anything does.
///
/// Later 2.x are taken: LiteRT's headers promise to keep the functions they publish. The wheel's version is the only
/// number there is.
fn unknown_version(library: &libloading::Library, version: Option<&str>) -> Option<String> {
    let known = version.is_none_or(|version| version.starts_with("2.")) && has(library, ffi::SINCE_2_3);
    let found = version.map_or("it is".into(), |version| format!("it is {version},"));
    (!known).then(|| format!("{found} not one of ai-edge-litert 2.3 to 2.x"))
}

fn has(library: &libloading::Library, symbol: &std::ffi::CStr) -> bool {
    // SAFETY: the symbol is only looked up, never used.
    unsafe { library.get::<*const ()>(symbol) }.is_ok()
}

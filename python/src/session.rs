//! Running a `.tflite` file in LiteRT.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use litesmith::runtime::{self, Input, Kernels, Library, RuntimeError};
use litesmith::verify::{dtype, element_type};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::{array, error, work};

/// A file, loaded and ready to run. Runs of several threads come one after the other.
#[pyclass(frozen)]
pub struct Session {
    session: Arc<Mutex<runtime::Session>>,
}

#[pymethods]
impl Session {
    #[new]
    fn new(
        py: Python<'_>,
        file: PyBackedBytes,
        library: Option<PathBuf>,
        threads: usize,
        xnnpack: bool,
    ) -> PyResult<Session> {
        let open = || {
            let library = Library::find(library.as_deref())?;
            let kernels = Kernels::with_xnnpack(xnnpack);
            runtime::Session::new(
                &library,
                Bytes::from_owner(file),
                &runtime::Options { threads, kernels, profile: false },
            )
        };
        let session = py.detach(open).map_err(|e| error::of_runtime(py, &e))?;
        Ok(Session { session: Arc::new(Mutex::new(session)) })
    }

    /// Names, types and shapes of the inputs.
    fn inputs(&self) -> Vec<(String, String, Vec<i32>)> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |i: &runtime::TensorInfo| (i.name.clone(), dtype(i.element_type).name().to_string(), i.dims.clone());
        session.inputs().iter().map(row).collect()
    }

    /// Runs once, and gives the outputs by name.
    fn run<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<(String, Bound<'py, PyUntypedArray>)>,
    ) -> PyResult<Vec<(String, array::Parts<'py>)>> {
        let tensors = inputs.iter().map(|(name, array)| Ok((name.clone(), array::tensor(array)?)));
        let tensors = tensors.collect::<PyResult<Vec<_>>>()?;
        let session = self.session.clone();
        let outputs = work::run(py, None, move |_| -> Result<_, RuntimeError> {
            let feed = tensors.iter().map(|(name, tensor)| Input {
                name,
                element_type: element_type(tensor.dtype()),
                dims: tensor.shape(),
                bytes: tensor.bytes(),
            });
            session.lock().unwrap_or_else(PoisonError::into_inner).run(&feed.collect::<Vec<_>>())
        })?;
        let outputs = outputs.map_err(|e| error::of_runtime(py, &e))?;
        let part = |o: runtime::Output| Ok((o.name, array::parts(py, dtype(o.element_type), o.dims, &o.bytes)?));
        outputs.into_iter().map(part).collect()
    }
}

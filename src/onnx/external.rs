//! Tensor data outside the model file, memory-mapped, and only from inside the model's folder.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

/// Maps a file for reading.
///
/// # Errors
/// Where it can't be opened or mapped.
pub fn map_file(path: &Path) -> io::Result<Bytes> {
    // Asked before it is opened: a pipe would keep us waiting.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    // SAFETY: the map is private and read only. If another process changes or truncates the file meanwhile, its bytes change under
    // us; they are only ever read as plain bytes, for which every value is valid.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(&file) }?;
    Ok(Bytes::from_owner(map))
}

/// Data files of one model, each mapped once.
pub struct ExternalData {
    folder: Option<PathBuf>,
    files: HashMap<String, Bytes>,
}

impl ExternalData {
    /// `folder` is where the model file lies; `None` for a model that came as bytes.
    pub fn new(folder: Option<PathBuf>) -> ExternalData {
        ExternalData { folder, files: HashMap::new() }
    }

    /// `length` bytes from `offset` (to the end where no length is given) of the file at `location`.
    ///
    /// # Errors
    /// A sentence: no such file, a path that leaves the folder, or a range past the end.
    pub fn read(&mut self, location: &str, offset: u64, length: Option<u64>) -> Result<Bytes, String> {
        let file = self.open(location)?;
        let start = usize::try_from(offset).ok().filter(|&s| s <= file.len());
        let end = match (start, length) {
            (Some(start), Some(length)) => usize::try_from(length).ok().and_then(|n| start.checked_add(n)),
            (Some(_), None) => Some(file.len()),
            (None, _) => None,
        };
        match (start, end) {
            (Some(start), Some(end)) if end <= file.len() => Ok(file.slice(start..end)),
            _ => Err(format!(
                "external data file {location:?} has {} bytes, but {} from offset {offset} are asked for",
                file.len(),
                length.map_or("those".to_string(), |n| n.to_string()),
            )),
        }
    }

    fn open(&mut self, location: &str) -> Result<Bytes, String> {
        if let Some(file) = self.files.get(location) {
            return Ok(file.clone());
        }
        let Some(folder) = &self.folder else {
            return Err(format!(
                "the data is in {location:?}, but a model given as bytes has no folder: convert the file"
            ));
        };
        let relative = Path::new(location);
        let stays = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        let path = folder.join(relative);
        let outside = || format!("external data path {location:?} leads out of the model's folder");
        if !stays {
            return Err(outside());
        }
        let missing = |e: io::Error| format!("external data file {}: {e}", path.display());
        // A symbolic link may lead out as well.
        let (real, root) = (path.canonicalize().map_err(missing)?, folder.canonicalize().map_err(missing)?);
        if !real.starts_with(root) {
            return Err(outside());
        }
        let bytes = map_file(&real).map_err(missing)?;
        self.files.insert(location.to_string(), bytes.clone());
        Ok(bytes)
    }
}

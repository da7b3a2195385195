//! Tensor data outside the model file, memory-mapped, and only from inside the model's folder.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use memmap2::MmapOptions;

/// The location that stands for the model file itself.
pub const THIS_FILE: &str = "\0this file";

/// From here on, data are mapped for themselves, so that their memory is given back when nobody needs them any more.
const LARGE: u64 = 1 << 20;

struct MappedFile {
    file: Option<File>,
    all: Bytes,
}

impl MappedFile {
    /// Opens and maps a file.
    fn open(path: &Path) -> io::Result<MappedFile> {
        // Asked before it is opened: a pipe would keep us waiting.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        let all = map(&file, MmapOptions::new())?;
        Ok(MappedFile { file: Some(file), all })
    }

    /// The bytes of a range inside the file.
    fn range(&self, range: Range<usize>) -> Bytes {
        let large = self.file.as_ref().filter(|_| range.len() as u64 >= LARGE);
        let apart = large.and_then(|file| {
            let mut options = MmapOptions::new();
            map(file, options.offset(range.start as u64).len(range.len()).clone()).ok()
        });
        // There is a limit to how many maps a process may have.
        apart.unwrap_or_else(|| self.all.slice(range))
    }
}

fn map(file: &File, options: MmapOptions) -> io::Result<Bytes> {
    // SAFETY: the map is private and read only. If another process changes or truncates the file meanwhile, its bytes change under
    // us; they are only ever read as plain bytes, for which every value is valid.
    #[allow(unsafe_code)]
    let map = unsafe { options.map(file) }?;
    Ok(Bytes::from_owner(map))
}

/// Data files of one model, each opened once.
pub struct ExternalData {
    folder: Option<PathBuf>,
    files: HashMap<String, MappedFile>,
}

impl ExternalData {
    /// For a model file, which is read too, beside which data files lie.
    ///
    /// # Errors
    /// Where the file can't be opened or mapped.
    pub fn beside(path: &Path) -> io::Result<(ExternalData, Bytes)> {
        let folder = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
        let file = MappedFile::open(path)?;
        let all = file.all.clone();
        let files = HashMap::from([(THIS_FILE.to_string(), file)]);
        Ok((ExternalData { folder: folder.map(Path::to_path_buf), files }, all))
    }

    /// For a model that came as bytes, and has no folder.
    pub fn of_bytes(model: Bytes) -> ExternalData {
        let file = MappedFile { file: None, all: model };
        ExternalData { folder: None, files: HashMap::from([(THIS_FILE.to_string(), file)]) }
    }

    /// `length` bytes from `offset` (to the end where no length is given) of the file at `location`.
    ///
    /// # Errors
    /// A sentence: no such file, a path that leaves the folder, or a range past the end.
    pub fn read(&mut self, location: &str, offset: u64, length: Option<u64>) -> Result<Bytes, String> {
        let file = self.open(location)?;
        let size = file.all.len();
        let start = usize::try_from(offset).ok().filter(|&s| s <= size);
        let end = match (start, length) {
            (Some(start), Some(length)) => usize::try_from(length).ok().and_then(|n| start.checked_add(n)),
            (Some(_), None) => Some(size),
            (None, _) => None,
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= size => Ok(file.range(start..end)),
            _ => Err(format!(
                "external data file {location:?} has {size} bytes, but {} from offset {offset} are asked for",
                length.map_or("those".to_string(), |n| n.to_string()),
            )),
        }
    }

    fn open(&mut self, location: &str) -> Result<&MappedFile, String> {
        let file = match self.files.remove(location) {
            Some(file) => file,
            None => self.find(location)?,
        };
        Ok(self.files.entry(location.to_string()).or_insert(file))
    }

    fn find(&self, location: &str) -> Result<MappedFile, String> {
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
        MappedFile::open(&real).map_err(missing)
    }
}

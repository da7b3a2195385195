//! Bytes to a file on disk, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Written;
use super::check::check_on_disk;
use crate::graph::Model;

/// Why a file could not be written. What was at the path is as it was.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}: {source}", path.display())]
pub struct SaveError {
    pub path: PathBuf,
    /// The step that failed.
    pub what: &'static str,
    pub source: io::Error,
}

/// Puts `bytes` at `path`: into a temporary file beside it, which then takes its place. A reader, or a crash in between, sees
/// the old file or the new one.
///
/// # Errors
/// Where the folder does not exist or can't be written, or the disk is full.
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    save_with(path, |file| file.write_all(bytes))
}

impl Written {
    /// [`save`] without the file in one piece, which is compared with the model that it was written of before it takes its place.
    ///
    /// # Errors
    /// As [`save`], and where the file is not what it should be.
    pub fn save(&self, model: &Model, path: &Path) -> Result<(), SaveError> {
        save_with(path, |file| {
            self.write_to(file)?;
            if file.metadata()?.is_file() { check_on_disk(model, file).map_err(io::Error::other) } else { Ok(()) }
        })
    }
}

fn save_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), SaveError> {
    let failed = |what| move |source| SaveError { path: path.to_path_buf(), what, source };
    // A link stays a link: the file behind it is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(&target).ok();
    if old.as_ref().is_some_and(|old| !old.is_file() && !old.is_dir()) {
        // A pipe or a terminal: nothing to keep, and nothing that could be replaced.
        let file = File::options().write(true).open(&target);
        return file.and_then(|mut file| write(&mut file)).map_err(failed("can't be written"));
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = new_beside(folder).map_err(failed("no file can be made in its folder"))?;
    write(temporary.as_file_mut()).map_err(failed("can't be written"))?;
    if let Some(old) = old {
        temporary.as_file().set_permissions(old.permissions()).map_err(failed("can't keep its permissions"))?;
    }
    temporary.as_file().sync_all().map_err(failed("can't be written"))?;
    temporary.persist(&target).map_err(|e| failed("can't be replaced")(e.error))?;
    Ok(())
}

/// A file that is removed again unless it takes another's place, with the permissions that new files have.
fn new_beside(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".litesmith-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The user's mask is taken off by the system.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.tflite");
        save(&path, b"first").unwrap();
        save(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.tflite");
        save(&path, b"old").unwrap();
        let error = save_with(&path, |file| {
            file.write_all(b"half of ")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        let message = error.unwrap_err().to_string();
        assert!(message.contains("model.tflite: can't be written"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let message = save(&folder.path().join("none/model.tflite"), b"").unwrap_err().to_string();
        assert!(message.contains("none/model.tflite"), "{message}");
        let message = save(folder.path(), b"").unwrap_err().to_string();
        assert!(message.contains(&*folder.path().to_string_lossy()), "a folder is not replaced: {message}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("model.tflite"), folder.path().join("link.tflite"));
        save(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        save(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        save(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}

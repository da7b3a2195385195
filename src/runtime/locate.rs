//! Where on this machine a LiteRT library may lie.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// File name of the library in the `ai-edge-litert` wheels.
const FILE_NAME: &str = if cfg!(windows) {
    "libLiteRt.dll"
} else if cfg!(target_vendor = "apple") {
    "libLiteRt.dylib"
} else {
    "libLiteRt.so"
};

const PACKAGE: &str = "ai_edge_litert";
const VARIABLE: &str = "LITESMITH_LITERT";

/// Prints the folder of the package, or nothing. The current folder must not be searched: a library is code,
/// and a folder with models in it is not trusted.
const ASK_PYTHON: &str = "import sys; sys.path = [p for p in sys.path if p]; import importlib.util as u; \
                          s = u.find_spec('ai_edge_litert'); print(*(s.submodule_search_locations if s else []))";

/// The library's file if there is one, else the places that were looked at, in words.
///
/// A place that the user named (`explicit`, or the environment variable) is the only one looked at. `variable`
/// gives the environment's variables.
pub(super) fn locate(
    explicit: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, Vec<String>> {
    let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = explicit {
        return named(path).ok_or_else(|| vec![path.display().to_string()]);
    }
    if let Some(path) = variable(VARIABLE) {
        return named(&path).ok_or_else(|| vec![format!("{} (from {VARIABLE})", path.display())]);
    }
    let mut tried = vec![format!("{VARIABLE}, which is not set")];
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        let Some(prefix) = variable(name) else {
            continue;
        };
        match in_prefix(&prefix) {
            Some(path) => return Ok(path),
            None => tried.push(format!("{} (from {name})", prefix.display())),
        }
    }
    for python in ["python3", "python"] {
        match in_python(python, variable("PATH")) {
            Some(path) => return Ok(path),
            None => tried.push(format!("the packages of {python}")),
        }
    }
    Err(tried)
}

/// Version of the package that `library` lies in, from the name of its `.dist-info` folder.
pub(super) fn package_version(library: &Path) -> Option<String> {
    let package = library.parent()?;
    let prefix = format!("{}-", package.file_name()?.to_str()?);
    entries(package.parent()?).find_map(|entry| {
        let name = entry.file_name()?.to_str()?.strip_suffix(".dist-info")?;
        name.strip_prefix(&prefix).map(str::to_owned)
    })
}

/// The library at `path`: the file itself, or the one in this folder.
fn named(path: &Path) -> Option<PathBuf> {
    if path.is_dir() { file(path.join(FILE_NAME)) } else { file(path.to_owned()) }
}

/// The library in the site-packages of a virtual environment or Python installation.
fn in_prefix(prefix: &Path) -> Option<PathBuf> {
    let in_site = |site: PathBuf| file(site.join("site-packages").join(PACKAGE).join(FILE_NAME));
    if cfg!(windows) {
        return in_site(prefix.join("Lib"));
    }
    let mut pythons: Vec<_> = entries(&prefix.join("lib"))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python3")))
        .collect();
    pythons.sort();
    pythons.into_iter().find_map(in_site)
}

/// Asks a Python on the PATH, which knows its user site, its `.pth` files and its shims better than we do.
fn in_python(python: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    let output = Command::new(python)
        .env("PATH", path?)
        .args(["-c", ASK_PYTHON])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    match folder.trim() {
        "" => None,
        folder => file(Path::new(folder).join(FILE_NAME)),
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn file(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a package in it, as pip leaves it: the folder, and the library's file.
    fn site_packages() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let site = if cfg!(windows) { "Lib/site-packages" } else { "lib/python3.12/site-packages" };
        let site = root.path().join(site);
        std::fs::create_dir_all(site.join(PACKAGE)).unwrap();
        std::fs::create_dir(site.join("ai_edge_quantizer-0.1.dist-info")).unwrap();
        std::fs::create_dir(site.join("ai_edge_litert-2.3.0.dist-info")).unwrap();
        let library = site.join(PACKAGE).join(FILE_NAME);
        std::fs::write(&library, b"").unwrap();
        (root, library)
    }

    /// An environment with these variables alone.
    fn only<'a>(variables: &'a [(&str, &Path)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())
    }

    #[test]
    fn finds_the_library_in_a_virtual_environment() {
        let (root, library) = site_packages();
        assert_eq!(locate(None, only(&[("VIRTUAL_ENV", root.path())])), Ok(library.clone()));
        assert_eq!(locate(None, only(&[("CONDA_PREFIX", root.path())])), Ok(library));
    }

    #[test]
    fn takes_a_file_or_the_folder_it_is_in() {
        let (_root, library) = site_packages();
        let folder = library.parent().unwrap();
        assert_eq!(locate(Some(&library), only(&[])), Ok(library.clone()));
        assert_eq!(locate(Some(folder), only(&[])), Ok(library.clone()));
        assert_eq!(locate(None, only(&[(VARIABLE, folder)])), Ok(library));
    }

    #[test]
    fn a_named_place_is_the_only_one_looked_at() {
        let (root, _library) = site_packages();
        let nowhere = Path::new("/nowhere/lib");
        let active = ("VIRTUAL_ENV", root.path());
        let tried = locate(Some(nowhere), only(&[active])).unwrap_err();
        assert_eq!(tried, ["/nowhere/lib"]);
        let tried = locate(None, only(&[(VARIABLE, nowhere), active])).unwrap_err();
        assert_eq!(tried, ["/nowhere/lib (from LITESMITH_LITERT)"]);
    }

    #[test]
    fn lists_all_places_if_there_is_none() {
        let empty = tempfile::tempdir().unwrap();
        let tried = locate(None, only(&[("VIRTUAL_ENV", empty.path()), ("PATH", empty.path())]));
        let active = format!("{} (from VIRTUAL_ENV)", empty.path().display());
        let unset = "LITESMITH_LITERT, which is not set";
        assert_eq!(tried.unwrap_err(), [unset, &active, "the packages of python3", "the packages of python"]);
    }

    #[cfg(unix)]
    #[test]
    fn asks_the_python_on_the_path() {
        use std::os::unix::fs::PermissionsExt;
        let (root, library) = site_packages();
        let python = root.path().join("python");
        let answer = format!("#!/bin/sh\necho {}\n", library.parent().unwrap().display());
        std::fs::write(&python, answer).unwrap();
        std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(locate(None, only(&[("PATH", root.path())])), Ok(library));
    }

    #[test]
    fn reads_the_version_beside_the_package() {
        let (_root, library) = site_packages();
        assert_eq!(package_version(&library).as_deref(), Some("2.3.0"));
        assert_eq!(package_version(Path::new(FILE_NAME)), None);
    }
}

//! The C interface: `litesmith.h` tells what each function does.
//!
//! Nothing unwinds into the caller: a panic becomes an error.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;

use litesmith::{Calibration, Converter, Options};
use serde_json::{Map, Value};

/// A finished conversion, or why there is none.
pub struct Conversion {
    outcome: Outcome,
}

struct Finished {
    bytes: bytes::Bytes,
    report: CString,
}

struct Failed {
    message: CString,
    problems: CString,
}

type Outcome = Result<Finished, Failed>;

/// # Safety
/// `model` points to `size` bytes; `options` is null or zero-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litesmith_convert(model: *const u8, size: usize, options: *const c_char) -> *mut Conversion {
    guarded(|| {
        if model.is_null() {
            return Err(failed("the model is a null pointer"));
        }
        // SAFETY: the caller vouches for it. The bytes outlive the call, and not the result: so they are copied.
        let bytes = bytes::Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(model, size) });
        // SAFETY: the caller vouches for it.
        let converter = unsafe { converter(options) }?;
        finish(converter.convert_bytes(bytes))
    })
}

/// # Safety
/// `path` is zero-terminated; `options` is null or zero-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litesmith_convert_file(path: *const c_char, options: *const c_char) -> *mut Conversion {
    guarded(|| {
        // SAFETY: the caller vouches for both.
        let (path, converter) = unsafe { (text(path, "the path")?, converter(options)?) };
        finish(converter.convert_file(Path::new(path)))
    })
}

/// # Safety
/// `conversion` is null or what a conversion gave, and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litesmith_error(conversion: *const Conversion) -> *const c_char {
    // SAFETY: the caller vouches for it.
    match unsafe { conversion.as_ref() }.map(|r| &r.outcome) {
        Some(Err(failed)) => failed.message.as_ptr(),
        Some(Ok(_)) => ptr::null(),
        None => c"out of memory".as_ptr(),
    }
}

/// # Safety
/// As [`litesmith_error`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litesmith_problems(conversion: *const Conversion) -> *const c_char {
    // SAFETY: the caller vouches for it.
    match unsafe { conversion.as_ref() }.map(|r| &r.outcome) {
        Some(Err(failed)) => failed.problems.as_ptr(),
        _ => c"[]".as_ptr(),
    }
}

/// # Safety
/// As [`litesmith_error`]; `size` is null or points to a number that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litesmith_bytes(conversion: *const Conversion, size: *mut usize) -> *const u8 {
    // SAFETY: the caller vouches for it.
    let bytes: &[u8] = match unsafe { conversion.as_ref() }.map(|r| &r.outcome) {
        Some(Ok(finished)) => &finished.bytes,
        _ => &[],
    };
    // SAFETY: the caller vouches for it.
    if let Some(size) = unsafe { size.as_mut() } {
        *size = bytes.len();
    }
    if bytes.is_empty() { ptr::null() } else { bytes.as_ptr() }
}

/// # Safety
/// As [`litesmith_error`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litesmith_report(conversion: *const Conversion) -> *const c_char {
    // SAFETY: the caller vouches for it.
    match unsafe { conversion.as_ref() }.map(|r| &r.outcome) {
        Some(Ok(finished)) => finished.report.as_ptr(),
        _ => ptr::null(),
    }
}

/// # Safety
/// As [`litesmith_error`]; nothing that it gave is used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn litesmith_free(conversion: *mut Conversion) {
    if !conversion.is_null() {
        // SAFETY: the caller vouches for it.
        drop(unsafe { Box::from_raw(conversion) });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn litesmith_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

fn guarded(convert: impl FnOnce() -> Outcome) -> *mut Conversion {
    let outcome = catch_unwind(AssertUnwindSafe(convert));
    let outcome = outcome.unwrap_or_else(|_| Err(failed("internal error: a panic; please report it with the model")));
    Box::into_raw(Box::new(Conversion { outcome }))
}

/// # Safety
/// `options` is null or zero-terminated.
unsafe fn converter(options: *const c_char) -> Result<Converter, Failed> {
    if options.is_null() {
        return Ok(Converter::new());
    }
    // SAFETY: the caller vouches for it.
    let json = unsafe { text(options, "the options") }?;
    let mut fields: Map<String, Value> = serde_json::from_str(json).map_err(|e| failed(&format!("options: {e}")))?;
    // Samples are no setting of the crate that JSON could express, but a path to them is.
    let calibration = match fields.remove("calibration") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(Calibration::Path(path.into())),
        Some(_) => return Err(failed("options: calibration is the path of a folder or file")),
    };
    let options = Options::from_json(&Value::Object(fields).to_string()).map_err(|e| failed(&e.to_string()))?;
    Ok(Converter::with_options(Options { calibration, ..options }))
}

/// # Safety
/// `pointer` is null or zero-terminated, and lives as long as what is returned is used.
unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, Failed> {
    if pointer.is_null() {
        return Err(failed(&format!("{what} is a null pointer")));
    }
    // SAFETY: the caller vouches for it.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map_err(|_| failed(&format!("{what}: not UTF-8")))
}

fn finish(result: Result<litesmith::Converted, litesmith::Error>) -> Outcome {
    let converted = result.map_err(|error| of_conversion(&error))?;
    let bytes = converted.bytes().map_err(|error| of_conversion(&error))?;
    let report = serde_json::to_string(&converted.report).map_err(|e| failed(&e.to_string()))?;
    Ok(Finished { bytes, report: c_string(&report) })
}

fn of_conversion(error: &litesmith::Error) -> Failed {
    let litesmith::Error::Unsupported(problems) = error else { return failed(&error.to_string()) };
    let problems = serde_json::to_string(&problems.0).unwrap_or_else(|_| "[]".into());
    Failed { problems: c_string(&problems), ..failed(&error.to_string()) }
}

fn failed(message: &str) -> Failed {
    Failed { message: c_string(message), problems: c"[]".into() }
}

/// Names of models may hold zeros, which C takes for the end.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

//! Holds a model that its build script made of an ONNX file.

/// Aligned as LiteRT wants it.
#[repr(align(16))]
struct Aligned<T: ?Sized>(T);

static DIGITS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/digits.tflite")));

fn main() {
    let model = &DIGITS.0;
    assert_eq!(&model[4..8], b"TFL3");
    println!("a model of {} bytes", model.len());
}

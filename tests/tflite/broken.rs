//! Files with wrong bits, and files cut short: an error or some model, and nothing worse.

use bytes::Bytes;
use litesmith::graph::{Model, verify};
use litesmith::tensor::DType;
use litesmith::tflite::{WriteOptions, read, write};

use super::ops;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Does with the bytes all that one does with a file of unknown origin.
fn handle(bytes: Vec<u8>) -> bool {
    let Ok(model) = read(bytes.into()) else { return false };
    verify(&model);
    if let Ok(written) = write(&model, &WriteOptions::default()) {
        let again = written.to_bytes();
        read(again.clone()).expect("what was written can be read");
    }
    true
}

/// The cases, and again with all their indices in 64 bits, which leave more room to overflow.
fn cases() -> Vec<Model> {
    let mut models: Vec<Model> = ops::all().into_iter().map(|case| case.model).collect();
    let mut wide = models.clone();
    for value in wide.iter_mut().flat_map(|model| &mut model.graphs[0].values) {
        if let Some(data) = value.data.take_if(|data| data.dtype() == DType::I32) {
            value.ty.dtype = DType::I64;
            value.data = Some(data.cast(DType::I64).unwrap());
        }
    }
    models.append(&mut wide);
    models
}

#[test]
fn wrong_bits_never_panic() {
    let files: Vec<Bytes> =
        cases().iter().map(|model| write(model, &WriteOptions::default()).unwrap().to_bytes()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut survived = 0;
    for round in 0..6000 {
        let mut bytes = files[round % files.len()].to_vec();
        let words = bytes.len() / 8 - 1;
        let at = random.below(bytes.len());
        match round % 3 {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => {
                let at = random.below(words) * 8 + 4 * random.below(2);
                let word = [0, 1, -1, 2, 1 << 30, i32::MIN, i32::MAX][random.below(7)];
                bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
            _ => {
                let word = [i64::MIN, i64::MAX, -1, 1 << 40][random.below(4)];
                let at = random.below(words) * 8;
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        survived += usize::from(handle(bytes));
    }
    println!("{survived} of 6000 files with wrong bits were still read");
    assert!(survived > 600, "enough wrong files must get past the format's own checks");
}

#[test]
fn files_cut_short_never_panic() {
    for case in ops::all().iter().step_by(7) {
        let bytes = write(&case.model, &WriteOptions::default()).unwrap().to_bytes();
        for len in (0..bytes.len()).step_by(5) {
            handle(bytes[..len].to_vec());
        }
    }
}

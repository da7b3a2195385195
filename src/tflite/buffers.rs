//! Where the bytes of constants and metadata lie in a file.
//!
//! Inside the flatbuffer while it stays below 2 GB, which is as far as its offsets reach. Past that, constants follow the
//! flatbuffer and `Buffer.offset` says where: old runtimes and microcontrollers don't know of this.

use std::collections::HashMap;

use bytes::Bytes;
use rustc_hash::FxBuildHasher;

use crate::schema::Buffer;

/// Interpreters map files and read weights with wide loads.
const ALIGNMENT: u64 = 16;

/// The buffers of a file that is being put together. Number 0 is the one without data.
pub(super) struct Buffers {
    entries: Vec<Entry>,
    /// Constants by their bytes, so that equal ones are stored once.
    constants: HashMap<Bytes, u32, FxBuildHasher>,
}

struct Entry {
    data: Bytes,
    /// Metadata stay in the flatbuffer, where readers expect them.
    constant: bool,
}

impl Buffers {
    pub fn new() -> Buffers {
        Buffers { entries: vec![Entry { data: Bytes::new(), constant: false }], constants: HashMap::default() }
    }

    /// The number of the buffer that holds `data`, which need not be the constant's alone.
    pub fn constant(&mut self, data: &Bytes) -> u32 {
        if let Some(&number) = self.constants.get(data) {
            return number;
        }
        let number = self.push(data.clone(), true);
        self.constants.insert(data.clone(), number);
        number
    }

    pub fn metadata(&mut self, data: Bytes) -> u32 {
        self.push(data, false)
    }

    fn push(&mut self, data: Bytes, constant: bool) -> u32 {
        let number = self.entries.len();
        self.entries.push(Entry { data, constant });
        // Each entry belongs to a tensor or to metadata, of which there are fewer than 2^31.
        number as u32
    }

    /// Bytes of all constants.
    pub fn constant_bytes(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.constant).map(|entry| entry.data.len() as u64).sum()
    }

    /// The file's buffers, all data in the flatbuffer.
    pub fn inside(&self) -> Vec<Buffer> {
        let buffer = |(number, entry): (usize, &Entry)| Buffer {
            // The empty vector of a constant without elements tells it from a value without data.
            data: (number != 0).then(|| entry.data.clone()),
            ..Buffer::default()
        };
        self.entries.iter().enumerate().map(buffer).collect()
    }

    /// The file's buffers, constants behind a flatbuffer of `flatbuffer` bytes; and the constants with the places they go to.
    pub fn outside(&self, flatbuffer: u64) -> (Vec<Buffer>, Vec<(u64, Bytes)>) {
        let mut buffers = self.inside();
        let mut payloads = Vec::new();
        let mut end = flatbuffer;
        for (buffer, entry) in buffers.iter_mut().zip(&self.entries) {
            if !entry.constant || entry.data.is_empty() {
                continue;
            }
            let offset = end.next_multiple_of(ALIGNMENT);
            *buffer = Buffer { data: None, offset, size: entry.data.len() as u64 };
            payloads.push((offset, entry.data.clone()));
            end = offset + entry.data.len() as u64;
        }
        (buffers, payloads)
    }
}

/// Length of a file whose data end at `end` outside the flatbuffer: kernels read up to 16 bytes past the last weight.
pub(super) fn padded_end(end: u64) -> u64 {
    end.next_multiple_of(ALIGNMENT) + ALIGNMENT
}

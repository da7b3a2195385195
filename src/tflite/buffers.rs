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

    /// The file's buffers, those of constants without their bytes.
    pub fn hollow(&self) -> Vec<Buffer> {
        let buffer = |(number, entry): (usize, &Entry)| Buffer {
            // The empty vector of a constant without elements tells it from a value without data.
            data: (number != 0).then(|| if entry.constant { Bytes::new() } else { entry.data.clone() }),
            ..Buffer::default()
        };
        self.entries.iter().enumerate().map(buffer).collect()
    }

    /// The file's buffers with constants outside of the flatbuffer, at these places.
    pub fn outside(&self, places: &[Place]) -> Vec<Buffer> {
        let mut buffers = self.hollow();
        for place in places {
            buffers[place.number] = Buffer { data: None, offset: place.offset, size: place.data.len() as u64 };
        }
        buffers
    }

    /// Places for all constants that have bytes, one after the other behind `end` bytes, with `gap` bytes of room before each.
    pub fn places(&self, mut end: u64, gap: u64) -> Vec<Place> {
        let mut places = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if !entry.constant || entry.data.is_empty() {
                continue;
            }
            let offset = (end + gap).next_multiple_of(ALIGNMENT);
            places.push(Place { number, offset, data: entry.data.clone() });
            end = offset + entry.data.len() as u64;
        }
        places
    }
}

/// Where the bytes of a constant lie in the file.
pub(super) struct Place {
    /// The number of its buffer.
    pub number: usize,
    pub offset: u64,
    pub data: Bytes,
}

/// The length that stands before the bytes of a vector in a flatbuffer.
pub(super) const LENGTH: u64 = 4;

/// Lets the buffers of a finished flatbuffer, which are empty so far, lead to data that follow it: places are counted from the place
/// itself, and a vector may lie anywhere behind the table it belongs to. So no constant is copied into the flatbuffer.
///
/// `None` where a place is past 32 bits, or the flatbuffer is none of a model with these buffers.
pub(super) fn fill(flatbuffer: &mut [u8], places: &[Place]) -> Option<()> {
    // Fields by number: `Model.buffers` is 4, `Buffer.data` 0.
    let model = follow(flatbuffer, 0)?;
    let buffers = follow(flatbuffer, field(flatbuffer, model, 4)?)?;
    for place in places {
        let table = follow(flatbuffer, buffers + 4 + 4 * place.number)?;
        let at = field(flatbuffer, table, 0)?;
        let distance = u32::try_from(place.offset.checked_sub(LENGTH + at as u64)?).ok()?;
        flatbuffer.get_mut(at..at + 4)?.copy_from_slice(&distance.to_le_bytes());
    }
    Some(())
}

/// Where the offset at `at` leads.
fn follow(bytes: &[u8], at: usize) -> Option<usize> {
    let offset = bytes.get(at..)?.first_chunk()?;
    Some(at + u32::from_le_bytes(*offset) as usize)
}

/// Where the table at `table` holds a field.
fn field(bytes: &[u8], table: usize, number: usize) -> Option<usize> {
    let back = i32::from_le_bytes(*bytes.get(table..)?.first_chunk()?);
    let vtable = usize::try_from(table as i64 - i64::from(back)).ok()?;
    let offset = u16::from_le_bytes(*bytes.get(vtable + 4 + 2 * number..)?.first_chunk()?);
    (offset != 0).then_some(table + usize::from(offset))
}

/// Length of a file whose data end at `end` outside the flatbuffer: kernels read up to 16 bytes past the last weight.
pub(super) fn padded_end(end: u64) -> u64 {
    end.next_multiple_of(ALIGNMENT) + ALIGNMENT
}

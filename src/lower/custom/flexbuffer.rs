//! FlexBuffers, the self-describing format in which TFLite hands options to custom kernels.
//!
//! Written from <https://flatbuffers.dev/internals>, "FlexBuffers". Every number, length and offset takes 8 bytes: options are few.

/// What stands in a buffer.
pub(super) enum Value {
    Int(i64),
    Float(f64),
    Text(String),
    Blob(Vec<u8>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
    Map(Vec<(String, Value)>),
}

/// Types, with the code that the format gives them.
mod code {
    pub const INT: u8 = 1;
    pub const FLOAT: u8 = 3;
    pub const STRING: u8 = 5;
    pub const MAP: u8 = 9;
    pub const VECTOR: u8 = 10;
    pub const VECTOR_INT: u8 = 11;
    pub const VECTOR_FLOAT: u8 = 13;
    pub const BLOB: u8 = 25;
}

const WIDTH: usize = 8;

/// A value as its vector or map holds it: in place, or as the position where it lies.
enum Slot {
    InPlace(u64),
    At(usize),
}

/// The buffer of a map.
pub(super) fn of_map(entries: Vec<(String, Value)>) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    let (slot, ty) = out.value(Value::Map(entries));
    out.slot(slot);
    // The root is read from the end: the width of its offset, its type, the offset.
    out.0.extend([packed(ty), WIDTH as u8]);
    out.0
}

/// A type, with the width of what lies there: 8 is two to the power of 3.
fn packed(ty: u8) -> u8 {
    ty << 2 | 3
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }

    /// Starts what has a length, which stands in front of it; returns where it lies.
    fn start(&mut self, len: usize) -> usize {
        self.0.resize(self.0.len().next_multiple_of(WIDTH), 0);
        self.number(len as u64);
        self.0.len()
    }

    fn slot(&mut self, slot: Slot) {
        let n = match slot {
            Slot::InPlace(n) => n,
            Slot::At(position) => (self.0.len() - position) as u64,
        };
        self.number(n);
    }

    fn bytes(&mut self, bytes: &[u8], end: &[u8]) -> usize {
        let at = self.start(bytes.len());
        self.0.extend(bytes);
        self.0.extend(end);
        self.0.resize(self.0.len().next_multiple_of(WIDTH), 0);
        at
    }

    fn numbers(&mut self, numbers: impl ExactSizeIterator<Item = u64>) -> usize {
        let at = self.start(numbers.len());
        numbers.for_each(|n| self.number(n));
        at
    }

    fn value(&mut self, value: Value) -> (Slot, u8) {
        match value {
            Value::Int(i) => (Slot::InPlace(i as u64), code::INT),
            Value::Float(f) => (Slot::InPlace(f.to_bits()), code::FLOAT),
            Value::Text(text) => (Slot::At(self.bytes(text.as_bytes(), &[0])), code::STRING),
            Value::Blob(bytes) => (Slot::At(self.bytes(&bytes, &[])), code::BLOB),
            Value::Ints(ints) => (Slot::At(self.numbers(ints.iter().map(|&i| i as u64))), code::VECTOR_INT),
            Value::Floats(floats) => (Slot::At(self.numbers(floats.iter().map(|f| f.to_bits()))), code::VECTOR_FLOAT),
            Value::Texts(texts) => {
                let slots = texts.into_iter().map(|text| self.value(Value::Text(text))).collect();
                (Slot::At(self.vector(slots)), code::VECTOR)
            }
            Value::Map(entries) => (Slot::At(self.map(entries)), code::MAP),
        }
    }

    /// Elements, and their types behind them.
    fn vector(&mut self, slots: Vec<(Slot, u8)>) -> usize {
        let at = self.start(slots.len());
        self.elements(slots);
        at
    }

    fn elements(&mut self, slots: Vec<(Slot, u8)>) {
        let types: Vec<u8> = slots.iter().map(|(_, ty)| packed(*ty)).collect();
        slots.into_iter().for_each(|(slot, _)| self.slot(slot));
        self.0.extend(types);
    }

    /// Values in the order of their keys, which readers search by halves; in front of them where the keys lie, and their width.
    fn map(&mut self, mut entries: Vec<(String, Value)>) -> usize {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut keys = Vec::with_capacity(entries.len());
        let mut values = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            keys.push(Slot::At(self.0.len()));
            self.0.extend(key.as_bytes());
            self.0.push(0);
            values.push(self.value(value));
        }
        let keys_at = self.start(keys.len());
        keys.into_iter().for_each(|key| self.slot(key));
        self.slot(Slot::At(keys_at));
        self.number(WIDTH as u64);
        self.number(values.len() as u64);
        let at = self.0.len();
        self.elements(values);
        at
    }
}

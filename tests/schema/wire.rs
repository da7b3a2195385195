//! Writes and reads flatbuffers from the schema's description alone, without any of the generated accessors: the other
//! side that the generated code is compared with.

use std::collections::BTreeMap;

use flatbuffers::{FlatBufferBuilder, Push, UnionWIPOffset, WIPOffset};
use litesmith::schema::{ENUMS, FieldFacts, TABLES, TableFacts, UNIONS, UnionFacts};
use serde_json::{Map, Value, json};

/// The type of a field, resolved.
enum Type {
    Number(&'static str),
    String,
    Numbers(&'static str),
    Table(&'static TableFacts),
    Tables(&'static TableFacts),
    Union(&'static UnionFacts),
}

pub fn table(name: &str) -> &'static TableFacts {
    TABLES.iter().find(|table| table.name == name).expect("a table of the schema")
}

fn resolve(field: &FieldFacts) -> Type {
    let number = |name: &'static str| match ENUMS.iter().find(|declared| declared.name == name) {
        Some(declared) => declared.repr,
        None => name,
    };
    let is_table = |name: &str| TABLES.iter().any(|table| table.name == name);
    match field.type_.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(element) if is_table(element) => Type::Tables(table(element)),
        Some(element) => Type::Numbers(number(element)),
        None if field.type_ == "string" => Type::String,
        None if is_table(field.type_) => Type::Table(table(field.type_)),
        None => match UNIONS.iter().find(|union| union.name == field.type_) {
            Some(union) => Type::Union(union),
            None => Type::Number(number(field.type_)),
        },
    }
}

fn slot(id: u16) -> u16 {
    4 + 2 * id
}

/// Builds tables in which every field is present with a value that is not its default.
pub struct Filler {
    pub b: FlatBufferBuilder<'static>,
    /// Whether deprecated fields are written too.
    pub deprecated: bool,
    count: u64,
    /// How many values each union has got: they take turns, so that all members occur.
    turns: BTreeMap<&'static str, usize>,
}

enum Inline {
    Number(&'static str, u64),
    Offset(WIPOffset<UnionWIPOffset>),
}

impl Filler {
    pub fn new(deprecated: bool) -> Self {
        Self { b: FlatBufferBuilder::new(), deprecated, count: 0, turns: BTreeMap::new() }
    }

    /// A whole file.
    pub fn model(mut self) -> Vec<u8> {
        let root = self.table(table("Model"));
        self.b.finish(root, Some("TFL3"));
        self.b.finished_data().to_vec()
    }

    pub fn table(&mut self, table: &'static TableFacts) -> WIPOffset<UnionWIPOffset> {
        let mut inline = Vec::new();
        let deprecated = self.deprecated;
        for field in table.fields.iter().filter(|field| deprecated || !field.deprecated) {
            let at = slot(field.id);
            match resolve(field) {
                Type::Number(number) => inline.push((at, Inline::Number(number, self.number(number, field.default)))),
                Type::String => {
                    self.count += 1;
                    let text = format!("text {} ✓", self.count);
                    inline.push((at, Inline::Offset(WIPOffset::new(self.b.create_string(&text).value()))));
                }
                Type::Numbers(number) => inline.push((at, Inline::Offset(self.numbers(number)))),
                Type::Table(inner) => inline.push((at, Inline::Offset(self.table(inner)))),
                Type::Tables(inner) => {
                    let items: Vec<_> = (0..elements(inner)).map(|_| self.table(inner)).collect();
                    inline.push((at, Inline::Offset(WIPOffset::new(self.b.create_vector(&items).value()))));
                }
                Type::Union(union) => {
                    let turn = self.turns.entry(union.name).or_default();
                    let member = *turn % union.members.len();
                    *turn += 1;
                    let value = self.table(self::table(union.members[member]));
                    inline.push((at, Inline::Number("u8", member as u64 + 1)));
                    inline.push((at + 2, Inline::Offset(value)));
                }
            }
        }
        let start = self.b.start_table();
        for (at, value) in inline {
            match value {
                Inline::Offset(offset) => self.b.push_slot_always(at, offset),
                Inline::Number(number, value) => push(&mut self.b, at, number, value),
            }
        }
        WIPOffset::new(self.b.end_table(start).value())
    }

    fn number(&mut self, number: &str, default: &str) -> u64 {
        self.count += 1;
        match number {
            "bool" => u64::from(default == "false"),
            // 1 and -1 are the defaults that occur besides 0.
            _ => 2 + self.count % 120,
        }
    }

    fn numbers(&mut self, number: &'static str) -> WIPOffset<UnionWIPOffset> {
        self.count += 1;
        let values: Vec<u64> = (0..self.count % 23).map(|i| (self.count + i) % 120).collect();
        fn vector<T: Push<Output = T> + 'static>(
            b: &mut FlatBufferBuilder<'static>,
            values: impl Iterator<Item = T>,
        ) -> u32 {
            let values: Vec<T> = values.collect();
            b.create_vector(&values).value()
        }
        let (b, values) = (&mut self.b, values.into_iter());
        WIPOffset::new(match number {
            "bool" => vector(b, values.map(|v| v % 2 == 1)),
            "uint8" => vector(b, values.map(|v| v as u8)),
            "uint16" => vector(b, values.map(|v| v as u16)),
            "int32" => vector(b, values.map(|v| v as i32)),
            "u32" => vector(b, values.map(|v| v as u32)),
            "int64" => vector(b, values.map(|v| v as i64)),
            "float32" => vector(b, values.map(|v| v as f32 + 0.5)),
            other => panic!("a vector of {other}"),
        })
    }
}

/// Enough elements for all members of the unions that one element has a share of.
fn elements(table: &TableFacts) -> usize {
    let of = |field: &FieldFacts| match resolve(field) {
        Type::Union(union) => union.members.len(),
        Type::Table(inner) => elements(inner),
        _ => 2,
    };
    table.fields.iter().map(of).max().unwrap_or(2)
}

fn push(b: &mut FlatBufferBuilder<'_>, at: u16, number: &str, value: u64) {
    match number {
        "bool" => b.push_slot_always(at, value == 1),
        "uint8" | "u8" => b.push_slot_always(at, value as u8),
        "int8" | "i8" => b.push_slot_always(at, value as i8),
        "int32" | "i32" => b.push_slot_always(at, value as i32),
        "uint32" | "u32" => b.push_slot_always(at, value as u32),
        "int64" => b.push_slot_always(at, value as i64),
        "uint64" => b.push_slot_always(at, value),
        "float32" => b.push_slot_always(at, value as f32 + 0.5),
        other => panic!("a field of {other}"),
    }
}

/// What a file holds, field by field; absent fields are left out.
pub struct Dump {
    pub value: Value,
    /// How often each table was met.
    pub tables: BTreeMap<&'static str, usize>,
}

pub fn dump(file: &[u8]) -> Dump {
    let mut reader = Reader { file, tables: BTreeMap::new() };
    let value = reader.table(reader.target(0), table("Model"));
    Dump { value, tables: reader.tables }
}

struct Reader<'a> {
    file: &'a [u8],
    tables: BTreeMap<&'static str, usize>,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.file[at..at + N].try_into().expect("N bytes")
    }

    /// Where the offset at this position points to.
    fn target(&self, at: usize) -> usize {
        at + u32::from_le_bytes(self.bytes(at)) as usize
    }

    fn table(&mut self, at: usize, table: &'static TableFacts) -> Value {
        *self.tables.entry(table.name).or_default() += 1;
        let vtable = (at as i64 - i64::from(i32::from_le_bytes(self.bytes(at)))) as usize;
        let vtable_length = u16::from_le_bytes(self.bytes(vtable));
        let position = |reader: &Self, slot: u16| {
            let inside = slot < vtable_length;
            let offset = if inside { u16::from_le_bytes(reader.bytes(vtable + usize::from(slot))) } else { 0 };
            (offset != 0).then(|| at + usize::from(offset))
        };
        let mut fields = Map::new();
        for field in table.fields {
            let Some(at) = position(self, slot(field.id)) else { continue };
            let value = match resolve(field) {
                Type::Number(number) => self.number(at, number),
                Type::String => json!(String::from_utf8(self.vector(self.target(at)).to_vec()).expect("UTF-8")),
                Type::Numbers(number) => self.numbers(self.target(at), number),
                Type::Table(inner) => self.table(self.target(at), inner),
                Type::Tables(inner) => self.tables(self.target(at), inner),
                Type::Union(union) => {
                    let member = union.members[usize::from(self.file[at]) - 1];
                    let at = position(self, slot(field.id + 1)).expect("a value beside the tag");
                    json!({ member: self.table(self.target(at), self::table(member)) })
                }
            };
            fields.insert(field.name.to_owned(), value);
        }
        Value::Object(fields)
    }

    /// The bytes of a vector of bytes.
    fn vector(&self, at: usize) -> &[u8] {
        &self.file[at + 4..at + 4 + u32::from_le_bytes(self.bytes(at)) as usize]
    }

    fn tables(&mut self, at: usize, table: &'static TableFacts) -> Value {
        let length = u32::from_le_bytes(self.bytes(at)) as usize;
        (0..length).map(|i| self.table(self.target(at + 4 + 4 * i), table)).collect()
    }

    fn numbers(&self, at: usize, number: &str) -> Value {
        let length = u32::from_le_bytes(self.bytes(at)) as usize;
        let size = match number {
            "bool" | "uint8" => 1,
            "uint16" => 2,
            "int64" => 8,
            _ => 4,
        };
        (0..length).map(|i| self.number(at + 4 + size * i, number)).collect()
    }

    fn number(&self, at: usize, number: &str) -> Value {
        match number {
            "bool" => json!(self.file[at] != 0),
            "uint8" => json!(self.file[at]),
            "int8" | "i8" => json!(self.file[at] as i8),
            "uint16" => json!(u16::from_le_bytes(self.bytes(at))),
            "int32" | "i32" => json!(i32::from_le_bytes(self.bytes(at))),
            "uint32" | "u32" => json!(u32::from_le_bytes(self.bytes(at))),
            "int64" => json!(i64::from_le_bytes(self.bytes(at))),
            "uint64" => json!(u64::from_le_bytes(self.bytes(at))),
            "float32" => json!(f32::from_le_bytes(self.bytes(at))),
            other => panic!("a number of type {other}"),
        }
    }
}

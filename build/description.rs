//! The schema, reduced to what the emitter needs: names, ids, Rust types, defaults.
//!
//! Features of the flatbuffers language that the TFLite schema does not use (structs, arrays, required fields, vectors
//! of unions) stop the build here, with the name of the place, rather than producing code nobody has tried.

use planus_types::ast::{Docstrings, FloatType, IntegerType};
use planus_types::intermediate::{
    AssignMode, DeclarationIndex, DeclarationKind, Declarations, Literal, SimpleType, TableField, TypeKind,
};

pub struct Schema {
    pub enums: Vec<Enum>,
    pub unions: Vec<Union>,
    pub tables: Vec<Table>,
}

pub struct Enum {
    pub name: String,
    pub doc: Vec<String>,
    /// Rust integer type.
    pub repr: &'static str,
    pub members: Vec<EnumMember>,
}

pub struct EnumMember {
    pub name: String,
    pub doc: Vec<String>,
    pub value: String,
}

pub struct Union {
    pub name: String,
    pub doc: Vec<String>,
    /// Names of tables; the tag of a member is its position plus 1.
    pub members: Vec<String>,
}

pub struct Table {
    pub name: String,
    pub doc: Vec<String>,
    pub fields: Vec<Field>,
}

pub struct Field {
    /// As in the schema.
    pub name: String,
    pub doc: Vec<String>,
    /// Of a union: the id of the tag; the value has the next one.
    pub id: u32,
    pub type_: Type,
    pub deprecated: bool,
    /// Alignment that the schema asks of the data of a vector, in bytes from the start of the file; 0 for none.
    pub force_align: u32,
}

pub enum Type {
    Scalar(Scalar),
    String,
    /// `[ubyte]`, shared rather than copied when it is read.
    Bytes,
    /// Elements are scalars of this Rust type.
    Vector(Scalar),
    Table(String),
    Tables(String),
    Union(String),
}

pub struct Scalar {
    /// Rust type; for an enum, its name.
    pub rust: String,
    /// As the schema language calls it.
    pub name: String,
    pub size: u32,
    /// A Rust literal of the underlying type; empty for the element of a vector.
    pub default: String,
    pub is_enum: bool,
}

impl Schema {
    pub fn from_declarations(declarations: &Declarations) -> Self {
        let mut schema = Schema { enums: Vec::new(), unions: Vec::new(), tables: Vec::new() };
        for (index, _, declaration) in declarations.iter_declarations() {
            let name = name_of(declarations, index);
            let doc = doc(&declaration.docstrings);
            match &declaration.kind {
                DeclarationKind::Enum(declared) => schema.enums.push(Enum {
                    name,
                    doc,
                    repr: integer(&declared.type_).0,
                    members: declared
                        .variants
                        .iter()
                        .map(|(value, variant)| EnumMember {
                            name: variant.name.clone(),
                            doc: self::doc(&variant.docstrings),
                            value: value.to_string(),
                        })
                        .collect(),
                }),
                DeclarationKind::Union(declared) => schema.unions.push(Union {
                    name,
                    doc,
                    members: declared
                        .variants
                        .values()
                        .map(|variant| match variant.type_.kind {
                            TypeKind::Table(table) => name_of(declarations, table),
                            _ => panic!("a union holds something that is no table"),
                        })
                        .collect(),
                }),
                DeclarationKind::Table(declared) => {
                    let fields = declared
                        .fields
                        .iter()
                        .map(|(field, declared)| Field::from_declaration(declarations, &name, field, declared))
                        .collect();
                    schema.tables.push(Table { name, doc, fields });
                }
                other => panic!("{name}: a {} is not supported", other.kind_as_str()),
            }
        }
        schema
    }
}

impl Field {
    fn from_declaration(declarations: &Declarations, table: &str, name: &str, field: &TableField) -> Self {
        let type_ = match &field.type_.kind {
            TypeKind::SimpleType(simple) => Type::Scalar(scalar(declarations, simple, default(table, name, field))),
            TypeKind::String => Type::String,
            TypeKind::Table(index) => Type::Table(name_of(declarations, *index)),
            TypeKind::Union(index) => Type::Union(name_of(declarations, *index)),
            TypeKind::Vector(element) => match &element.kind {
                TypeKind::SimpleType(SimpleType::Integer(IntegerType::U8)) => Type::Bytes,
                TypeKind::SimpleType(simple) => Type::Vector(scalar(declarations, simple, String::new())),
                TypeKind::Table(index) => Type::Tables(name_of(declarations, *index)),
                _ => panic!("{table}.{name}: a vector of this kind is not supported"),
            },
            TypeKind::Array(..) => panic!("{table}.{name}: an array is not supported"),
        };
        assert!(!matches!(field.assign_mode, AssignMode::Required), "{table}.{name}: `required` is not supported");

        // The builder aligns every vector to its length prefix and its elements; only bytes can have more than that.
        let force_align = field.forced_alignment.map_or(0, |(bytes, _)| bytes);
        let natural = match &type_ {
            Type::Bytes => u32::MAX,
            Type::Vector(element) => element.size.max(4),
            _ => 0,
        };
        assert!(force_align <= natural, "{table}.{name}: this `force_align` is supported for [ubyte] only");
        Field {
            name: name.to_owned(),
            doc: doc(&field.docstrings),
            id: field.vtable_index,
            type_,
            deprecated: field.deprecated,
            force_align,
        }
    }

    /// The field's name in Rust.
    pub fn rust_name(&self) -> &str {
        match self.name.as_str() {
            "type" => "type_",
            name => name,
        }
    }

    /// Where the vtable holds the position of the field.
    pub fn slot(&self) -> u32 {
        4 + 2 * self.id
    }

    /// Whether the table holds an offset to the value rather than the value.
    pub fn is_offset(&self) -> bool {
        !matches!(self.type_, Type::Scalar(_))
    }

    /// Bytes that the field takes inside its table.
    pub fn inline_size(&self) -> u32 {
        match &self.type_ {
            Type::Scalar(scalar) => scalar.size,
            _ => 4,
        }
    }
}

impl Table {
    /// Fields that writers still write.
    pub fn live_fields(&self) -> impl Iterator<Item = &Field> + Clone {
        self.fields.iter().filter(|field| !field.deprecated)
    }
}

impl Scalar {
    /// The default as a value of the Rust type.
    pub fn default_value(&self) -> String {
        if self.is_enum { format!("{}({})", self.rust, self.default) } else { self.default.clone() }
    }

    /// Whether Rust's `Default` gives the schema's default.
    pub fn defaults_to_zero(&self) -> bool {
        matches!(self.default.as_str(), "0" | "0.0" | "false")
    }
}

fn scalar(declarations: &Declarations, simple: &SimpleType, default: String) -> Scalar {
    let ((rust, size), is_enum, name) = match simple {
        SimpleType::Bool => (("bool", 1), false, "bool".to_owned()),
        SimpleType::Integer(type_) => (integer(type_), false, type_.flatbuffer_name().to_owned()),
        SimpleType::Float(FloatType::F32) => (("f32", 4), false, "float32".to_owned()),
        SimpleType::Float(FloatType::F64) => (("f64", 8), false, "float64".to_owned()),
        SimpleType::Enum(index) => match &declarations.get_declaration(*index).1.kind {
            DeclarationKind::Enum(declared) => (integer(&declared.type_), true, name_of(declarations, *index)),
            _ => unreachable!("the parser says it is an enum"),
        },
        SimpleType::Struct(_) => panic!("a struct is not supported"),
    };
    let rust = if is_enum { name.clone() } else { rust.to_owned() };
    Scalar { rust, name, size, default, is_enum }
}

fn integer(type_: &IntegerType) -> (&'static str, u32) {
    let rust = match type_ {
        IntegerType::U8 => "u8",
        IntegerType::I8 => "i8",
        IntegerType::U16 => "u16",
        IntegerType::I16 => "i16",
        IntegerType::U32 => "u32",
        IntegerType::I32 => "i32",
        IntegerType::U64 => "u64",
        IntegerType::I64 => "i64",
    };
    (rust, type_.byte_size())
}

fn default(table: &str, name: &str, field: &TableField) -> String {
    match &field.assign_mode {
        AssignMode::HasDefault(
            literal @ (Literal::Bool(_) | Literal::Int(_) | Literal::Float(_) | Literal::EnumTag { .. }),
        ) => literal.to_string(),
        _ => panic!("{table}.{name}: a scalar without a default is not supported"),
    }
}

fn name_of(declarations: &Declarations, index: DeclarationIndex) -> String {
    declarations.get_declaration(index).0.0.last().expect("declarations have names").clone()
}

fn doc(docstrings: &Docstrings) -> Vec<String> {
    docstrings.docstrings.iter().map(|line| line.value.trim().to_owned()).collect()
}

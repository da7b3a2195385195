//! The `.tflite` flatbuffer: enums, views, objects and packing for every table of `schema/tflite.fbs`.
//!
//! The build script generates the types; this file holds what they have in common. For a table `Tensor` there is
//!
//! - [`TensorRef`], a view: one accessor a field, nothing copied. Scalars come with the schema's default, everything
//!   else is an `Option`, a union an enum of views ([`BuiltinOptionsRef`]).
//! - [`Tensor`], an object that owns its fields, whose `Default` is the schema's. Absent and empty vectors stay distinct.
//!   Byte vectors are [`Bytes`], so that weights are shared with the file they came from.
//! - [`TensorArgs`] and [`Tensor::create`], for tables that hold offsets: writes the table from parts that are in the
//!   builder already. [`Table::pack`] of the object goes through it.
//!
//! Enums are newtypes and keep values that the schema does not know. Of a union member that the schema does not know,
//! a view tells the tag; [`Ref::unpack`] fails, because the object could not be written again without losing it.
//! A known tag without a value, which some writers produce, reads as `None`. Deprecated fields are not part of objects.
//!
//! Every file goes through [`root_as_model`], which verifies it whole: the accessors rely on that and do not check again.
//! This room knows the format and nothing of what the fields mean.

use std::marker::PhantomData;

use bytes::Bytes;
use flatbuffers::{
    FLATBUFFERS_MAX_BUFFER_SIZE, FlatBufferBuilder, Follow, ForwardsUOffset, Push, PushAlignment,
    SimpleToVerifyInSlice, Table as RawTable, TableFinishedWIPOffset, TableUnfinishedWIPOffset, TableVerifier,
    UnionWIPOffset, VOffsetT, Vector, Verifiable, Verifier, VerifierOptions, WIPOffset,
};

pub use flatbuffers::InvalidFlatbuffer;

/// Bytes 4 to 8 of every `.tflite` file.
pub const FILE_IDENTIFIER: &str = "TFL3";

/// What [`Model::version`] says in every file.
pub const MODEL_VERSION: u32 = 3;

type Verified<T> = Result<T, InvalidFlatbuffer>;

/// A union packed into a builder: its tag and its value.
pub type UnionOffset = Option<(u8, WIPOffset<UnionWIPOffset>)>;

/// A union has a member that this schema does not know; the file was made for a newer runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file uses member {tag} of the union {union}, which is newer than this program's schema")]
pub struct UnknownMember {
    pub union: &'static str,
    pub tag: u8,
}

/// Why a file could not be read into a [`Model`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    #[error("not a valid .tflite file: {0}")]
    Invalid(#[from] InvalidFlatbuffer),
    #[error(transparent)]
    UnknownMember(#[from] UnknownMember),
}

/// A model does not fit into a flatbuffer, whose offsets reach 2 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model is larger than 2 GiB and cannot be one flatbuffer; keep its constants outside")]
pub struct TooLarge;

/// Whether the file says that it is a `.tflite` model. Interpreters insist on it.
pub fn has_identifier(file: &[u8]) -> bool {
    file.get(4..8) == Some(FILE_IDENTIFIER.as_bytes())
}

/// Verifies a file and gives a view of it. Data behind the flatbuffer (see [`Buffer::offset`]) are allowed and left alone.
///
/// # Errors
/// An offset, vector or string that reaches outside the file, overlapping parts whose sum is far larger than the file,
/// a name that is not UTF-8.
pub fn root_as_model(file: &[u8]) -> Result<ModelRef<'_>, InvalidFlatbuffer> {
    // Offsets inside a flatbuffer are signed 32-bit numbers: nothing of it lies beyond 2 GiB.
    let flatbuffer = &file[..file.len().min(FLATBUFFERS_MAX_BUFFER_SIZE)];
    let options = VerifierOptions {
        // The longest chain of tables in the schema: model, subgraph, tensor, sparsity, dimension, indices.
        max_depth: 6,
        // A table takes 4 bytes and an offset to it 4 more.
        max_tables: flatbuffer.len() / 8 + 1,
        // Writers share vtables and may share strings and vectors; a file that expands further is an attack.
        max_apparent_size: flatbuffer.len().saturating_mul(16),
        ignore_missing_null_terminator: true,
    };
    flatbuffers::root_with_opts::<ModelRef<'_>>(&options, flatbuffer)
}

/// A table of the schema, as an object that owns its fields.
pub trait Table: Sized {
    const NAME: &'static str;

    /// Checks the fields of a table whose vtable is sound.
    fn verify<'v, 'o, 'b>(table: TableVerifier<'v, 'o, 'b>) -> Verified<TableVerifier<'v, 'o, 'b>>;

    /// See [`Ref::unpack`].
    fn unpack(view: Ref<'_, Self>, source: &Bytes) -> Result<Self, UnknownMember>;

    /// Writes the object, its parts first.
    fn pack<'b>(&self, b: &mut FlatBufferBuilder<'b>) -> WIPOffset<Ref<'b, Self>>;
}

/// A union of the schema, as an object.
pub trait Union: Sized {
    const NAME: &'static str;
    /// Names of the members; the first one has tag 1.
    const MEMBERS: &'static [&'static str];
    type Ref<'a>;

    fn tag(&self) -> u8;
    /// Checks the value at `position`. The value of an unknown member cannot be checked, and is never followed.
    fn verify(tag: u8, v: &mut Verifier, position: usize) -> Verified<()>;
    fn view(tag: u8, value: RawTable<'_>) -> Self::Ref<'_>;
    fn absent<'a>() -> Self::Ref<'a>;
    fn unpack(view: Self::Ref<'_>, source: &Bytes) -> Result<Self, UnknownMember>;
    fn pack(&self, b: &mut FlatBufferBuilder<'_>) -> UnionOffset;

    /// Name of the member, as in the schema.
    fn name(&self) -> &'static str {
        let position = usize::from(self.tag()).checked_sub(1);
        position.and_then(|position| Self::MEMBERS.get(position)).copied().unwrap_or("NONE")
    }
}

/// A view of a table inside a verified flatbuffer: the only way to one is through [`root_as_model`].
pub struct Ref<'a, T> {
    table: RawTable<'a>,
    object: PhantomData<fn() -> T>,
}

impl<'a, T> Ref<'a, T> {
    fn new(table: RawTable<'a>) -> Self {
        Self { table, object: PhantomData }
    }

    fn read<S: Follow<'a, Inner = S> + 'a>(self, slot: VOffsetT, default: S) -> S {
        // SAFETY: the table is verified, and generated code names the type that `Table::verify` checked in this slot.
        unsafe { self.table.get::<S>(slot, None) }.unwrap_or(default)
    }

    fn follow_offset<O: Follow<'a, Inner = O> + 'a>(self, slot: VOffsetT) -> Option<O> {
        // SAFETY: as in `read`.
        unsafe { self.table.get::<ForwardsUOffset<O>>(slot, None) }
    }

    fn read_bytes(self, slot: VOffsetT) -> Option<&'a [u8]> {
        self.follow_offset::<Vector<'a, u8>>(slot).map(|vector| vector.bytes())
    }

    fn read_union<U: Union>(self, slot: VOffsetT) -> U::Ref<'a> {
        let tag = self.read::<u8>(slot, 0);
        // A value of a member that this schema does not know was not verified; as a raw table it is a mere position.
        match self.follow_offset::<RawTable<'a>>(slot + 2) {
            Some(value) => U::view(tag, value),
            None => U::absent(),
        }
    }
}

impl<T: Table> Ref<'_, T> {
    /// Copies the table into an object. Byte vectors become slices of `source` when they lie in it (it is then kept
    /// alive by them), and are copied otherwise.
    ///
    /// # Errors
    /// A union somewhere below has a member that this schema does not know.
    pub fn unpack(self, source: &Bytes) -> Result<T, UnknownMember> {
        T::unpack(self, source)
    }
}

impl<T> Clone for Ref<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<'_, T> {}

impl<T: Table> std::fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", T::NAME, self.table.loc())
    }
}

impl<'a, T> Follow<'a> for Ref<'a, T> {
    type Inner = Self;

    unsafe fn follow(buffer: &'a [u8], position: usize) -> Self {
        // SAFETY: the caller vouches for the table at this position.
        Self::new(unsafe { RawTable::new(buffer, position) })
    }
}

impl<T: Table> Verifiable for Ref<'_, T> {
    fn run_verifier(v: &mut Verifier, position: usize) -> Verified<()> {
        T::verify(v.visit_table(position)?)?.finish();
        Ok(())
    }
}

/// Checks the union whose tag is in `slot`. More lenient than [`TableVerifier::visit_union`]: files exist that have a
/// tag without a value.
fn verify_union<'v, 'o, 'b, U: Union>(
    mut table: TableVerifier<'v, 'o, 'b>,
    slot: VOffsetT,
) -> Verified<TableVerifier<'v, 'o, 'b>> {
    let tag = match table.deref(slot)? {
        Some(position) => table.verifier().get_u8(position)?,
        None => 0,
    };
    if let Some(position) = table.deref(slot + 2)? {
        // The offset itself is followed for unknown members too.
        table.verifier().get_uoffset(position)?;
        U::verify(tag, table.verifier(), position)?;
    }
    Ok(table)
}

/// `bytes` as a part of `source`, or a copy when they are none.
fn share(source: &Bytes, bytes: &[u8]) -> Bytes {
    let (outer, inner) = (source.as_ptr_range(), bytes.as_ptr_range());
    if outer.start <= inner.start && inner.end <= outer.end {
        source.slice_ref(bytes)
    } else {
        Bytes::copy_from_slice(bytes)
    }
}

fn unpack_boxed<T: Table>(view: Option<Ref<'_, T>>, source: &Bytes) -> Result<Option<Box<T>>, UnknownMember> {
    view.map(|view| T::unpack(view, source).map(Box::new)).transpose()
}

fn unpack_tables<'a, T: Table>(
    views: Option<Vector<'a, ForwardsUOffset<Ref<'a, T>>>>,
    source: &Bytes,
) -> Result<Option<Vec<T>>, UnknownMember> {
    views.map(|views| views.iter().map(|view| T::unpack(view, source)).collect()).transpose()
}

/// Packs objects into a vector of tables.
pub fn pack_tables<'b, T: Table>(
    b: &mut FlatBufferBuilder<'b>,
    tables: &[T],
) -> WIPOffset<Vector<'b, ForwardsUOffset<Ref<'b, T>>>> {
    let offsets: Vec<_> = tables.iter().map(|table| table.pack(b)).collect();
    b.create_vector(&offsets)
}

/// Packs a byte vector whose data start at a multiple of `ALIGN` bytes from the start of the finished file.
///
/// The bytes are copied once. [`Buffer::data`] wants an alignment of 16.
pub fn pack_bytes<'b, const ALIGN: usize>(b: &mut FlatBufferBuilder<'b>, bytes: &[u8]) -> WIPOffset<Vector<'b, u8>> {
    // The builder writes from the end of the file to its start: `start_vector` pads behind the data. It also raises the
    // alignment of the whole, so that positions keep their alignment when they are counted from the start.
    b.start_vector::<Aligned<ALIGN>>(bytes.len());
    let rest = push_blocks::<4096>(b, bytes);
    let rest = push_blocks::<64>(b, rest);
    push_blocks::<1>(b, rest);
    b.end_vector::<u8>(bytes.len())
}

/// Pushes blocks of `N` bytes from the end of `bytes`, and returns what is left at the start.
fn push_blocks<'s, const N: usize>(b: &mut FlatBufferBuilder<'_>, bytes: &'s [u8]) -> &'s [u8] {
    let (rest, blocks) = bytes.as_rchunks::<N>();
    blocks.iter().rev().for_each(|block| {
        b.push(Block(block));
    });
    rest
}

/// A byte of a vector whose start is aligned to `N` bytes.
struct Aligned<const N: usize>;

impl<const N: usize> Push for Aligned<N> {
    type Output = u8;

    unsafe fn push(&self, destination: &mut [u8], _written: usize) {
        destination.fill(0);
    }

    fn alignment() -> PushAlignment {
        PushAlignment::new(N)
    }
}

/// Bytes that are pushed in one piece, as part of a vector that is aligned already.
struct Block<'s, const N: usize>(&'s [u8; N]);

impl<const N: usize> Push for Block<'_, N> {
    type Output = [u8; N];

    unsafe fn push(&self, destination: &mut [u8], _written: usize) {
        destination.copy_from_slice(self.0);
    }
}

fn push_offset<T>(b: &mut FlatBufferBuilder<'_>, slot: VOffsetT, offset: Option<WIPOffset<T>>) {
    if let Some(offset) = offset {
        b.push_slot_always(slot, offset);
    }
}

fn finish_table<'b, T>(
    b: &mut FlatBufferBuilder<'b>,
    start: WIPOffset<TableUnfinishedWIPOffset>,
) -> WIPOffset<Ref<'b, T>> {
    let table: WIPOffset<TableFinishedWIPOffset> = b.end_table(start);
    WIPOffset::new(table.value())
}

/// Ends a file: root offset, file identifier, padding.
pub fn finish_model<'b>(b: &mut FlatBufferBuilder<'b>, model: WIPOffset<ModelRef<'b>>) {
    b.finish(model, Some(FILE_IDENTIFIER));
}

impl Model {
    /// Reads a whole file; its constants stay slices of `file`.
    ///
    /// # Errors
    /// See [`root_as_model`] and [`Ref::unpack`].
    pub fn from_bytes(file: &Bytes) -> Result<Self, ReadError> {
        Ok(root_as_model(file)?.unpack(file)?)
    }

    /// Packs a whole file, with all data inside the flatbuffer.
    ///
    /// # Errors
    /// The file would be larger than a flatbuffer can be.
    pub fn to_bytes(&self) -> Result<Bytes, TooLarge> {
        let buffers = self.buffers.iter().flatten();
        let data: usize = buffers.map(|buffer| buffer.data.as_ref().map_or(0, |data| data.len() + 64)).sum();
        // Room for all data keeps the builder from moving them when it grows; the rest is small beside them.
        let capacity = data + (64 << 10);
        if capacity > FLATBUFFERS_MAX_BUFFER_SIZE {
            return Err(TooLarge);
        }
        let mut b = FlatBufferBuilder::with_capacity(capacity);
        let model = self.pack(&mut b);
        finish_model(&mut b, model);
        let (file, start) = b.collapse();
        let file = Bytes::from(file).slice(start..);
        if file.len() <= FLATBUFFERS_MAX_BUFFER_SIZE { Ok(file) } else { Err(TooLarge) }
    }
}

impl OperatorCode {
    /// A builtin operator, written so that old runtimes understand it too.
    pub fn builtin(operator: BuiltinOperator, version: i32) -> Self {
        let placeholder = BuiltinOperator::PLACEHOLDER_FOR_GREATER_OP_CODES;
        Self {
            deprecated_builtin_code: i8::try_from(operator.min(placeholder).0).unwrap_or_default(),
            builtin_code: operator,
            version,
            custom_code: None,
        }
    }

    /// The operator, from whichever field holds it.
    pub fn operator(&self) -> BuiltinOperator {
        resolve(self.builtin_code, self.deprecated_builtin_code)
    }
}

impl OperatorCodeRef<'_> {
    /// The operator, from whichever field holds it.
    pub fn operator(self) -> BuiltinOperator {
        resolve(self.builtin_code(), self.deprecated_builtin_code())
    }
}

/// Files older than the field `builtin_code` have 0 there; newer ones have at most the placeholder in the other field.
fn resolve(code: BuiltinOperator, deprecated: i8) -> BuiltinOperator {
    code.max(BuiltinOperator(deprecated.into()))
}

/// What the newtype of an enum can do.
macro_rules! enumeration {
    ($name:ident, $repr:ident) => {
        impl $name {
            /// The name in the schema, for values that it knows.
            pub fn name(self) -> Option<&'static str> {
                let at = Self::MEMBERS.binary_search_by_key(&self, |member| member.0);
                at.ok().and_then(|at| Self::MEMBERS.get(at)).map(|member| member.1)
            }

            /// The value that has this name in the schema.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::MEMBERS.iter().find(|member| member.1 == name).map(|member| member.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "{}({})", stringify!($name), self.0),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl<'a> Follow<'a> for $name {
            type Inner = Self;

            unsafe fn follow(buffer: &'a [u8], position: usize) -> Self {
                // SAFETY: the caller vouches for an integer of this type at this position.
                Self(unsafe { $repr::follow(buffer, position) })
            }
        }

        impl Push for $name {
            type Output = Self;

            unsafe fn push(&self, destination: &mut [u8], written: usize) {
                // SAFETY: the newtype has the size and alignment of the integer in it.
                unsafe { self.0.push(destination, written) }
            }
        }

        impl Verifiable for $name {
            fn run_verifier(v: &mut Verifier, position: usize) -> Verified<()> {
                $repr::run_verifier(v, position)
            }
        }

        impl SimpleToVerifyInSlice for $name {}
    };
}

/// An enum of the schema, as data.
#[derive(Debug)]
pub struct EnumFacts {
    pub name: &'static str,
    /// Rust name of the underlying type.
    pub repr: &'static str,
    pub members: &'static [(&'static str, i64)],
}

/// A union of the schema, as data.
#[derive(Debug)]
pub struct UnionFacts {
    pub name: &'static str,
    /// The tag of a member is its position plus 1.
    pub members: &'static [&'static str],
}

/// A table of the schema, as data.
#[derive(Debug)]
pub struct TableFacts {
    pub name: &'static str,
    pub fields: &'static [FieldFacts],
}

/// A field of a table, as data.
#[derive(Debug)]
pub struct FieldFacts {
    pub name: &'static str,
    /// Of a union: the id of its tag; the value has the next one.
    pub id: u16,
    /// As in the schema, with sized names for numbers: `int32`, `[float32]`, `Padding`, `[Tensor]`.
    pub type_: &'static str,
    /// A scalar's default as a number or `true` and `false`; empty for everything else.
    pub default: &'static str,
    pub deprecated: bool,
    /// In bytes; 0 where the schema does not ask for any.
    pub force_align: u8,
}

pub use generated::*;

// Functions are written to one pattern, whether or not a table has a use for all their parameters; constants are
// spelled as in the schema.
#[allow(unused_variables, non_upper_case_globals)]
mod generated {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/tflite_schema.rs"));
}

//! The bytes of state values and accumulators; `wit/values.md` is the specification.
//!
//! Little-endian numbers of fixed width, a byte for a boolean, a `u32` length before text, bytes and lists, a tag byte
//! before what may be absent, a record's fields in order. A type of which every value has the same length lives in a
//! dense array, and is read and written in place.

use crate::decimal::Decimal;
use crate::error::Error;
use crate::record::{Field, Record};
use crate::time::{Date, Duration, Timestamp};

/// A type that state can hold: every field type that owns its data, and so every record without a lifetime.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in state",
    label = "not a type of state",
    note = "state holds numbers, bool, String, Vec<u8>, [u8; N], times, and Option<T>, Vec<T> and records of these",
    note = "a record that borrows from its batch cannot outlive it: write one with owned fields"
)]
pub trait Data: for<'a> Field<'a> + 'static {
    /// The length of every value, if they have one.
    #[doc(hidden)]
    const WIDTH: Option<usize>;
    #[doc(hidden)]
    fn encode<S: Sink>(&self, sink: &mut S);
    /// Takes a value from the front of `bytes`. Panics when there is none: the state is not of this type.
    #[doc(hidden)]
    fn decode(bytes: &mut &[u8]) -> Self;
    #[doc(hidden)]
    fn encode_list<S: Sink>(items: &[Self], sink: &mut S) {
        for item in items {
            item.encode(sink);
        }
    }
    #[doc(hidden)]
    fn decode_list(count: usize, bytes: &mut &[u8]) -> Vec<Self> {
        (0..count).map(|_| Self::decode(bytes)).collect()
    }
}

/// A value of a state from its bytes, for [`Process::migrate`](crate::Process::migrate): `T` is what the version that wrote
/// them declared, its fields in the same order.
///
/// # Panics
/// If the bytes end early: they are of another type.
pub fn decode_value<T: Data>(mut value: &[u8]) -> Result<T, Error> {
    let decoded = T::decode(&mut value);
    match value.len() {
        0 => Ok(decoded),
        rest => Err(format!("a value has {rest} bytes more than its type").into()),
    }
}

/// The bytes of a value of a state, for [`Process::migrate`](crate::Process::migrate).
pub fn encode_value<T: Data>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

/// Where encoded values go.
#[doc(hidden)]
pub trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A slot that is exactly as long as what goes into it.
impl Sink for &mut [u8] {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        let (slot, rest) = std::mem::take(self).split_at_mut(bytes.len());
        slot.copy_from_slice(bytes);
        *self = rest;
    }
}

/// The width of a record, when all its fields have one.
#[doc(hidden)]
pub const fn width(fields: &[Option<usize>]) -> Option<usize> {
    let mut sum = 0;
    let mut at = 0;
    while at < fields.len() {
        match fields[at] {
            None => return None,
            Some(width) => sum += width,
        }
        at += 1;
    }
    Some(sum)
}

#[inline(always)]
fn take<'b>(bytes: &mut &'b [u8], len: usize) -> &'b [u8] {
    let Some((front, rest)) = bytes.split_at_checked(len) else { ends_early() };
    *bytes = rest;
    front
}

#[cold]
fn ends_early() -> ! {
    panic!("a state value ends early: it is not of the type that the operator declares")
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a state value below 4 GiB")
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Data for $number {
            const WIDTH: Option<usize> = Some(size_of::<$number>());
            #[inline(always)]
            fn encode<S: Sink>(&self, sink: &mut S) {
                sink.put(&self.to_le_bytes());
            }
            #[inline(always)]
            fn decode(bytes: &mut &[u8]) -> Self {
                let bytes = take(bytes, size_of::<$number>());
                Self::from_le_bytes(bytes.try_into().expect("that many bytes"))
            }
        }
    )*};
}

macro_rules! wrapper {
    ($([$($generics:tt)*] $wrapper:ty, $number:ty, $make:expr);*) => {$(
        impl<$($generics)*> Data for $wrapper {
            const WIDTH: Option<usize> = Some(size_of::<$number>());
            #[inline(always)]
            fn encode<Si: Sink>(&self, sink: &mut Si) {
                sink.put(&self.0.to_le_bytes());
            }
            #[inline(always)]
            fn decode(bytes: &mut &[u8]) -> Self {
                let bytes = take(bytes, size_of::<$number>());
                $make(<$number>::from_le_bytes(bytes.try_into().expect("that many bytes")))
            }
        }
    )*};
}

number!(i8, i16, i32, i64, u16, u32, u64, f32, f64);
wrapper!([] Timestamp, i64, Timestamp; [] Duration, i64, Duration; [] Date, i32, Date;
    [const P: u8, const S: i8] Decimal<P, S>, i128, Decimal);

impl Data for u8 {
    const WIDTH: Option<usize> = Some(1);
    #[inline(always)]
    fn encode<S: Sink>(&self, sink: &mut S) {
        sink.put(&[*self]);
    }
    #[inline(always)]
    fn decode(bytes: &mut &[u8]) -> Self {
        take(bytes, 1)[0]
    }
    fn encode_list<S: Sink>(items: &[Self], sink: &mut S) {
        sink.put(items);
    }
    fn decode_list(count: usize, bytes: &mut &[u8]) -> Vec<Self> {
        take(bytes, count).to_vec()
    }
}

impl Data for bool {
    const WIDTH: Option<usize> = Some(1);
    #[inline(always)]
    fn encode<S: Sink>(&self, sink: &mut S) {
        sink.put(&[u8::from(*self)]);
    }
    #[inline(always)]
    fn decode(bytes: &mut &[u8]) -> Self {
        take(bytes, 1)[0] != 0
    }
}

impl<const N: usize> Data for [u8; N] {
    const WIDTH: Option<usize> = Some(N);
    #[inline(always)]
    fn encode<S: Sink>(&self, sink: &mut S) {
        sink.put(self);
    }
    #[inline(always)]
    fn decode(bytes: &mut &[u8]) -> Self {
        take(bytes, N).try_into().expect("that many bytes")
    }
}

impl Data for String {
    const WIDTH: Option<usize> = None;
    fn encode<S: Sink>(&self, sink: &mut S) {
        length(self.len()).encode(sink);
        sink.put(self.as_bytes());
    }
    fn decode(bytes: &mut &[u8]) -> Self {
        let len = u32::decode(bytes) as usize;
        String::from_utf8(take(bytes, len).to_vec()).expect("the text of a state value is UTF-8")
    }
}

impl<T: Data> Data for Vec<T> {
    const WIDTH: Option<usize> = None;
    fn encode<S: Sink>(&self, sink: &mut S) {
        length(self.len()).encode(sink);
        T::encode_list(self, sink);
    }
    fn decode(bytes: &mut &[u8]) -> Self {
        let count = u32::decode(bytes) as usize;
        T::decode_list(count, bytes)
    }
}

impl<T: Data> Data for Option<T> {
    const WIDTH: Option<usize> = None;
    fn encode<S: Sink>(&self, sink: &mut S) {
        sink.put(&[u8::from(self.is_some())]);
        if let Some(value) = self {
            value.encode(sink);
        }
    }
    fn decode(bytes: &mut &[u8]) -> Self {
        (take(bytes, 1)[0] != 0).then(|| T::decode(bytes))
    }
}

/// A record that owns its data: what the derive adds to `Record` for a struct without a lifetime.
#[doc(hidden)]
pub trait Owned: for<'a> Record<'a> + 'static {
    const WIDTH: Option<usize>;
    fn encode_record<S: Sink>(&self, sink: &mut S);
    fn decode_record(bytes: &mut &[u8]) -> Self;
}

impl<T: Owned> Data for T {
    const WIDTH: Option<usize> = T::WIDTH;
    #[inline(always)]
    fn encode<S: Sink>(&self, sink: &mut S) {
        self.encode_record(sink);
    }
    #[inline(always)]
    fn decode(bytes: &mut &[u8]) -> Self {
        T::decode_record(bytes)
    }
}

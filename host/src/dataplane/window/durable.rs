//! The durable form of native accumulators, version 1: what checkpoints hold of panes. It may never change; a new form
//! is a new `Content` of chunks.

use super::cells::{Compensated, Sum};

pub trait Durable: Sized {
    fn write(&self, bytes: &mut Vec<u8>);

    /// Takes one off the front; `None` = there is none.
    fn read(bytes: &mut &[u8]) -> Option<Self>;
}

/// Numbers in their durable form: little-endian.
macro_rules! durable_numbers {
    ($($type:ty),*) => {
        $(impl Durable for $type {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let (number, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*number))
            }
        })*
    };
}

durable_numbers!(u32, u64, i64, i128, f64);

/// Their length (u32), then the bytes.
impl Durable for Box<[u8]> {
    fn write(&self, bytes: &mut Vec<u8>) {
        (self.len() as u32).write(bytes);
        bytes.extend_from_slice(self);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::read(bytes)?;
        let (value, rest) = bytes.split_at_checked(length as usize)?;
        *bytes = rest;
        Some(value.into())
    }
}

/// 0, or 1 and the value.
impl<T: Durable> Durable for Option<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.write(bytes);
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        *bytes = rest;
        match tag {
            0 => Some(None),
            1 => T::read(bytes).map(Some),
            _ => None,
        }
    }
}

impl Durable for Compensated {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.sum.write(bytes);
        self.lost.write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { sum: f64::read(bytes)?, lost: f64::read(bytes)? })
    }
}

impl<T: Durable> Durable for Sum<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.sum.write(bytes);
        self.count.write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { sum: T::read(bytes)?, count: u64::read(bytes)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: Durable + PartialEq + std::fmt::Debug>(value: T, expected: &str) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        assert_eq!(hex::encode(&bytes), expected);
        let mut rest = &bytes[..];
        assert_eq!(T::read(&mut rest), Some(value));
        assert!(rest.is_empty());
        assert_eq!(T::read(&mut &bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn the_form_is_pinned() {
        same(7u64, "0700000000000000");
        same(Sum { sum: -1i128, count: 2 }, "ffffffffffffffffffffffffffffffff0200000000000000");
        let sum = Compensated { sum: 1.5, lost: -0.25 };
        same(Sum { sum, count: 1 }, "000000000000f83f000000000000d0bf0100000000000000");
        same(Some(-2i64), "01feffffffffffffff");
        same(Some(Box::<[u8]>::from(*b"ab")), "01020000006162");
        let mut none = Vec::new();
        None::<f64>.write(&mut none);
        assert_eq!(none, [0]);
    }
}

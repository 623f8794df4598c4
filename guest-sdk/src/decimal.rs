//! Decimal numbers.

/// A decimal number of at most `P` digits, `S` of them after the point: the number of its smallest units.
///
/// ```
/// use wasmill_sdk::Decimal;
/// let price: Decimal<10, 2> = Decimal(1999);      // 19.99
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<const P: u8, const S: i8>(pub i128);

//! Digits by table, for texts whose length is known.

/// "00", "01", .. "99".
static PAIRS: [[u8; 2]; 100] = pairs();

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
}

/// The last `N` decimal digits, with leading zeros.
#[inline]
pub fn decimal<const N: usize>(number: u32) -> [u8; N] {
    let mut digits = [b'0'; N];
    let mut rest = number;
    let mut at = N;
    while at >= 2 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    if at == 1 {
        digits[0] = b'0' + (rest % 10) as u8;
    }
    digits
}

/// 16 lower-case hexadecimal digits.
#[inline]
pub fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    let (upper, lower) = digits.split_at_mut(8);
    upper.copy_from_slice(&eight_hexadecimal((number >> 32) as u32));
    lower.copy_from_slice(&eight_hexadecimal(number as u32));
    digits
}

/// All eight at once: each half of a byte gets a byte of its own, and then the character that it is.
#[inline]
fn eight_hexadecimal(number: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let spread = |x: u64, by: u32, lower: u64| (x & lower) | (x & (lower << by)) << by;
    let halves = spread(number.into(), 16, 0xffff);
    let bytes = spread(halves, 8, 0x0000_00ff_0000_00ff);
    let digits = spread(bytes, 4, 0x000f_000f_000f_000f);
    // 6 more make 16 of a digit that is a letter.
    let letters = (digits + 6 * ONES) >> 4 & ONES;
    (digits + u64::from(b'0') * ONES + u64::from(b'a' - b'0' - 10) * letters).to_be_bytes()
}

/// Each byte as a number without leading zeros: three digits, of which the first so many count.
pub static BYTES: [([u8; 3], u8); 256] = bytes();

const fn bytes() -> [([u8; 3], u8); 256] {
    let mut bytes = [([0; 3], 0); 256];
    let mut n = 0;
    while n < 256 {
        let (hundreds, tens, ones) = (b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8);
        bytes[n] = match n {
            0..10 => ([ones, 0, 0], 1),
            10..100 => ([tens, ones, 0], 2),
            _ => ([hundreds, tens, ones], 3),
        };
        n += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_format() {
        for number in [0, 7, 42, 99_999, 1_234_567, 9_999_999] {
            assert_eq!(decimal::<7>(number), *format!("{number:07}").as_bytes());
        }
        assert_eq!(decimal::<4>(999), *b"0999");
        for number in [0, 9, 0xa0, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(hexadecimal(number), *format!("{number:016x}").as_bytes());
        }
        for (byte, (digits, count)) in BYTES.iter().enumerate() {
            assert_eq!(&digits[..usize::from(*count)], byte.to_string().as_bytes());
        }
    }
}

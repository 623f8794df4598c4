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

/// Two hexadecimal digits of each byte.
static HEX: [[u8; 2]; 256] = hex();

const fn hex() -> [[u8; 2]; 256] {
    let digits = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut n = 0;
    while n < 256 {
        hex[n] = [digits[n >> 4], digits[n & 15]];
        n += 1;
    }
    hex
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
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&HEX[usize::from(byte)]);
    }
    digits
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
        assert_eq!(hexadecimal(0x0123_4567_89ab_cdef), *b"0123456789abcdef");
        for (byte, (digits, count)) in BYTES.iter().enumerate() {
            assert_eq!(&digits[..usize::from(*count)], byte.to_string().as_bytes());
        }
    }
}

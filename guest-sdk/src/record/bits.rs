//! Bitmaps, least significant bit first.

/// Whether a bit is set.
#[inline(always)]
pub(crate) fn get(bits: &[u8], at: usize) -> bool {
    bits[at / 8] & (1 << (at % 8)) != 0
}

/// Sets or clears a bit.
#[inline(always)]
pub(crate) fn put(bits: &mut [u8], at: usize, bit: bool) {
    let mask = 1 << (at % 8);
    if bit {
        bits[at / 8] |= mask;
    } else {
        bits[at / 8] &= !mask;
    }
}

/// So many bits, all set.
pub(crate) fn ones(len: usize) -> Vec<u8> {
    let mut bits = vec![0xff; len.div_ceil(8)];
    if !len.is_multiple_of(8) {
        bits[len / 8] = (1 << (len % 8)) - 1;
    }
    bits
}

/// Whether one of the first `len` bits is not set.
pub(crate) fn any_unset(bits: &[u8], len: usize) -> bool {
    let whole = len / 8;
    bits[..whole].iter().any(|byte| *byte != 0xff)
        || (!len.is_multiple_of(8) && bits[whole] | (0xff << (len % 8)) != 0xff)
}

/// A bitmap in the making.
#[derive(Default)]
pub(crate) struct Bitmap {
    bits: Vec<u8>,
    len: usize,
}

impl Bitmap {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bits.len()
    }

    pub(crate) fn reserve(&mut self, more: usize) {
        self.bits
            .reserve((self.len + more).div_ceil(8) - self.bits.len());
    }

    #[inline]
    pub(crate) fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bits.push(u8::from(bit));
        } else if bit {
            self.bits[self.len / 8] |= 1 << (self.len % 8);
        }
        self.len += 1;
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.bits.truncate(len.div_ceil(8));
        if !len.is_multiple_of(8) {
            self.bits[len / 8] &= (1 << (len % 8)) - 1;
        }
        self.len = len;
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.len = 0;
        std::mem::take(&mut self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_bitmap_has_no_bits_beyond_its_end() {
        let mut map = Bitmap::default();
        (0..13).for_each(|_| map.push(true));
        map.truncate(9);
        map.push(false);
        assert_eq!(map.take(), [0xff, 0x01]);
    }

    #[test]
    fn bits_beyond_the_end_do_not_count() {
        assert!(!any_unset(&ones(11), 11));
        assert!(any_unset(&[0xff, 0b011], 11));
        assert!(!any_unset(&[], 0));
    }
}

//! Comparing short byte strings: keys and values.

/// Whether they are equal. Short ones, which most are, are compared here: the C library's comparison is a call, and looks at
/// a whole vector of each, which may end in a line of memory that nobody needs and that is far away.
#[inline]
pub fn is_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0..8 => a.iter().eq(b),
        8..=16 => ends::<8>(a) == ends(b),
        17..=32 => ends::<16>(a) == ends(b),
        _ => a == b,
    }
}

/// The first and the last `N`, which overlap in a shorter string.
fn ends<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    Some((bytes.first_chunk()?, bytes.last_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_is_what_slices_call_so(a in prop::collection::vec(any::<u8>(), 0..40), at in 0..40usize, shorter in any::<bool>()) {
            let mut b = a.clone();
            prop_assert!(is_equal(&a, &b));
            match b.get_mut(at) {
                Some(byte) => *byte ^= 1,
                None if shorter => { b.pop(); }
                None => {}
            }
            prop_assert_eq!(is_equal(&a, &b), a == b);
        }
    }
}

//! The SDK's one exception to safe Rust: text columns are trusted to be UTF-8.
//!
//! The host promises it: a text column is an Arrow string column, which Arrow's checked constructors have validated,
//! each value by itself, before it crosses into the sandbox. Checking again would cost more than everything else that
//! happens to a text on its way into a record. A host that broke the promise could only mislead its own guest: the
//! sandbox holds whatever the guest does then.
#![allow(unsafe_code)]

/// A value of a text column.
#[inline(always)]
pub(crate) fn text(value: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(value).is_ok());
    // SAFETY: `value` is one value of a text column, so by the contract of `wit/operator.wit` it is UTF-8.
    unsafe { std::str::from_utf8_unchecked(value) }
}

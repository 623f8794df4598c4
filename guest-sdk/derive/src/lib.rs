//! The derive macros of `wasmill-sdk`: use them through that crate's prelude.
#![warn(missing_docs)]

mod names;
mod record;
mod timers;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a record: rows of typed columns. See `wasmill_sdk::Record`.
///
/// `#[record(rename = "type")]` on a field names its column.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record::derive(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes an enum the timers of an operator. See `wasmill_sdk::Timers`.
///
/// `#[timer(processing_time)]` on a variant lets the machine's clock fire it instead of the watermark,
/// `#[timer(rename = "quiet")]` names it.
#[proc_macro_derive(Timers, attributes(timer))]
pub fn timers(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    timers::derive(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

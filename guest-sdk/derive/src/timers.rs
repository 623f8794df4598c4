//! `#[derive(Timers)]`.

use crate::names;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Result, spanned::Spanned};

/// What a timer is called, where it is declared, and how it is written.
struct Timer<'a> {
    ident: &'a Ident,
    attributes: &'a [Attribute],
    value: TokenStream,
}

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "timers have no parameters"));
    }
    let timers = timers(input)?;
    let (mut names, mut clocks) = (Vec::new(), Vec::new());
    for timer in &timers {
        let mut name = names::kebab(&timer.ident.to_string());
        let mut clock = quote!(EventTime);
        names::each(timer.attributes, "timer", |path, meta| {
            if path.is_ident("processing_time") {
                clock = quote!(ProcessingTime);
            } else if path.is_ident("rename") {
                name = names::rename(&meta)?;
            } else {
                return Err(meta.error("expected `processing_time` or `rename = \"..\"`"));
            }
            Ok(())
        })?;
        names.push(name);
        clocks.push(clock);
    }
    let name = &input.ident;
    let values: Vec<_> = timers.iter().map(|timer| &timer.value).collect();
    let numbers: Vec<_> = (0u32..).take(timers.len()).collect();
    Ok(quote! {
        const _: () = {
            use ::wasmill_sdk::__private as sdk;
            impl sdk::Timers for #name {
                const TIMERS: &'static [(&'static str, sdk::Clock)] = &[#((#names, sdk::Clock::#clocks)),*];
                fn number(&self) -> u32 {
                    match self { #(#values => #numbers,)* }
                }
                fn from_number(number: u32) -> Self {
                    match number {
                        #(#numbers => #values,)*
                        _ => ::core::panic!("the host fired timer {number}, which is not declared"),
                    }
                }
            }
        };
    })
}

/// The variants of an enum, or a unit struct.
fn timers(input: &DeriveInput) -> Result<Vec<Timer<'_>>> {
    let carries_data = |fields: &Fields| {
        Error::new(fields.span(), "a timer carries no data: keep it in a state and read it when the timer fires")
    };
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Unit) => {
            Ok(vec![Timer { ident: &input.ident, attributes: &input.attrs, value: quote!(Self) }])
        }
        Data::Struct(data) => Err(carries_data(&data.fields)),
        Data::Enum(data) if data.variants.is_empty() => {
            Err(Error::new(input.ident.span(), "an operator without timers says `type Timer = NoTimers`"))
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| match &variant.fields {
                Fields::Unit => {
                    let ident = &variant.ident;
                    Ok(Timer { ident, attributes: &variant.attrs, value: quote!(Self::#ident) })
                }
                fields => Err(carries_data(fields)),
            })
            .collect(),
        Data::Union(_) => Err(Error::new(input.ident.span(), "timers are an enum: a variant for each timer")),
    }
}

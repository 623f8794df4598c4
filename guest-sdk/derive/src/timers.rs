//! `#[derive(Timers)]`.

use crate::names;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, spanned::Spanned};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "timers are an enum: a variant for each timer",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "timers have no parameters",
        ));
    }
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "an operator without timers says `type Timer = NoTimers`",
        ));
    }
    let (mut names, mut clocks) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.fields.span(),
                "a timer carries no data: keep it in a state and read it when the timer fires",
            ));
        }
        let mut name = names::kebab(&variant.ident.to_string());
        let mut clock = quote!(EventTime);
        names::each(&variant.attrs, "timer", |path, meta| {
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
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let numbers: Vec<_> = (0u32..).take(variants.len()).collect();
    Ok(quote! {
        const _: () = {
            use ::wasmill_sdk::__private as sdk;
            impl sdk::Timers for #name {
                const TIMERS: &'static [(&'static str, sdk::Clock)] = &[#((#names, sdk::Clock::#clocks)),*];
                fn number(&self) -> u32 {
                    match self { #(Self::#variants => #numbers,)* }
                }
                fn from_number(number: u32) -> Self {
                    match number {
                        #(#numbers => Self::#variants,)*
                        _ => ::core::panic!("the host fired timer {number}, which is not declared"),
                    }
                }
            }
        };
    })
}

//! `#[derive(Record)]`.

use crate::names;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericArgument, GenericParam, Lifetime, PathArguments, Result, Type,
    ext::IdentExt, spanned::Spanned,
};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let fields = fields(input)?;
    let lifetime = lifetime(input)?;
    let mut columns = Vec::<String>::new();
    let mut errors = None::<Error>;
    for field in &fields {
        match column(field).and_then(|column| {
            check_type(&field.ty)?;
            if columns.contains(&column) {
                return Err(Error::new(field.span(), format!("two fields are column `{column}`")));
            }
            Ok(column)
        }) {
            Ok(column) => columns.push(column),
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    if let Some(errors) = errors {
        return Err(errors);
    }

    let name = &input.ident;
    let batch = lifetime.clone().unwrap_or_else(|| Lifetime::new("'wasmill", Span::mixed_site()));
    let (in_batch, in_static) = match &lifetime {
        Some(lifetime) => (quote!(#name<#lifetime>), quote!(#name<'static>)),
        None => (quote!(#name), quote!(#name)),
    };
    let idents: Vec<_> = fields.iter().map(|field| field.ident.as_ref().expect("named")).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let statics: Vec<_> = types.iter().map(|ty| make_static(ty.to_token_stream())).collect();
    // Spanned like the field's type, so that what is wrong with the type is said there.
    let readers: Vec<_> = types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as sdk::Field<#batch>>)).collect();
    let builders: Vec<_> = types
        .iter()
        .zip(&statics)
        .map(|(ty, fixed)| quote_spanned!(ty.span()=> <#fixed as sdk::Field<'static>>))
        .collect();
    // What they stand for is a parameter of the structs below: a field of a wrong type is reported once, where it stands.
    let parameters: Vec<_> = (0..fields.len()).map(|number| format_ident!("F{number}")).collect();
    let data: Vec<_> = types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as sdk::Data>)).collect();
    let count = fields.len() as u32;

    // A record that borrows lives no longer than its batch, so it cannot be state.
    let owned = lifetime.is_none().then(|| {
        quote! {
            // The bound has a lifetime so that it may be wrong: what is wrong has been said of the field.
            impl sdk::Owned for #name where #(for<'wasmill> #types: sdk::Data),* {
                const WIDTH: ::core::option::Option<usize> = sdk::width(&[#(#data::WIDTH),*]);
                #[inline(always)]
                fn encode_record<S: sdk::Sink>(&self, sink: &mut S) {
                    #(sdk::Data::encode(&self.#idents, sink);)*
                }
                #[inline(always)]
                fn decode_record(bytes: &mut &[u8]) -> Self {
                    Self { #(#idents: #data::decode(bytes)),* }
                }
            }
        }
    });

    Ok(quote! {
        const _: () = {
            use ::wasmill_sdk::__private as sdk;

            #[derive(Default)]
            pub struct Reader<#(#parameters),*> {
                #(#idents: #parameters,)*
            }

            #[derive(Default)]
            pub struct Builder<#(#parameters),*> {
                #(#idents: #parameters,)*
            }

            impl<#(#parameters: sdk::Builder),*> sdk::Builder for Builder<#(#parameters),*> {
                #[inline]
                fn reserve(&mut self, rows: usize) {
                    #(self.#idents.reserve(rows);)*
                }
                fn push_default(&mut self) {
                    #(self.#idents.push_default();)*
                }
                fn truncate(&mut self, rows: usize) {
                    #(self.#idents.truncate(rows);)*
                }
                #[inline(always)]
                fn bytes(&self) -> usize {
                    0 #(+ self.#idents.bytes())*
                }
                fn finish(&mut self, columns: &mut ::std::vec::Vec<sdk::Column>) {
                    #(self.#idents.finish(columns);)*
                }
            }

            impl<#batch> sdk::Record<#batch> for #in_batch {
                type Reader = Reader<#(#readers::Reader),*>;
                type Builder = Builder<#(#builders::Builder),*>;
                const FIELDS: u32 = #count;
                fn describe_fields(schema: &mut sdk::Schema) {
                    #(#readers::describe(#columns, false, schema);)*
                }
                fn read_fields(columns: &mut sdk::Cursor<#batch>) -> Self::Reader {
                    Reader { #(#idents: #readers::reader(columns)),* }
                }
                #[inline(always)]
                fn read_record(reader: &Self::Reader, row: usize) -> Self {
                    Self { #(#idents: #readers::read(&reader.#idents, row)),* }
                }
                #[inline(always)]
                fn write_record(&self, builder: &mut Self::Builder) {
                    #(#readers::write(&self.#idents, &mut builder.#idents);)*
                }
            }

            impl sdk::RecordShape for #in_static {
                type Builder = <#in_static as sdk::Record<'static>>::Builder;
                type Of<#batch> = #in_batch;
            }

            #owned
        };
    })
}

/// The struct's fields, or why it is none that a record can be.
fn fields(input: &DeriveInput) -> Result<Vec<Field>> {
    let whole = input.ident.span();
    let data = match &input.data {
        Data::Struct(data) => data,
        Data::Enum(_) => {
            return Err(Error::new(
                whole,
                "a record is a struct with named fields; for alternatives, use an `Option` field for each",
            ));
        }
        Data::Union(_) => return Err(Error::new(whole, "a record is a struct with named fields")),
    };
    match &data.fields {
        Fields::Named(fields) if !fields.named.is_empty() => Ok(fields.named.iter().cloned().collect()),
        Fields::Unnamed(_) => {
            Err(Error::new(whole, "a record is a struct with named fields: its columns are matched by their names"))
        }
        _ => Err(Error::new(whole, "a record has at least one field")),
    }
}

/// The one lifetime that a record may have.
fn lifetime(input: &DeriveInput) -> Result<Option<Lifetime>> {
    let mut lifetime = None;
    for parameter in &input.generics.params {
        match parameter {
            GenericParam::Lifetime(parameter) if lifetime.is_none() => lifetime = Some(parameter.lifetime.clone()),
            GenericParam::Lifetime(parameter) => {
                return Err(Error::new(
                    parameter.span(),
                    "a record borrows from its batch only, so one lifetime is enough",
                ));
            }
            other => {
                return Err(Error::new(other.span(), "a record has no type parameters: write a record for each"));
            }
        }
    }
    Ok(lifetime)
}

/// The name of a field's column.
fn column(field: &Field) -> Result<String> {
    let mut name = field.ident.as_ref().expect("named").unraw().to_string();
    names::each(&field.attrs, "record", |path, meta| {
        if !path.is_ident("rename") {
            return Err(meta.error("expected `rename = \"..\"`"));
        }
        name = names::rename(&meta)?;
        Ok(())
    })?;
    Ok(name)
}

/// Says of the types that people reach for first, and that a column cannot hold, what to use instead. Others fail as
/// `T: Field` is not satisfied.
fn check_type(ty: &Type) -> Result<()> {
    let refuse = |message: &str| Err(Error::new(ty.span(), message));
    match ty {
        Type::Reference(reference) => {
            if reference.mutability.is_some() {
                return refuse("a record cannot borrow mutably: its batch is shared");
            }
            match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => {}
                Type::Slice(slice) if is(&slice.elem, "u8") => {}
                Type::Slice(_) => {
                    return refuse("only bytes are borrowed as a slice: use `Vec<T>` for a list");
                }
                _ => return refuse("a record borrows text and bytes only: `&str` or `&[u8]`"),
            }
            if reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") {
                return refuse("a record borrows from its batch: give the struct a lifetime and use it here");
            }
            Ok(())
        }
        Type::Tuple(_) => refuse("a tuple has no names for its columns: use a nested record"),
        Type::Array(array) if !is(&array.elem, "u8") => {
            refuse("only bytes have a fixed number of elements: use `Vec<T>` for a list")
        }
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return Ok(());
            };
            match last.ident.to_string().as_str() {
                "usize" => {
                    return refuse("the width of `usize` depends on the machine: use `u32` or `u64`");
                }
                "isize" => {
                    return refuse("the width of `isize` depends on the machine: use `i32` or `i64`");
                }
                "i128" | "u128" => {
                    return refuse("integers have 8 to 64 bits; `Decimal` and `[u8; 16]` hold 128");
                }
                "char" => return refuse("use `&str` or `String` for text"),
                "HashMap" | "BTreeMap" => {
                    return refuse("use a list of records with a key and a value");
                }
                "HashSet" | "BTreeSet" => return refuse("use a list: `Vec<T>`"),
                "SystemTime" | "Instant" => return refuse("use `Timestamp`"),
                _ => {}
            }
            if let PathArguments::AngleBracketed(arguments) = &last.arguments {
                for argument in &arguments.args {
                    let GenericArgument::Type(inner) = argument else {
                        continue;
                    };
                    if last.ident == "Option" && is(inner, "Option") {
                        return refuse("a column has one kind of null: use a single `Option`");
                    }
                    check_type(inner)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a type is a path that ends in this name.
fn is(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// The same type with every lifetime 'static.
fn make_static(tokens: TokenStream) -> TokenStream {
    let mut after_quote = false;
    tokens
        .into_iter()
        .map(|token| {
            let lifetime = std::mem::take(&mut after_quote);
            match token {
                TokenTree::Ident(ident) if lifetime => Ident::new("static", ident.span()).into(),
                TokenTree::Group(group) => {
                    let mut inner = Group::new(group.delimiter(), make_static(group.stream()));
                    inner.set_span(group.span());
                    inner.into()
                }
                TokenTree::Punct(punct) => {
                    after_quote = punct.as_char() == '\'';
                    punct.into()
                }
                other => other,
            }
        })
        .collect()
}

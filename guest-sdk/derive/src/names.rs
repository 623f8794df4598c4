//! Attributes that name things.

use syn::{Attribute, LitStr, Path, Result, meta::ParseNestedMeta};

/// What `#[record(..)]` or `#[timer(..)]` says.
pub fn each(
    attributes: &[Attribute],
    of: &str,
    mut item: impl FnMut(&Path, ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(of))
    {
        attribute.parse_nested_meta(|meta| item(&meta.path.clone(), meta))?;
    }
    Ok(())
}

/// The string of `rename = "name"`.
pub fn rename(meta: &ParseNestedMeta<'_>) -> Result<String> {
    let name: LitStr = meta.value()?.parse()?;
    if name.value().is_empty() {
        return Err(syn::Error::new(
            name.span(),
            "a name has at least one character",
        ));
    }
    Ok(name.value())
}

/// `SpendGuard` to `spend-guard`.
pub fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for (at, character) in name.char_indices() {
        if character.is_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.extend(character.to_lowercase());
    }
    kebab
}

//! Reads the fields of one table: each is asked for by name and type, and what nobody asked for is a mistake.

use crate::model::time::Micros;
use crate::plan::diagnostic::{Errors, Span, Spanned, did_you_mean, quoted};

use super::tree::{Entry, Item, Value};
use super::units;

pub struct Reader<'a> {
    /// For messages: ``the source `clicks` ``.
    pub what: String,
    /// Where a missing field is shown.
    pub span: Span,
    pub errors: &'a Errors,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    /// Unknown fields that were complained about.
    reported: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    pub fn new(what: &str, span: Span, entries: &'a [Entry], errors: &'a Errors) -> Self {
        Self { what: what.to_owned(), span, errors, entries, asked: Vec::new(), reported: Vec::new() }
    }

    /// The fields of a table that stands as a value; anything else is a mistake.
    pub fn of(what: &str, item: &'a Item, errors: &'a Errors) -> Option<Self> {
        match &item.value {
            Value::Table(entries) => Some(Self::new(what, item.span, entries, errors)),
            other => {
                errors.add(item.span, format!("{what} must be a table, not {}", other.type_name()));
                None
            }
        }
    }

    pub fn item(&mut self, name: &'static str) -> Option<&'a Item> {
        self.entry(name).map(|entry| &entry.item)
    }

    pub fn entry(&mut self, name: &'static str) -> Option<&'a Entry> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.entries.iter().find(|entry| entry.name.value == name)
    }

    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name.value == name)
    }

    pub fn text(&mut self, name: &'static str) -> Option<Spanned<String>> {
        let item = self.item(name)?;
        text(name, item, self.errors)
    }

    /// A field that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            self.missing(name);
            return None;
        }
        read(self, name)
    }

    /// A field that is almost called so was most likely meant.
    fn missing(&mut self, name: &'static str) {
        self.asked.push(name);
        let meant = |entry: &&Entry| !did_you_mean(&entry.name, [name]).is_empty();
        match self.entries.iter().find(meant) {
            Some(entry) => {
                let wrong = entry.name.value.as_str();
                let message = format!("{} has no field `{wrong}`{}", self.what, did_you_mean(wrong, [name]));
                self.errors.add(entry.name.span, message);
                self.reported.push(wrong);
            }
            None => self.errors.add(self.span, format!("{} needs `{name}`", self.what)),
        }
    }

    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let item = self.item(name)?;
        match item.value {
            Value::Boolean(value) => Some(value),
            _ => self.mismatch(name, item, "true or false"),
        }
    }

    pub fn integer(&mut self, name: &'static str, min: u64, max: u64) -> Option<Spanned<u64>> {
        let item = self.item(name)?;
        match item.value {
            Value::Integer(value) => match u64::try_from(value) {
                Ok(value) if (min..=max).contains(&value) => Some(Spanned::new(value, item.span)),
                _ => {
                    let limit = if max >= i64::MAX as u64 { String::new() } else { format!(" and at most {max}") };
                    self.errors.add(item.span, format!("`{name}` must be at least {min}{limit}, not {value}"));
                    None
                }
            },
            _ => self.mismatch(name, item, "an integer"),
        }
    }

    /// A number that is not below `min`.
    pub fn number(&mut self, name: &'static str, min: f64) -> Option<f64> {
        let item = self.item(name)?;
        let value = match item.value {
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
            _ => return self.mismatch(name, item, "a number"),
        };
        if !(value.is_finite() && value >= min) {
            self.errors.add(item.span, format!("`{name}` must be at least {min}, not {value}"));
            return None;
        }
        Some(value)
    }

    pub fn duration(&mut self, name: &'static str) -> Option<Spanned<Micros>> {
        let item = self.item(name)?;
        let Value::Text(text) = &item.value else {
            return self.mismatch(name, item, "a duration such as \"10ms\", \"30s\" or \"5m\"");
        };
        self.checked(item.span, units::duration(text))
    }

    /// A duration above zero.
    pub fn length(&mut self, name: &'static str) -> Option<Spanned<Micros>> {
        let length = self.duration(name)?;
        if length.value == Micros(0) {
            self.errors.add(length.span, format!("`{name}` must be longer than zero"));
            return None;
        }
        Some(length)
    }

    /// A number of bytes above zero.
    pub fn bytes(&mut self, name: &'static str) -> Option<Spanned<u64>> {
        let item = self.item(name)?;
        let size = match &item.value {
            Value::Text(text) => self.checked(item.span, units::bytes(text))?,
            Value::Integer(value) => Spanned::new(u64::try_from(*value).unwrap_or(0), item.span),
            _ => return self.mismatch(name, item, "a size such as \"512KiB\""),
        };
        if size.value == 0 {
            self.errors.add(item.span, format!("`{name}` must be above zero"));
            return None;
        }
        Some(size)
    }

    pub fn percent(&mut self, name: &'static str) -> Option<f64> {
        let item = self.item(name)?;
        let Value::Text(text) = &item.value else {
            return self.mismatch(name, item, "a part such as \"1%\"");
        };
        self.checked(item.span, units::percent(text)).map(|part| part.value)
    }

    /// One of a few words.
    pub fn choice<T: Clone>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<Spanned<T>> {
        let item = self.item(name)?;
        let word = text(name, item, self.errors)?;
        choose(name, &word, choices, self.errors)
    }

    pub fn array(&mut self, name: &'static str) -> Option<Spanned<&'a [Item]>> {
        let item = self.item(name)?;
        match &item.value {
            Value::Array(items) => Some(Spanned::new(items.as_slice(), item.span)),
            _ => self.mismatch(name, item, "an array"),
        }
    }

    /// A table whose entries people name.
    pub fn named(&mut self, name: &'static str) -> Option<&'a [Entry]> {
        let item = self.item(name)?;
        match &item.value {
            Value::Table(entries) => Some(entries),
            _ => self.mismatch(name, item, "a table"),
        }
    }

    pub fn table(&mut self, name: &'static str) -> Option<Reader<'a>> {
        let entry = self.entry(name)?;
        Reader::of(&format!("`{name}`"), &entry.item, self.errors)
    }

    /// Complains about the fields that nobody asked for. `elsewhere` says where else such a field belongs.
    pub fn finish(self, elsewhere: impl Fn(&str) -> Option<String>) {
        for entry in self.entries {
            let name = entry.name.value.as_str();
            if self.asked.contains(&name) || self.reported.contains(&name) {
                continue;
            }
            let message = match elsewhere(name) {
                Some(place) => format!("{} takes no `{name}`: {place}", self.what),
                None => {
                    format!("{} has no field `{name}`{}", self.what, did_you_mean(name, self.asked.iter().copied()))
                }
            };
            let allowed = format!("allowed here: {}", quoted(self.asked.iter().copied()));
            self.errors.add_with_help(entry.name.span, message, allowed);
        }
    }

    fn mismatch<T>(&self, name: &str, item: &Item, wanted: &str) -> Option<T> {
        self.errors.add(item.span, format!("`{name}` must be {wanted}, not {}", item.value.type_name()));
        None
    }

    fn checked<T>(&self, span: Span, read: Result<T, String>) -> Option<Spanned<T>> {
        match read {
            Ok(value) => Some(Spanned::new(value, span)),
            Err(message) => {
                self.errors.add(span, message);
                None
            }
        }
    }
}

pub fn text(name: &str, item: &Item, errors: &Errors) -> Option<Spanned<String>> {
    match &item.value {
        Value::Text(text) => Some(Spanned::new(text.clone(), item.span)),
        other => {
            errors.add(item.span, format!("`{name}` must be a text, not {}", other.type_name()));
            None
        }
    }
}

pub fn choose<T: Clone>(
    name: &str,
    word: &Spanned<String>,
    choices: &[(&str, T)],
    errors: &Errors,
) -> Option<Spanned<T>> {
    if let Some((_, choice)) = choices.iter().find(|(choice, _)| *choice == word.value) {
        return Some(Spanned::new(choice.clone(), word.span));
    }
    let names = || choices.iter().map(|(choice, _)| *choice);
    let hint = did_you_mean(word, names());
    let allowed = format!("allowed here: {}", quoted(names()));
    errors.add_with_help(word.span, format!("`{name}` cannot be `{}`{hint}", word.value), allowed);
    None
}

/// Entries that no one else's field can be: `finish` without a hint.
pub fn nowhere(_: &str) -> Option<String> {
    None
}

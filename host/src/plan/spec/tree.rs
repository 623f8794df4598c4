//! A TOML document as a tree that knows where each part of it was written, in the order of the text.

use toml::de::{DeTable, DeValue};

use crate::plan::diagnostic::{Errors, JobText, Span, Spanned};

#[derive(Clone, Debug)]
pub struct Item {
    pub span: Span,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Item>),
    Table(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Spanned<String>,
    pub item: Item,
}

/// Tables of overrides nest at most this deep.
const DEPTH_MAX: usize = 32;

/// Reads the file and applies the overrides. Where there are errors, what could be read is returned all the same.
pub fn parse(text: &JobText, errors: &Errors) -> Vec<Entry> {
    let (document, failures) = DeTable::parse_recoverable(text.file());
    for failure in failures {
        let span: Span = failure.span().unwrap_or(0..0).into();
        let message = failure.message().replace('\n', ", ");
        match text.file().get(span.start..).and_then(|rest| rest.chars().next()) {
            Some(first) if message.starts_with("invalid boolean") || message.starts_with("string values must be") => {
                errors.add_with_help(span, format!("`{first}..` begins no value"), "a text stands in quotes: \"text\"");
            }
            _ => errors.add(span, message),
        }
    }
    let mut root = table(document.get_ref(), 0, errors);
    for (offset, set) in text.overrides() {
        apply_override(&mut root, offset, set, errors);
    }
    root
}

fn table(from: &DeTable, offset: usize, errors: &Errors) -> Vec<Entry> {
    let mut entries: Vec<Entry> = from
        .iter()
        .map(|(name, value)| Entry {
            name: Spanned::new(name.get_ref().to_string(), shifted(name.span().into(), offset)),
            item: item(value.get_ref(), shifted(value.span().into(), offset), offset, errors),
        })
        .collect();
    entries.sort_by_key(|entry| entry.name.span.start);
    entries
}

fn item(from: &DeValue, span: Span, offset: usize, errors: &Errors) -> Item {
    let value = match from {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(value) => Value::Datetime(value.to_string()),
        DeValue::Integer(value) => {
            Value::Integer(i64::from_str_radix(value.as_str(), value.radix()).unwrap_or_else(|_| {
                errors.add(span, "the number does not fit into 64 bits");
                0
            }))
        }
        DeValue::Float(value) => Value::Float(value.as_str().parse().unwrap_or_else(|_| {
            errors.add(span, "the number cannot be read");
            0.0
        })),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|each| item(each.get_ref(), shifted(each.span().into(), offset), offset, errors))
                .collect(),
        ),
        DeValue::Table(entries) => Value::Table(table(entries, offset, errors)),
    };
    Item { span, value }
}

fn shifted(span: Span, offset: usize) -> Span {
    Span { start: span.start + offset, end: span.end + offset }
}

/// `a.b.c=value`: the value is TOML, and a text if it cannot be read as such.
fn apply_override(root: &mut Vec<Entry>, offset: usize, set: &str, errors: &Errors) {
    let whole = Span { start: offset, end: offset + set.len() };
    let Some((path, text)) = set.split_once('=') else {
        return errors.add_with_help(whole, "`=` is missing", "an override is `name.name=value`");
    };
    let names: Vec<&str> = path.split('.').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) || names.len() > DEPTH_MAX {
        return errors.add_with_help(whole, format!("`{path}` is not a path"), "an override is `name.name=value`");
    }
    let value = match DeValue::parse(text) {
        Ok(value) => item(value.get_ref(), whole, offset + path.len() + 1, errors),
        Err(_) => Item { span: whole, value: Value::Text(text.trim().to_owned()) },
    };
    let (last, folders) = names.split_last().expect("a path has a name");
    let mut entries = root;
    for name in folders {
        let at = entry(entries, name, whole, Value::Table(Vec::new()));
        let Value::Table(inner) = &mut entries[at].item.value else {
            return errors.add(whole, format!("`{name}` is not a table"));
        };
        entries = inner;
    }
    let at = entry(entries, last, whole, Value::Boolean(false));
    entries[at].item = value;
}

/// The index of the entry, which is made if there is none.
fn entry(entries: &mut Vec<Entry>, name: &str, span: Span, value: Value) -> usize {
    entries.iter().position(|entry| entry.name.value == name).unwrap_or_else(|| {
        entries.push(Entry { name: Spanned::new(name.to_owned(), span), item: Item { span, value } });
        entries.len() - 1
    })
}

impl Value {
    /// For messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date or time",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }

    /// Dates and times become text; a float that JSON cannot write becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Text(text) | Self::Datetime(text) => Json::from(text.as_str()),
            Self::Integer(value) => Json::from(*value),
            Self::Float(value) => Json::from(*value),
            Self::Boolean(value) => Json::from(*value),
            Self::Array(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Table(entries) => {
                entries.iter().map(|entry| (entry.name.value.clone(), entry.item.value.to_json())).collect()
            }
        }
    }
}

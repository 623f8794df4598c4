//! How people write types: `i64`, `text?`, `decimal(10, 2)`, `list<struct<path: text, hits: i64>>`. A `?` behind a
//! type makes the column nullable. `Display` writes what `parse_field` reads.

use std::fmt;

use super::schema::{DataType, Field};

/// What a type may be, for messages.
pub const ALLOWED: &str = "bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, decimal(precision, scale), text, \
     bytes, bytes(length), timestamp, date, duration, list<type>, struct<name: type, ..>; a `?` behind it allows null";

const SIMPLE: [(&str, DataType); 16] = [
    ("bool", DataType::Boolean),
    ("i8", DataType::I8),
    ("i16", DataType::I16),
    ("i32", DataType::I32),
    ("i64", DataType::I64),
    ("u8", DataType::U8),
    ("u16", DataType::U16),
    ("u32", DataType::U32),
    ("u64", DataType::U64),
    ("f32", DataType::F32),
    ("f64", DataType::F64),
    ("text", DataType::Text),
    ("bytes", DataType::Bytes),
    ("timestamp", DataType::Timestamp),
    ("date", DataType::Date),
    ("duration", DataType::Duration),
];

/// Types nest at most this deep: the text comes from people, and reading it is recursive.
const DEPTH_MAX: usize = 16;

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = SIMPLE.iter().find(|(_, simple)| simple == self) {
            return f.write_str(name);
        }
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Self::FixedBytes(width) => write!(f, "bytes({width})"),
            Self::List(item) => write!(f, "list<{}{}>", item.data_type, mark(item)),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
            _ => unreachable!("every other type is simple"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.name, self.data_type, mark(self))
    }
}

fn mark(field: &Field) -> &'static str {
    if field.nullable { "?" } else { "" }
}

/// Reads the type of the field `name`; the error says what was found where.
pub fn parse_field(name: &str, text: &str) -> Result<Field, String> {
    let mut reader = Reader { text, at: 0 };
    let field = reader.field(name, 0)?;
    reader.space();
    match &text[reader.at..] {
        "" => Ok(field),
        rest => Err(format!("`{text}` goes on with `{rest}` where a type should end; a type is one of {ALLOWED}")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn field(&mut self, name: &str, depth: usize) -> Result<Field, String> {
        if depth > DEPTH_MAX {
            return Err(format!("types nest at most {DEPTH_MAX} deep"));
        }
        let data_type = self.data_type(depth)?;
        Ok(Field { name: name.to_owned(), data_type, nullable: self.eat("?") })
    }

    fn data_type(&mut self, depth: usize) -> Result<DataType, String> {
        let word = self.word();
        if word == "bytes" && self.eat("(") {
            let width = self.number("a length in bytes")?;
            self.expect(")")?;
            return Ok(DataType::FixedBytes(width));
        }
        if let Some((_, simple)) = SIMPLE.iter().find(|(name, _)| *name == word) {
            return Ok(simple.clone());
        }
        match word {
            "decimal" => {
                self.expect("(")?;
                let precision = self.number::<u8>("a precision")?;
                self.expect(",")?;
                let scale = self.number::<i8>("a scale")?;
                self.expect(")")?;
                if !(1..=38).contains(&precision) || scale.unsigned_abs() > precision {
                    return Err(format!("decimal({precision}, {scale}): 1 to 38 digits, and no more behind the point"));
                }
                Ok(DataType::Decimal { precision, scale })
            }
            "list" => {
                self.expect("<")?;
                let item = self.field("item", depth + 1)?;
                self.expect(">")?;
                Ok(DataType::List(Box::new(item)))
            }
            "struct" => self.structure(depth),
            other => Err(format!("`{other}` is not a type; a type is one of {ALLOWED}")),
        }
    }

    fn structure(&mut self, depth: usize) -> Result<DataType, String> {
        self.expect("<")?;
        let mut fields: Vec<Field> = Vec::new();
        loop {
            let name = self.word().to_owned();
            if name.is_empty() {
                return Err(format!("a field's name is missing behind `{}`", &self.text[..self.at]));
            }
            if fields.iter().any(|field| field.name == name) {
                return Err(format!("the field `{name}` stands twice in `{}`", self.text));
            }
            self.expect(":")?;
            fields.push(self.field(&name, depth + 1)?);
            if self.eat(">") {
                return Ok(DataType::Struct(fields));
            }
            self.expect(",")?;
        }
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn word(&mut self) -> &'a str {
        self.space();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N, String> {
        self.space();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
        self.at += end;
        rest[..end].parse().map_err(|_| format!("`{}` is not {what}", &rest[..end]))
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) {
            return Ok(());
        }
        let rest = &self.text[self.at..];
        let found = if rest.is_empty() { "the end".to_owned() } else { format!("`{rest}`") };
        Err(format!("`{token}` is missing in `{}`: found {found}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in
            ["i64", "text?", "decimal(10, 2)", "bytes(16)", "list<i64?>?", "struct<a: i64, b: list<struct<c: text?>>>"]
        {
            let field = parse_field("x", text).unwrap();
            assert_eq!(format!("x: {text}"), field.to_string());
        }
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text| parse_field("x", text).unwrap_err();
        assert!(error("int").starts_with("`int` is not a type"), "{}", error("int"));
        assert!(error("list<i64").contains("`>` is missing"));
        assert!(error("i64 i64").contains("goes on with `i64`"));
        assert!(error("decimal(40, 2)").contains("1 to 38"));
        assert!(error("struct<a: i64, a: i64>").contains("stands twice"));
        assert!(parse_field("x", &"list<".repeat(40)).unwrap_err().contains("nest at most"));
        assert!(error("").contains("is not a type"));
    }
}

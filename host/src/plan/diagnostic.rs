//! What is wrong with a job, and where: every message names a place in the job file (or a `--set`) and shows it, without
//! the secrets that stand there.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::ops::{Deref, Range};

use super::secrets;

/// A range of bytes of a `JobText`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and the place where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecError {
    pub span: Span,
    pub message: String,
    /// What is allowed there, or what to do.
    pub help: Option<String>,
}

/// Collects mistakes, so that people see all of them at once.
#[derive(Debug, Default)]
pub struct Errors {
    list: RefCell<Vec<SpecError>>,
}

impl Errors {
    pub fn add(&self, span: Span, message: impl Into<String>) {
        self.push(SpecError { span, message: message.into(), help: None });
    }

    pub fn add_with_help(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(SpecError { span, message: message.into(), help: Some(help.into()) });
    }

    pub fn push(&self, error: SpecError) {
        let mut list = self.list.borrow_mut();
        if !list.contains(&error) {
            list.push(error);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    pub fn len(&self) -> usize {
        self.list.borrow().len()
    }

    pub fn into_list(self) -> Vec<SpecError> {
        self.list.into_inner()
    }
}

/// The text of a job file with the `--set` overrides behind it, so that one kind of span points into all of them.
#[derive(Clone, Debug)]
pub struct JobText {
    /// How messages name the file.
    name: String,
    text: String,
    file_end: usize,
    /// Where each override stands in `text`.
    overrides: Vec<Span>,
}

impl JobText {
    pub fn new(name: &str, file: &str, overrides: &[String]) -> Self {
        let mut text = file.to_owned();
        let mut spans = Vec::new();
        for set in overrides {
            text.push('\n');
            let start = text.len();
            text.push_str(set);
            spans.push(Span { start, end: text.len() });
        }
        Self { name: name.to_owned(), text, file_end: file.len(), overrides: spans }
    }

    pub fn file(&self) -> &str {
        &self.text[..self.file_end]
    }

    /// Each override with the offset at which spans into it begin.
    pub fn overrides(&self) -> impl Iterator<Item = (usize, &str)> {
        self.overrides.iter().map(|span| (span.start, &self.text[span.start..span.end]))
    }

    fn render(&self, error: &SpecError, out: &mut String) -> fmt::Result {
        let SpecError { span, message, help } = error;
        let set = self.overrides.iter().find(|set| set.start <= span.start && span.start <= set.end);
        if let (Some(set), true) = (set, span.start > self.file_end) {
            writeln!(out, "--set {}: {message}", secrets::hidden(&self.text[set.start..set.end]))?;
            if let Some(help) = help {
                writeln!(out, "  = {help}")?;
            }
            return Ok(());
        }
        let place = Place::of(&secrets::hidden(self.file()), *span);
        let Place { line, column, snippet, indent, carets } = place;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(out, "{}:{line}:{column}: {message}", self.name)?;
        writeln!(out, "{margin} |\n{number} | {snippet}\n{margin} | {indent}{carets}")?;
        if let Some(help) = help {
            writeln!(out, "{margin} = {help}")?;
        }
        Ok(())
    }
}

/// A span as people read it.
struct Place {
    line: usize,
    column: usize,
    /// The line, or the part of a long one that the span is in.
    snippet: String,
    /// As wide as what stands before the span.
    indent: String,
    carets: String,
}

/// Of a line, so many characters before and from the start of a span are shown.
const SHOWN_BEFORE: usize = 120;
const SHOWN_AFTER: usize = 120;

impl Place {
    fn of(text: &str, span: Span) -> Self {
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[line_start..].find('\n').map_or(text.len(), |length| line_start + length);
        let end = text.floor_char_boundary(span.end.min(line_end)).max(start);
        let before: Vec<char> = text[line_start..start].chars().collect();
        let shown = &before[before.len().saturating_sub(SHOWN_BEFORE)..];
        let after: String = text[start..line_end].chars().take(SHOWN_AFTER).collect();
        let width = text[start..end].trim_end().chars().count();
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: before.len() + 1,
            snippet: format!("{}{}", shown.iter().collect::<String>(), after.trim_end()),
            indent: shown.iter().map(|c| if *c == '\t' { '\t' } else { ' ' }).collect(),
            carets: "^".repeat(width.clamp(1, SHOWN_AFTER)),
        }
    }
}

/// Why a job was refused: every mistake that was found, in the order of the file. `Display` is for people.
#[derive(Debug)]
pub struct SpecErrors {
    text: JobText,
    list: Vec<SpecError>,
}

impl SpecErrors {
    pub fn new(text: JobText, mut list: Vec<SpecError>) -> Self {
        list.sort_by_key(|error| error.span.start);
        Self { text, list }
    }

    pub fn list(&self) -> &[SpecError] {
        &self.list
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for (i, error) in self.list.iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            self.text.render(error, &mut out)?;
        }
        f.write_str(out.trim_end())
    }
}

impl std::error::Error for SpecErrors {}

/// ``; did you mean `x`?`` when one of the names is close to `wrong`.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let close = |name: &&str| strsim::damerau_levenshtein(wrong, name) <= wrong.chars().count().max(3) / 3;
    let nearest = names.into_iter().filter(close).min_by_key(|name| strsim::damerau_levenshtein(wrong, name));
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// All of them, or `None`. Unlike `collect` it does not stop at the first `None`, so that every mistake is found.
pub fn all<T>(items: impl IntoIterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.into_iter().collect();
    items.into_iter().collect()
}

/// `` `a`, `b`, `c` ``, or `none`.
pub fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(file: &str, sets: &[String], span: Range<usize>) -> String {
        let error = SpecError { span: span.into(), message: "wrong".to_owned(), help: Some("do better".to_owned()) };
        SpecErrors::new(JobText::new("job.toml", file, sets), vec![error]).to_string()
    }

    #[test]
    fn a_place_is_shown_with_its_line_and_a_caret() {
        assert_eq!(
            rendered("a = 1\n\tb = 23 # é\n", &[], 11..13),
            "job.toml:2:6: wrong\n  |\n2 | \tb = 23 # é\n  | \t    ^^\n  = do better"
        );
        assert_eq!(rendered("", &[], 0..0), "job.toml:1:1: wrong\n  |\n1 | \n  | ^\n  = do better");
        assert_eq!(rendered("é", &[], 1..99), "job.toml:1:1: wrong\n  |\n1 | é\n  | ^\n  = do better");
    }

    #[test]
    fn of_a_long_line_a_part_is_shown() {
        let line = format!("{}here{}", "a".repeat(1_000), "b".repeat(1_000));
        let shown = rendered(&line, &[], 1_000..2_000);
        assert!(shown.starts_with("job.toml:1:1001: wrong"));
        assert!(shown.contains(&format!("| {}here{}\n", "a".repeat(120), "b".repeat(116))), "{shown}");
    }

    #[test]
    fn an_override_is_its_own_place() {
        let sets = ["a=1".to_owned(), "b=2".to_owned()];
        assert_eq!(rendered("x = 1\n", &sets, 13..14), "--set b=2: wrong\n  = do better");
    }

    #[test]
    fn close_names_are_suggested() {
        assert_eq!(did_you_mean("spilt_bytes", ["path", "split_bytes"]), "; did you mean `split_bytes`?");
        assert_eq!(did_you_mean("x", ["path", "split_bytes"]), "");
    }
}

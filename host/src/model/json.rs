//! Values as JSON text, in the forms in which sinks write them: timestamps RFC 3339 in UTC, dates `2015-05-17`, durations
//! whole microseconds, bytes hexadecimal digits, NaN and the infinities null.

use std::fmt::{Display, Write};

use super::time::Timestamp;

/// Text that is being written. What is appended to a `String` cannot fail.
#[derive(Clone, Debug, Default)]
pub struct Json(pub String);

impl Json {
    /// As it is: punctuation, and what is JSON already.
    pub fn raw(&mut self, text: impl Display) {
        let _ = write!(self.0, "{text}");
    }

    pub fn text(&mut self, text: &str) {
        self.raw(serde_json::Value::from(text));
    }

    /// The name of a field, and the colon; `is_first` of its object.
    pub fn name(&mut self, name: &str, is_first: bool) {
        self.raw(if is_first { "" } else { "," });
        self.text(name);
        self.raw(":");
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.raw('"');
        self.raw(hex::encode(bytes));
        self.raw('"');
    }

    pub fn float(&mut self, value: f64) {
        self.raw(serde_json::Value::from(value));
    }

    /// The shortest digits that mean this `f32`.
    pub fn short_float(&mut self, value: f32) {
        self.raw(serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned()));
    }

    /// A number of the smallest units of a decimal with `scale` digits behind the point.
    pub fn decimal(&mut self, units: i128, scale: i8) {
        let digits = units.unsigned_abs().to_string();
        let sign = if units < 0 { "-" } else { "" };
        match usize::try_from(scale) {
            Ok(0) => self.raw(format_args!("{sign}{digits}")),
            Ok(scale) => {
                let digits = format!("{digits:0>width$}", width = scale + 1);
                let (whole, part) = digits.split_at(digits.len() - scale);
                self.raw(format_args!("{sign}{whole}.{part}"));
            }
            Err(_) => self.raw(format_args!("{sign}{digits}{}", "0".repeat(scale.unsigned_abs().into()))),
        }
    }

    /// One beyond the calendar is its number of microseconds.
    pub fn timestamp(&mut self, micros: i64) {
        match chrono::DateTime::from_timestamp_micros(micros) {
            Some(_) => self.raw(format_args!("\"{}\"", Timestamp(micros))),
            None => self.raw(micros),
        }
    }

    /// One beyond the calendar is its number of days since 1970.
    pub fn date(&mut self, days: i32) {
        match chrono::DateTime::from_timestamp(i64::from(days) * 86_400, 0) {
            Some(at) => self.raw(format_args!("\"{}\"", at.date_naive())),
            None => self.raw(days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        write(&mut json);
        json.0
    }

    #[test]
    fn as_sinks_write_them() {
        assert_eq!(of(|json| json.text("a \"b\"\n")), r#""a \"b\"\n""#);
        assert_eq!(of(|json| json.decimal(-1205, 2)), "-12.05");
        assert_eq!(of(|json| json.decimal(5, 3)), "0.005");
        assert_eq!(of(|json| json.decimal(5, -3)), "5000");
        assert_eq!(of(|json| json.timestamp(1_431_857_103_250_000)), "\"2015-05-17T10:05:03.250Z\"");
        assert_eq!(of(|json| json.timestamp(i64::MAX)), i64::MAX.to_string());
        assert_eq!(of(|json| json.date(16_572)), "\"2015-05-17\"");
        assert_eq!(of(|json| json.float(f64::NAN)), "null");
        assert_eq!(of(|json| json.short_float(0.1)), "0.1");
        assert_eq!(of(|json| json.bytes(&[1, 0xff])), "\"01ff\"");
    }
}

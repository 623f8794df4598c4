//! Passwords in a job file, which messages must not show. They are better written `${NAME}`, but not everybody does.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A setting that is called like a secret, and its value: a text of any kind of TOML's, or what stands bare in a `--set`.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    const NAME: &str = r#"[\w.-]*(?:password|secret|token|_key|\.pem)[\w.-]*["']?\s*=\s*"#;
    const VALUE: &str = r#""{3}(?s:.*?)"{3}|'{3}(?s:.*?)'{3}|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'\[{]+"#;
    Regex::new(&format!("(?i)({NAME})({VALUE})")).expect("this is a regular expression")
});

/// The text with `*` in the place of each byte of a secret, so that every other one stays where it is.
pub fn hidden(text: &str) -> String {
    let hide = |found: &Captures<'_>| match &found[2] {
        value if value.contains("${") => found[0].to_owned(),
        value => format!("{}{}", &found[1], "*".repeat(value.len())),
    };
    SECRET.replace_all(text, hide).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        for (text, shown) in [
            (r#"{ "sasl.password" = "se\"c", a = 1 }"#, r#"{ "sasl.password" = *******, a = 1 }"#),
            ("aws_secret_access_key = 'ab'\nname = 'b'", "aws_secret_access_key = ****\nname = 'b'"),
            ("\"ssl.key.pem\" = \"\"\"a\nb\"\"\" # é", "\"ssl.key.pem\" = ********* # é"),
            ("a.sasl_password=é", "a.sasl_password=**"),
            (r#""sasl.password" = "${KAFKA_PASSWORD}""#, r#""sasl.password" = "${KAFKA_PASSWORD}""#),
            (r#"key_by = ["k"], key = "k", header = "x""#, r#"key_by = ["k"], key = "k", header = "x""#),
        ] {
            assert_eq!(hidden(text), shown);
            assert_eq!(text.len(), shown.len());
        }
    }
}

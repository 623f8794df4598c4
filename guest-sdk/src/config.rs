//! The configuration that a job gives an operator.

use crate::error::Error;

/// Reads it; none at all is the empty object.
pub(crate) fn parse<C: serde::de::DeserializeOwned>(config: &str) -> Result<C, Error> {
    let config = match config.trim() {
        "" | "null" => "{}",
        config => config,
    };
    serde_json::from_str(config).map_err(|error| format!("config: {error}").into())
}

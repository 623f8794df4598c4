//! Schemas that the connector determines.

use crate::model::schema::{DataType, Field, Schema};
use crate::plan::connector::{GeneratedEvents, SourceConnector};

pub fn generated(events: &GeneratedEvents) -> Schema {
    let text = |name| Field::new(name, DataType::Text);
    let number = |name| Field::new(name, DataType::I64);
    match events {
        GeneratedEvents::Clicks { .. } => {
            Schema::new([text("user_id"), text("action"), number("timestamp"), text("page"), text("ad_id"), text("ip")])
        }
        GeneratedEvents::Keyed { .. } => {
            Schema::new([text("key"), number("timestamp"), number("value"), Field::new("payload", DataType::Bytes)])
        }
    }
}

/// A line, or a message's value, that is not parsed.
pub fn raw(connector: &SourceConnector) -> Field {
    let name = if matches!(connector, SourceConnector::Kafka(_)) { "value" } else { "line" };
    Field::new(name, DataType::Text)
}

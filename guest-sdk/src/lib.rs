//! Write Wasmill operators: typed events in, keyed state and timers, typed events out.
//!
//! An operator is a type that implements [`Process`] (row by row) or [`Aggregate`] (what a window makes of its rows).
//! What it reads, emits and is keyed by are structs with `#[derive(Record)]`. [`export!`] makes it part of the
//! component that `wasmill build` builds, and [`testing::Drive`] tests it natively.
//!
//! `README.md` is a guide of five minutes, `wit/README.md` the contract below.
#![warn(missing_docs)]

extern crate self as wasmill_sdk;

mod aggregate;
#[doc(hidden)]
pub mod bindings;
mod config;
mod decimal;
mod encoded;
mod error;
mod export;
mod line;
mod process;
mod record;
mod schema;
mod telemetry;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod time;
mod trusted;
mod value;

#[cfg(test)]
mod tests;

pub use aggregate::Aggregate;
pub use decimal::Decimal;
pub use error::{Error, Outcome};
pub use line::Line;
pub use process::{
    Aggregating, Broadcast, BroadcastContext, BroadcastMap, Clock, Column, Columns, Context, Extend, Input, Keep, Key,
    Keyed, List, Map, MapKey, NoTimers, OUTPUT_LIMIT, Open, Output, Port, Process, ReadsBroadcast, Reducing, Row,
    State, Timers, Value,
};
pub use record::{Field, Record, RecordShape, Shape};
pub use schema::{ColumnSchema, DataType, IntegerType, Schema};
pub use telemetry::{Counter, Histogram, Level};
pub use time::{Date, Duration, Timestamp, Window, days, hours, micros, millis, minutes, seconds};
pub use value::{Data, decode_value, encode_value};

/// Everything that an operator's author names.
pub mod prelude {
    pub use crate::{
        Aggregate, Aggregating, Broadcast, BroadcastContext, BroadcastMap, Clock, Column, Context, Counter, Data, Date,
        Decimal, Duration, Error, Extend, Histogram, Keep, Keyed, Level, Line, List, Map, NoTimers, Open, Outcome,
        Port, Process, Record, Reducing, Row, Timers, Timestamp, Value, Window, days, export, hours, micros, millis,
        minutes, seconds,
    };
    pub use serde::Deserialize;
    pub use wasmill_sdk_derive::{Record, Timers};
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// For the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::wasmill::operator::columns::Column;
    pub use crate::export::{Component, Operator};
    pub use crate::process::{Clock, Timers};
    pub use crate::record::{Builder, Cursor, Field, Record, RecordShape};
    pub use crate::schema::Schema;
    pub use crate::value::{Data, Owned, Sink, width};
}

//! Layer 3: the sandbox. Only this folder knows wasmtime; the rest of the host sees `plan::environment` and
//! `dataplane::function`.

mod bindings;
pub mod component;
pub mod describe;
pub mod engine;
pub mod instance;
pub mod lift;
mod lower;
pub mod store;
mod telemetry;

pub mod aggregate;
pub mod process;

/// What a guest answers, before it has been checked.
pub mod answers {
    pub use super::bindings::wasmill::operator::columns::{
        ColumnResult, DictionaryResult, ValuesResult, VariableResult,
    };
    pub use super::bindings::wasmill::operator::schemas::{
        DataType, DecimalType, FieldResult, IntegerType, SchemaResult,
    };
}

//! State of keys, in two ways that look alike to authors. Value-like states ([`Value`], [`Reducing`], [`Aggregating`])
//! travel with the call. Entries ([`List`], [`Map`]) stay with the host: what a call reads is asked for in bulk and kept
//! until the call ends, what it writes is sent once, at its end.

mod broadcast;
mod cells;
mod entries;
mod folding;
mod host;
mod list;
mod map;
mod value;

pub use broadcast::{BroadcastMap, BroadcastStates};
pub(super) use cells::{Cells, Touch};
pub(super) use entries::AnyEntries;
pub use folding::{Aggregating, Reducing};
pub(super) use host::touch;
pub use list::List;
pub(super) use list::ListEntries;
pub(super) use map::MapEntries;
pub use map::{Map, MapKey};
pub use value::Value;

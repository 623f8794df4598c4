//! Versions of operators, as if each had taken the place of the one before: what they remember has changed. Over the
//! generator's keyed events.
mod account;
mod shared;
mod total;

use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Event {
    pub value: i64,
}

pub use account::{First, Second, Third};
pub use shared::{FirstShared, SecondShared, ThirdShared};
pub use total::{FirstTotal, SecondTotal, ThirdTotal};

export!(
    process: First, Second, Third;
    broadcast: FirstShared, SecondShared, ThirdShared;
    aggregate: FirstTotal, SecondTotal, ThirdTotal
);

//! Drives aggregates.

use super::columns;
use crate::aggregate::{self, Aggregate};
use crate::bindings::wasmill::operator::columns::{Column, Values};
use crate::record::{Cursor, Record};
use crate::{Schema, Timestamp};
use std::marker::PhantomData;

/// Drives an [`Aggregate`]: one accumulator, encoded between any two calls as the host keeps it.
pub struct DriveAggregate<A> {
    accumulator: Column,
    of: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Default for DriveAggregate<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Aggregate> DriveAggregate<A> {
    /// A fresh accumulator. Panics when the aggregate does not open over the columns that it reads.
    pub fn new() -> Self {
        let mut schema = Schema::default();
        <A::In<'static> as Record>::describe_fields(&mut schema);
        aggregate::open::<A>(&[schema])
            .unwrap_or_else(|error| panic!("the aggregate does not open: {error}"));
        Self {
            accumulator: Column {
                validity: None,
                values: Values::Nulls,
            },
            of: PhantomData,
        }
    }

    /// Adds rows.
    pub fn add<'r>(&mut self, rows: impl IntoIterator<Item = A::In<'r>>) -> &mut Self {
        let rows: Vec<_> = rows.into_iter().collect();
        if !rows.is_empty() {
            self.accumulator =
                aggregate::add::<A>(&self.accumulator, &vec![0; rows.len()], &columns(&rows));
        }
        self
    }

    /// Adds the rows of another.
    pub fn merge(&mut self, other: Self) -> &mut Self {
        let both = [&self.accumulator, &other.accumulator];
        let mut decoded = both
            .into_iter()
            .flat_map(|column| aggregate::decode::<A::Acc>(column, 1));
        let both =
            aggregate::encode([decoded.next().flatten(), decoded.next().flatten()].into_iter());
        drop(decoded);
        self.accumulator = aggregate::merge::<A>(&both, &[0, 0], 1);
        self
    }

    /// The result of the window from `start` until just before `end`.
    pub fn result(&self, start: Timestamp, end: Timestamp) -> A::Out {
        let columns = aggregate::finish::<A>(&self.accumulator, &[start.0], &[end.0]);
        read::<A>(&columns)
    }
}

fn read<A: Aggregate>(columns: &[Column]) -> A::Out {
    <A::Out as Record>::read_record(
        &<A::Out as Record>::read_fields(&mut Cursor::new(columns)),
        0,
    )
}

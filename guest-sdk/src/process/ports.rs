//! Output rows in the making.

use crate::bindings::wasmill::operator::calls;
use crate::record::Builder;
use std::any::Any;
use std::marker::PhantomData;

/// A side output, declared with [`Open::side_output`](super::Open::side_output). `T` is its record, written with
/// `'static` where it borrows: `Port<Rejected<'static>>`.
#[derive(Debug)]
pub struct Port<T> {
    pub(super) number: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Port<T> {
    pub(super) fn new(number: u32) -> Self {
        Self { number, of: PhantomData }
    }
}

/// The rows of one port in this call.
#[derive(Default)]
pub(super) struct Rows<B> {
    columns: B,
    rows: usize,
    /// how many rows to make room for when the first comes
    expected: usize,
    /// the input row of each, unless row i came from input row i so far
    origins: Option<Vec<u32>>,
    /// the time of each, unless all are their origins'
    times: Option<Vec<i64>>,
}

impl<B: Builder> Rows<B> {
    /// Starts a call of so many input rows.
    pub(super) fn start(&mut self, expected: usize) {
        self.expected = expected;
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// A row that came from an input row, at a time of its own or at its origin's.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        origin: u32,
        time: Option<i64>,
        origin_time: impl Fn(u32) -> i64,
        write: impl FnOnce(&mut B),
    ) {
        if self.rows == 0 {
            self.columns.reserve(self.expected);
        }
        write(&mut self.columns);
        match &mut self.origins {
            Some(origins) => origins.push(origin),
            None if origin as usize == self.rows => {}
            None => self.origins = Some(self.list_origins(origin)),
        }
        if time.is_some() || self.times.is_some() {
            self.push_time(origin, time, origin_time);
        }
        self.rows += 1;
    }

    #[cold]
    fn list_origins(&self, origin: u32) -> Vec<u32> {
        let mut origins = Vec::with_capacity(self.expected.max(self.rows + 1));
        origins.extend(0..self.rows as u32);
        origins.push(origin);
        origins
    }

    fn push_time(&mut self, origin: u32, time: Option<i64>, origin_time: impl Fn(u32) -> i64) {
        let times = self.times.get_or_insert_with(|| {
            let mut times = Vec::with_capacity(self.expected.max(self.rows + 1));
            times.extend((0..self.rows).map(|row| match &self.origins {
                None => origin_time(row as u32),
                Some(origins) => origin_time(origins[row]),
            }));
            times
        });
        times.push(time.unwrap_or_else(|| origin_time(origin)));
    }

    #[inline(always)]
    pub(super) fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// The rows of this call, and a fresh start.
    fn take(&mut self, port: u32, inputs: usize) -> Option<calls::Output> {
        if self.rows == 0 {
            return None;
        }
        let rows = std::mem::take(&mut self.rows);
        let origins = match self.origins.take() {
            None if rows == inputs => None,
            None => Some((0..rows as u32).collect()),
            origins => origins,
        };
        let mut columns = Vec::new();
        self.columns.finish(&mut columns);
        Some(calls::Output { port, rows: rows as u32, origins, times: self.times.take(), columns })
    }
}

/// A port whose record is not known here.
pub(super) trait AnyRows: Any {
    fn as_any(&mut self) -> &mut dyn Any;
    /// Forgets all rows but the first so many.
    fn truncate(&mut self, rows: usize);
    /// Forgets the last rows, those of this input row.
    fn forget(&mut self, origin: u32);
    fn size(&self) -> usize;
    fn finish(&mut self, port: u32, inputs: usize, outputs: &mut Vec<calls::Output>);
}

impl<B: Builder> AnyRows for Rows<B> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn truncate(&mut self, rows: usize) {
        if rows == self.rows {
            return;
        }
        self.columns.truncate(rows);
        self.rows = rows;
        if rows == 0 {
            (self.origins, self.times) = (None, None);
        }
        if let Some(origins) = &mut self.origins {
            origins.truncate(rows);
        }
        if let Some(times) = &mut self.times {
            times.truncate(rows);
        }
    }

    fn forget(&mut self, origin: u32) {
        let mut rows = self.rows;
        while rows > 0 && self.origins.as_ref().map_or(rows as u32 - 1, |origins| origins[rows - 1]) == origin {
            rows -= 1;
        }
        self.truncate(rows);
    }

    fn size(&self) -> usize {
        self.bytes()
    }

    fn finish(&mut self, port: u32, inputs: usize, outputs: &mut Vec<calls::Output>) {
        outputs.extend(self.take(port, inputs));
    }
}

/// The same type under two names: a record's builder does not depend on the record's lifetime, which generic code
/// cannot know. Costs nothing.
#[inline(always)]
pub(crate) fn same<A: 'static, B: 'static>(value: &mut A) -> &mut B {
    (value as &mut dyn Any).downcast_mut().expect("a record's builder is the same for every lifetime")
}

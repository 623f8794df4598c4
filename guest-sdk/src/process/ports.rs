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
        Self {
            number,
            of: PhantomData,
        }
    }
}

/// The rows of one port in this call.
#[derive(Default)]
pub(super) struct Rows<B> {
    columns: B,
    rows: usize,
    /// how many rows the port had in the last call that gave it any: the next will be alike
    last: usize,
    /// the input row of each, if they are listed: not while row i came from input row i
    origins: Vec<u32>,
    listed: bool,
    /// the time of each, if one has a time of its own
    times: Vec<i64>,
    timed: bool,
}

impl<B: Builder> Rows<B> {
    /// Starts a call of so many input rows.
    pub(super) fn start(&mut self, inputs: usize) {
        let expected = if self.last == 0 {
            inputs
        } else {
            inputs.min(self.last + self.last / 8)
        };
        self.columns.reserve(expected);
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
        input_times: &[i64],
        write: impl FnOnce(&mut B),
    ) {
        write(&mut self.columns);
        if self.listed {
            self.origins.push(origin);
        } else if origin as usize != self.rows {
            self.list_origins(origin);
        }
        match time {
            Some(time) if self.timed => self.times.push(time),
            None if !self.timed => {}
            _ => self.push_time(origin, time, input_times),
        }
        self.rows += 1;
    }

    /// From here on, origins are listed.
    #[cold]
    #[inline(never)]
    fn list_origins(&mut self, origin: u32) {
        self.origins.reserve(self.last.max(self.rows + 1));
        self.origins.extend(0..self.rows as u32);
        self.origins.push(origin);
        self.listed = true;
    }

    /// The first row with a time of its own, or one without after it.
    #[cold]
    #[inline(never)]
    fn push_time(&mut self, origin: u32, time: Option<i64>, input_times: &[i64]) {
        let time_of = |row: u32| {
            assert!(
                !input_times.is_empty(),
                "`emit` beside `emit_at` needs `const READS_TIMES: bool = true`"
            );
            input_times[row as usize]
        };
        if !self.timed {
            self.timed = true;
            self.times.reserve(self.last.max(self.rows + 1));
            for row in 0..self.rows {
                self.times.push(time_of(if self.listed {
                    self.origins[row]
                } else {
                    row as u32
                }));
            }
        }
        self.times.push(time.unwrap_or_else(|| time_of(origin)));
    }

    #[inline(always)]
    pub(super) fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// The rows of this call, and a fresh start.
    fn take(&mut self, port: u32, inputs: usize) -> Option<calls::Output> {
        let (rows, listed) = (
            std::mem::take(&mut self.rows),
            std::mem::take(&mut self.listed),
        );
        let times = std::mem::take(&mut self.timed).then(|| std::mem::take(&mut self.times));
        if rows == 0 {
            return None;
        }
        self.last = rows;
        let origins = if listed {
            Some(std::mem::take(&mut self.origins))
        } else {
            (rows != inputs).then(|| (0..rows as u32).collect())
        };
        let mut columns = Vec::new();
        self.columns.finish(&mut columns);
        Some(calls::Output {
            port,
            rows: rows as u32,
            origins,
            times,
            columns,
        })
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
        self.origins.truncate(rows);
        self.times.truncate(rows);
        self.listed &= rows > 0;
        self.timed &= rows > 0;
    }

    fn forget(&mut self, origin: u32) {
        let mut rows = self.rows;
        while rows > 0
            && self
                .origins
                .get(rows - 1)
                .map_or(rows as u32 - 1, |origin| *origin)
                == origin
        {
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
    (value as &mut dyn Any)
        .downcast_mut()
        .expect("a record's builder is the same for every lifetime")
}

//! The rows that a decoder is making.

use arrow_array::{RecordBatch, RecordBatchOptions};

use crate::dataplane::split::{Refused, Rows};
use crate::model::batch::Offsets;
use crate::model::schema::Schema;

use super::column::{Column, Room};

pub struct RowsBuilder {
    schema: Schema,
    pub columns: Vec<Column>,
    offsets: Vec<u64>,
    refused: Vec<Refused>,
    /// What the last batch held, column by column.
    rooms: Vec<Room>,
}

impl RowsBuilder {
    pub fn new(schema: &Schema) -> Self {
        let columns: Vec<Column> = schema.fields().iter().map(Column::new).collect();
        let rooms = vec![Room::default(); columns.len()];
        Self { schema: schema.clone(), columns, offsets: Vec::new(), refused: Vec::new(), rooms }
    }

    /// Good rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Good rows and refused ones.
    #[inline]
    pub fn events(&self) -> usize {
        self.offsets.len() + self.refused.len()
    }

    /// Call it before the first row of a batch: an idle decoder holds no memory.
    pub fn reserve(&mut self, rows: usize) {
        if self.offsets.capacity() == 0 {
            self.offsets.reserve(rows);
            for (column, room) in self.columns.iter_mut().zip(&self.rooms) {
                column.reserve(room);
            }
        }
    }

    /// Every column has one more row.
    #[inline]
    pub fn accept(&mut self, offset: u64) {
        self.offsets.push(offset);
        debug_assert!(self.columns.iter().all(|column| column.len() == self.offsets.len()));
    }

    /// What was pushed since the last row is forgotten.
    pub fn refuse(&mut self, offset: u64, reason: String, event: &[u8]) {
        let rows = self.len();
        for column in &mut self.columns {
            column.truncate(rows);
        }
        self.refused.push(Refused { offset, reason, event: event.to_vec() });
    }

    /// What there is; empty afterwards.
    pub fn finish(&mut self) -> Rows {
        let rows = self.len();
        for (column, room) in self.columns.iter().zip(&mut self.rooms) {
            *room = column.room();
        }
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(self.schema.arrow().clone(), columns, &options)
            .expect("columns are built for their schema, and filled row by row");
        let offsets = Offsets::Listed(std::mem::take(&mut self.offsets).into());
        Rows { records, selection: None, offsets, refused: std::mem::take(&mut self.refused) }
    }
}

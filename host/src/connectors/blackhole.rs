//! A sink that counts rows and forgets them.

use crate::dataplane::sink_writer::SinkWriter;
use crate::model::batch::Batch;
use crate::model::fault::Fault;

#[derive(Default)]
pub struct Blackhole {
    rows: u64,
}

impl Blackhole {
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl SinkWriter for Blackhole {
    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.rows += batch.rows() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

//! A channel between two slots: a ring without locks, with credit for the bytes in flight.

use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::dataplane::channel::{Inlet, Outlet};
use crate::model::message::Message;

/// Messages in flight, however small: watermarks are messages too.
const MESSAGES_MAX: usize = 256;

/// Wakes a slot's thread; before the thread runs it does nothing.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<OnceLock<Thread>>);

impl Waker {
    /// To be called once by the thread that is to be woken.
    pub fn is_me(&self) {
        // A second call would be of the same thread.
        let _ = self.0.set(std::thread::current());
    }

    pub fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

struct Charged {
    message: Message,
    bytes: usize,
}

struct RingOutlet {
    ring: Producer<Charged>,
    in_flight: Arc<AtomicUsize>,
    bytes_max: usize,
    reader: Waker,
}

struct RingInlet {
    ring: Consumer<Charged>,
    in_flight: Arc<AtomicUsize>,
    writer: Waker,
}

/// A channel for at most `bytes_max` bytes; one batch always fits.
pub fn channel(bytes_max: usize, writer: &Waker, reader: &Waker) -> (Box<dyn Outlet>, Box<dyn Inlet>) {
    let (producer, consumer) = RingBuffer::new(MESSAGES_MAX);
    let in_flight = Arc::new(AtomicUsize::new(0));
    let outlet = RingOutlet { ring: producer, in_flight: Arc::clone(&in_flight), bytes_max, reader: reader.clone() };
    (Box::new(outlet), Box::new(RingInlet { ring: consumer, in_flight, writer: writer.clone() }))
}

impl Outlet for RingOutlet {
    fn send(&mut self, message: Message) -> Result<(), Message> {
        let bytes = message.retained_bytes();
        let in_flight = self.in_flight.load(Acquire);
        if bytes > 0 && in_flight > 0 && in_flight + bytes > self.bytes_max {
            return Err(message);
        }
        self.in_flight.fetch_add(bytes, AcqRel);
        match self.ring.push(Charged { message, bytes }) {
            Ok(()) => {
                self.reader.wake();
                Ok(())
            }
            Err(rtrb::PushError::Full(charged)) => {
                self.in_flight.fetch_sub(bytes, AcqRel);
                Err(charged.message)
            }
        }
    }
}

impl Inlet for RingInlet {
    fn receive(&mut self) -> Option<Message> {
        let charged = self.ring.pop().ok()?;
        self.in_flight.fetch_sub(charged.bytes, AcqRel);
        self.writer.wake();
        Some(charged.message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::model::batch::{Batch, Provenance};
    use crate::model::schema::{DataType, Field, Schema};

    fn batch(rows: i64) -> Message {
        let schema = Schema::new([Field::new("n", DataType::I64)]);
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let records = RecordBatch::try_new(schema.arrow().clone(), vec![column]).unwrap();
        Message::Batch(Batch::new(records, (0..rows).collect(), Provenance::default()))
    }

    #[test]
    fn credit_bounds_what_is_in_flight_and_comes_back() {
        let one = batch(1000).retained_bytes();
        let (mut outlet, mut inlet) = channel(2 * one, &Waker::default(), &Waker::default());
        assert!(outlet.send(batch(1000)).is_ok() && outlet.send(batch(1000)).is_ok());
        assert!(outlet.send(batch(1000)).is_err(), "no credit for a third");
        assert!(outlet.send(Message::Idle).is_ok(), "what is not a batch passes");
        assert!(inlet.receive().is_some());
        assert!(outlet.send(batch(1000)).is_ok());
    }

    #[test]
    fn a_batch_larger_than_the_credit_passes_alone() {
        let (mut outlet, mut inlet) = channel(8, &Waker::default(), &Waker::default());
        assert!(outlet.send(batch(1000)).is_ok());
        assert!(outlet.send(batch(1)).is_err());
        assert!(inlet.receive().is_some() && inlet.receive().is_none());
        assert!(outlet.send(batch(1)).is_ok());
    }
}

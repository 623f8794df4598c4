//! The ends of a channel between two tasks. A worker makes them of rings between threads, a test of queues.

use crate::model::message::Message;

/// What a task writes to; bounded by the bytes in flight.
pub trait Outlet: Send {
    /// Gives the message back when the channel has no credit for it; a message that is not a batch may always pass.
    #[expect(clippy::result_large_err, reason = "the message goes back where it came from")]
    fn send(&mut self, message: Message) -> Result<(), Message>;
}

/// What a task reads from.
pub trait Inlet: Send {
    fn receive(&mut self) -> Option<Message>;
}

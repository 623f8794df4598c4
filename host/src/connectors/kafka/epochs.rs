//! Which transaction the writers of a job's sinks write in. An *epoch* is what is written between two barriers. Writers
//! pass a barrier one by one; what they write behind it waits with them until all have passed and the brokers have
//! acknowledged the epoch before: so each key keeps its order, and nothing of the new epoch hides the end of the old one
//! from readers of committed messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::fault::Fault;

use super::transaction::Transaction;

#[derive(Default)]
pub struct Epochs {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that is written now.
    epoch: u64,
    active: Option<Arc<Transaction>>,
    /// Of the next epoch; has not begun.
    standby: Option<Arc<Transaction>>,
    /// Of the last epoch: everything that belongs to it has been acknowledged.
    closed: Option<Arc<Transaction>>,
    writers: usize,
    /// That have passed the barrier behind `epoch`.
    passed: usize,
    is_over: bool,
}

impl Epochs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first epoch, 0, is written in `active`.
    pub fn start(&self, active: Arc<Transaction>) -> Result<(), Fault> {
        active.begin()?;
        self.state().active = Some(active);
        Ok(())
    }

    /// One more writer, before any writes; returns the epoch that it begins with.
    pub fn join(&self) -> u64 {
        let mut state = self.state();
        state.writers += 1;
        state.epoch
    }

    /// The transaction that is written now; `None` = nothing more is.
    pub fn active(&self) -> Option<Arc<Transaction>> {
        self.state().active.clone()
    }

    /// `None` = the epoch has not begun.
    pub fn transaction(&self, epoch: u64) -> Result<Option<Arc<Transaction>>, Fault> {
        let mut state = self.state();
        state.turn()?;
        Ok(state.active.clone().filter(|_| state.epoch == epoch))
    }

    /// A writer has passed the barrier behind the epoch that is written.
    pub fn pass(&self) {
        self.state().passed += 1;
    }

    /// The epoch that is to be committed, whose barrier every writer has passed; `None` = not everything has been
    /// acknowledged.
    pub fn closed(&self) -> Result<Option<Arc<Transaction>>, Fault> {
        let mut state = self.state();
        match state.writers {
            0 => state.begin_next()?,
            _ => state.turn()?,
        }
        Ok(state.closed.take())
    }

    /// The transaction of the next epoch but one.
    pub fn supply(&self, standby: Arc<Transaction>) {
        self.state().standby = Some(standby);
    }

    /// Nothing that is written counts any more.
    pub fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Those that are open; nothing more can be written.
    pub fn end(&self) -> impl Iterator<Item = Arc<Transaction>> + use<> {
        let mut state = self.state();
        state.is_over = true;
        state.standby = None;
        [state.active.take(), state.closed.take()].into_iter().flatten()
    }
}

impl State {
    /// Begins the next epoch if every writer has passed the barrier behind the one that is written.
    fn turn(&mut self) -> Result<(), Fault> {
        // Without writers there are no barriers either.
        if self.passed > 0 && self.passed == self.writers { self.begin_next() } else { Ok(()) }
    }

    fn begin_next(&mut self) -> Result<(), Fault> {
        // At the end there is nothing to write in.
        let Some(active) = &self.active else { return Ok(()) };
        if active.producer().is_flushed()?
            && let Some(standby) = self.standby.take()
        {
            standby.begin()?;
            self.closed = self.active.replace(standby);
            self.epoch += 1;
            self.passed = 0;
        }
        Ok(())
    }
}

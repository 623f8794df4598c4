//! Where the operators of a job keep their state.

use crate::dataplane::keyed::layout;
use crate::dataplane::window::WindowOperator;
use crate::model::fault::Fault;
use crate::model::id::Slot;
use crate::model::key_group::groups_of;
use crate::plan::descriptor::Descriptor;
use crate::plan::graph::{Node, Plan};
use crate::plan::state_backend::StateBackend;
use crate::state::KeyedState;
use crate::state::memory::MemoryState;
use crate::storage::rocksdb::{RocksDb, Scope};

pub enum Backend {
    Memory,
    RocksDb(RocksDb),
}

impl Backend {
    pub fn start(settings: &StateBackend) -> Result<Self, Fault> {
        Ok(match settings {
            StateBackend::Memory => Self::Memory,
            StateBackend::RocksDb(plan) => Self::RocksDb(RocksDb::start(plan)?),
        })
    }

    /// The empty state of a node in a slot.
    pub fn open(
        &self,
        plan: &Plan,
        node: &Node,
        slot: Slot,
        descriptor: &Descriptor,
    ) -> Result<Box<dyn KeyedState>, Fault> {
        let states: Vec<_> = descriptor.states.iter().map(layout).collect();
        match self {
            // State of slots is small, and not by key group.
            Self::RocksDb(rocksdb) if !descriptor.is_state_by_slot() => {
                let groups = groups_of(slot, node.parallelism, plan.max_parallelism);
                let is_native = is_native(plan);
                let scope = Scope { states, groups, max_parallelism: plan.max_parallelism, is_native };
                Ok(Box::new(rocksdb.open(&node.uid, slot, scope).map_err(|fault| fault.at(&node.uid))?))
            }
            _ => Ok(Box::new(MemoryState::new(plan.max_parallelism, states))),
        }
    }
    /// The same with room for panes that do not fit into memory, if the backend has it.
    pub fn with_spill(&self, plan: &Plan, node: &Node, slot: Slot, window: WindowOperator) -> WindowOperator {
        let Self::RocksDb(rocksdb) = self else { return window };
        let groups = groups_of(slot, node.parallelism, plan.max_parallelism);
        let spill = rocksdb.spill(&node.uid, slot, groups, plan.max_parallelism, is_native(plan));
        window.with_spill(Box::new(spill), rocksdb.cache_bytes_max())
    }
}

/// Whether checkpoints take over a backend's own files.
fn is_native(plan: &Plan) -> bool {
    plan.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.is_incremental)
}

//! Calls with rows of a broadcast input, and what they write.

use crate::model::fault::Fault;
use crate::model::key::Keys;
use crate::model::key_group::KeyHash;
use crate::model::value::Values;
use crate::state::broadcast::BroadcastState;

use super::Overlay;

impl Overlay {
    pub fn with_broadcast(self, broadcast: BroadcastState) -> Self {
        Self { broadcast: Some(broadcast), ..self }
    }

    pub fn broadcast(&mut self) -> Option<&mut BroadcastState> {
        self.broadcast.as_mut()
    }

    /// As `start`, for a call with rows of the broadcast input.
    pub fn start_broadcast(&mut self) {
        self.forget();
        self.is_broadcast_call = true;
        self.keys.clear();
    }

    /// What broadcast state takes when the call's writes are applied, which are of nothing else: an error if that is
    /// more than the limit.
    pub fn check_broadcast(&mut self) -> Result<Result<usize, String>, Fault> {
        let Some(broadcast) = &mut self.broadcast else { return Ok(Ok(0)) };
        let (mut before, mut after) = (0, 0);
        for prefix in self.cleared.keys() {
            before += broadcast.bytes_behind(prefix)?;
        }
        let (mut addresses, mut stored) = (Keys::default(), Values::new(None));
        for (address, write) in &self.writes {
            after += write.value.as_ref().map_or(0, |value| address.len() + value.len());
            if !self.cleared.keys().any(|prefix| address.starts_with(prefix)) {
                addresses.push(address, KeyHash::of(&[]));
            }
        }
        broadcast.maps().get_entries(&addresses, &mut stored)?;
        for (at, address) in addresses.iter().enumerate() {
            before += stored.get(at).map_or(0, |value| address.len() + value.len());
        }
        let (bytes, limit) = (broadcast.bytes() - before + after, broadcast.bytes_max());
        // What shrinks is taken, whatever the limit is now.
        Ok(match bytes > limit && after > before {
            true => Err(format!(
                "broadcast state would have {bytes} bytes; broadcast_state_bytes_max of [limits.plugin] is {limit}: raise \
                 it, or let the operator remove what it does not need"
            )),
            false => Ok(bytes),
        })
    }
}

//! The keys of a driven operator, with their states and timers: what the host would keep.

use crate::bindings::wasmill::operator::calls::{GroupState, Step};
use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::bindings::wasmill::operator::descriptors::{Clock, Descriptor};
use crate::process::{Key, Process};
use crate::record::{Builder, bits};
use std::marker::PhantomData;

pub(super) struct Keys<P> {
    keys: Vec<KeyState>,
    /// their widths
    states: Vec<Option<usize>>,
    timers: usize,
    of: PhantomData<fn() -> P>,
}

struct KeyState {
    /// its columns, of one row
    key: Vec<Column>,
    states: Vec<Option<Vec<u8>>>,
    timers: Vec<Option<i64>>,
}

/// The distinct keys of some rows, as a call has them.
pub(super) struct Groups {
    pub(super) members: Vec<usize>,
    pub(super) row_groups: Vec<u32>,
    pub(super) keys: Vec<Column>,
    pub(super) states: Vec<GroupState>,
}

pub(super) struct DueTimer {
    pub(super) time: i64,
    pub(super) key: usize,
    pub(super) timer: u32,
}

impl<P: Process> Keys<P> {
    pub(super) fn new(states: Vec<Option<usize>>, timers: usize) -> Self {
        Self {
            keys: Vec::new(),
            states,
            timers,
            of: PhantomData,
        }
    }

    /// The number of a key.
    pub(super) fn number(&mut self, key: Vec<Column>) -> usize {
        if let Some(number) = self.keys.iter().position(|known| known.key == key) {
            return number;
        }
        self.keys.push(KeyState {
            key,
            states: vec![None; self.states.len()],
            timers: vec![None; self.timers],
        });
        self.keys.len() - 1
    }

    /// Groups rows by the numbers of their keys.
    pub(super) fn group(&self, rows: &[usize]) -> Groups {
        let mut members = Vec::new();
        let row_groups = rows.iter().map(|row| {
            let group = members
                .iter()
                .position(|member| member == row)
                .unwrap_or_else(|| {
                    members.push(*row);
                    members.len() - 1
                });
            group as u32
        });
        let row_groups = row_groups.collect();
        let mut builder = <P::Key<'_> as Key>::Builder::default();
        builder.reserve(members.len());
        for member in &members {
            self.write_key(*member, &mut builder);
        }
        let mut keys = Vec::new();
        builder.finish(&mut keys);
        let states = self.states.iter().enumerate().map(|(state, width)| {
            let values: Vec<_> = members
                .iter()
                .map(|member| self.keys[*member].states[state].as_deref())
                .collect();
            GroupState {
                state: state as u32,
                values: pack(&values, *width),
            }
        });
        let states = states.collect();
        Groups {
            members,
            row_groups,
            keys,
            states,
        }
    }

    fn write_key<'k>(
        &'k self,
        member: usize,
        builder: &mut <P::Key<'static> as Key<'static>>::Builder,
    ) {
        let reader = <P::Key<'k> as Key<'k>>::reader(&self.keys[member].key);
        let key = <P::Key<'k> as Key<'k>>::read(&reader, 0);
        key.write(crate::process::same(builder));
    }

    /// Takes the timers that are due, in (time, key) order.
    pub(super) fn due(&mut self, descriptor: &Descriptor, clock: Clock, now: i64) -> Vec<DueTimer> {
        let mut due = Vec::new();
        for (key, state) in self.keys.iter_mut().enumerate() {
            for (timer, time) in state.timers.iter_mut().enumerate() {
                if descriptor.timers[timer].clock == clock
                    && let Some(time) = time.take_if(|time| *time <= now)
                {
                    due.push(DueTimer {
                        time,
                        key,
                        timer: timer as u32,
                    });
                }
            }
        }
        due.sort_by_key(|timer| (timer.time, timer.key, timer.timer));
        due
    }

    /// Takes over what a call did to the states and timers of its keys.
    pub(super) fn apply(&mut self, step: &Step, members: &[usize]) {
        for changed in &step.states {
            for (group, member) in members.iter().enumerate() {
                self.keys[*member].states[changed.state as usize] =
                    unpack(&changed.values, group, members.len());
            }
        }
        let set = &step.timers_set;
        for ((group, timer), time) in set.groups.iter().zip(&set.timers).zip(&set.times) {
            self.keys[members[*group as usize]].timers[*timer as usize] = Some(*time);
        }
        let cancelled = &step.timers_cancelled;
        for (group, timer) in cancelled.groups.iter().zip(&cancelled.timers) {
            self.keys[members[*group as usize]].timers[*timer as usize] = None;
        }
    }

    pub(super) fn live(&self) -> usize {
        let live = |key: &&KeyState| {
            key.states.iter().any(Option::is_some) || key.timers.iter().any(Option::is_some)
        };
        self.keys.iter().filter(live).count()
    }
}

/// Values as a column: `fixed` when their type has a width, otherwise `variable`.
fn pack(values: &[Option<&[u8]>], width: Option<usize>) -> Column {
    let mut validity = vec![0; values.len().div_ceil(8)];
    let mut data = Vec::new();
    let mut offsets = vec![0];
    for (at, value) in values.iter().enumerate() {
        bits::put(&mut validity, at, value.is_some());
        match (value, width) {
            (Some(value), _) => data.extend_from_slice(value),
            (None, Some(width)) => data.resize(data.len() + width, 0),
            (None, None) => {}
        }
        offsets.push(data.len() as i32);
    }
    let values = match width {
        Some(_) => Values::Fixed(data),
        None => Values::Variable(Variable { offsets, data }),
    };
    Column {
        validity: Some(validity),
        values,
    }
}

fn unpack(column: &Column, group: usize, groups: usize) -> Option<Vec<u8>> {
    if column
        .validity
        .as_ref()
        .is_some_and(|validity| !bits::get(validity, group))
    {
        return None;
    }
    match &column.values {
        Values::Fixed(data) => {
            let width = data.len() / groups;
            Some(data[group * width..][..width].to_vec())
        }
        Values::Variable(Variable { offsets, data }) => {
            Some(data[offsets[group] as usize..offsets[group + 1] as usize].to_vec())
        }
        _ => None,
    }
}

//! A value for each key. Those of a call's keys come with it and go back with its result.

use crate::process::{Context, Process};
use crate::value::Data;
use std::marker::PhantomData;

/// A state with one value for each key, declared with [`Open::value`](crate::Open::value).
///
/// It is a handle: the value is that of the key of the row or timer at hand. A key without a value takes no space.
#[derive(Debug)]
pub struct Value<T> {
    /// which of the value-like states it is
    cell: usize,
    of: PhantomData<fn() -> T>,
}

impl<T: Data> Value<T> {
    pub(in crate::process) fn new(cell: usize) -> Self {
        Self { cell, of: PhantomData }
    }

    /// The key's value, if it has one.
    #[inline]
    pub fn get<P: Process>(&self, cx: &Context<'_, P>) -> Option<T> {
        cx.cells(self.cell).get(cx.group())
    }

    /// The key's value, or the default.
    #[inline]
    pub fn get_or_default<P: Process>(&self, cx: &Context<'_, P>) -> T
    where
        T: Default,
    {
        self.get(cx).unwrap_or_default()
    }

    /// Whether the key has a value.
    #[inline]
    pub fn exists<P: Process>(&self, cx: &Context<'_, P>) -> bool {
        cx.cells(self.cell).exists(cx.group())
    }

    /// Gives the key a value.
    #[inline]
    pub fn set<P: Process>(&self, cx: &mut Context<'_, P>, value: T) {
        let (group, row) = (cx.group(), cx.row());
        cx.cells_mut(self.cell).set(group, row, &value);
    }

    /// Changes the key's value, starting from the default when it has none, and returns it.
    #[inline]
    pub fn update<P: Process>(&self, cx: &mut Context<'_, P>, change: impl FnOnce(&mut T)) -> T
    where
        T: Default,
    {
        let mut value = self.get_or_default(cx);
        change(&mut value);
        let (group, row) = (cx.group(), cx.row());
        cx.cells_mut(self.cell).set(group, row, &value);
        value
    }

    /// Takes the key's value away.
    #[inline]
    pub fn clear<P: Process>(&self, cx: &mut Context<'_, P>) {
        let (group, row) = (cx.group(), cx.row());
        cx.cells_mut(self.cell).clear(group, row);
    }
}

//! Event-time windows, tumbling and sliding. State is kept pane by pane: a table of keys with a column of accumulators
//! for each aggregate, so that a batch is added a column at a time and a window is panes merged.

pub mod accumulator;
mod aggregates;
mod ahead;
mod calendar;
mod cells;
mod due;
mod durable;
mod firing;
mod merging;
mod native;
mod operator;
mod plugin;
mod plugin_cells;
mod reading;
mod result;
mod snapshot;
mod spill;
mod stacks;

pub use calendar::Calendar;
pub use operator::WindowOperator;

#[cfg(test)]
mod tests;

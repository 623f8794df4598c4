//! The imported interface `state`: lists and maps of the call that runs. Columns are checked here, all else in
//! `dataplane::overlay`; what is not in order traps.

use arrow_array::ArrayRef;

use crate::dataplane::output_budget::OutputBudget;
use crate::dataplane::overlay::{Ends, Overlay};
use crate::model::schema::{Field, Schema};

use super::bindings::wasmill::operator::columns::ColumnResult;
use super::bindings::wasmill::operator::state::{Answers, Bounds, Host as StateHost, Page};
use super::store::Host;
use super::{lift, lower};

impl StateHost for Host {
    fn get(&mut self, state: u32, groups: Vec<u32>, keys: Vec<ColumnResult>) -> wasmtime::Result<Answers> {
        self.reach("get", |overlay, budget| {
            let keys = lift_keys(overlay.key_field(state)?, keys, groups.len(), budget)?;
            let values = overlay.get(state, &groups, &keys)?;
            Ok(Answers { rows: values.len() as u32, values: lower::owned_values(values) })
        })
    }

    fn scan(
        &mut self,
        state: u32,
        groups: Vec<u32>,
        start: Option<Bounds>,
        end: Option<Bounds>,
        entries_max: u32,
    ) -> wasmtime::Result<Page> {
        self.reach("scan", |overlay, budget| {
            let key = Field { nullable: true, ..overlay.key_field(state)? };
            let mut ends = |bounds: Option<Bounds>| -> Result<Option<Ends>, String> {
                let Some(Bounds { keys, inclusive }) = bounds else { return Ok(None) };
                Ok(Some(Ends { keys: lift_keys(key.clone(), keys, groups.len(), budget)?, inclusive }))
            };
            let (start, end) = (ends(start)?, ends(end)?);
            let page = overlay.scan(state, &groups, start, end, entries_max)?;
            let (keys, values) = (lower::owned(&page.keys), lower::owned_values(page.values));
            Ok(Page { counts: page.counts, more: page.more, keys: vec![keys], values })
        })
    }

    fn put(
        &mut self,
        state: u32,
        groups: Vec<u32>,
        keys: Vec<ColumnResult>,
        values: ColumnResult,
    ) -> wasmtime::Result<()> {
        self.reach("put", |overlay, budget| {
            let keys = lift_keys(overlay.key_field(state)?, keys, groups.len(), budget)?;
            let values = lift::values(values, overlay.width(state)?, groups.len(), budget)?;
            overlay.put(state, &groups, &keys, &values)
        })
    }

    fn append(&mut self, state: u32, groups: Vec<u32>, values: ColumnResult) -> wasmtime::Result<()> {
        self.reach("append", |overlay, budget| {
            let values = lift::values(values, overlay.width(state)?, groups.len(), budget)?;
            overlay.append(state, &groups, &values)
        })
    }

    fn clear(&mut self, state: u32, groups: Vec<u32>) -> wasmtime::Result<()> {
        self.reach("clear", |overlay, _| overlay.clear(state, &groups))
    }

    fn touch(&mut self, state: u32, groups: Vec<u32>) -> wasmtime::Result<()> {
        self.reach("touch", |overlay, _| overlay.touch(state, &groups))
    }
}

impl Host {
    fn reach<R>(
        &mut self,
        function: &str,
        work: impl FnOnce(&mut Overlay, &mut OutputBudget) -> Result<R, String>,
    ) -> wasmtime::Result<R> {
        let mut budget = self.output_budget();
        work(&mut self.state, &mut budget).map_err(|reason| self.refuse(format!("`state.{function}`: {reason}")))
    }
}

fn lift_keys(
    field: Field,
    keys: Vec<ColumnResult>,
    rows: usize,
    budget: &mut OutputBudget,
) -> Result<ArrayRef, String> {
    let mut columns = lift::columns(keys, &Schema::new([field]), rows, budget)?;
    Ok(columns.remove(0))
}

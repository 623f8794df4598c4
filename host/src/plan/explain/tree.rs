//! The tree: every node below those that it reads from. A node with several inputs is told at the first of them.

use std::fmt::Write as _;

use crate::plan::graph::{Input, NodeIndex, Plan};
use crate::plan::state_backend::StateBackend;

use super::{details, exchange, title};

pub fn tree(plan: &Plan) -> String {
    let mut out = format!(
        "job {}: parallelism {}, max parallelism {}, state in {}, dead letters in {}\n",
        plan.name,
        plan.slots.get(),
        plan.max_parallelism,
        backend(&plan.state),
        plan.dead_letters.path.display()
    );
    let mut told = vec![false; plan.nodes.len()];
    for (i, node) in plan.nodes.iter().enumerate() {
        if node.inputs.is_empty() {
            out.push('\n');
            out.push_str(&title(node));
            out.push('\n');
            below(plan, i, "", &mut told, &mut out);
        }
    }
    out
}

fn backend(state: &StateBackend) -> String {
    match state {
        StateBackend::Memory => "memory".to_owned(),
        StateBackend::RocksDb(rocksdb) => format!("rocksdb ({})", rocksdb.path.display()),
    }
}

/// The details of a node and its readers.
fn below(plan: &Plan, i: usize, indent: &str, told: &mut [bool], out: &mut String) {
    told[i] = true;
    let readers = readers(plan, i);
    let rail = if readers.is_empty() { "   " } else { "│  " };
    for line in details(&plan.nodes[i]) {
        line_out(out, format_args!("{indent}{rail}{line}"));
    }
    for (n, (reader, input)) in readers.iter().enumerate() {
        let last = n + 1 == readers.len();
        let port = &plan.nodes[i].outputs[input.port];
        let branch = if last { "└─" } else { "├─" };
        let again = if told[*reader] { "  (above)" } else { "" };
        let way = exchange(input, &port.schema);
        let title = title(&plan.nodes[*reader]);
        line_out(out, format_args!("{indent}{branch} {} ─ {way} ─> {title}{again}", port.name));
        if !told[*reader] {
            let indent = format!("{indent}{}", if last { "   " } else { "│  " });
            below(plan, *reader, &indent, told, out);
        }
    }
}

fn readers(plan: &Plan, i: usize) -> Vec<(usize, &Input)> {
    let inputs =
        plan.nodes.iter().enumerate().flat_map(|(reader, node)| node.inputs.iter().map(move |input| (reader, input)));
    inputs.filter(|(_, input)| input.from == NodeIndex(i)).collect()
}

fn line_out(out: &mut String, line: std::fmt::Arguments) {
    writeln!(out, "{line}").expect("a string takes every write");
}

//! Graphviz: `wasmill explain --dot job.toml | dot -Tsvg`.

use std::fmt::Write as _;

use crate::plan::graph::{NodeKind, Plan};

use super::{details, exchange, title};

pub fn dot(plan: &Plan) -> String {
    let mut out =
        format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];\n", quoted(&plan.name));
    for (i, node) in plan.nodes.iter().enumerate() {
        let mut lines = vec![title(node)];
        lines.extend(details(node));
        // `\l` ends a line and aligns it to the left.
        let label: String = lines.iter().map(|line| format!("{}\\l", escaped(line))).collect();
        let style = match node.kind {
            NodeKind::Source(_) | NodeKind::Sink(_) => ", style=rounded",
            NodeKind::Process(_) | NodeKind::Window(_) => "",
        };
        writeln!(out, "  n{i} [label=\"{label}\"{style}];").expect("a string takes every write");
    }
    for (i, node) in plan.nodes.iter().enumerate() {
        for input in &node.inputs {
            let port = &plan.nodes[input.from.0].outputs[input.port];
            let label = quoted(&format!("{}: {}", port.name, exchange(input, &port.schema)));
            writeln!(out, "  n{} -> n{i} [label={label}];", input.from.0).expect("a string takes every write");
        }
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}

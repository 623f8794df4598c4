//! `[operators.X]`: a plugin's process operator, or a window with aggregates.

use std::path::{Path, PathBuf};

use crate::model::time::Micros;
use crate::plan::diagnostic::{Errors, Span, Spanned, all, quoted};
use crate::plan::graph::Window;

use super::reader::{self, Reader, nowhere};
use super::source::{TimeSpec, time};
use super::tree::{Entry, Item, Value};
use super::{InputSpec, broadcast, inputs, node, parallelism, resolved};

#[derive(Clone, Debug)]
pub struct OperatorSpec {
    pub uid: Spanned<String>,
    pub inputs: Vec<InputSpec>,
    /// Of its second input; empty = it has none.
    pub broadcast: Vec<InputSpec>,
    pub key_by: Option<Spanned<Vec<Spanned<String>>>>,
    pub kind: OperatorKindSpec,
    pub parallelism: Option<Spanned<u16>>,
}

#[derive(Clone, Debug)]
pub enum OperatorKindSpec {
    Process(ProcessSpec),
    Window(WindowSpec),
}

#[derive(Clone, Debug)]
pub struct ProcessSpec {
    pub plugin: PluginSpec,
    pub time: Option<TimeSpec>,
}

#[derive(Clone, Debug)]
pub struct PluginSpec {
    pub path: Spanned<PathBuf>,
    /// `None` = the only one of its kind.
    pub operator: Option<Spanned<String>>,
    /// JSON.
    pub config: String,
    /// Where the config stands, or else the plugin.
    pub config_span: Span,
}

#[derive(Clone, Debug)]
pub struct WindowSpec {
    pub window: Spanned<Window>,
    pub allowed_lateness: Micros,
    pub aggregates: Vec<AggregateSpec>,
}

#[derive(Clone, Debug)]
pub struct AggregateSpec {
    pub name: Spanned<String>,
    pub call: AggregateCall,
}

#[derive(Clone, Debug)]
pub enum AggregateCall {
    /// Only `count` may have no column.
    Native {
        function: Function,
        column: Option<Spanned<String>>,
    },
    Plugin(PluginSpec),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Count,
    Sum,
    Min,
    Max,
    Avg,
}

const FUNCTIONS: [(&str, Function); 5] = [
    ("count", Function::Count),
    ("sum", Function::Sum),
    ("min", Function::Min),
    ("max", Function::Max),
    ("avg", Function::Avg),
];

pub fn read(entry: &Entry, folder: &Path, max: u16, errors: &Errors) -> Option<OperatorSpec> {
    let (uid, mut fields) = node("operator", entry, errors)?;
    let inputs = inputs(&mut fields);
    let key_by = key_by(&mut fields);
    let parallelism = parallelism(&mut fields, max);
    let mut of_broadcast = Some(Vec::new());
    let kind = match (fields.has("plugin"), fields.has("window")) {
        (true, false) => {
            of_broadcast = broadcast(&mut fields);
            let plugin = plugin(&mut fields, folder);
            let time = time(&mut fields);
            plugin.zip(time).map(|(plugin, time)| OperatorKindSpec::Process(ProcessSpec { plugin, time }))
        }
        (false, true) => window(&mut fields, folder).map(OperatorKindSpec::Window),
        (true, true) => {
            errors.add(fields.span, format!("{} has both `plugin` and `window`; it can be only one", fields.what));
            return None;
        }
        (false, false) => {
            let help = "a plugin's operator needs `plugin`, a window needs `window` and `aggregate`";
            errors.add_with_help(fields.span, format!("{} needs `plugin` or `window`", fields.what), help);
            // One of them may be there, misspelt.
            for name in ["plugin", "operator", "config", "broadcast", "event_time", "watermark", "window", "aggregate"]
            {
                fields.item(name);
            }
            fields.finish(nowhere);
            return None;
        }
    };
    let is_window = fields.has("window");
    fields.finish(|name| match name {
        "operator" | "config" | "broadcast" | "event_time" | "watermark" if is_window => {
            Some("it is for operators with `plugin`, and this is a window".to_owned())
        }
        "aggregate" if !is_window => Some("it is for operators with `window`, and this has a `plugin`".to_owned()),
        "allowed_lateness" | "offset" | "slide" | "sliding" | "tumbling" => {
            Some(format!("write it in the window: window = {{ tumbling = \"5m\", {name} = .. }}"))
        }
        _ => None,
    });
    Some(OperatorSpec { uid, inputs: inputs?, broadcast: of_broadcast?, key_by: key_by?, kind: kind?, parallelism })
}

/// The outer `None` is a mistake.
fn key_by(fields: &mut Reader) -> Option<Option<Spanned<Vec<Spanned<String>>>>> {
    if !fields.has("key_by") {
        fields.item("key_by");
        return Some(None);
    }
    let errors = fields.errors;
    let items = fields.array("key_by")?;
    if items.is_empty() {
        errors.add_with_help(items.span, "`key_by` has no columns", "leave it out where there is no key");
        return None;
    }
    let columns = all(items.iter().map(|item| reader::text("key_by", item, errors)))?;
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].iter().any(|earlier| earlier.value == column.value) {
            errors.add(column.span, format!("`{}` stands twice in `key_by`", column.value));
        }
    }
    Some(Some(Spanned::new(columns, items.span)))
}

fn plugin(fields: &mut Reader, folder: &Path) -> Option<PluginSpec> {
    let path = fields.required("plugin", Reader::text);
    let operator = fields.text("operator");
    let config = fields.item("config");
    let path = resolved(folder, path?);
    Some(PluginSpec {
        config: config.map_or_else(|| "{}".to_owned(), |config| config.value.to_json().to_string()),
        config_span: config.map_or(path.span, |config| config.span),
        operator,
        path,
    })
}

fn window(fields: &mut Reader, folder: &Path) -> Option<WindowSpec> {
    let errors = fields.errors;
    let item = fields.item("window")?;
    let window = Reader::of("`window`", item, errors).and_then(|mut window| {
        let size = window_size(&mut window);
        let offset = window.duration("offset");
        let allowed_lateness = window.duration("allowed_lateness").map_or(Micros(0), |length| length.value);
        let tumbles = window.has("tumbling");
        window.finish(|name| (name == "slide" && tumbles).then(|| "a tumbling window does not slide".to_owned()));
        let (size, slide) = size?;
        if let Some(offset) = offset.as_ref().filter(|offset| offset.value >= slide) {
            let limit = format!("`offset` must be shorter than the {slide} between two windows, not {}", offset.value);
            errors.add(offset.span, limit);
        }
        let offset = offset.map_or(Micros(0), |offset| offset.value);
        Some((Spanned::new(Window { size, slide, offset }, item.span), allowed_lateness))
    });
    let aggregates = fields.required("aggregate", Reader::named);
    if aggregates.is_some_and(<[Entry]>::is_empty) {
        errors.add(fields.span, format!("{} needs at least one aggregate", fields.what));
    }
    let aggregates = all(aggregates?.iter().map(|entry| aggregate(&entry.name, &entry.item, folder, errors)));
    let (window, allowed_lateness) = window?;
    Some(WindowSpec { window, allowed_lateness, aggregates: aggregates? })
}

/// Size and slide.
fn window_size(window: &mut Reader) -> Option<(Micros, Micros)> {
    let errors = window.errors;
    match (window.has("tumbling"), window.has("sliding")) {
        (true, false) => window.length("tumbling").map(|size| (size.value, size.value)),
        (false, true) => {
            let size = window.length("sliding");
            let (size, slide) = size.zip(window.required("slide", Reader::length))?;
            if slide.value > size.value {
                let message = format!("`slide` {} is longer than the window, which is {}", slide.value, size.value);
                errors.add_with_help(slide.span, message, "events between two windows would belong to none");
                return None;
            }
            Some((size.value, slide.value))
        }
        _ => {
            // Asked for here, so that they are named as allowed and not complained about.
            window.item("tumbling");
            window.item("sliding");
            window.item("slide");
            let help = "write { tumbling = \"5m\" } or { sliding = \"5m\", slide = \"1m\" }";
            errors.add_with_help(window.span, "a window is either tumbling or sliding", help);
            None
        }
    }
}

fn aggregate(name: &Spanned<String>, item: &Item, folder: &Path, errors: &Errors) -> Option<AggregateSpec> {
    if name.is_empty() {
        errors.add(name.span, "an aggregate needs a name");
    }
    let call = match &item.value {
        Value::Table(_) => {
            let mut fields = Reader::of("an aggregate", item, errors)?;
            let plugin = plugin(&mut fields, folder);
            fields.finish(nowhere);
            AggregateCall::Plugin(plugin?)
        }
        _ => native(&reader::text(name, item, errors)?, errors)?,
    };
    Some(AggregateSpec { name: name.clone(), call })
}

/// `count()`, `sum(cents)`.
fn native(text: &Spanned<String>, errors: &Errors) -> Option<AggregateCall> {
    let help = "write \"count()\", \"count(column)\", \"sum(column)\", \"min(column)\", \"max(column)\", \
        \"avg(column)\" or { plugin = \"file.wasm\", operator = \"name\" }";
    let parts = text.trim().strip_suffix(')').and_then(|call| call.split_once('('));
    let Some((function, column)) = parts else {
        errors.add_with_help(text.span, format!("`{}` is not an aggregate", text.value), help);
        return None;
    };
    let (function, column) = (function.trim(), column.trim());
    let Some((_, known)) = FUNCTIONS.iter().find(|(name, _)| *name == function) else {
        let names = quoted(FUNCTIONS.iter().map(|(name, _)| *name));
        let hint = crate::plan::diagnostic::did_you_mean(function, FUNCTIONS.iter().map(|(name, _)| *name));
        let message = format!("`{function}` is not an aggregate{hint}");
        errors.add_with_help(text.span, message, format!("there are {names}, and those of plugins"));
        return None;
    };
    if column.is_empty() && *known != Function::Count {
        errors.add(text.span, format!("`{function}` needs a column: \"{function}(column)\""));
        return None;
    }
    let column = (!column.is_empty()).then(|| Spanned::new(column.to_owned(), text.span));
    Some(AggregateCall::Native { function: *known, column })
}

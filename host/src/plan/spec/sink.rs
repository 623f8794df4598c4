//! `[sinks.X]`.

use std::path::Path;

use crate::plan::connector::{FileSink, SinkConnector, SinkFormat};
use crate::plan::diagnostic::{Errors, Spanned};

use super::reader::Reader;
use super::tree::Entry;
use super::{InputSpec, inputs, node, parallelism};

#[derive(Clone, Debug)]
pub struct SinkSpec {
    pub uid: Spanned<String>,
    pub inputs: Vec<InputSpec>,
    pub connector: SinkConnector,
    pub parallelism: Option<Spanned<u16>>,
}

const FORMATS: [(&str, SinkFormat); 2] = [("json", SinkFormat::Json), ("csv", SinkFormat::Csv)];
const CONNECTORS: [(&str, &str); 3] = [("file", "file"), ("stdout", "stdout"), ("blackhole", "blackhole")];

pub fn read(entry: &Entry, folder: &Path, max: u16, errors: &Errors) -> Option<SinkSpec> {
    let (uid, mut fields) = node("sink", entry, errors)?;
    let inputs = inputs(&mut fields);
    let parallelism = parallelism(&mut fields, max);
    let name = fields.required("connector", |fields, name| fields.choice(name, &CONNECTORS))?;
    let connector = connector(name.value, &mut fields, folder);
    fields.finish(|option| {
        let place = match option {
            "path" => "of `file`",
            "format" => "of `file` and `stdout`",
            _ => return None,
        };
        Some(format!("it is an option {place}, and this is `{}`", name.value))
    });
    Some(SinkSpec { uid, inputs: inputs?, connector: connector?, parallelism })
}

fn connector(name: &str, fields: &mut Reader, folder: &Path) -> Option<SinkConnector> {
    let format =
        |fields: &mut Reader| fields.choice("format", &FORMATS).map_or(SinkFormat::Json, |format| format.value);
    Some(match name {
        "file" => {
            let path = fields.required("path", Reader::text);
            let format = format(fields);
            SinkConnector::File(FileSink { path: folder.join(path?.value), format })
        }
        "stdout" => SinkConnector::Stdout { format: format(fields) },
        _ => SinkConnector::Blackhole,
    })
}

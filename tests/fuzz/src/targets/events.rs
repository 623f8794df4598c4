use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::RecordBatch;
use wasmill::connectors::open_source;
use wasmill::dataplane::split::{Read, ReadLimits, Refused, Rows};
use wasmill::model::id::{Parallelism, Slot};
use wasmill::model::schema::Schema;
use wasmill::model::time::Micros;
use wasmill::plan::connector::{CsvFormat, FileSource, Format, SourceConnector, SourcePlan};
use wasmill::plan::location::Location;

use super::field;
use crate::Target;

/// A file of events: four numbers (of the format, of the bytes of a split, of the rows and the bytes of a read), then
/// its content. However it is cut, every event is there once, good or refused, and the same.
pub const EVENTS: Target = Target {
    name: "events",
    run,
    seeds,
    tokens: &[
        "\n",
        "\r\n",
        "\"",
        ",",
        ";",
        "{",
        "}",
        "[",
        "]",
        ":",
        "null",
        "\\u00e9",
        "é",
        "1e400",
        "-0",
        "\u{feff}",
        "{\"n\":",
        "2015-05-17T10:05:03Z",
        "0",
        " ",
    ],
    cases: 1_500,
};

fn seeds() -> Vec<Vec<u8>> {
    let json = "{\"n\":1,\"t\":\"x\"}\n{\"n\":2,\"d\":1.25,\"at\":\"2015-05-17T10:05:03.5Z\",\"l\":[{\"a\":1},{}]}\r\n\
                {\"n\":3,\"b\":\"00ff\",\"f\":0.1,\"x\":{\"y\":[]}}\n\n{\"n\":\"bad\"}\n{\"n\":4}";
    let csv = "n,t,d,at,b,f\r\n1,\"a\"\"b,\",1.25,2015-05-17T10:05:03Z,00ff,0.5\n2,,,,,\n\"3\",x\nbad,,,,,\n4,\"open,,,,\n5,,,,,\n";
    let plain = "1;\"a\nb\";1.25;2015-05-17T10:05:03Z;00ff;0.5\n2;;;;;\n";
    let raw = "83.149.9.216 - - [17/May/2015:10:05:03 +0000]\r\n\nsecond\n";
    let seed = |numbers: [u8; 4], text: &str| [&numbers, text.as_bytes()].concat();
    vec![seed([0, 20, 3, 40], json), seed([1, 9, 2, 200], csv), seed([2, 60, 1, 1], plain), seed([3, 5, 7, 9], raw)]
}

fn format(number: u8) -> (Format, Schema) {
    let flat =
        [("n", "i64"), ("t", "text?"), ("d", "decimal(5, 2)?"), ("at", "timestamp?"), ("b", "bytes?"), ("f", "f64?")];
    let mut fields: Vec<_> = flat.iter().map(|(name, text)| field(name, text)).collect();
    match number % 4 {
        0 => {
            fields.push(field("l", "list<struct<a: i64?>>?"));
            (Format::Json, Schema::new(fields))
        }
        1 => (Format::Csv(CsvFormat { delimiter: b',', header: true, multiline: false }), Schema::new(fields)),
        2 => (Format::Csv(CsvFormat { delimiter: b';', header: false, multiline: true }), Schema::new(fields)),
        _ => (Format::Raw, Schema::new([field("line", "text")])),
    }
}

fn run(bytes: &[u8]) {
    let Some((&[number, split_bytes, rows_max, bytes_max], content)) = bytes.split_first_chunk() else { return };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), content).expect("a temporary file");
    let (format, schema) = format(number);
    let all = ReadLimits { rows_max: usize::MAX, bytes_max: usize::MAX };
    let whole = read(file.path(), &format, &schema, u64::MAX, all);
    let limits = ReadLimits { rows_max: usize::from(rows_max) + 1, bytes_max: usize::from(bytes_max) + 1 };
    assert_eq!(read(file.path(), &format, &schema, u64::from(split_bytes) + 1, limits), whole);
}

/// Good events and refused ones, by offset.
type Events = BTreeMap<u64, Result<RecordBatch, Refused>>;

fn read(path: &Path, format: &Format, schema: &Schema, split_bytes: u64, limits: ReadLimits) -> Result<Events, String> {
    let source = FileSource {
        path: Location::Folder(path.to_owned()),
        format: format.clone(),
        split_bytes,
        follow: false,
        discover_interval: Micros(0),
    };
    let plan = SourcePlan { connector: SourceConnector::File(source), schema: schema.clone(), time: None };
    let mut source = open_source(&plan, Slot(0), Parallelism::ONE).map_err(|fault| fault.to_string())?;
    let mut events = Events::new();
    for mut split in source.discover().map_err(|fault| fault.to_string())? {
        split.peek().map_err(|fault| fault.to_string())?;
        loop {
            match split.read(limits).map_err(|fault| fault.to_string())? {
                Read::Rows(rows) => collect(rows, &mut events),
                Read::Pending => {}
                Read::End => break,
            }
        }
    }
    Ok(events)
}

fn collect(rows: Rows, events: &mut Events) {
    for row in 0..rows.records.num_rows() {
        let offset = rows.offsets.get(row).expect("events of a file have offsets");
        let before = events.insert(offset, Ok(rows.records.slice(row, 1)));
        assert!(before.is_none(), "two events at {offset}");
    }
    for refused in rows.refused {
        let offset = refused.offset;
        let before = events.insert(offset, Err(refused));
        assert!(before.is_none(), "two events at {offset}");
    }
}

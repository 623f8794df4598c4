mod parts;
mod row_groups;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::connectors::format::EVENT_BYTES_MAX;
use crate::dataplane::sink_writer::SinkWriter;
use crate::dataplane::split::{Read, ReadLimits, Refused};
use crate::model::batch::{Batch, Provenance};
use crate::model::schema::{DataType, Field};
use crate::model::time::Micros;
use crate::plan::connector::{CsvFormat, FileFormat, FileSink, Roll, SinkFormat};
use crate::plan::location::Location;

fn schema() -> Schema {
    Schema::new([Field::new("n", DataType::I64)])
}

fn source(path: impl Into<PathBuf>, format: Format, split_bytes: u64) -> FileSource {
    FileSource { path: Location::Folder(path.into()), format, split_bytes, follow: false, discover_interval: Micros(0) }
}

/// Events by offset, as `n` or why they were refused.
type Events = Vec<(u64, Result<i64, Refused>)>;

fn collect(read: Read, events: &mut Events) -> bool {
    let Read::Rows(rows) = read else { return false };
    let numbers = rows.records.column(0).as_primitive::<Int64Type>().values();
    events.extend(numbers.iter().enumerate().map(|(row, n)| (rows.offsets.get(row).unwrap(), Ok(*n))));
    events.extend(rows.refused.into_iter().map(|refused| (refused.offset, Err(refused))));
    true
}

fn read_all(source: &FileSource, slots: u16, limits: ReadLimits) -> Events {
    let slots = Parallelism::new(slots).unwrap();
    let mut events = Vec::new();
    for slot in slots.slots() {
        for mut split in open(source, &schema(), slot, slots).unwrap().discover().unwrap() {
            let peeked = split.peek().unwrap();
            let mut ours = Vec::new();
            while collect(split.read(limits).unwrap(), &mut ours) {}
            assert!(matches!(split.read(limits).unwrap(), Read::End));
            let first = ours.iter().find_map(|(_, event)| event.as_ref().ok()).copied();
            let peeked = peeked.map(|rows| rows.records.column(0).as_primitive::<Int64Type>().value(0));
            assert_eq!(peeked, first);
            events.extend(ours);
        }
    }
    events.sort_by_key(|(offset, _)| *offset);
    events
}

const ALL: ReadLimits = ReadLimits { rows_max: 1000, bytes_max: 1 << 20 };

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => any::<i32>().prop_map(|n| format!("{{\"n\":{n}}}")),
        1 => Just(String::new()),
        1 => Just("  ".to_owned()),
        1 => Just("bad {".to_owned()),
        1 => (1usize..400).prop_map(|n| format!("{{\"n\":5,\"x\":\"{}\"}}", "é".repeat(n))),
    ]
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(
        lines in prop::collection::vec((line(), any::<bool>()), 0..60),
        ended: bool, split_bytes in 1u64..600, slots in 1u16..4, rows_max in 1usize..50, bytes_max in 1usize..500,
    ) {
        let mut text: String = lines.iter().map(|(line, cr)| format!("{line}{}", if *cr { "\r\n" } else { "\n" })).collect();
        if !ended {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        let whole = read_all(&source(file.path(), Format::Json, u64::MAX), 1, ALL);
        let events = lines.iter().filter(|(line, _)| !line.trim().is_empty()).count();
        prop_assert_eq!(whole.len(), events);
        let cut = source(file.path(), Format::Json, split_bytes);
        prop_assert_eq!(read_all(&cut, slots, ReadLimits { rows_max, bytes_max }), whole);
    }
}

/// Reads so many batches in each slot, and returns the splits as a checkpoint knows them then. One may have given its last
/// rows without having said that it has ended.
fn read_some(source: &FileSource, slots: Parallelism, batches: usize, events: &mut Events) -> Vec<SplitState> {
    let mut states = Vec::new();
    for slot in slots.slots() {
        let mut left = batches;
        for mut split in open(source, &schema(), slot, slots).unwrap().discover().unwrap() {
            let mut has_ended = false;
            while left > 0 && !has_ended {
                left -= 1;
                has_ended = !collect(split.read(FEW).unwrap(), events);
            }
            let position = (!has_ended).then(|| split.position());
            states.push(SplitState { name: split.name().clone(), position });
        }
    }
    states
}

const FEW: ReadLimits = ReadLimits { rows_max: 3, bytes_max: 64 };

proptest! {
    #[test]
    fn what_a_checkpoint_left_is_read_once_and_in_order(
        lines in prop::collection::vec(line(), 1..60), split_bytes in 1u64..300, batches in 0usize..40,
        slots in 1u16..4, slots_then in 1u16..4,
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), lines.join("\n")).unwrap();
        let source = source(file.path(), Format::Json, split_bytes);
        let [slots, slots_then] = [slots, slots_then].map(|slots| Parallelism::new(slots).unwrap());
        let mut events = Vec::new();
        // The splits of several slots are in no order.
        let states = read_some(&source, slots, batches, &mut events);
        for slot in slots_then.slots() {
            let mut ours = Vec::new();
            for mut split in open(&source, &schema(), slot, slots_then).unwrap().restore(&states).unwrap() {
                while collect(split.read(FEW).unwrap(), &mut ours) {}
            }
            let good = |ours: &Events| ours.iter().filter(|(_, event)| event.is_ok()).map(|(at, _)| *at).collect::<Vec<_>>();
            prop_assert!(good(&ours).is_sorted(), "{:?}", ours);
            events.extend(ours);
        }
        events.sort_by_key(|(offset, _)| *offset);
        prop_assert_eq!(events, read_all(&source, 1, ALL));
    }
}

#[test]
fn lines_longer_than_an_event_may_be_are_refused_wherever_they_are_cut() {
    let line = |bytes: usize| format!("{{\"n\":2,\"x\":\"{}\"}}", "x".repeat(bytes - 14));
    let text = [line(EVENT_BYTES_MAX), line(EVENT_BYTES_MAX + 1), "{\"n\":1}".to_owned(), line(5_000_000)].join("\r\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &text).unwrap();
    let whole = read_all(&source(file.path(), Format::Json, u64::MAX), 1, ALL);
    let good: Vec<_> = whole.iter().map(|(_, event)| event.as_ref().ok().copied()).collect();
    assert_eq!(good, [Some(2), None, Some(1), None]);
    for refused in whole.iter().filter_map(|(_, event)| event.as_ref().err()) {
        assert!(refused.reason.contains("longer than 1048576 bytes"));
        assert_eq!(refused.event.len(), 1024);
    }
    for split_bytes in [100_000, 1 << 20, (1 << 20) + 3, 2_500_000] {
        assert_eq!(read_all(&source(file.path(), Format::Json, split_bytes), 2, ALL), whole);
    }
}

#[test]
fn each_split_knows_the_header() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let rows: String = (0..1000).map(|n| format!("x,{n}\n")).collect();
    fs::write(file.path(), format!("\u{feff}name,n\r\n{rows}")).unwrap();
    let csv = Format::Csv(CsvFormat { delimiter: b',', header: true, multiline: false });
    for split_bytes in [1, 3, 9, 10, 100, 1 << 20] {
        let events = read_all(&source(file.path(), csv.clone(), split_bytes), 2, ALL);
        let numbers: Vec<i64> = events.into_iter().map(|(_, event)| event.unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn an_unclosed_quote_takes_its_line_only() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let filler = "0\n".repeat(600_000);
    fs::write(file.path(), format!("1\n\"2\n{filler}3\n\"4\n5\n")).unwrap();
    let csv = Format::Csv(CsvFormat { delimiter: b',', header: false, multiline: true });
    let events = read_all(&source(file.path(), csv, 10), 1, ReadLimits { rows_max: 100_000, bytes_max: 1 << 20 });
    let refused: Vec<&Refused> = events.iter().filter_map(|(_, event)| event.as_ref().err()).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused[0].event == b"\"2" && refused[1].event == b"\"4", "{refused:?}");
    let good = events.iter().filter_map(|(_, event)| event.as_ref().ok()).filter(|n| **n != 0).copied();
    assert_eq!(good.collect::<Vec<_>>(), [1, 3, 5]);
}

#[test]
fn paths_are_files_directories_or_patterns() {
    let directory = tempfile::tempdir().unwrap();
    for (name, n) in [("b.jsonl", 2), ("a.jsonl", 1), ("c.txt", 3), ("_SUCCESS", 9), (".hidden", 9)] {
        fs::write(directory.path().join(name), format!("{{\"n\":{n}}}\n")).unwrap();
    }
    fs::create_dir(directory.path().join("deeper.jsonl")).unwrap();
    let numbers = |path: PathBuf| {
        let mut splits = open(&source(path, Format::Json, 1 << 20), &schema(), Slot(0), Parallelism::ONE).unwrap();
        let mut events = Vec::new();
        for mut split in splits.discover().unwrap() {
            while collect(split.read(ALL).unwrap(), &mut events) {}
        }
        assert!(splits.discover_interval().is_none() && splits.discover().unwrap().is_empty());
        events.into_iter().map(|(_, event)| event.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(directory.path().into()), [1, 2, 3]);
    assert_eq!(numbers(directory.path().join("*.jsonl")), [1, 2]);
    assert_eq!(numbers(directory.path().join("c.txt")), [3]);

    let error = |path: PathBuf| {
        let mut splits = open(&source(path, Format::Json, 1 << 20), &schema(), Slot(0), Parallelism::ONE).unwrap();
        splits.discover().err().unwrap().message
    };
    assert!(error(directory.path().join("none.jsonl")).contains("none.jsonl"));
    assert!(error(directory.path().join("*.csv")).contains("no files"));
    assert!(error(directory.path().join("deeper.jsonl")).contains("no files"));
    fs::write(directory.path().join("d.jsonl.gz"), "").unwrap();
    assert!(error(directory.path().into()).contains("compressed"));
    assert_eq!(count_splits(&source(directory.path().join("?.jsonl"), Format::Json, 4)), Ok(4));
}

#[test]
fn a_followed_file_is_read_as_it_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    let mut file = fs::File::create(&path).unwrap();
    let source = FileSource { follow: true, ..source(directory.path(), Format::Json, 1) };
    let mut splits = open(&source, &schema(), Slot(0), Parallelism::ONE).unwrap();
    let mut found = splits.discover().unwrap();
    assert!(found.len() == 1 && splits.discover().unwrap().is_empty() && splits.discover_interval().is_some());
    let split = &mut found[0];
    let mut events = Vec::new();
    assert!(split.peek().unwrap().is_none() && !collect(split.read(ALL).unwrap(), &mut events));

    file.write_all(b"{\"n\":1}\n{\"n\"").unwrap();
    assert!(split.peek().unwrap().is_some());
    assert!(collect(split.read(ALL).unwrap(), &mut events) && !collect(split.read(ALL).unwrap(), &mut events));
    file.write_all(b":2}\n").unwrap();
    assert!(collect(split.read(ALL).unwrap(), &mut events));
    assert_eq!(events, [(0, Ok(1)), (8, Ok(2))]);

    fs::write(directory.path().join("b.jsonl"), "").unwrap();
    assert_eq!(splits.discover().unwrap().len(), 1);

    file.set_len(3).unwrap();
    assert!(split.read(ALL).err().unwrap().message.contains("became shorter"));
}

#[test]
fn a_header_without_end_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.csv");
    let csv = Format::Csv(CsvFormat { delimiter: b',', header: true, multiline: false });
    let source = FileSource { follow: true, ..source(&path, csv, u64::MAX) };
    let open =
        |source: &FileSource| open(source, &schema(), Slot(0), Parallelism::ONE).unwrap().discover().unwrap().remove(0);
    fs::write(&path, vec![b'n'; EVENT_BYTES_MAX - 1]).unwrap();
    assert!(matches!(open(&source).read(ALL).unwrap(), Read::Pending));
    fs::write(&path, vec![b'n'; 2 * EVENT_BYTES_MAX]).unwrap();
    for source in [source.clone(), FileSource { follow: false, ..source.clone() }] {
        let fault = open(&source).read(ALL).err().unwrap();
        assert!(fault.message.ends_with("a.csv`: the header line is longer than 1048576 bytes"), "{fault}");
    }
    let header = format!("n,{}\n7\n", "x".repeat(EVENT_BYTES_MAX - 3));
    fs::write(&path, &header[..EVENT_BYTES_MAX]).unwrap();
    let mut events = Vec::new();
    let mut split = open(&source);
    assert!(!collect(split.read(ALL).unwrap(), &mut events));
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"7,\n").unwrap();
    assert!(collect(open(&source).read(ALL).unwrap(), &mut events));
    assert_eq!(events, [(EVENT_BYTES_MAX as u64, Ok(7))]);
}

#[test]
fn a_followed_file_that_is_replaced_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.jsonl");
    fs::write(&path, "{\"n\":1}\n").unwrap();
    let source = FileSource { follow: true, ..source(path.clone(), Format::Json, 1) };
    let mut split = open(&source, &schema(), Slot(0), Parallelism::ONE).unwrap().discover().unwrap().remove(0);
    assert!(collect(split.read(ALL).unwrap(), &mut Vec::new()));
    fs::write(directory.path().join("new"), "{\"n\":1}\n{\"n\":2}\n").unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    assert!(split.read(ALL).err().unwrap().message.contains("was replaced"));
}

#[test]
fn files_of_a_sink_appear_when_they_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let sink = FileSink {
        path: Location::Folder(out.clone()),
        format: FileFormat::Rows(SinkFormat::Csv),
        roll: Roll { bytes: 1, interval: None },
    };
    let column = std::sync::Arc::new(arrow_array::Int64Array::from(vec![1, 2, 3]));
    let records = arrow_array::RecordBatch::try_new(schema().arrow().clone(), vec![column]).unwrap();
    let batch = Batch::new(records, vec![0; 3].into(), Provenance::default());

    let mut writers: Vec<_> =
        (0..2).map(|slot| sink::FileWriter::open(&sink, &schema(), Slot(slot)).unwrap()).collect();
    writers[0].write(&batch.select(vec![1, 2])).unwrap();
    writers[0].flush().unwrap();
    assert_eq!(fs::read_to_string(out.join(".part-0.csv.inprogress")).unwrap(), "n\n2\n3\n");
    assert!(!out.join("part-0.csv").exists());
    for writer in &mut writers {
        writer.finish().unwrap();
    }
    assert_eq!(fs::read_to_string(out.join("part-0.csv")).unwrap(), "n\n2\n3\n");
    assert_eq!(fs::read_to_string(out.join("part-1.csv")).unwrap(), "n\n");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);

    let again = sink::FileWriter::open(&sink, &schema(), Slot(0)).err().unwrap().message;
    assert!(again.contains("earlier run"), "{again}");
    let json = FileSink { format: FileFormat::Rows(SinkFormat::Json), ..sink };
    assert!(sink::FileWriter::open(&json, &schema(), Slot(0)).is_err(), "other results are not mixed with new ones");
}

use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use parquet::file::reader::{FileReader, SerializedFileReader};
use uuid::Uuid;

use super::*;
use crate::connectors::file::commit::{FileCommitter, PartNames, check_fresh};
use crate::connectors::file::part::PartWriter;
use crate::connectors::{Committer, SinkId};
use crate::dataplane::sink_writer::Committable;
use crate::model::checkpoint::{CheckpointId, Incarnation};
use crate::model::id::Uid;
use crate::plan::connector::{Compression, ParquetFormat};

fn sink(folder: &Path, format: FileFormat, roll_bytes: u64) -> FileSink {
    FileSink { path: Location::Folder(folder.to_owned()), format, roll: Roll { bytes: roll_bytes, interval: None } }
}

const JSON: FileFormat = FileFormat::Rows(SinkFormat::Json);

fn names(job: &str, job_id: u128, number: u64) -> PartNames {
    let incarnation = Incarnation { job_id: Uuid::from_u128(job_id), number };
    PartNames::new(&SinkId { job, node: &Uid::from("out"), incarnation })
}

fn batch(numbers: std::ops::Range<i64>) -> Batch {
    let column = Arc::new(Int64Array::from_iter_values(numbers.clone()));
    let records = RecordBatch::try_new(schema().arrow().clone(), vec![column]).unwrap();
    Batch::new(records, numbers.collect(), Provenance::default())
}

fn prepare(writer: &mut PartWriter, checkpoint: u64) -> Vec<Committable> {
    writer.prepare(CheckpointId(checkpoint)).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn parts_roll_and_are_seen_when_they_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), JSON, 10);
    let names = names("job", 1 << 96, 7);
    let mut committer = FileCommitter::open(&sink, names.clone()).unwrap();
    committer.sweep().unwrap();
    let mut writer = PartWriter::open(&sink, &schema(), Slot(2), names).unwrap();
    assert!(prepare(&mut writer, 1).is_empty(), "without rows there is no part");
    for n in 0..3 {
        writer.write(&batch(n * 10..n * 10 + 2)).unwrap();
    }
    let prepared = prepare(&mut writer, 2);
    assert_eq!(prepared.len(), 3);
    assert!(files(folder.path()).iter().all(|name| name.starts_with(".part-")));
    writer.write(&batch(90..91)).unwrap();
    committer.commit(&prepared).unwrap();
    committer.commit(&prepared).unwrap();
    let seen: Vec<String> = files(folder.path()).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(seen, [0, 1, 2].map(|n| format!("part-job.out-00000001-7-2-{n}.jsonl")));
    assert_eq!(fs::read_to_string(folder.path().join(&seen[1])).unwrap(), "{\"n\":10}\n{\"n\":11}\n");
}

#[test]
fn a_part_that_is_old_gets_no_more_rows() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink { roll: Roll { bytes: 1 << 20, interval: Some(Micros(0)) }, ..sink(folder.path(), JSON, 1) };
    let mut writer = PartWriter::open(&sink, &schema(), Slot(0), names("job", 1, 1)).unwrap();
    (0..3).for_each(|n| writer.write(&batch(n..n + 1)).unwrap());
    assert_eq!(prepare(&mut writer, 1).len(), 3);
}

#[test]
fn a_sweep_takes_what_is_ours_and_was_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), JSON, 1 << 20);
    let write = |names: &PartNames| {
        let mut writer = PartWriter::open(&sink, &schema(), Slot(0), names.clone()).unwrap();
        writer.write(&batch(0..2)).unwrap();
        prepare(&mut writer, 1)
    };
    let (ours, other) = (names("job", 1 << 96, 1), names("job2", 1 << 96, 1));
    let (committed, others) = (write(&ours), write(&other));
    fs::write(folder.path().join(".part-1.jsonl.inprogress"), "of a job without checkpoints").unwrap();
    FileCommitter::open(&sink, ours).unwrap().commit(&committed).unwrap();
    write(&names("job", 1 << 96, 2));
    // Its successor's, if this start was asleep.
    let later = names("job", 1 << 96, 10);
    let of_later = write(&later);

    FileCommitter::open(&sink, names("job", 1 << 96, 3)).unwrap().sweep().unwrap();
    assert_eq!(files(folder.path()).len(), 4, "{:?}", files(folder.path()));
    FileCommitter::open(&sink, later).unwrap().commit(&of_later).unwrap();
    FileCommitter::open(&sink, other).unwrap().commit(&others).unwrap();
}

#[test]
fn a_life_does_not_begin_beside_the_parts_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (sink, uid) = (sink(folder.path(), JSON, 1), Uid::from("out"));
    let mut writer = PartWriter::open(&sink, &schema(), Slot(0), names("job", 1 << 96, 1)).unwrap();
    writer.write(&batch(0..1)).unwrap();
    let prepared = prepare(&mut writer, 1);
    check_fresh(&sink, "job", &uid).unwrap();
    FileCommitter::open(&sink, names("job", 1 << 96, 1)).unwrap().commit(&prepared).unwrap();
    check_fresh(&sink, "jo", &uid).unwrap();
    let fault = check_fresh(&sink, "job", &uid).unwrap_err();
    assert!(fault.message.contains("part-job.out-00000001-1-0-0.jsonl` is there from an earlier run"), "{fault}");
}

#[test]
fn a_part_is_committed_where_it_was_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let (before, now) = (folder.path().join("before"), folder.path().join("now"));
    let names = names("job", 1, 1);
    let mut writer = PartWriter::open(&sink(&before, JSON, 1), &schema(), Slot(0), names.clone()).unwrap();
    writer.write(&batch(0..1)).unwrap();
    let prepared = prepare(&mut writer, 1);
    FileCommitter::open(&sink(&now, JSON, 1), names).unwrap().commit(&prepared).unwrap();
    assert_eq!((files(&before).len(), files(&now).len()), (1, 0));
    assert!(files(&before)[0].starts_with("part-"));
}

#[test]
fn row_groups_of_parquet_are_bounded_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let format = ParquetFormat { compression: Compression::Zstd, row_group_bytes: 100_000 };
    let sink = sink(folder.path(), FileFormat::Parquet(format), 1 << 30);
    let schema = Schema::new([Field::new("text", DataType::Text)]);
    let names = names("job", 1, 1);
    let mut writer = PartWriter::open(&sink, &schema, Slot(0), names.clone()).unwrap();
    let mut random = 1_u64;
    for _ in 0..40 {
        let rows: Vec<String> = (0..200)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                format!("{random:016x}{:016x}", random.rotate_left(29))
            })
            .collect();
        let records = RecordBatch::try_new(schema.arrow().clone(), vec![Arc::new(StringArray::from(rows))]).unwrap();
        writer.write(&Batch::new(records, vec![0; 200].into(), Provenance::default())).unwrap();
    }
    FileCommitter::open(&sink, names).unwrap().commit(&prepare(&mut writer, 1)).unwrap();
    let [name] = &files(folder.path())[..] else { panic!("{:?}", files(folder.path())) };
    let read = SerializedFileReader::new(fs::File::open(folder.path().join(name)).unwrap()).unwrap();
    let groups = read.metadata().row_groups();
    assert_eq!(groups.iter().map(|group| group.num_rows()).sum::<i64>(), 8_000);
    assert!(groups.len() > 1 && groups.iter().all(|group| group.total_byte_size() < 200_000), "{}", groups.len());
}

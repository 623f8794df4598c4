//! Events in flight: what an unaligned checkpoint keeps of the channels that lead to a node, because its barrier did not
//! wait for them (as Flink's FLIP-76).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt64Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema as ArrowSchema, SchemaRef};

use crate::model::batch::{Batch, Offsets, Provenance};
use crate::model::checkpoint::CheckpointId;
use crate::model::fault::Fault;
use crate::model::id::{Slot, SplitName};
use crate::model::key::Keys;
use crate::model::key_group::{KeyGroup, groups_of};
use crate::model::schema::Schema;
use crate::plan::graph::{Node, NodeKind};
use crate::state::snapshot::{ChunkId, ChunkSink, ChunkSource, Content, Frozen};

/// What stands behind a node's own columns: event time, split and offset.
const OWN_COLUMNS: usize = 3;

/// What a node takes in, and to which key groups its rows belong.
#[derive(Clone)]
pub struct Intake {
    schema: Schema,
    /// Columns; empty = rows belong to the slot that has them.
    key: Vec<usize>,
    first_group: KeyGroup,
    max_parallelism: u16,
}

impl Intake {
    pub fn new(node: &Node, slot: Slot, max_parallelism: u16) -> Self {
        let key = match &node.kind {
            NodeKind::Process(process) => process.key.clone().unwrap_or_default(),
            NodeKind::Window(window) => window.key.clone(),
            NodeKind::Source(_) | NodeKind::Sink(_) => Vec::new(),
        };
        let first_group = KeyGroup(groups_of(slot, node.parallelism, max_parallelism).start);
        Self { schema: node.input_schema.clone(), key, first_group, max_parallelism }
    }

    fn stored_schema(&self) -> SchemaRef {
        let own = [
            Field::new("event time", DataType::Int64, false),
            Field::new("split", DataType::Utf8, true),
            Field::new("offset", DataType::UInt64, true),
        ];
        let columns = self.schema.arrow().fields().iter().cloned().chain(own.map(Arc::new));
        Arc::new(ArrowSchema::new(columns.collect::<Vec<_>>()))
    }

    fn rows_by_group(&self, batch: &Batch) -> BTreeMap<KeyGroup, Vec<u32>> {
        let rows = batch.rows();
        if self.key.is_empty() {
            return BTreeMap::from([(self.first_group, (0..rows as u32).collect())]);
        }
        let columns: Vec<ArrayRef> = self.key.iter().map(|i| Arc::clone(batch.column(*i))).collect();
        let mut keys = Keys::default();
        keys.encode(&columns, rows);
        let mut groups: BTreeMap<KeyGroup, Vec<u32>> = BTreeMap::new();
        for row in 0..rows {
            groups.entry(keys.hash(row).group(self.max_parallelism)).or_default().push(row as u32);
        }
        groups
    }

    /// The batches that a checkpoint kept for this slot, those of a key in their order.
    pub fn restore(&self, chunks: &mut dyn ChunkSource, checkpoint: CheckpointId) -> Result<Vec<Batch>, Fault> {
        let mut batches = Vec::new();
        chunks.read(Content::InFlight, &mut |id, payload| {
            // What older increments kept has been processed since.
            if id.number == checkpoint.0 {
                for stored in StreamReader::try_new(payload, None).map_err(broken)? {
                    batches.push(self.load(&stored.map_err(broken)?)?);
                }
            }
            Ok(())
        })?;
        Ok(batches)
    }

    fn load(&self, stored: &RecordBatch) -> Result<Batch, Fault> {
        if stored.schema().fields() != self.stored_schema().fields() {
            return Err(Fault::unrestorable(
                "the checkpoint holds events in flight whose columns are others now: go on from it with the former job, \
                 stop that with a savepoint, and go on from there",
            ));
        }
        let (columns, own) = stored.columns().split_at(stored.num_columns() - OWN_COLUMNS);
        let options = RecordBatchOptions::new().with_row_count(Some(stored.num_rows()));
        let schema = Arc::clone(self.schema.arrow());
        let records = RecordBatch::try_new_with_options(schema, columns.to_vec(), &options).map_err(broken)?;
        let times = own[0].as_primitive::<Int64Type>().values().clone();
        let splits = own[1].as_string::<i32>();
        let split = (!splits.is_empty() && splits.is_valid(0)).then(|| SplitName::from(splits.value(0)));
        let offsets = own[2].as_primitive::<UInt64Type>();
        let offsets = if offsets.null_count() > 0 { Offsets::None } else { Offsets::Listed(offsets.values().clone()) };
        Ok(Batch::new(records, times, Provenance { split, offsets }))
    }
}

fn broken(error: ArrowError) -> Fault {
    Fault::unrestorable(format!("the events in flight of a checkpoint cannot be read: {error}"))
}

/// Batches that had reached a node's channels, and not the node, when the barrier passed it.
pub struct InFlight {
    pub checkpoint: CheckpointId,
    pub intake: Intake,
    pub batches: Vec<Batch>,
}

impl InFlight {
    fn stored(&self, batch: Batch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let rows = batch.rows();
        let split = batch.provenance().split.as_ref().map(SplitName::as_str);
        let offsets = &batch.provenance().offsets;
        let own: [ArrayRef; OWN_COLUMNS] = [
            Arc::new(Int64Array::new(batch.times().clone(), None)),
            Arc::new(StringArray::from_iter(std::iter::repeat_n(split, rows))),
            Arc::new(UInt64Array::from_iter((0..rows).map(|row| offsets.get(row)))),
        ];
        let columns = batch.records().columns().iter().cloned().chain(own).collect();
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}

impl Frozen for InFlight {
    fn write(mut self: Box<Self>, chunks: &mut dyn ChunkSink) -> Result<(), Fault> {
        let unwritable = |error| Fault::internal(format!("events in flight cannot be written: {error}"));
        let schema = self.intake.stored_schema();
        let mut streams: BTreeMap<KeyGroup, (usize, StreamWriter<Vec<u8>>)> = BTreeMap::new();
        for batch in std::mem::take(&mut self.batches) {
            let batch = batch.compact();
            for (group, rows) in self.intake.rows_by_group(&batch) {
                let (events, stream) = match streams.entry(group) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert((0, StreamWriter::try_new(Vec::new(), &schema).map_err(unwritable)?))
                    }
                };
                *events += rows.len();
                let stored = self.stored(batch.select(rows).compact(), &schema).map_err(unwritable)?;
                stream.write(&stored).map_err(unwritable)?;
            }
        }
        for (group, (events, stream)) in streams {
            let id = ChunkId { group, content: Content::InFlight, number: self.checkpoint.0 };
            chunks.put(id, events as u32, &stream.into_inner().map_err(unwritable)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::id::Parallelism;
    use crate::model::schema::{DataType, Field};
    use crate::state::snapshot::testing::Chunks;

    const GROUPS: u16 = 16;

    fn intake(key: Vec<usize>) -> Intake {
        let schema = Schema::new([Field::new("key", DataType::Text), Field::nullable("n", DataType::I64)]);
        Intake { schema, key, first_group: KeyGroup(3), max_parallelism: GROUPS }
    }

    fn batch(intake: &Intake, rows: &[(u8, Option<i64>)], split: Option<&str>) -> Batch {
        let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| format!("k{key}"))));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|(_, n)| *n)));
        let records = RecordBatch::try_new(Arc::clone(intake.schema.arrow()), vec![keys, numbers]).unwrap();
        let offsets = split.map_or(Offsets::None, |_| Offsets::Sequence { first: 40, step: 2 });
        let provenance = Provenance { split: split.map(SplitName::from), offsets };
        Batch::new(records, (0..rows.len() as i64).collect(), provenance)
    }

    /// By key, what came of it in which order.
    fn by_key(batches: &[Batch]) -> BTreeMap<String, Vec<String>> {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for batch in batches.iter().cloned().map(Batch::compact) {
            let (keys, numbers) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            let Provenance { split, offsets } = batch.provenance();
            for row in 0..batch.rows() {
                let number = numbers.is_valid(row).then(|| numbers.value(row));
                let text = format!("{number:?} {} {split:?} {:?}", batch.times()[row], offsets.get(row));
                rows.entry(keys.value(row).to_owned()).or_default().push(text);
            }
        }
        rows
    }

    proptest! {
        #[test]
        fn whoever_owns_a_key_then_has_its_events_in_their_order(
            batches in prop::collection::vec((prop::collection::vec((0..9_u8, any::<Option<i64>>()), 1..20), any::<bool>()), 0..5),
            slots in 1..5_u16,
        ) {
            let intake = intake(vec![0]);
            let batches: Vec<Batch> =
                batches.iter().map(|(rows, has_split)| batch(&intake, rows, has_split.then_some("a"))).collect();
            let mut chunks = Chunks::default();
            let stale = InFlight { checkpoint: CheckpointId(1), intake: intake.clone(), batches: batches.clone() };
            Box::new(stale).write(&mut chunks).unwrap();
            let checkpoint = CheckpointId(2);
            Box::new(InFlight { checkpoint, intake: intake.clone(), batches: batches.clone() }).write(&mut chunks).unwrap();
            let mut restored = BTreeMap::new();
            for slot in 0..slots {
                let groups = groups_of(Slot(slot), Parallelism::new(slots).unwrap(), GROUPS);
                let mut owned = Chunks(chunks.0.clone());
                owned.0.retain(|id, _| groups.contains(&id.group.0));
                restored.append(&mut by_key(&intake.restore(&mut owned, checkpoint).unwrap()));
            }
            prop_assert_eq!(restored, by_key(&batches));
        }
    }

    #[test]
    fn rows_without_a_key_stay_together_and_other_columns_are_refused() {
        let stays = intake(Vec::new());
        let batches = vec![batch(&stays, &[(1, None), (2, Some(7))], Some("a")), batch(&stays, &[(1, Some(1))], None)];
        let mut chunks = Chunks::default();
        let checkpoint = CheckpointId(4);
        Box::new(InFlight { checkpoint, intake: stays.clone(), batches: batches.clone() }).write(&mut chunks).unwrap();
        assert!(chunks.0.keys().all(|id| id.group == KeyGroup(3)));
        assert_eq!(by_key(&stays.restore(&mut chunks, checkpoint).unwrap()), by_key(&batches));
        let other = Intake { schema: Schema::new([Field::new("key", DataType::Text)]), ..stays };
        let fault = other.restore(&mut chunks, checkpoint).unwrap_err();
        assert!(fault.message.contains("columns are others now"), "{fault}");
    }
}

//! Keys on their way from a checkpoint into a job: bytes that are no key are refused, so that nobody behind has to doubt.

use crate::model::fault::Fault;
use crate::model::key;
use crate::model::schema::Field;
use crate::state::snapshot::{ChunkSource, Content, NativeFiles, Take, entries};

/// Chunks whose entries have keys of these columns.
pub struct CheckedKeys<S> {
    pub chunks: S,
    pub key: Vec<Field>,
}

impl<S: ChunkSource> ChunkSource for CheckedKeys<S> {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        let key = &self.key;
        self.chunks.read(content, &mut |id, payload| {
            check(content, payload, key).map_err(|why| {
                Fault::unrestorable(format!("a stored key cannot be read as ({}): {why}", shown(key)))
            })?;
            take(id, payload)
        })
    }

    fn native(&self) -> Vec<&dyn NativeFiles> {
        self.chunks.native()
    }
}

fn check(content: Content, payload: &[u8], key: &[Field]) -> Result<(), String> {
    let state_bytes = match content {
        Content::Rows | Content::EventTimers | Content::ProcessingTimers | Content::Panes => 0,
        // The number of the state stands before the key, and a place behind it.
        Content::Entries => 2,
        Content::InFlight | Content::Broadcast => return Ok(()),
    };
    for entry in entries(payload) {
        let (stored, _) = entry.map_err(|fault| fault.message)?;
        let mut rest = stored.get(state_bytes..).ok_or("it is cut short")?;
        key::skip(&mut rest, key)?;
        if content != Content::Entries && !rest.is_empty() {
            return Err(format!("{} bytes stand behind its last column", rest.len()));
        }
    }
    Ok(())
}

fn shown(key: &[Field]) -> String {
    let columns: Vec<String> = key.iter().map(Field::to_string).collect();
    columns.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key_group::KeyGroup;
    use crate::model::schema::DataType;
    use crate::plan::location::Location;
    use crate::state::snapshot::{ChunkId, ChunkSink, put_entry};
    use crate::storage::state_file::{StateFileWriter, StateFiles};
    use crate::store::Store;

    /// What is said of a file with one entry of key group 7.
    fn read(content: Content, key: &[u8]) -> Result<(), Fault> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
        let (mut payload, id) = (Vec::new(), ChunkId { group: KeyGroup(7), content, number: 0 });
        put_entry(&mut payload, key, b"value");
        let mut file = StateFileWriter::create(&store, "count.0.state").unwrap();
        file.put(id, 1, &payload).unwrap();
        file.finish().unwrap();
        let chunks = StateFiles::open(&store, &["count.0.state".to_owned()], 0..8).unwrap();
        let key = vec![Field::new("account", DataType::Text), Field::nullable("day", DataType::Date)];
        CheckedKeys { chunks, key }.read(content, &mut |_, _| Ok(()))
    }

    #[test]
    fn what_is_no_key_is_named_with_its_file_and_key_group() {
        let good = b"\x01a1\x00\x00";
        for content in [Content::Rows, Content::EventTimers, Content::ProcessingTimers, Content::Panes] {
            read(content, good).unwrap();
            for (bad, why) in [
                (&b"\x01a1"[..], "`account`: it does not end"),
                (b"\x01\xff\x00\x00", "`account`: it is not UTF-8"),
                (b"\x00\x00", "`account`: it is null"),
                (b"\x01a1\x00\x02", "`day`: the tag 2"),
                (b"\x01a1\x00\x01\x80", "`day`: "),
                (b"\x01a1\x00\x00\x00", "1 bytes stand behind"),
            ] {
                let fault = read(content, bad).unwrap_err();
                for part in [why, "(account: text, day: date?)", "count.0.state", "key group 7"] {
                    assert!(fault.message.contains(part), "`{part}` is missing in: {fault}");
                }
            }
        }
        read(Content::Entries, &[b"\x00\x01", &good[..], b"place"].concat()).unwrap();
        for bad in [&b"\x00"[..], b"\x00\x01\x01a1", b"\x00\x01"] {
            assert!(read(Content::Entries, bad).unwrap_err().message.contains("key group 7"));
        }
        read(Content::InFlight, b"anything").unwrap();
    }
}

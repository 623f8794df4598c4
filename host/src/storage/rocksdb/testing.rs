//! Checkpoints of operators in tests.

use std::fs;
use std::ops::{Deref, Range};
use std::path::Path;

use tempfile::TempDir;

use crate::model::fault::Fault;
use crate::state::snapshot::testing::Chunks;
use crate::state::snapshot::{ChunkId, ChunkSink, ChunkSource, Content, NativeFiles, NativeForm, NativeSnapshot, Take};

/// A checkpoint of an operator, as chunks or as files; also the one that a slot reads.
#[derive(Default)]
pub struct Kept {
    pub chunks: Chunks,
    pub files: Vec<KeptFiles>,
}

pub struct KeptFiles {
    groups: Range<u16>,
    pub folder: TempDir,
}

impl ChunkSink for Kept {
    fn put(&mut self, id: ChunkId, entries: u32, payload: &[u8]) -> Result<(), Fault> {
        self.chunks.put(id, entries, payload)
    }

    fn put_files(&mut self, snapshot: &NativeSnapshot<'_>) -> Result<(), Fault> {
        let folder = tempfile::tempdir().unwrap();
        assert!(snapshot.lasting.is_subset(&snapshot.files));
        for name in &snapshot.files {
            fs::copy(snapshot.folder.join(name), folder.path().join(name)).unwrap();
        }
        self.files.push(KeptFiles { groups: snapshot.groups.clone(), folder });
        Ok(())
    }
}

impl NativeFiles for KeptFiles {
    fn form(&self) -> NativeForm {
        NativeForm::RocksDb1
    }

    fn groups(&self) -> Range<u16> {
        self.groups.clone()
    }

    fn fetch(&self, folder: &Path) -> Result<(), Fault> {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        Ok(())
    }
}

/// What a slot sees of a checkpoint.
pub struct Seen<K> {
    pub kept: K,
    pub groups: Range<u16>,
}

impl<K: Deref<Target = Kept> + Send> ChunkSource for Seen<K> {
    fn read(&mut self, content: Content, take: &mut Take<'_>) -> Result<(), Fault> {
        let chunks =
            self.kept.chunks.0.iter().filter(|(id, _)| id.content == content && self.groups.contains(&id.group.0));
        chunks.into_iter().try_for_each(|(id, payload)| take(*id, payload))
    }

    fn native(&self) -> Vec<&dyn NativeFiles> {
        self.kept.files.iter().map(|files| files as &dyn NativeFiles).collect()
    }
}

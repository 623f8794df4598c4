use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{MultipartId, PutPayload, PutResult};

use super::*;

/// Gives parts to a store in their order: `InMemory` of object_store 0.13 panics, or forgets some, where one overtakes
/// another.
#[derive(Debug)]
struct InOrder {
    memory: Arc<InMemory>,
    parts: Mutex<BTreeMap<(MultipartId, usize), PutPayload>>,
}

#[async_trait]
impl MultipartStore for InOrder {
    async fn create_multipart(&self, path: &ObjectPath) -> object_store::Result<MultipartId> {
        self.memory.create_multipart(path).await
    }

    async fn put_part(
        &self,
        _: &ObjectPath,
        id: &MultipartId,
        part: usize,
        data: PutPayload,
    ) -> object_store::Result<PartId> {
        self.parts.lock().unwrap().insert((id.clone(), part), data);
        Ok(PartId { content_id: part.to_string() })
    }

    async fn complete_multipart(
        &self,
        path: &ObjectPath,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> object_store::Result<PutResult> {
        let data: Vec<PutPayload> =
            (0..parts.len()).filter_map(|part| self.parts.lock().unwrap().remove(&(id.clone(), part))).collect();
        for (part, data) in data.into_iter().enumerate() {
            self.memory.put_part(path, id, part, data).await?;
        }
        self.memory.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &ObjectPath, id: &MultipartId) -> object_store::Result<()> {
        self.memory.abort_multipart(path, id).await
    }
}

/// A store in memory that can do all that those of `s3://` URLs can.
fn in_memory() -> Store {
    let memory = Arc::new(InMemory::new());
    let uploads = Arc::new(InOrder { memory: Arc::clone(&memory), parts: Mutex::default() });
    let remote = Remote::of(memory, Some(uploads), ObjectPath::from("some/place")).unwrap();
    Store { inner: Inner::Remote(remote), name: "memory://some/place".to_owned(), options: Vec::new() }
}

fn each_kind(check: impl Fn(Store)) {
    check(in_memory());
    let folder = tempfile::tempdir().unwrap();
    check(Store::open(&Location::Folder(folder.path().join("new"))).unwrap());
}

fn prepare(store: &Store, name: &str, content: &[u8]) -> Prepared {
    let mut upload = store.begin_upload(name).unwrap();
    for piece in content.chunks(1 << 20) {
        upload.buffer().extend_from_slice(piece);
        upload.send().unwrap();
    }
    assert_eq!(upload.bytes(), content.len() as u64);
    upload.prepare().unwrap()
}

fn visible(store: &Store) -> Vec<String> {
    let mut names = store.names().unwrap();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn an_object_appears_whole_and_once() {
    each_kind(|store| {
        let large: Vec<u8> = (0..3 * PART_BYTES + 5).map(|i| (i % 251) as u8).collect();
        let prepared = [prepare(&store, "a", b"small"), prepare(&store, "b", &large), prepare(&store, "c", b"")];
        assert!(visible(&store).is_empty());
        for prepared in &prepared {
            let json = serde_json::to_string(prepared).unwrap();
            let prepared: Prepared = serde_json::from_str(&json).unwrap();
            assert!(store.is_waiting(&prepared).unwrap());
            store.complete_upload(&prepared).unwrap();
            store.complete_upload(&prepared).unwrap();
            assert!(!store.is_waiting(&prepared).unwrap());
        }
        assert_eq!(store.get("a").unwrap().unwrap(), b"small");
        assert!(store.get("b").unwrap().unwrap() == large);
        let mut names = store.names().unwrap();
        names.sort();
        assert_eq!(names, ["a", "b", "c"], "nothing is left beside them");
    });
}

#[test]
fn what_nobody_completes_is_aborted_and_nothing_else() {
    each_kind(|store| {
        let kept = prepare(&store, "other-1", b"1");
        let gone = prepare(&store, "ours-1", b"1");
        let done = prepare(&store, "ours-2", b"2");
        store.complete_upload(&done).unwrap();
        drop(store.begin_upload("ours-3").unwrap());
        store.abort_uploads(|name| name.starts_with("ours-")).unwrap();
        assert_eq!(store.names().unwrap().len(), 2, "{:?}", store.names());
        store.complete_upload(&kept).unwrap();
        assert_eq!(visible(&store), ["other-1", "ours-2"]);
        let fault = store.complete_upload(&gone).unwrap_err();
        assert!(fault.message.contains("cannot publish `") && fault.message.contains("/ours-1`"), "{fault}");
    });
}

#[test]
fn a_file_of_another_length_is_not_the_one_that_was_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Folder(folder.path().into())).unwrap();
    let prepared = prepare(&store, "a", b"ours");
    store.abort_uploads(|name| name.starts_with('a')).unwrap();
    store.put("a", b"another's".to_vec()).unwrap();
    assert!(store.complete_upload(&prepared).is_err());
}

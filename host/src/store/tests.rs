use object_store::memory::InMemory;

use super::*;

/// A store in memory that can do all that those of `s3://` URLs can.
fn in_memory() -> Store {
    let memory = Arc::new(InMemory::new());
    let remote = Remote::of(Arc::clone(&memory) as _, Some(memory), ObjectPath::from("some/place")).unwrap();
    Store { inner: Inner::Remote(remote), name: "memory://some/place".to_owned() }
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
            store.complete_upload(&prepared).unwrap();
            store.complete_upload(&prepared).unwrap();
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
        store.abort_uploads("ours-").unwrap();
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
    store.abort_uploads("a").unwrap();
    store.put("a", b"another's".to_vec()).unwrap();
    assert!(store.complete_upload(&prepared).is_err());
}

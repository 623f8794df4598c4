use wasmill::model::checkpoint::CheckpointId;
use wasmill::storage::manifest::Manifest;

use crate::Target;

/// The manifest of a checkpoint.
pub const MANIFEST: Target = Target {
    name: "manifest",
    run,
    seeds: || {
        let manifest = Manifest::new("job", Default::default(), 1, CheckpointId(7), 128);
        vec![serde_json::to_vec(&manifest).expect("a manifest is JSON")]
    },
    tokens: &["{", "}", "[", "]", ":", ",", "\"", "null", "-1", "1e999", "\"format\":2", "\"nodes\":[{}]", "é"],
    cases: 10_000,
};

fn run(bytes: &[u8]) {
    match Manifest::parse(bytes, "manifest.json") {
        Ok(manifest) => {
            let written = serde_json::to_vec(&manifest).expect("a manifest is JSON");
            assert_eq!(Manifest::parse(&written, "again").map_err(|fault| fault.to_string()), Ok(manifest));
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}

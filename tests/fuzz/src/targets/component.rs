use std::path::Path;

use wasmill::sandbox::component::Plugin;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::Target;

/// The file of a plugin.
pub const COMPONENT: Target = Target {
    name: "component",
    run,
    seeds: || vec![operators()],
    tokens: &["\0asm", "\0", "\u{1}", "\u{7f}", "wasmill:operator/", "@0.1.0", "describe"],
    cases: 500,
};

/// The smallest component of our world: it has every function, and each traps.
fn operators() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(&folder).expect("the contract");
    let world = resolve.select_world(&[package], Some("operators")).expect("the world of operators");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the world's description");
    let component = ComponentEncoder::default().module(&module).and_then(|encoder| encoder.encode());
    component.expect("a component of the world")
}

fn run(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("a temporary file");
    if let Err(error) = Plugin::load(file.path(), false) {
        assert!(!error.is_empty());
    }
}

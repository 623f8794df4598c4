//! Components that are no operators of this version: refused when they are loaded, with what to do.

use wasmill::sandbox::component::Plugin;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// A component of a world that does nothing but have its imports and exports.
fn component(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn refused(wit: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    std::fs::write(&path, component(wit)).unwrap();
    Plugin::load(&path, false).err().expect("it is refused")
}

#[test]
fn another_world() {
    let error = refused("package a:b; interface i { f: func(); } world w { export i; }");
    assert!(error.contains("it exports a:b/i, not wasmill:operator/plugin@0.1.0"), "{error}");
}

#[test]
fn another_version() {
    let error = refused("package wasmill:operator@0.2.0; interface plugin { f: func(); } world w { export plugin; }");
    assert!(error.contains("wasmill:operator/plugin@0.2.0") && error.contains("this host 0.1.0"), "{error}");
}

#[test]
fn an_import_from_elsewhere() {
    let error = refused("package a:b; world w { import f: func(); }");
    assert!(error.contains("it imports `f`") && error.contains("wasmill build"), "{error}");
}

#[test]
fn the_right_name_with_other_functions() {
    let wit = "package wasmill:operator@0.1.0; interface plugin { describe: func(); } world w { export plugin; }";
    let error = refused(wit);
    assert!(error.contains("does not fit wasmill:operator/*@0.1.0"), "{error}");
}

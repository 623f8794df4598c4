//! `wasmill new`: what it makes builds and passes its test at once, natively and as a component.

use std::path::{Path, PathBuf};
use std::process::Command;

use wasmill::toolchain::{self, BuildRequest, SdkSource, Template};

/// Kept between runs, beside what cargo keeps for us, so that only the first compiles the SDK.
fn target_folder() -> PathBuf {
    let ours = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    ours.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).join("scaffold")
}

fn passes(name: &str, template: Template) {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join(name);
    toolchain::scaffold(&project, template, &SdkSource::find(None).unwrap()).unwrap();
    // Where the folder is must not matter to cargo's target folder, or nothing would be found there again.
    let config = project.join(".cargo");
    std::fs::create_dir(&config).unwrap();
    let target = toml_string(&target_folder());
    std::fs::write(config.join("config.toml"), format!("[build]\ntarget-dir = {target}\n")).unwrap();

    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        let output = cargo.args(arguments).current_dir(&project).env_remove("CARGO_TARGET_DIR").output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "cargo {arguments:?}: {said}");
        said
    };
    let tested = cargo(&["test"]);
    assert!(tested.contains("1 passed"), "{tested}");
    cargo(&["fmt", "--check"]);

    let request = BuildRequest { project: project.clone(), packages: Vec::new(), out: None };
    let built = toolchain::build(&request).unwrap();
    let [built] = built.as_slice() else { panic!("{built:?}") };
    assert_eq!(built.path, project.canonicalize().unwrap().join(format!("{name}.wasm")));
    assert_eq!(std::fs::read(&built.path).unwrap(), built.component.bytes());
    assert!(built.component.digest().starts_with("sha256:"));

    let ran = crate::harness::wasmill().args(["run", "job.toml"]).current_dir(&project).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!ran.stdout.is_empty(), "its job prints rows");
}

fn toml_string(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

#[test]
fn a_new_process_operator() {
    passes("milestone-counter", Template::Process);
}

#[test]
fn a_new_aggregate() {
    passes("purchase-share", Template::Aggregate);
}

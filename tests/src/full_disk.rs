//! A disk that fills: the job fails with the name of the file, shows nothing that is wrong, and goes on when there is
//! room again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::Folder;

/// A small file system of its own in memory, which only root may mount.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(path: &'a Path, size: &str) -> Self {
        fs::create_dir(path).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path).output();
        let mount = mount.unwrap();
        let said = String::from_utf8_lossy(&mount.stderr);
        assert!(
            mount.status.success(),
            "a file system of {size} cannot be mounted, which needs root; where that is so, run the tests with \
             `--skip full_disk`, as `cargo xtask test` does: {said}"
        );
        Self(path)
    }

    /// Takes all room but about so many bytes.
    fn fill(&self, but: usize) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        let mut written = 0;
        while filler.write_all(&[0; 4096]).is_ok() {
            written += 4096;
        }
        filler.set_len(written - but as u64).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn job(checkpoints: &str, out: &str) -> String {
    format!(
        r#"
        name = "job"
        parallelism = 2
        restart = {{ strategy = "fixed-delay", attempts = 1000, delay = "20ms" }}
        [checkpoints]
        url = "{checkpoints}"
        interval = "50ms"
        [sources.events]
        connector = "generator"
        events = "keyed"
        count = 40000
        rate = 40000
        splits = 1
        [operators.op]
        inputs = ["events"]
        plugin = "plugins/count.wasm"
        key_by = ["key"]
        [sinks.out]
        inputs = ["op"]
        connector = "file"
        path = "{out}"
        "#
    )
}

/// Runs the job on a disk with too little room until it has failed once, then makes room. Returns what it said when it
/// failed.
fn run_out_of_room(folder: &Folder, job: &str, but: usize, expected: &[String]) -> String {
    let path = folder.path().join("disk");
    let disk = Disk::mount(&path, "32m");
    disk.fill(but);
    folder.write("job.toml", job);
    let mut host = folder.command(&["run", "job.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(host.stderr.take().unwrap()).lines().map(Result::unwrap);
    let failed = said.by_ref().find(|line| line.contains("starts again"));
    disk.free();
    let rest: Vec<String> = said.collect();
    assert!(host.wait().unwrap().success(), "{rest:?}");
    let out = if path.join("out").is_dir() { "disk/out" } else { "out" };
    let rows = folder.lines(out);
    assert!(rows == expected, "{} rows instead of {}", rows.len(), expected.len());
    let hidden = fs::read_dir(folder.path().join(out))
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().as_encoded_bytes().starts_with(b"."));
    assert_eq!(hidden.count(), 0, "nothing is left");
    failed.expect("it has failed")
}

#[test]
fn the_disk_of_a_sink_or_of_the_checkpoints_fills() {
    let folder = Folder::new();
    let calm = job("checkpoints", "out").replace("rate = 40000", "");
    let expected = folder.rows(&calm, &[]);
    for (checkpoints, out, but) in [("checkpoints", "disk/out", 200_000), ("disk/checkpoints", "out", 40_000)] {
        let folder = Folder::new();
        let failed = run_out_of_room(&folder, &job(checkpoints, out), but, &expected);
        assert!(failed.contains("cannot write `") && failed.contains("/disk/"), "{failed}");
        assert!(failed.contains("No space left on device"), "{failed}");
    }
}

//! Runs jobs as a user does: a folder with a job file, and the `wasmill` program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own for one test's jobs; plugins are in `plugins/` beside the job file.
pub struct Folder {
    folder: TempDir,
}

/// What a finished run left behind.
pub struct Ran {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The program beside this test's: `cargo xtask test` builds both.
pub fn wasmill() -> Command {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("wasmill");
    assert!(program.exists(), "{} is missing: run `cargo xtask test`", program.display());
    Command::new(program)
}

impl Folder {
    pub fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    /// Where syncing costs nothing, if the machine has such a place.
    pub fn in_memory() -> Self {
        let shared_memory = Path::new("/dev/shm");
        Self::of(
            if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() }.unwrap(),
        )
    }

    fn of(folder: TempDir) -> Self {
        let plugins = repository().join("target/plugins");
        assert!(plugins.is_dir(), "{} is missing: run `cargo xtask plugins`", plugins.display());
        std::os::unix::fs::symlink(plugins, folder.path().join("plugins")).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = wasmill();
        command.args(arguments).current_dir(self.path());
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// Runs `job` as `job.toml`, with more arguments.
    pub fn run(&self, job: &str, arguments: &[&str]) -> Ran {
        self.write("job.toml", job);
        self.call(&[&["run", "job.toml"], arguments].concat())
    }

    /// Runs a job that must succeed, from a clean output folder, and gives the rows of its JSON files in `out`, sorted.
    pub fn rows(&self, job: &str, arguments: &[&str]) -> Vec<String> {
        self.remove("out");
        let ran = self.run(job, arguments);
        assert!(ran.success, "{}", ran.stderr);
        self.lines("out")
    }

    /// Copies files and folders of this one to another place.
    pub fn copy_to(&self, to: &Path, names: &[&str]) {
        names.iter().for_each(|name| copy(&self.path().join(name), &to.join(name)));
    }

    /// Copies everything that stands in `from` into this folder.
    pub fn copy_from(&self, from: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &self.path().join(entry.file_name()));
        }
    }

    pub fn remove(&self, name: &str) {
        let path = self.path().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }

    /// The lines of a file, or of all files of a folder that are not hidden, sorted.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let path = self.path().join(name);
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let found = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
            let seen = found.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
            files = seen.map(|entry| entry.path()).collect();
        }
        let texts = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default());
        let mut lines: Vec<String> =
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.sort();
        lines
    }

    /// The dead letters of the job called `job`, in the order in which they came.
    pub fn dead_letters(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path().join("job.dead-letters.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Of a run that must fail: its one message.
    pub fn error(&self) -> &str {
        assert!(!self.success, "it should have failed: {}", self.stderr);
        let at = self.stderr.find("error: ").unwrap_or_else(|| panic!("no message: {}", self.stderr));
        &self.stderr[at..]
    }
}

/// A job without an end that prints its rows; killed if the test does not end it.
pub struct Running(Child);

impl Running {
    pub fn start(folder: &Folder, job: &str) -> (Self, impl Iterator<Item = String> + use<>) {
        Self::start_with(folder, job, &["-p", "1"])
    }

    pub fn start_with(folder: &Folder, job: &str, arguments: &[&str]) -> (Self, impl Iterator<Item = String> + use<>) {
        folder.write("job.toml", job);
        let mut command = folder.command(&[&["run", "job.toml"], arguments].concat());
        let stderr = fs::File::create(folder.path().join("stderr")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        (Self(child), lines)
    }

    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits until it has ended.
    pub fn succeeded(&mut self) -> bool {
        self.0.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

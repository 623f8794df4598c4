//! Jobs against a world without files: golden messages, golden plans, and texts that nobody would write.

mod fake;
mod mutations;
mod shape;

use std::path::Path;

use crate::model::id::Parallelism;

use super::explain;
use super::load::load;
use fake::FakeEnvironment;

/// `GOLDEN=write cargo test` writes what comes out into these files; look at the difference before it is committed.
const FOLDER: &str = "src/plan/tests";

/// The result of a job file as text: the plan as a tree, or what is wrong.
fn outcome(text: &str, sets: &[String]) -> Result<String, String> {
    let cores = Parallelism::new(2).unwrap();
    let plan = load(Path::new("jobs/job.toml"), text, sets, cores, &mut FakeEnvironment);
    plan.map(|plan| explain::tree(&plan)).map_err(|errors| format!("{errors}\n"))
}

/// A case of a golden file: `=== name`, a job file (lines `--set a=b` first), `>>>`, what comes out.
fn check(file: &str, good: bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(file);
    let golden = std::fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    for case in golden.split("=== ").skip(1) {
        let (name, case) = case.split_once('\n').unwrap();
        let (job, _) = case.split_once(">>>\n").unwrap_or_else(|| panic!("{file}, {name}: `>>>` is missing"));
        let (sets, job) = overrides(job);
        let head: String = sets.iter().map(|set| format!("--set {set}\n")).collect();
        let out = match outcome(&job, &sets) {
            Ok(out) if good => out,
            Err(out) if !good => out,
            Ok(out) => panic!("{file}, {name}: the job is taken:\n{out}"),
            Err(out) => panic!("{file}, {name}: the job is refused:\n{out}"),
        };
        written.push_str(&format!("=== {name}\n{head}{job}>>>\n{out}\n"));
    }
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (expected, found) in golden.split("=== ").zip(written.split("=== ")) {
        assert_eq!(expected.trim_end(), found.trim_end(), "\n--- expected\n{expected}\n--- found\n{found}");
    }
}

fn overrides(job: &str) -> (Vec<String>, String) {
    let sets: Vec<String> = job.lines().map_while(|line| line.strip_prefix("--set ")).map(ToOwned::to_owned).collect();
    let rest = job.split_inclusive('\n').skip(sets.len()).collect();
    (sets, rest)
}

#[test]
fn a_job_that_cannot_be_read_is_refused_with_place_and_advice() {
    check("bad_spec.txt", false);
}

#[test]
fn a_job_that_does_not_fit_together_is_refused_with_place_and_advice() {
    check("bad_plan.txt", false);
}

#[test]
fn good_jobs_become_plans() {
    check("good.txt", true);
}

#[test]
fn the_jobs_of_the_tests_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/jobs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(errors) = load(&path, &text, &[], Parallelism::ONE, &mut FakeEnvironment) {
            panic!("{errors}");
        }
    }
}

#[test]
fn graphviz() {
    let job = "name = \"copy\"\n[sources.a]\nconnector = \"stdin\"\nformat = \"raw\"\n\
         [sinks.b]\ninputs = [\"a\"]\nconnector = \"blackhole\"\n";
    let cores = Parallelism::new(2).unwrap();
    let plan = load(Path::new("job.toml"), job, &[], cores, &mut FakeEnvironment).unwrap();
    assert_eq!(
        explain::dot(&plan),
        "digraph \"copy\" {\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];\n  \
         n0 [label=\"source a  x1\\lstdin, raw\\lmain: line: text\\l\", style=rounded];\n  \
         n1 [label=\"sink b  x1\\lblackhole\\lwrites line: text\\l\", style=rounded];\n  \
         n0 -> n1 [label=\"main: forward\"];\n}\n"
    );
}

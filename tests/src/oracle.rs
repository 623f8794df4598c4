//! The oracle itself: it reads all of the real log, and its three answers are of the same requests.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const GOOD_LINES: u64 = 9_999;

fn answer(question: &str) -> (Vec<Value>, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/access_log.py");
    let output = Command::new("python3").arg(script).arg(question).output().expect("python3, which xtask installs");
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(output.status.success(), "{stderr}");
    let rows = String::from_utf8(output.stdout).unwrap();
    (rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect(), stderr)
}

fn sum(rows: &[Value], column: &str) -> u64 {
    rows.iter().map(|row| row[column].as_u64().unwrap()).sum()
}

#[test]
fn answers_agree_with_each_other() {
    let (traffic, bad) = answer("traffic");
    assert_eq!(bad, "bad lines: 1");
    assert_eq!(sum(&traffic, "hits"), GOOD_LINES);
    let (sessions, _) = answer("sessions");
    assert_eq!(sum(&sessions, "requests"), GOOD_LINES);
    let (paths, _) = answer("paths");
    assert!(sum(&paths, "hits") < GOOD_LINES);
    assert!(paths.iter().all(|row| (1..=10).contains(&row["rank"].as_u64().unwrap())));
}

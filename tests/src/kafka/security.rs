//! Brokers that want to know who comes, over connections that nobody can listen to; and secrets that nobody sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wasmill_broker::{Broker, PASSWORD, Security, USER};

use super::cluster::Cluster;
use super::copy::{copy_exactly_once, each_once_and_in_order, messages};
use crate::harness::{Folder, Ran};

const MESSAGES: usize = 500;
/// In the environment of the jobs.
const VARIABLE: &str = "KAFKA_PASSWORD";

/// Started by the first test that asks.
fn secured() -> (Cluster, &'static Security) {
    static BROKER: OnceLock<(Broker, Security)> = OnceLock::new();
    let (broker, security) = BROKER.get_or_init(|| Broker::start_secured(1).unwrap());
    (Cluster::of(broker), security)
}

fn sasl(protocol: &str, mechanism: &str, password: &str) -> String {
    format!(
        r#""security.protocol" = "{protocol}", "sasl.mechanism" = "{mechanism}", "sasl.username" = "{USER}", "sasl.password" = "{password}""#
    )
}

fn trusting(certificate: &Path) -> String {
    format!(r#""ssl.ca.location" = "{}""#, certificate.display())
}

fn call(folder: &Folder, arguments: &[&str], password: &str) -> Ran {
    Ran::from(folder.command(arguments).env(VARIABLE, password).output().unwrap())
}

#[test]
fn a_job_copies_exactly_once_over_each_of_them() {
    let (cluster, security) = secured();
    let (variable, trusting) = (format!("${{{VARIABLE}}}"), trusting(&security.certificate));
    let ways = [
        (security.sasl_plaintext, sasl("sasl_plaintext", "PLAIN", &variable)),
        (security.sasl_plaintext, sasl("sasl_plaintext", "SCRAM-SHA-512", &variable)),
        (security.ssl, format!(r#""security.protocol" = "ssl", {trusting}"#)),
        (security.sasl_ssl, sasl("sasl_ssl", "SCRAM-SHA-512", &variable) + ", " + &trusting),
    ];
    for (address, properties) in ways {
        let (folder, from, to) = (Folder::new(), cluster.topic("from", 2), cluster.topic("to", 2));
        cluster.send(&from, &messages(0..MESSAGES));
        folder.write(
            "job.toml",
            bounded(&copy_exactly_once(&address.to_string(), &from, &to, &format!("{{ {properties} }}"))),
        );
        let ran = call(&folder, &["run", "job.toml", "-p", "2"], PASSWORD);
        assert!(ran.success, "{properties}: {}", ran.stderr);
        each_once_and_in_order(&cluster, &to, MESSAGES);
    }
}

fn bounded(job: &str) -> String {
    job.replace("metadata =", "bounded = true\n        metadata =")
}

/// As a source is told, and as a sink whose source knows nothing of Kafka is.
fn refused(address: &str, properties: &str, parts: &[&str]) {
    let generated = "connector = \"generator\"\nevents = \"keyed\"\ncount = 10";
    let source = "connector = \"kafka\"\ntopics = [\"nowhere\"]\nformat = \"raw\"";
    let sink = "connector = \"kafka\"\ntopic = \"nowhere\"\nformat = \"json\"";
    let exactly_once = format!("{sink}\ndelivery = \"exactly-once\"");
    let brokers = format!("\nbrokers = \"{address}\"\nproperties = {{ {properties} }}\n");
    let jobs = [
        (format!("{source}{brokers}"), "connector = \"blackhole\"".to_owned()),
        (generated.to_owned(), format!("{sink}{brokers}")),
        (generated.to_owned(), format!("{exactly_once}{brokers}[checkpoints]\n")),
    ];
    for (source, sink) in jobs {
        let folder = Folder::new();
        let job = format!("name = \"job\"\n[sources.in]\n{source}\n[sinks.out]\ninputs = [\"in\"]\n{sink}");
        folder.write("job.toml", job);
        let ran = call(&folder, &["run", "job.toml"], "not-the-word");
        let error = ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        parts.iter().for_each(|part| assert!(error.contains(part), "`{part}` is missing in: {}", ran.stderr));
        assert!(!ran.stderr.contains("not-the-word"), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn a_wrong_password_is_said_once() {
    let (_, security) = secured();
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let properties = sasl("sasl_plaintext", mechanism, &format!("${{{VARIABLE}}}"));
        refused(&security.sasl_plaintext.to_string(), &properties, &["Authentication failed", "credentials"]);
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_said_once() {
    let (_, security) = secured();
    let properties = r#""security.protocol" = "ssl""#;
    refused(&security.ssl.to_string(), properties, &["certificate", "ssl.ca.location"]);
}

/// A password that stands in the job file is in no other place either.
#[test]
fn secrets_are_nowhere_to_be_seen() {
    let (cluster, security) = secured();
    for (written, secret) in [(format!("${{{VARIABLE}}}"), PASSWORD), (PASSWORD.to_owned(), PASSWORD)] {
        let (folder, from, to) = (Folder::new(), cluster.topic("from", 1), cluster.topic("to", 1));
        let properties = format!("{{ {} }}", sasl("sasl_plaintext", "PLAIN", &written));
        let job = bounded(&copy_exactly_once(&security.sasl_plaintext.to_string(), &from, &to, &properties));
        folder.write("job.toml", &job);
        folder.write("wrong.toml", job.replace("\"sasl.mechanism\"", "\"sasl.mechanis\""));
        folder.write("bad.toml", job.replace("\"sasl.mechanism\"", "\"group.id\" = \"g\", \"sasl.mechanism\""));
        let ways: [&[&str]; 8] = [
            &["explain", "job.toml"],
            &["explain", "job.toml", "--dot"],
            &["run", "job.toml", "--report", "report"],
            &["run", "job.toml"],
            &["plan", "job.toml", "--from", "job.checkpoints/job"],
            &["checkpoint", "list", "job.toml"],
            &["run", "wrong.toml"],
            &["explain", "bad.toml"],
        ];
        for way in ways {
            let ran = call(&folder, way, PASSWORD);
            let shown = ran.stdout + &ran.stderr;
            assert!(!shown.is_empty() && !shown.contains(secret), "{way:?}: {shown}");
        }
        for file in files(folder.path()) {
            let bytes = fs::read(&file).unwrap();
            let is_there = bytes.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert!(!is_there || file.extension() == Some("toml".as_ref()), "{}", file.display());
        }
    }
}

/// All files below, but not those of links.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let inside = entries.flat_map(|entry| match entry.file_type().unwrap() {
        kind if kind.is_dir() => files(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    });
    inside.collect()
}

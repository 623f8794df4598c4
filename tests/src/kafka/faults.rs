//! What cannot be is said, with what to do about it.

use super::cluster::Cluster;
use crate::harness::Folder;

fn job(source: &str, sink: &str) -> String {
    format!(
        "name = \"job\"\n[sources.in]\n{source}\n[sinks.out]\ninputs = [\"in\"]\n{sink}\n\
         [limits]\nbatch_rows_max = 100\n"
    )
}

fn refused(folder: &Folder, source: &str, sink: &str, parts: &[&str]) {
    let ran = folder.run(&job(source, sink), &[]);
    let error = ran.error();
    parts.iter().for_each(|part| assert!(error.contains(part), "`{part}` is missing in: {error}"));
}

const STDOUT: &str = "connector = \"stdout\"";
const EVENTS: &str = "connector = \"generator\"\nevents = \"keyed\"\ncount = 10";

#[test]
fn no_broker() {
    let folder = Folder::new();
    let nobody = "brokers = \"127.0.0.1:1\"";
    let source = format!("connector = \"kafka\"\n{nobody}\ntopics = [\"clicks\"]\nformat = \"raw\"");
    refused(&folder, &source, STDOUT, &["job.toml:", "`clicks`", "127.0.0.1:1", "no broker", "Connection refused"]);
    let sink = format!("connector = \"kafka\"\n{nobody}\ntopic = \"clicks\"\nformat = \"json\"");
    refused(&folder, EVENTS, &sink, &["`clicks`", "127.0.0.1:1", "no broker"]);
}

#[test]
fn no_such_topic() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let brokers = format!("connector = \"kafka\"\nbrokers = \"{}\"", cluster.address);
    let source = format!("{brokers}\ntopics = [\"no-such-topic\"]\nformat = \"raw\"");
    refused(&folder, &source, STDOUT, &["job.toml:", "`no-such-topic`", "does not exist"]);
    let sink = format!("{brokers}\ntopic = \"no-such-topic\"\nformat = \"json\"");
    refused(&folder, EVENTS, &sink, &["`no-such-topic`", "does not exist", "create it"]);
    // Neither has made it.
    refused(&folder, &source, STDOUT, &["does not exist"]);
    let routed = format!(
        "{brokers}\ntopic_column = \"key\"\nformat = \"json\"\nproperties = {{ \"topic.metadata.propagation.max.ms\" = 500 }}"
    );
    // Messages wait for minutes, but not for a topic that metadata does not know.
    refused(&folder, EVENTS, &routed, &["a message to topic `", "Unknown topic", "message.timeout.ms"]);
}

#[test]
fn properties_that_are_wrong() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let source = |properties: &str| {
        format!(
            "connector = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"x\"]\nformat = \"raw\"\nproperties = {properties}",
            cluster.address
        )
    };
    refused(&folder, &source("{ \"group.id\" = \"g\" }"), STDOUT, &["job.toml:", "`group.id`", "write `group`"]);
    refused(&folder, &source("{ \"no.such\" = \"s3cret\" }"), STDOUT, &["`no.such`"]);
    let secret = source("{ \"sasl.password\" = \"${NO_SUCH_VARIABLE}\" }");
    refused(&folder, &secret, STDOUT, &["`sasl.password`", "`NO_SUCH_VARIABLE`"]);
    refused(&folder, &source("{ security.protocol = \"ssl\" }"), STDOUT, &["`security`", "quote"]);
}

#[test]
fn a_row_that_is_too_long_for_the_brokers() {
    let (cluster, folder) = (Cluster::shared(), Folder::new());
    let topic = cluster.topic("long", 1);
    folder.write("in.log", "x".repeat(900_000));
    let source = "connector = \"file\"\npath = \"in.log\"\nformat = \"raw\"";
    let sink = format!(
        "connector = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\nformat = \"raw\"\nproperties = {{ \"message.max.bytes\" = 100000 }}",
        cluster.address
    );
    refused(&folder, source, &sink, &["`long-", "message.max.bytes"]);
}

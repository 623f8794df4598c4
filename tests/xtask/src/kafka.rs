use std::thread;

use anyhow::Result;
use clap::Args;
use wasmill_broker::Broker;

use crate::setup;

/// Run an Apache Kafka broker for people, until Ctrl-C
///
/// Installs Java 17 and Maven, and fetches the broker from Maven Central, when they are missing. The broker is on
/// 127.0.0.1 only; its data is gone when it ends.
#[derive(Debug, Args)]
pub struct Kafka {
    /// Of topics that are created because a client asks for them
    #[arg(long, default_value_t = 3)]
    partitions: u16,
}

impl Kafka {
    pub fn run(self) -> Result<()> {
        setup::ensure_kafka()?;
        let broker = Broker::start(self.partitions)?;
        println!("{}", broker.address());
        eprintln!("Apache Kafka {} takes requests at this address, until Ctrl-C", wasmill_broker::VERSION);
        // Ctrl-C ends this process, and with it the broker.
        loop {
            thread::park();
        }
    }
}

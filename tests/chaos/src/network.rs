//! What is between a host and everything else.

use std::net::SocketAddr;

use anyhow::Result;

use crate::proxy::{Protocol, Proxy};

pub struct Network {
    pub kafka: Proxy,
    /// Of no use where the job keeps its files in a folder.
    pub store: Proxy,
}

impl Network {
    pub fn bind() -> Result<Self> {
        Ok(Self { kafka: Proxy::bind()?, store: Proxy::bind()? })
    }

    pub fn open(&mut self, brokers: SocketAddr, store: Option<SocketAddr>) {
        self.kafka.relay_to(brokers, Protocol::Kafka);
        if let Some(store) = store {
            self.store.relay_to(store, Protocol::Opaque);
        }
    }
}

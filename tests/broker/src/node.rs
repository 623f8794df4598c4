//! A broker's place among those of its cluster. Each is a controller too.

use std::net::SocketAddr;

pub struct Node {
    /// What clients are told that it is called.
    pub id: i32,
    pub address: SocketAddr,
    /// For a proxy.
    pub behind: SocketAddr,
    pub controller: SocketAddr,
    /// The controllers of all brokers, in the order of their ids, which begin with 1.
    controllers: Vec<SocketAddr>,
}

impl Node {
    pub fn alone([address, controller, behind]: [SocketAddr; 3]) -> Self {
        Self { id: 1, address, behind, controller, controllers: vec![controller] }
    }

    /// One for every three addresses.
    pub fn cluster(addresses: &[SocketAddr]) -> Vec<Self> {
        let own = || addresses.chunks_exact(3).map(|own| [own[0], own[1], own[2]]);
        let controllers: Vec<SocketAddr> = own().map(|[_, controller, _]| controller).collect();
        let nodes = (1..).zip(own());
        nodes.map(|(id, own)| Self { id, controllers: controllers.clone(), ..Self::alone(own) }).collect()
    }

    /// How many the cluster has.
    pub fn brokers(&self) -> i32 {
        self.controllers.len() as i32
    }

    /// Everything is kept by every broker; what is acknowledged, by most of them.
    pub fn settings(&self) -> String {
        let voters: Vec<String> = (1..).zip(&self.controllers).map(|(id, at)| format!("{id}@{at}")).collect();
        let (id, voters, replicas) = (self.id, voters.join(","), self.controllers.len());
        let most = replicas / 2 + 1;
        format!(
            "node.id={id}\n\
             controller.quorum.voters={voters}\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={most}\n\
             offsets.topic.replication.factor={replicas}\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={most}\n"
        )
    }
}

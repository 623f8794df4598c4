//! Where a broker listens, and what it tells clients of each place.

use std::net::SocketAddr;

pub struct Listener {
    pub name: &'static str,
    pub protocol: &'static str,
    pub address: SocketAddr,
    /// Where clients who asked here are told to find the broker; `None` = it is not for clients.
    pub advertised: Option<SocketAddr>,
}

impl Listener {
    /// Whose clients come without a proxy. It is called like its protocol.
    pub fn of(protocol: &'static str, address: SocketAddr) -> Self {
        Self { name: protocol, protocol, address, advertised: Some(address) }
    }
}

pub fn settings(listeners: &[Listener]) -> String {
    let list = |text: fn(&Listener) -> Option<String>| listeners.iter().filter_map(text).collect::<Vec<_>>().join(",");
    format!(
        "listeners={}\nadvertised.listeners={}\nlistener.security.protocol.map={}\n",
        list(|listener| Some(format!("{}://{}", listener.name, listener.address))),
        list(|listener| listener.advertised.map(|advertised| format!("{}://{advertised}", listener.name))),
        list(|listener| Some(format!("{}:{}", listener.name, listener.protocol))),
    )
}

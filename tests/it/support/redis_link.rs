//! The way of one process to Redis: proxies of its own to every server and to every Sentinel.

use super::proxy::{Fault, Proxy, Rewrites, Target};
use std::{collections::BTreeSet, path::PathBuf, sync::Mutex};

/// The link. Its faults concern one process only.
pub struct RedisLink {
    /// The address for `REDIS_URL`.
    pub url: String,
    /// Proxies to the servers in the order of the set, then to the Sentinels.
    proxies: Vec<Proxy>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Fault of all connections.
    fault: Fault,
    /// Proxies that lose everything, also without a fault.
    cut_off: BTreeSet<usize>,
}

impl RedisLink {
    /// A link to a single server.
    pub fn to_socket(socket: PathBuf) -> Self {
        let proxy = Proxy::start(Target::Unix(socket));
        Self { url: format!("redis://127.0.0.1:{}", proxy.port), proxies: vec![proxy], state: Mutex::default() }
    }

    /// A link without proxies, whose faults are none.
    pub fn direct(url: String) -> Self {
        Self { url, proxies: Vec::new(), state: Mutex::default() }
    }

    /// A link through Sentinels. Each node is a socket and the port under which the Sentinels know it; in their replies
    /// this port is replaced by that of the process's own proxy.
    pub fn through_sentinels(nodes: &[(PathBuf, u16)], sentinels: &[u16]) -> Self {
        let rewrites = Rewrites::default();
        let mut texts = Vec::new();
        let mut own = |known: u16, proxy: Proxy| {
            texts.push((known.to_string(), proxy.port.to_string()));
            proxy
        };
        let mut proxies: Vec<Proxy> =
            nodes.iter().map(|(socket, known)| own(*known, Proxy::start(Target::Unix(socket.clone())))).collect();
        let sentinels: Vec<Proxy> = sentinels
            .iter()
            .map(|port| {
                let target = Target::Tcp(([127, 0, 0, 1], *port).into());
                own(*port, Proxy::start_rewriting(target, rewrites.clone()))
            })
            .collect();
        rewrites.set(texts).unwrap();
        let others: Vec<String> =
            sentinels[1..].iter().map(|sentinel| format!("&node=127.0.0.1:{}", sentinel.port)).collect();
        let url =
            format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=main{}", sentinels[0].port, others.concat());
        proxies.extend(sentinels);
        Self { url, proxies, state: Mutex::default() }
    }

    /// Sets the fault of all connections.
    pub fn set(&self, fault: Fault) {
        self.change(|state| state.fault = fault);
    }

    /// Loses everything to and from this server until [`RedisLink::rejoin`].
    pub fn cut_off(&self, node: usize) {
        self.change(|state| state.cut_off.extend([node]));
    }

    /// Loses everything to and from all others than this server, also the Sentinels.
    pub fn cut_off_all_but(&self, node: usize) {
        let others = (0..self.proxies.len()).filter(|proxy| *proxy != node);
        self.change(|state| state.cut_off.extend(others));
    }

    pub fn rejoin(&self) {
        self.change(|state| state.cut_off.clear());
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state);
        for (number, proxy) in self.proxies.iter().enumerate() {
            proxy.set(if state.cut_off.contains(&number) { Fault::BlackHole } else { state.fault });
        }
    }

    /// Closes all open connections; new ones are accepted.
    pub fn cut(&self) {
        self.proxies.iter().for_each(Proxy::cut);
    }
}

//! The Redis of a scenario: one server, a Sentinel set, or a cluster.

use super::cluster::ROOT;
use crate::support::{
    TestRedis, raw::RawRedis, redis_cluster::RedisCluster, redis_link::RedisLink, sentinel::SentinelSet,
};
use std::path::PathBuf;

/// Kind of Redis to start, with the server's program; without one it is the usual server.
#[derive(Debug, Clone)]
pub enum RedisPlan {
    /// A single server with `appendfsync always`: an acknowledged write is on disk, and a killed server loses nothing.
    One,
    /// This server with `appendfsync everysec`.
    EverySecond(PathBuf),
    /// A Sentinel set whose servers have these options.
    Sentinel { program: Option<PathBuf>, replicas: usize, options: Vec<(&'static str, &'static str)> },
    /// Three primaries, and a replica of each if wanted.
    Cluster { program: Option<PathBuf>, has_replicas: bool },
}

pub enum RedisServers {
    One(TestRedis),
    Sentinel(SentinelSet),
    Cluster(RedisCluster),
}

impl RedisServers {
    pub async fn start(plan: &RedisPlan) -> Self {
        match plan {
            RedisPlan::One => Self::One(TestRedis::start_with(&["--appendfsync", "always"])),
            RedisPlan::EverySecond(program) => {
                Self::One(TestRedis::start_program(Some(program), &["--appendfsync", "everysec"]))
            }
            RedisPlan::Sentinel { program, replicas, options } => {
                Self::Sentinel(SentinelSet::start(program.as_deref(), *replicas, options).await)
            }
            RedisPlan::Cluster { program, has_replicas } => {
                Self::Cluster(RedisCluster::start(program.as_deref(), *has_replicas).await)
            }
        }
    }

    /// A link for one process.
    pub fn link(&self) -> RedisLink {
        match self {
            Self::One(redis) => RedisLink::to_socket(redis.socket()),
            Self::Sentinel(set) => set.link(),
            Self::Cluster(cluster) => cluster.link(),
        }
    }

    /// Sockets of all servers.
    pub fn sockets(&self) -> Vec<PathBuf> {
        match self {
            Self::One(redis) => vec![redis.socket()],
            Self::Sentinel(set) => set.nodes.iter().map(|node| node.redis.socket()).collect(),
            Self::Cluster(cluster) => cluster.nodes.iter().map(|node| node.redis.socket()).collect(),
        }
    }

    /// The server that has our keys and accepts writes.
    pub fn primary(&self) -> &TestRedis {
        match self {
            Self::One(redis) => redis,
            Self::Sentinel(set) => &set.nodes[set.primary()].redis,
            Self::Cluster(cluster) => &cluster.nodes[cluster.owner(ROOT)].redis,
        }
    }

    /// A connection to the primary, past every proxy.
    pub fn raw(&self) -> RawRedis {
        self.primary().raw()
    }

    /// The server of a scenario that has only one.
    pub fn one(&mut self) -> &mut TestRedis {
        match self {
            Self::One(redis) => redis,
            _ => panic!("this scenario has several servers"),
        }
    }

    pub fn sentinel(&mut self) -> &mut SentinelSet {
        match self {
            Self::Sentinel(set) => set,
            _ => panic!("this scenario has no sentinels"),
        }
    }

    pub fn cluster(&mut self) -> &mut RedisCluster {
        match self {
            Self::Cluster(cluster) => cluster,
            _ => panic!("this scenario has no redis cluster"),
        }
    }
}

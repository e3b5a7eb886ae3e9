//! Random faults of a Sentinel set, one at a time: the next one comes only when the set is whole again. Otherwise no
//! durability could promise anything.

use super::cluster::Cluster;
use crate::{
    model::Dice,
    support::{eventually, proxy::Fault, sentinel::DOWN_AFTER},
};
use std::time::{Duration, Instant};

/// Longest time from the recovery of the set to the next fault, ms.
const PAUSE_MS_MAX: u64 = 12_000;
/// Longer than every time-out of the processes.
const FREEZE: Duration = Duration::from_secs(20);
/// Time until the set must be whole again after a fault.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Undo {
    Launch(usize),
    Wake(usize),
    Rejoin(usize),
    /// Lifts the limit of the memory.
    Lift(usize),
}

enum Now {
    Calm { until: Instant },
    Struck { until: Instant, undo: Undo },
    Recovering { until: Instant },
}

pub struct RedisFaults {
    dice: Dice,
    now: Now,
}

impl RedisFaults {
    pub fn new(dice: Dice) -> Self {
        Self { dice, now: Now::Calm { until: Instant::now() + Duration::from_secs(2) } }
    }

    /// Goes on to the next state when it is time. Returns a new fault's name.
    pub fn step(&mut self, cluster: &mut Cluster) -> Option<&'static str> {
        match self.now {
            Now::Calm { until } if Instant::now() >= until => return Some(self.strike(cluster)),
            Now::Struck { until, undo } if Instant::now() >= until => {
                apply(cluster, undo);
                self.now = Now::Recovering { until: Instant::now() + WHOLE_WITHIN };
            }
            Now::Recovering { until } => {
                if cluster.redis.sentinel().is_whole() {
                    let pause = Duration::from_millis(1_000 + self.dice.next() % PAUSE_MS_MAX);
                    self.now = Now::Calm { until: Instant::now() + pause };
                } else {
                    assert!(Instant::now() < until, "the sentinel set does not recover");
                }
            }
            Now::Calm { .. } | Now::Struck { .. } => {}
        }
        None
    }

    /// Undoes the fault and waits until the set is whole.
    pub async fn end(&mut self, cluster: &mut Cluster) {
        if let Now::Struck { undo, .. } = self.now {
            apply(cluster, undo);
        }
        let set = cluster.redis.sentinel();
        eventually("the sentinel set is whole", WHOLE_WITHIN, async || set.is_whole().then_some(())).await;
    }

    fn strike(&mut self, cluster: &mut Cluster) -> &'static str {
        let primary = cluster.redis.sentinel().primary();
        let nodes = cluster.redis.sentinel().nodes.len();
        let replica = (primary + 1 + self.dice.below(nodes - 1)) % nodes;
        let short = Duration::from_millis(10 + self.dice.next() % 4_500);
        // Enough for a promotion, with time for the clients to notice it.
        let long = DOWN_AFTER + Duration::from_millis(4_000 + self.dice.next() % 8_000);
        let (what, lasts, undo) = match self.dice.below(100) {
            0..12 => ("redis killed, soon back", short, Undo::Launch(primary)),
            12..24 => ("redis paused", short, Undo::Wake(primary)),
            24..44 => ("primary killed", long, Undo::Launch(primary)),
            44..60 => ("primary frozen for 20 s", FREEZE, Undo::Wake(primary)),
            60..74 => ("primary cut off", long, Undo::Rejoin(primary)),
            74..90 => ("memory full", short + Duration::from_secs(2), Undo::Lift(primary)),
            90..95 => ("replica killed", short, Undo::Launch(replica)),
            _ => ("replica paused", short, Undo::Wake(replica)),
        };
        match undo {
            Undo::Launch(node) => cluster.redis.sentinel().nodes[node].redis.kill(),
            Undo::Wake(node) => cluster.redis.sentinel().nodes[node].redis.signal("-STOP"),
            Undo::Lift(node) => limit_memory(cluster, node),
            Undo::Rejoin(node) => {
                cluster.redis.sentinel().isolate(node, Fault::BlackHole);
                cluster.apis.iter().chain(&cluster.dispatchers).for_each(|process| process.redis.cut_off(node));
            }
        }
        self.now = Now::Struck { until: Instant::now() + lasts, undo };
        what
    }
}

/// Leaves no memory for anything more.
fn limit_memory(cluster: &mut Cluster, node: usize) {
    cluster.redis.sentinel().nodes[node].redis.raw().run(&["CONFIG", "SET", "maxmemory", "1mb"]);
}

fn apply(cluster: &mut Cluster, undo: Undo) {
    match undo {
        Undo::Launch(node) => cluster.redis.sentinel().nodes[node].redis.launch(),
        Undo::Wake(node) => cluster.redis.sentinel().nodes[node].redis.signal("-CONT"),
        Undo::Lift(node) => {
            cluster.redis.sentinel().nodes[node].redis.raw().run(&["CONFIG", "SET", "maxmemory", "0"]);
        }
        Undo::Rejoin(node) => {
            cluster.redis.sentinel().isolate(node, Fault::None);
            cluster.apis.iter().chain(&cluster.dispatchers).for_each(|process| process.redis.rejoin());
        }
    }
}

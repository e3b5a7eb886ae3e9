//! Random faults, a few seconds apart, each undone a little later.

use super::{
    cluster::Cluster, managed_process::ManagedProcess, redis_faults::RedisFaults, takeover_times::TakeoverTimes,
};
use crate::{model::Dice, support::proxy::Fault};
use shuzhiren::sim::{Faults, Times};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Longest time between two faults, ms.
const PAUSE_MS_MAX: u64 = 3_500;
/// Largest number of concurrent faults.
const OPEN_MAX: usize = 4;
const EXIT_WITHIN: Duration = Duration::from_secs(60);

/// The way a fault is undone.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Undo {
    StartDispatcher(usize),
    WakeDispatcher(usize),
    AwaitDispatcher(usize, Instant),
    StartApi(usize),
    AwaitApi(usize, Instant),
    HealDispatcherLink(usize),
    HealApiLink(usize),
    HealInstance(usize),
    HealLine(usize),
}

pub struct RandomFaults {
    dice: Dice,
    next: Instant,
    open: Vec<(Instant, Undo)>,
    done: BTreeMap<&'static str, usize>,
    takeovers: TakeoverTimes,
    redis: RedisFaults,
}

impl RandomFaults {
    pub fn new(cluster: &Cluster, seed: u64) -> Self {
        let takeovers = TakeoverTimes::watch(cluster);
        Self {
            dice: Dice::new(seed),
            next: Instant::now(),
            open: Vec::new(),
            done: BTreeMap::new(),
            takeovers,
            redis: RedisFaults::new(Dice::new(seed ^ 0x5EED)),
        }
    }

    /// Undoes faults that are due, and causes a new one when it is time.
    pub async fn step(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        while let Some(place) = self.open.iter().position(|(at, _)| *at <= now) {
            let (_, undo) = self.open.remove(place);
            self.undo(cluster, undo).await;
        }
        if let Some(what) = self.redis.step(cluster) {
            self.takeovers.redis_is_disturbed();
            *self.done.entry(what).or_default() += 1;
        }
        if now >= self.next && self.open.len() < OPEN_MAX {
            self.next = now + Duration::from_millis(500 + self.dice.next() % PAUSE_MS_MAX);
            if let Some(what) = self.strike(cluster).await {
                *self.done.entry(what).or_default() += 1;
            }
        }
    }

    /// Undoes everything and waits for a healthy cluster.
    pub async fn end(&mut self, cluster: &mut Cluster) {
        while !self.open.is_empty() {
            for (at, _) in &mut self.open {
                *at = Instant::now();
            }
            self.next = Instant::now() + EXIT_WITHIN;
            self.step(cluster).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.redis.end(cluster).await;
        cluster.wait_owned().await;
    }

    pub fn summary(&self) -> String {
        format!("{:?}", self.done)
    }

    pub fn takeovers(&self) -> String {
        self.takeovers.histogram()
    }

    fn later(&mut self, ms_min: u64, ms_max: u64, undo: Undo) {
        let after = ms_min + self.dice.next() % (ms_max - ms_min);
        self.open.push((Instant::now() + Duration::from_millis(after), undo));
    }

    /// Causes a random fault; `None` if the chosen target has one already.
    async fn strike(&mut self, cluster: &mut Cluster) -> Option<&'static str> {
        let dispatcher = self.dice.below(cluster.dispatchers.len());
        let api = self.dice.below(cluster.apis.len());
        let instance = self.dice.below(cluster.instances.len());
        let what = self.dice.below(90);
        let is_free = match what {
            0..34 => !self.open.iter().any(|(_, undo)| undo.is_of_dispatcher(dispatcher)),
            34..50 => !self.open.iter().any(|(_, undo)| undo.is_of_api(api)),
            _ => !self.open.iter().any(|(_, undo)| undo.is_of_instance(instance)),
        };
        if !is_free {
            return None;
        }
        match what {
            0..34 => self.strike_dispatcher(cluster, dispatcher, what),
            34..50 => self.strike_api(cluster, api, what - 34),
            _ => self.strike_instance(cluster, instance, what - 50).await,
        }
    }

    fn strike_dispatcher(&mut self, cluster: &mut Cluster, number: usize, what: usize) -> Option<&'static str> {
        let name = cluster.dispatchers[number].dispatcher_name()?;
        let process = &mut cluster.dispatchers[number];
        match what {
            0..10 => {
                process.kill();
                self.takeovers.lost(name, "kill -9");
                self.later(300, 3_000, Undo::StartDispatcher(number));
                Some("dispatcher killed")
            }
            10..16 => {
                process.begin_stop();
                self.takeovers.lost(name, "SIGTERM");
                self.later(1, 2, Undo::AwaitDispatcher(number, Instant::now() + EXIT_WITHIN));
                Some("dispatcher stopped")
            }
            16..22 => {
                process.pause();
                self.takeovers.lost(name, "SIGSTOP");
                self.later(500, 7_500, Undo::WakeDispatcher(number));
                Some("dispatcher paused")
            }
            _ => {
                let fault = self.link_fault();
                process.redis.set(fault);
                self.later(300, 5_000, Undo::HealDispatcherLink(number));
                Some("dispatcher's link to redis")
            }
        }
    }

    fn strike_api(&mut self, cluster: &mut Cluster, number: usize, what: usize) -> Option<&'static str> {
        let process: &mut ManagedProcess = &mut cluster.apis[number];
        match what {
            0..5 => {
                process.kill();
                self.later(200, 2_000, Undo::StartApi(number));
                Some("api killed")
            }
            5..9 => {
                if !process.life_log().contains("api started") {
                    return None;
                }
                process.begin_stop();
                self.later(1, 2, Undo::AwaitApi(number, Instant::now() + EXIT_WITHIN));
                Some("api stopped")
            }
            _ => {
                let fault = self.link_fault();
                process.redis.set(fault);
                self.later(300, 5_000, Undo::HealApiLink(number));
                Some("api's link to redis")
            }
        }
    }

    async fn strike_instance(&mut self, cluster: &mut Cluster, number: usize, what: usize) -> Option<&'static str> {
        let fault = self.link_fault();
        let instance = &cluster.instances[number];
        let once: fn(&mut Faults) = match what {
            0..5 => {
                instance.sim.kill().await;
                self.later(10, 3_000, Undo::HealInstance(number));
                return Some("instance killed");
            }
            5..8 => {
                instance.sim.freeze(Duration::from_millis(500 + self.dice.next() % 3_000));
                return Some("instance frozen");
            }
            8..18 => {
                instance.link.set(fault);
                self.later(300, 5_000, Undo::HealLine(number));
                return Some("line to the instance");
            }
            18..20 => {
                instance.sim.drop_sockets();
                return Some("instance's sockets cut");
            }
            20..22 => |faults| faults.prompt_500 = Times::Next(1),
            22..25 => |faults| faults.prompt_500_queued = Times::Next(1),
            25..27 => |faults| faults.prompt_drop = Times::Next(1),
            27..30 => |faults| faults.prompt_drop_queued = Times::Next(1),
            30..32 => |faults| faults.http_drop = Times::Next(3),
            32..34 => |faults| faults.http_500 = Times::Next(2),
            34..36 => |faults| faults.ws_stall = true,
            36..38 => |faults| faults.history_late_ms = 600,
            _ => |faults| faults.interrupt_lost = Times::Next(2),
        };
        instance.sim.set(once);
        self.later(2_000, 6_000, Undo::HealInstance(number));
        Some("instance misbehaves")
    }

    fn link_fault(&mut self) -> Fault {
        match self.dice.below(6) {
            0 => Fault::Refuse,
            1 => Fault::BlackHole,
            2 => Fault::SwallowReplies,
            3 => Fault::Hold,
            4 => Fault::Delay(Duration::from_millis(300)),
            _ => Fault::Throttle(8_000),
        }
    }

    async fn undo(&mut self, cluster: &mut Cluster, undo: Undo) {
        match undo {
            Undo::StartDispatcher(number) => cluster.dispatchers[number].start(),
            Undo::WakeDispatcher(number) => cluster.dispatchers[number].wake(),
            Undo::AwaitDispatcher(number, until) => {
                if !cluster.dispatchers[number].has_stopped(until) {
                    return self.later(50, 100, undo);
                }
                cluster.dispatchers[number].start();
            }
            Undo::StartApi(number) => cluster.apis[number].start(),
            Undo::AwaitApi(number, until) => {
                if !cluster.apis[number].has_stopped(until) {
                    return self.later(50, 100, undo);
                }
                cluster.apis[number].start();
            }
            Undo::HealDispatcherLink(number) => cluster.dispatchers[number].redis.set(Fault::None),
            Undo::HealApiLink(number) => cluster.apis[number].redis.set(Fault::None),
            Undo::HealLine(number) => cluster.instances[number].link.set(Fault::None),
            Undo::HealInstance(number) => {
                let sim = &cluster.instances[number].sim;
                sim.set(|faults| *faults = Faults::default());
                if !sim.is_up() {
                    sim.restart().await.unwrap();
                }
            }
        }
    }
}

impl Undo {
    fn is_of_dispatcher(self, number: usize) -> bool {
        match self {
            Self::StartDispatcher(own)
            | Self::WakeDispatcher(own)
            | Self::AwaitDispatcher(own, _)
            | Self::HealDispatcherLink(own) => own == number,
            _ => false,
        }
    }

    fn is_of_api(self, number: usize) -> bool {
        matches!(self, Self::StartApi(own) | Self::AwaitApi(own, _) | Self::HealApiLink(own) if own == number)
    }

    fn is_of_instance(self, number: usize) -> bool {
        matches!(self, Self::HealInstance(own) | Self::HealLine(own) if own == number)
    }
}

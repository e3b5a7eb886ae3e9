//! Measures how long instances are without an owner.

use super::cluster::{Cluster, ROOT};
use crate::support::raw::{RawRedis, Reply};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Width of a bar of the histogram.
const BAR: Duration = Duration::from_millis(500);

/// An instance that lost its owner.
struct Orphan {
    since: Instant,
    owner: String,
    how: &'static str,
}

#[derive(Default)]
struct Notes {
    /// Instance → owner at the last look.
    owners: BTreeMap<String, String>,
    orphans: BTreeMap<String, Orphan>,
    took: BTreeMap<&'static str, Vec<Duration>>,
}

/// Watches the leases from its start until it is dropped.
pub struct TakeoverTimes {
    notes: Arc<Mutex<Notes>>,
    /// Ends the watching when dropped.
    _end: mpsc::Sender<()>,
}

impl TakeoverTimes {
    pub fn watch(cluster: &Cluster) -> Self {
        let (end, ended) = mpsc::channel();
        let observers = Self { notes: Arc::default(), _end: end };
        let notes = observers.notes.clone();
        let sockets = cluster.redis.sockets();
        let instances: Vec<String> = cluster.instances.iter().map(super::cluster::Instance::id).collect();
        std::thread::spawn(move || look(&sockets, &instances, &notes, &ended));
        observers
    }

    /// Records that the owner with this name is gone or asleep.
    pub fn lost(&self, owner: String, how: &'static str) {
        let mut notes = self.notes.lock().unwrap();
        let mine: Vec<String> =
            notes.owners.iter().filter(|(_, of)| **of == owner).map(|(instance, _)| instance.clone()).collect();
        for instance in mine {
            notes.orphans.insert(instance, Orphan { since: Instant::now(), owner: owner.clone(), how });
        }
    }

    /// Forgets pending takeovers, because an outage of Redis falsifies their times.
    pub fn redis_is_disturbed(&self) {
        self.notes.lock().unwrap().orphans.clear();
    }

    pub fn histogram(&self) -> String {
        let notes = self.notes.lock().unwrap();
        let mut text = String::from("takeovers (from the signal to the next owner; outages of redis left out):\n");
        for (how, took) in &notes.took {
            let mut bars: BTreeMap<u128, usize> = BTreeMap::new();
            for one in took {
                *bars.entry(one.as_millis() / BAR.as_millis()).or_default() += 1;
            }
            text += &format!("  {how}: {} takeovers, longest {:?}\n", took.len(), took.iter().max().unwrap());
            for (bar, count) in bars {
                let from = bar * BAR.as_millis();
                text += &format!("    {from:>6} ms .. {:>6} ms {}\n", from + BAR.as_millis(), "#".repeat(count));
            }
        }
        text
    }
}

fn look(sockets: &[PathBuf], instances: &[String], notes: &Mutex<Notes>, ended: &mpsc::Receiver<()>) {
    let mut raw = None;
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        match read(&mut raw, sockets, instances) {
            Some(owners) => compare(&mut notes.lock().unwrap(), owners),
            None => raw = None,
        }
    }
}

fn read(raw: &mut Option<RawRedis>, sockets: &[PathBuf], instances: &[String]) -> Option<BTreeMap<String, String>> {
    if raw.is_none() {
        *raw = sockets.iter().find_map(|socket| primary_at(socket));
    }
    let raw = raw.as_mut()?;
    let mut owners = BTreeMap::new();
    for instance in instances {
        match raw.try_run(&["HGET", &format!("{ROOT}instance:{instance}"), "dispatcher"]).ok()? {
            // Redis is loading its data.
            Reply::Error(_) => return None,
            owner => owners.insert(instance.clone(), owner.text()),
        };
    }
    Some(owners)
}

/// A connection to this server, if it accepts writes.
fn primary_at(socket: &Path) -> Option<RawRedis> {
    let mut raw = RawRedis::try_connect_within(socket, Duration::from_secs(1)).ok()?;
    let role = raw.try_run(&["ROLE"]).ok()?;
    matches!(&role, Reply::List(fields) if fields[0].text() == "master").then_some(raw)
}

fn compare(notes: &mut Notes, owners: BTreeMap<String, String>) {
    let taken: Vec<String> = notes
        .orphans
        .iter()
        .filter(|(instance, orphan)| {
            owners.get(*instance).is_some_and(|owner| !owner.is_empty() && *owner != orphan.owner)
        })
        .map(|(instance, _)| instance.clone())
        .collect();
    for instance in taken {
        if let Some(orphan) = notes.orphans.remove(&instance) {
            notes.took.entry(orphan.how).or_default().push(orphan.since.elapsed());
        }
    }
    notes.owners = owners;
}

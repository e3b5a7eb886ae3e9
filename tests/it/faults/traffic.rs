//! A steady load during a scenario, and its figures: time without an answer, tasks lost, tasks run twice.

use super::{
    cluster::{Cluster, WAIT_MAX},
    executions::Executions,
    load::{Kind, Load},
    observers::Observers,
};
use crate::support::eventually;
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Duration of a task's work, seconds.
const WORK_S: f64 = 0.15;

/// Longest time until an ending that pub/sub lost is delivered by a comparison.
const ENDINGS_WITHIN: Duration = Duration::from_secs(20);

/// Clients that post at a steady rate until they are stopped.
pub struct Traffic {
    loads: Vec<Load>,
    stop: CancellationToken,
    poster: JoinHandle<usize>,
    begun: Instant,
}

/// Figures of a scenario.
#[derive(Debug)]
pub struct Figures {
    /// Longest time without an accepted task, for each load.
    pub no_ack_for: Vec<Duration>,
    pub acknowledged: usize,
    /// Acknowledged tasks that are gone.
    pub lost: usize,
    /// Tasks that ran again though nothing excuses it.
    pub twice: usize,
    /// Acknowledged tasks that did not end in time.
    pub unfinished: usize,
    /// Tasks that were given up because no answer came.
    pub given_up: usize,
    /// Answers with 503.
    pub refused: usize,
    pub slowest_refusal: Option<Duration>,
    /// Closed WebSockets, and endings that an open one has not received.
    pub sockets_closed: usize,
    pub endings_missed: usize,
}

impl Traffic {
    /// Starts posting this number of tasks a second, to the loads in turn.
    pub fn start(loads: Vec<Load>, per_second: u32) -> Self {
        let stop = CancellationToken::new();
        let poster = tokio::spawn(post(loads.clone(), per_second, stop.clone()));
        Self { loads, stop, poster, begun: Instant::now() }
    }

    pub fn accepted(&self) -> usize {
        self.loads.iter().map(|load| load.accepted().len()).sum()
    }

    /// Waits until this number of further tasks is accepted.
    pub async fn wait_accepted(&self, more: usize) {
        let before = self.accepted();
        eventually("tasks are accepted", WAIT_MAX, async || (self.accepted() >= before + more).then_some(())).await;
    }

    /// Stops posting and waits until every task is acknowledged. Returns the number of those given up.
    pub async fn stop(self) -> usize {
        self.stop.cancel();
        self.poster.await.unwrap()
    }

    /// Stops posting, waits until the tasks have ended, and counts.
    pub async fn figures(self, cluster: &Cluster, observers: &Observers) -> Figures {
        let (loads, begun, ended_at) = (self.loads.clone(), self.begun, Instant::now());
        let given_up = self.stop().await;
        let entries: Vec<_> = loads.iter().flat_map(Load::entries).collect();
        let ids: BTreeSet<String> = entries.iter().filter_map(|entry| entry.id.clone()).collect();
        let (ended, lost) = follow(cluster, &ids).await;
        let logs: Vec<_> = cluster.instances.iter().map(|instance| (instance.id(), instance.log())).collect();
        let runs = Executions::read(&logs, &ids);
        let refusals: Vec<Duration> = loads.iter().flat_map(Load::refusals).collect();
        let received = tokio::time::timeout(ENDINGS_WITHIN, async {
            while !observers.missing_endings(&ended).is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let _late = received.await;
        Figures {
            no_ack_for: loads.iter().map(|load| longest_gap(begun, &load.accepted(), ended_at)).collect(),
            acknowledged: ids.len(),
            lost,
            twice: ids.iter().filter(|id| !runs.unexcused(id, &[]).is_empty()).count(),
            unfinished: ids.len() - lost - ended.len(),
            given_up,
            refused: refusals.len(),
            slowest_refusal: refusals.into_iter().max(),
            sockets_closed: observers.close_codes().len(),
            endings_missed: observers.missing_endings(&ended).len(),
        }
    }
}

/// Returns the number of tasks that were given up.
async fn post(loads: Vec<Load>, per_second: u32, stop: CancellationToken) -> usize {
    let mut posts = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    for turn in 0.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let load = loads[turn % loads.len()].clone();
        posts.spawn(async move { load.post(Kind::Steps(WORK_S)).await });
    }
    let mut given_up = 0;
    while let Some(posted) = posts.join_next().await {
        given_up += usize::from(posted.is_err());
    }
    given_up
}

fn longest_gap(begun: Instant, accepted: &[Instant], ended: Instant) -> Duration {
    let accepted = accepted.iter().filter(|at| **at <= ended).copied();
    let times: Vec<Instant> = [begun].into_iter().chain(accepted).chain([ended]).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Waits until the tasks have ended, at most [`WAIT_MAX`]. Returns the ended ones with their status, and the number of
/// those that are gone.
async fn follow(cluster: &Cluster, ids: &BTreeSet<String>) -> (HashMap<String, String>, usize) {
    let (mut ended, mut lost) = (HashMap::new(), 0);
    let give_up = Instant::now() + WAIT_MAX;
    for id in ids {
        loop {
            match cluster.client.try_get(&format!("/api/tasks/{id}")).await {
                Some((status, _)) if status == 404 => {
                    lost += 1;
                    break;
                }
                Some((status, task)) if status == 200 => {
                    let end = task["data"]["status"].as_str().unwrap().to_owned();
                    if matches!(end.as_str(), "completed" | "failed" | "cancelled") {
                        ended.insert(id.clone(), end);
                        break;
                    }
                }
                _ => {}
            }
            if Instant::now() > give_up {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    (ended, lost)
}

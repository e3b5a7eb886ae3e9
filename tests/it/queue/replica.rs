//! Failover with the link to the replica cut at the same moment: at durability `replica` no acknowledged write is lost,
//! and at `local` the remaining data is consistent. (Killing the primary alone loses nothing on one machine.)

use super::{faults::block_on, server_check::free_port};
use crate::support::{
    TestRedis, eventually,
    lossy::{LossyLink, Upstream},
    raw::RawRedis,
    world::{completed, new_task},
};
use shuzhiren::{
    queue::{Acquired, Claimed, Enqueued, Lease, Queue, QueueLimits, TaskQuery, Token, Written},
    settings::{Durability, RedisSettings},
    task::{InstanceId, TaskId, TaskState},
};
use std::time::Duration;

const LIMITS: QueueLimits = QueueLimits { waiting_max: 0, keep_tasks: Duration::from_secs(3_600) };
const WRITERS: usize = 16;

/// A primary, its replica, and the connection between them.
struct Pair {
    primary: TestRedis,
    replica: TestRedis,
    link: LossyLink,
}

impl Pair {
    async fn start() -> Self {
        let port = free_port();
        let primary = TestRedis::start_with(&["--port", &port.to_string()]);
        let link = LossyLink::start(Upstream::Tcp(port)).await;
        let replica = TestRedis::start_with(&["--replicaof", &format!("127.0.0.1 {}", link.port)]);
        eventually("the replica is in step", Duration::from_secs(20), async || {
            let info = RawRedis::connect(&primary.socket()).run(&["INFO", "replication"]).text();
            info.contains("state=online").then_some(())
        })
        .await;
        Self { primary, replica, link }
    }

    async fn queue(&self, durability: Durability) -> Queue {
        Queue::connect(&RedisSettings { durability, ..self.primary.settings() }, LIMITS).await.unwrap()
    }

    /// Cuts the link, lets more be written, kills the primary, and promotes the replica.
    async fn fail_over(&mut self) -> Queue {
        self.link.freeze();
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.primary.kill();
        RawRedis::connect(&self.replica.socket()).run(&["REPLICAOF", "NO", "ONE"]);
        Queue::connect(&self.replica.settings(), LIMITS).await.unwrap()
    }
}

/// Enqueues tasks until Redis is gone. Returns the acknowledged ones.
async fn write(queue: Queue) -> Vec<TaskId> {
    let mut acknowledged = Vec::new();
    loop {
        let new = new_task();
        match queue.enqueue(&new).await {
            Ok(Enqueued::Created(_)) => acknowledged.push(new.id),
            Ok(other) => panic!("{other:?}"),
            Err(_) => return acknowledged,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn write_through_a_failover(durability: Durability) -> (Vec<TaskId>, Queue, Pair) {
    let mut pair = Pair::start().await;
    let queue = pair.queue(durability).await;
    let writers: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(write(queue.clone()))).collect();
    eventually("some are accepted", Duration::from_secs(20), async || {
        (queue.counts().await.ok()?.pending > 100).then_some(())
    })
    .await;
    let left = pair.fail_over().await;
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    (acknowledged, left, pair)
}

#[test]
fn a_failover_with_the_link_cut_loses_nothing_acknowledged() {
    block_on(async {
        let (acknowledged, left, _pair) = write_through_a_failover(Durability::Replica).await;
        assert!(acknowledged.len() > 50, "{}", acknowledged.len());
        for ids in acknowledged.chunks(500) {
            let found = left.tasks(ids).await.unwrap();
            let lost = found.iter().filter(|task| task.is_none()).count();
            assert_eq!(lost, 0, "of {}", acknowledged.len());
        }
    });
}

/// Writes that were not replicated are lost, as documented; every remaining task can still be ended.
#[test]
fn a_failover_at_local_durability_leaves_a_sound_queue() {
    block_on(async {
        let (acknowledged, left, _pair) = write_through_a_failover(Durability::Local).await;
        assert_eq!(left.repair_indexes().await.unwrap(), 0, "no index entry disagrees with a task");
        let lease = Lease { instance: InstanceId::new("gpu:1"), token: Token::new() };
        let acquired = left.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(60)).await.unwrap();
        assert!(matches!(acquired, Acquired::Ours(_)));
        let kept = left.counts().await.unwrap().pending;
        assert!(kept > 0 && kept < acknowledged.len() as u64, "the link was cut: {kept} of {}", acknowledged.len());
        for number in 0..kept {
            let Claimed::Task(claim) = left.claim(&lease, &number.to_string(), 1, 32).await.unwrap() else {
                panic!("{number} of {kept}")
            };
            assert_eq!(left.settle(&lease, claim.task, claim.attempt, &completed()).await.unwrap(), Written::Done);
        }
        let counts = left.counts().await.unwrap();
        assert_eq!((counts.pending, counts.running, counts.completed), (0, 0, kept));
        let page = left.list(&TaskQuery { limit: 1, ..TaskQuery::default() }).await.unwrap();
        assert_eq!(page.items[0].state, TaskState::Completed);
    });
}

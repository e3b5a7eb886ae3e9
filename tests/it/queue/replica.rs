//! Failover with the link to the replica cut at the same moment: at durability `replica` no acknowledged write is lost,
//! and at `local` the remaining data is consistent. (Killing the primary alone loses nothing on one machine.)

use super::faults::{block_on, connect};
use crate::support::{
    RedisPair, TestRedis, eventually,
    lossy::{LossyLink, Upstream},
    raw::RawRedis,
    servers::server,
    world::{completed, new_task},
};
use shuzhiren::{
    queue::{Acquired, Claimed, Enqueued, Error, Lease, Queue, QueueLimits, TaskQuery, Token, Written},
    settings::{Durability, RedisSettings},
    task::{InstanceId, TaskId, TaskState},
};
use std::{path::Path, time::Duration};

const LIMITS: QueueLimits = QueueLimits { waiting_max: 0, keep_tasks: Duration::from_secs(3_600) };
const WRITERS: usize = 16;

/// A primary, its replica, and the connection between them.
struct Pair {
    servers: RedisPair,
    link: LossyLink,
}

impl Pair {
    async fn start() -> Self {
        let (primary, port) = RedisPair::primary(None);
        let link = LossyLink::start(Upstream::Tcp(port)).await;
        Self { servers: RedisPair::follow(primary, port, None, link.port).await, link }
    }

    async fn queue(&self, durability: Durability) -> Queue {
        Queue::connect(&RedisSettings { durability, ..self.servers.primary.settings() }, LIMITS).await.unwrap()
    }

    /// Cuts the link, lets more be written, kills the primary, and promotes the replica.
    async fn fail_over(&mut self) -> Queue {
        self.link.freeze();
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.servers.primary.kill();
        RawRedis::connect(&self.servers.replica.socket()).run(&["REPLICAOF", "NO", "ONE"]);
        Queue::connect(&self.servers.replica.settings(), LIMITS).await.unwrap()
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

/// A repeated call writes nothing, and WAIT of Valkey and of Redis from 7.2 on covers the writes of its own connection only.
async fn is_not_confirmed_by_a_repeat(program: Option<&Path>) {
    let pair = RedisPair::start_program(program).await;
    let queue = connect(&RedisSettings { durability: Durability::Replica, ..pair.primary.settings() }).await.unwrap();
    // Each connection is confirmed a moment before, so that the next write reaches the server.
    for _ in 0..6 {
        queue.enqueue(&new_task()).await.unwrap();
    }
    pair.replica.signal("-STOP");
    let new = new_task();
    for _ in 0..4 {
        let refused = queue.enqueue(&new).await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable(_) | Error::NotConfirmed(_)), "{refused:?}");
    }
    pair.replica.signal("-CONT");
    let accepted = eventually("the replica confirms", Duration::from_secs(20), async || queue.enqueue(&new).await.ok());
    assert!(matches!(accepted.await, Enqueued::Created(_) | Enqueued::Replayed(_)));
    let key = format!("{{test}}:task:{}", new.id);
    assert_eq!(pair.replica.raw().run(&["EXISTS", &key]).number(), 1);
}

#[test]
fn a_repeat_is_not_confirmed_before_a_replica_has_the_task() {
    block_on(is_not_confirmed_by_a_repeat(None));
}

#[test]
fn a_repeat_is_not_confirmed_before_a_replica_of_valkey_has_the_task() {
    let Some(program) = server("valkey-9") else { return };
    block_on(is_not_confirmed_by_a_repeat(Some(&program)));
}

#[test]
fn as_many_replicas_confirm_as_are_asked_for() {
    block_on(async {
        let pair = RedisPair::start().await;
        let settings =
            RedisSettings { durability: Durability::Replica, durability_replicas: 2, ..pair.primary.settings() };
        let queue = connect(&settings).await.unwrap();
        let new = new_task();
        let refused = queue.enqueue(&new).await.unwrap_err();
        assert!(refused.to_string().contains("of 2 replicas 1 confirmed"), "{refused}");
        let _second = TestRedis::start_with(&["--replicaof", &format!("127.0.0.1 {}", pair.port)]);
        let accepted = eventually("both confirm", Duration::from_secs(20), async || queue.enqueue(&new).await.ok());
        assert!(matches!(accepted.await, Enqueued::Created(_) | Enqueued::Replayed(_)));
    });
}

/// A claim that no replica has is not confirmed, so that its prompt is not submitted.
#[test]
fn a_claim_is_confirmed_by_a_replica() {
    block_on(async {
        let pair = RedisPair::start().await;
        let settings = RedisSettings { durability: Durability::Replica, ..pair.primary.settings() };
        let queue = connect(&settings).await.unwrap();
        queue.enqueue(&new_task()).await.unwrap();
        let lease = Lease { instance: InstanceId::new("gpu:1"), token: Token::new() };
        queue.acquire(&lease.instance, "d", &lease.token, Duration::from_secs(60)).await.unwrap();
        pair.replica.signal("-STOP");
        let Claimed::Task(claim) = queue.claim(&lease, "nonce", 1, 32).await.unwrap() else { panic!("no task") };
        let confirm = || queue.confirm_claim(&lease, claim.task, claim.attempt);
        assert!(matches!(confirm().await, Err(Error::Unavailable(_) | Error::NotConfirmed(_))));
        pair.replica.signal("-CONT");
        let confirmed = eventually("the replica confirms", Duration::from_secs(20), async || confirm().await.ok());
        assert_eq!(confirmed.await, Written::Done);
        let key = format!("{{test}}:task:{}", claim.task);
        assert_eq!(pair.replica.raw().run(&["HGET", &key, "state"]).text(), "claimed");
        // A stale owner is refused, also by a primary that confirms.
        let stale = Lease { token: Token::new(), ..lease.clone() };
        assert_eq!(queue.confirm_claim(&stale, claim.task, claim.attempt).await.unwrap(), Written::Fenced);
        queue.cancel(claim.task).await.unwrap();
        assert_eq!(confirm().await.unwrap(), Written::AlreadyEnded(TaskState::Cancelled));
    });
}

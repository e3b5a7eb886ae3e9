//! A Redis that falls silent without closing its connections, while requests keep coming.

use super::faults::{block_on, connect};
use crate::support::{
    RedisPair, TestRedis, eventually,
    proxy::{Fault, Proxy, Target},
    raw::RawRedis,
    world::new_task,
};
use shuzhiren::{
    event::Event,
    queue::{Enqueued, Error, Feed, FeedItem, Queue},
    settings::{RedisSettings, Secret},
    task::TaskId,
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, UnixStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// Longest time from a freeze until tasks are accepted elsewhere: 5 s of silence, a reconnect of at most 2.5 s, and slack for
/// a busy machine.
const ELSEWHERE_WITHIN: Duration = Duration::from_secs(20);

/// A name for two servers: new connections go to the current one, open ones stay where they are.
struct VirtualAddress {
    port: u16,
    target: watch::Sender<PathBuf>,
    _acceptor: AbortOnDropHandle<()>,
}

impl VirtualAddress {
    async fn of(redis: &TestRedis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (target, current) = watch::channel(redis.socket());
        let acceptor = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let socket = current.borrow().clone();
                tokio::spawn(async move {
                    if let Ok(mut server) = UnixStream::connect(socket).await {
                        let _closed = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        }));
        Self { port, target, _acceptor: acceptor }
    }
}

fn at(port: u16, redis: &TestRedis) -> RedisSettings {
    RedisSettings { redis_url: Some(Secret::new(format!("redis://127.0.0.1:{port}"))), ..redis.settings() }
}

/// Tasks that were acknowledged, and the last error.
#[derive(Default)]
struct Acknowledged {
    tasks: Mutex<Vec<TaskId>>,
    refusal: Mutex<Option<Error>>,
}

impl Acknowledged {
    fn count(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }

    fn since(&self, count: usize) -> Vec<TaskId> {
        self.tasks.lock().unwrap()[count..].to_vec()
    }

    fn refusal(&self) -> Option<Error> {
        self.refusal.lock().unwrap().clone()
    }
}

/// Enqueues tasks without a break.
fn traffic(queue: &Queue) -> (Arc<Acknowledged>, Vec<AbortOnDropHandle<()>>) {
    let acknowledged = Arc::<Acknowledged>::default();
    let writer = || {
        let (queue, acknowledged) = (queue.clone(), acknowledged.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let new = new_task();
                match queue.enqueue(&new).await {
                    Ok(Enqueued::Created(_)) => acknowledged.tasks.lock().unwrap().push(new.id),
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => *acknowledged.refusal.lock().unwrap() = Some(error),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }))
    };
    let writers = (0..8).map(|_| writer()).collect();
    (acknowledged, writers)
}

async fn until_item(feed: &mut Feed, is_wanted: impl Fn(&FeedItem) -> bool) {
    let found = async { while !is_wanted(&feed.next().await) {} };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("the item of the feed");
}

#[test]
fn a_frozen_primary_is_given_up_under_traffic() {
    block_on(async {
        let pair = RedisPair::start().await;
        let (primary, replica) = (&pair.primary, &pair.replica);
        let address = VirtualAddress::of(primary).await;
        let queue = connect(&at(address.port, primary)).await.unwrap();
        let (mut feed, mut wakeups) = (queue.feed().await.unwrap(), queue.wakeups().await.unwrap());
        let (acknowledged, writers) = traffic(&queue);
        let count = || acknowledged.count();
        eventually("tasks are accepted", Duration::from_secs(20), async || (count() > 20).then_some(())).await;

        // What the replica lacks is lost with the primary; without the fence's key it would refuse every call.
        pair.wait_in_step().await;
        primary.signal("-STOP");
        RawRedis::connect(&replica.socket()).run(&["REPLICAOF", "NO", "ONE"]);
        address.target.send_replace(replica.socket());
        let (frozen, before) = (Instant::now(), count());
        let moved = async {
            while count() <= before + 20 {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
        };
        let moved = tokio::time::timeout(ELSEWHERE_WITHIN, moved).await;
        assert!(moved.is_ok(), "no tasks are accepted by the other server: {:?}", acknowledged.refusal());
        println!("accepted by the other server after {:?}", frozen.elapsed());

        // The feed and the wakeups moved too.
        let is_new = |item: &FeedItem| {
            let FeedItem::Event(event) = item else { return false };
            matches!(&**event, Event::Task(task) if acknowledged.since(before).contains(&task.id))
        };
        until_item(&mut feed, is_new).await;
        let woken = async { while wakeups.next().await == 0 {} };
        tokio::time::timeout(Duration::from_secs(30), woken).await.expect("a wakeup");
        eventually("all connections answer", Duration::from_secs(30), async || {
            queue.ill_connections().is_empty().then_some(())
        })
        .await;

        // The old primary resumes: no connection to it is left, and nothing was acknowledged by it.
        primary.signal("-CONT");
        let (resumed, last) = (count(), queue.installation().to_owned());
        eventually("more tasks are accepted", Duration::from_secs(20), async || (count() > resumed + 20).then_some(()))
            .await;
        drop(writers);
        // It sees the closed connections only now.
        let mut old = RawRedis::connect(&primary.socket());
        eventually("no connection to the old primary is left", Duration::from_secs(20), || {
            let clients = old.run(&["CLIENT", "LIST", "TYPE", "normal"]).text();
            std::future::ready((clients.lines().count() == 1).then_some(()))
        })
        .await;
        let mut new = RawRedis::connect(&replica.socket());
        for id in acknowledged.since(before) {
            assert_eq!(new.run(&["EXISTS", &format!("{{test}}:task:{id}")]).number(), 1);
        }
        for id in acknowledged.since(resumed) {
            assert_eq!(old.run(&["EXISTS", &format!("{{test}}:task:{id}")]).number(), 0);
        }
        assert_eq!(queue.installation(), last);
    });
}

#[test]
fn connections_that_do_not_answer_are_named() {
    block_on(async {
        let redis = TestRedis::start();
        let proxy = Proxy::start(Target::Unix(redis.socket()));
        let queue = connect(&at(proxy.port, &redis)).await.unwrap();
        let (mut feed, _wakeups) = (queue.feed().await.unwrap(), queue.wakeups().await.unwrap());
        let (acknowledged, _writers) = traffic(&queue);
        let count = || acknowledged.count();
        eventually("tasks are accepted", Duration::from_secs(20), async || (count() > 20).then_some(())).await;
        assert_eq!(queue.ill_connections(), Vec::<String>::new());

        proxy.set(Fault::BlackHole);
        eventually("all connections are named", Duration::from_secs(30), async || {
            let named = queue.ill_connections();
            let is_named = |name: &&str| named.iter().any(|ill| ill.starts_with(name) && ill.contains("no answer for"));
            ["commands-1:", "commands-4:", "events-1:", "wakeups-1:"].iter().all(is_named).then_some(())
        })
        .await;
        assert!(queue.unanswered_for() > Duration::from_secs(4));
        // Longer than every time limit, with new connections that do not answer either.
        eventually("it stays silent", Duration::from_secs(30), async || {
            (queue.unanswered_for() > Duration::from_secs(9)).then_some(())
        })
        .await;

        proxy.set(Fault::None);
        let before = count();
        eventually("tasks are accepted again", Duration::from_secs(20), async || (count() > before + 20).then_some(()))
            .await;
        eventually("all connections answer", Duration::from_secs(20), async || {
            queue.ill_connections().is_empty().then_some(())
        })
        .await;
        until_item(&mut feed, |item| matches!(item, FeedItem::Gap)).await;
    });
}

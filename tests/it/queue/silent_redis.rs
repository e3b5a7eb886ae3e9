//! A Redis that falls silent without closing its connections, while requests keep coming.

use super::{
    faults::{block_on, connect},
    server_check::free_port,
};
use crate::support::{
    TestRedis, eventually,
    proxy::{Fault, Proxy, Target},
    raw::RawRedis,
    world::new_task,
};
use shuzhiren::{
    event::Event,
    queue::{Enqueued, Feed, FeedItem, Queue},
    settings::{RedisSettings, Secret},
    task::TaskId,
};
use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, UnixStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

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

fn signal(redis: &TestRedis, name: &str) {
    assert!(Command::new("kill").args([name, &redis.pid().to_string()]).status().unwrap().success());
}

/// Enqueues tasks without a break, and notes the acknowledged ones.
fn traffic(queue: &Queue) -> (Arc<Mutex<Vec<TaskId>>>, Vec<AbortOnDropHandle<()>>) {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let writer = || {
        let (queue, acknowledged) = (queue.clone(), acknowledged.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let new = new_task();
                if let Ok(Enqueued::Created(_)) = queue.enqueue(&new).await {
                    acknowledged.lock().unwrap().push(new.id);
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
        let port = free_port();
        let primary = TestRedis::start_with(&["--port", &port.to_string()]);
        let replica = TestRedis::start_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
        eventually("the replica is in step", Duration::from_secs(20), async || {
            let info = RawRedis::connect(&primary.socket()).run(&["INFO", "replication"]).text();
            info.contains("state=online").then_some(())
        })
        .await;
        let address = VirtualAddress::of(&primary).await;
        let queue = connect(&at(address.port, &primary)).await.unwrap();
        let (mut feed, mut wakeups) = (queue.feed().await.unwrap(), queue.wakeups().await.unwrap());
        let (acknowledged, writers) = traffic(&queue);
        let count = || acknowledged.lock().unwrap().len();
        eventually("tasks are accepted", Duration::from_secs(20), async || (count() > 20).then_some(())).await;

        signal(&primary, "-STOP");
        RawRedis::connect(&replica.socket()).run(&["REPLICAOF", "NO", "ONE"]);
        address.target.send_replace(replica.socket());
        let (frozen, before) = (Instant::now(), count());
        eventually("tasks are accepted by the other server", Duration::from_secs(30), async || {
            (count() > before + 20).then_some(())
        })
        .await;
        let took = frozen.elapsed();
        assert!(took < Duration::from_secs(12), "{took:?}");

        // The feed and the wakeups moved too.
        let is_new = |item: &FeedItem| {
            let FeedItem::Event(event) = item else { return false };
            matches!(&**event, Event::Task(task) if acknowledged.lock().unwrap()[before..].contains(&task.id))
        };
        until_item(&mut feed, is_new).await;
        let woken = async { while wakeups.next().await == 0 {} };
        tokio::time::timeout(Duration::from_secs(30), woken).await.expect("a wakeup");
        eventually("all connections answer", Duration::from_secs(30), async || {
            queue.ill_connections().is_empty().then_some(())
        })
        .await;

        // The old primary resumes: no connection to it is left, and nothing was acknowledged by it.
        signal(&primary, "-CONT");
        let (resumed, last) = (count(), queue.installation().to_owned());
        eventually("more tasks are accepted", Duration::from_secs(20), async || (count() > resumed + 20).then_some(()))
            .await;
        drop(writers);
        let mut old = RawRedis::connect(&primary.socket());
        let clients = old.run(&["CLIENT", "LIST", "TYPE", "normal"]).text();
        assert_eq!(clients.lines().count(), 1, "{clients}");
        let (mut new, later) = (RawRedis::connect(&replica.socket()), acknowledged.lock().unwrap()[before..].to_vec());
        for id in later {
            assert_eq!(new.run(&["EXISTS", &format!("{{test}}:task:{id}")]).number(), 1);
        }
        for id in &acknowledged.lock().unwrap()[resumed..] {
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
        let count = || acknowledged.lock().unwrap().len();
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

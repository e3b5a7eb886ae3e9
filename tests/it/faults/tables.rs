//! Outages of replicated Redis, measured: `bin/test --tables [WORDS]` runs every row whose title has these words, prints
//! them as tables, and fails if a row lost a task or ran one twice although its durability promises that it does not.
//! Without it, the first row runs for some seconds.

use super::{
    cluster::{Cluster, Plan, ROOT},
    load::Load,
    observers::Observers,
    redis_servers::RedisPlan,
    traffic::{Figures, Traffic},
};
use crate::support::{proxy::Fault, servers::server};
use std::{fmt::Write as _, time::Duration};

/// Load of a row: tasks a second, time before the fault, and time from the fault to the end.
const PER_SECOND: u32 = 20;
const BEFORE: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(20);
/// The same of the short form.
const SHORT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Kill,
    RestartAll,
    Freeze,
    FreezeOther,
    CutOff,
    Partition,
    Failover,
    FlushScripts,
    MoveSlot,
    MigrateSlot,
}

struct Row {
    title: &'static str,
    server: &'static str,
    durability: &'static str,
    options: Vec<(&'static str, &'static str)>,
    trouble: Trouble,
    is_cluster: bool,
}

fn rows() -> Vec<Row> {
    let sentinel = |title, server, durability, trouble| Row {
        title,
        server,
        durability,
        options: vec![],
        trouble,
        is_cluster: false,
    };
    let cluster =
        |title, server, trouble| Row { title, server, durability: "local", options: vec![], trouble, is_cluster: true };
    let guarded = vec![("min-replicas-to-write", "1"), ("min-replicas-max-lag", "10")];
    let short_lag = vec![("min-replicas-to-write", "1"), ("min-replicas-max-lag", "2")];
    let always = vec![("appendfsync", "always")];
    let partition = |durability, options| Row {
        options,
        ..sentinel("partition 20 s, api 1 with the old primary", "redis-7.0", durability, Trouble::Partition)
    };
    vec![
        sentinel("no fault", "redis-7.0", "local", Trouble::None),
        sentinel("kill -9 of the primary", "redis-7.0", "local", Trouble::Kill),
        sentinel("kill -9 of the primary", "redis-7.0", "replica", Trouble::Kill),
        Row { options: always, ..sentinel("kill -9 of the primary", "redis-8", "fsync", Trouble::Kill) },
        sentinel("kill -9 of the primary", "valkey-9", "local", Trouble::Kill),
        sentinel("all nodes restarted", "redis-7.0", "local", Trouble::RestartAll),
        sentinel("SIGSTOP 20 s of the primary", "redis-7.0", "local", Trouble::Freeze),
        sentinel("SIGSTOP 20 s of the primary", "redis-7.0", "replica", Trouble::Freeze),
        sentinel("primary unreachable 20 s", "redis-7.0", "local", Trouble::CutOff),
        partition("local", vec![]),
        partition("local", guarded),
        partition("local", short_lag),
        partition("replica", vec![]),
        cluster("cluster, no fault", "redis-7.0", Trouble::None),
        cluster("cluster, kill -9 of the owner", "redis-7.0", Trouble::Kill),
        cluster("cluster, kill -9 of the owner", "valkey-9", Trouble::Kill),
        cluster("cluster, CLUSTER FAILOVER", "redis-7.0", Trouble::Failover),
        cluster("cluster, SIGSTOP 20 s of the owner", "redis-7.0", Trouble::Freeze),
        cluster("cluster, SIGSTOP 20 s of another primary", "redis-7.0", Trouble::FreezeOther),
        cluster("cluster, SCRIPT FLUSH everywhere", "redis-7.0", Trouble::FlushScripts),
        cluster("cluster, slot moved key by key", "redis-7.0", Trouble::MoveSlot),
        cluster("cluster, slot moved atomically", "valkey-9", Trouble::MigrateSlot),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_of_replicated_redis_cost_what_the_tables_say() {
    let words = std::env::var("TABLES").ok();
    let rows: Vec<Row> = match &words {
        Some(words) => rows().into_iter().filter(|row| row.title.contains(words.as_str())).collect(),
        None => rows().into_iter().take(1).collect(),
    };
    let mut table = String::from(
        "| fault | server | durability | no ack for | acknowledged → lost / twice | unfinished, given up | 503, slowest | sockets closed, endings missed |\n|---|---|---|---|---|---|---|---|\n",
    );
    let mut broken = Vec::new();
    for row in rows {
        let figures = measure(&row, words.is_some()).await;
        let Some(figures) = figures else { continue };
        let promises = row.durability != "local" || !matches!(row.trouble, Trouble::Partition);
        if promises && (figures.lost, figures.twice) != (0, 0) {
            broken.push(format!("{} ({}): {figures:?}", row.title, row.durability));
        }
        let line = line(&row, &figures);
        println!("{line}");
        table += &line;
        table.push('\n');
    }
    println!("\n{table}");
    assert!(broken.is_empty(), "{broken:#?}");
}

fn line(row: &Row, figures: &Figures) -> String {
    let mut gaps = String::new();
    for gap in &figures.no_ack_for {
        write!(gaps, "{}{:.1} s", if gaps.is_empty() { "" } else { " / " }, gap.as_secs_f64()).unwrap();
    }
    let options: Vec<String> = row.options.iter().map(|(name, value)| format!(", {name} {value}")).collect();
    format!(
        "| {} | {} | {}{} | {gaps} | {} → {} / {} | {}, {} | {}, {:.1} s | {}, {} |",
        row.title,
        row.server,
        row.durability,
        options.concat(),
        figures.acknowledged,
        figures.lost,
        figures.twice,
        figures.unfinished,
        figures.given_up,
        figures.refused,
        figures.slowest_refusal.unwrap_or_default().as_secs_f64(),
        figures.sockets_closed,
        figures.endings_missed,
    )
}

/// Runs a row; `None` if its server is missing.
async fn measure(row: &Row, is_long: bool) -> Option<Figures> {
    let program = Some(server(row.server)?);
    let redis = match row.is_cluster {
        true => RedisPlan::Cluster {
            program,
            has_replicas: !matches!(row.trouble, Trouble::MoveSlot | Trouble::MigrateSlot),
        },
        false => RedisPlan::Sentinel { program, replicas: 2, options: row.options.clone() },
    };
    let lease_ttl = Duration::from_secs(15);
    let plan = Plan { apis: 2, instances: 5, lease_ttl, redis, durability: row.durability, ..Plan::default() };
    let mut cluster = Cluster::start(plan).await;
    let observers = Observers::start(&cluster).await;
    let loads = [0, 1].map(|api| Load::at(&cluster, api, Duration::from_millis(500))).to_vec();
    let (per_second, before, after) = if is_long { (PER_SECOND, BEFORE, AFTER) } else { (5, SHORT, SHORT) };
    let traffic = Traffic::start(loads, per_second);
    tokio::time::sleep(before).await;
    let struck = tokio::time::Instant::now();
    strike(&mut cluster, row).await;
    tokio::time::sleep_until(struck + after).await;
    Some(traffic.figures(&cluster, &observers).await)
}

async fn strike(cluster: &mut Cluster, row: &Row) {
    match (row.trouble, row.is_cluster) {
        (Trouble::None, _) => {}
        (_, true) => strike_cluster(cluster, row.trouble).await,
        (_, false) => strike_sentinel(cluster, row.trouble).await,
    }
}

async fn strike_sentinel(cluster: &mut Cluster, trouble: Trouble) {
    let primary = cluster.redis.sentinel().primary();
    match trouble {
        Trouble::Kill => {
            let set = cluster.redis.sentinel();
            set.nodes[primary].redis.kill();
            set.wait_promoted(primary).await;
            set.nodes[primary].redis.launch();
        }
        Trouble::RestartAll => {
            let set = cluster.redis.sentinel();
            set.nodes.iter_mut().for_each(|node| node.redis.terminate());
            set.nodes.iter_mut().for_each(|node| node.redis.launch());
        }
        Trouble::Freeze => {
            let set = cluster.redis.sentinel();
            set.nodes[primary].redis.signal("-STOP");
            tokio::time::sleep(LONG).await;
            set.nodes[primary].redis.signal("-CONT");
        }
        Trouble::CutOff | Trouble::Partition => {
            cluster.redis.sentinel().isolate(primary, Fault::BlackHole);
            cluster.apis[0].redis.cut_off(primary);
            cluster.dispatchers.iter().for_each(|dispatcher| dispatcher.redis.cut_off(primary));
            match trouble {
                Trouble::Partition => cluster.apis[1].redis.cut_off_all_but(primary),
                _ => cluster.apis[1].redis.cut_off(primary),
            }
            tokio::time::sleep(LONG).await;
            cluster.redis.sentinel().isolate(primary, Fault::None);
            cluster.apis.iter().chain(&cluster.dispatchers).for_each(|process| process.redis.rejoin());
        }
        other => panic!("{other:?} is of a cluster"),
    }
}

async fn strike_cluster(cluster: &mut Cluster, trouble: Trouble) {
    let redis = cluster.redis.cluster();
    let owner = redis.owner(ROOT);
    let other = (owner + 1) % 3;
    match trouble {
        Trouble::Kill => {
            redis.nodes[owner].redis.kill();
            redis.wait_promoted(ROOT, owner).await;
            redis.nodes[owner].redis.launch();
        }
        Trouble::Failover => {
            let replica = redis.replica_of(owner);
            redis.nodes[replica].redis.raw().run(&["CLUSTER", "FAILOVER"]);
        }
        Trouble::Freeze | Trouble::FreezeOther => {
            let frozen = if trouble == Trouble::Freeze { owner } else { other };
            redis.nodes[frozen].redis.signal("-STOP");
            tokio::time::sleep(LONG).await;
            redis.nodes[frozen].redis.signal("-CONT");
        }
        Trouble::FlushScripts => redis.nodes.iter().for_each(|node| {
            node.redis.raw().run(&["SCRIPT", "FLUSH"]);
        }),
        Trouble::MoveSlot => {
            redis.move_slot(ROOT, other, async || tokio::time::sleep(Duration::from_secs(3)).await).await;
        }
        Trouble::MigrateSlot => redis.migrate_slot(ROOT, other).await,
        other => panic!("{other:?} is of a sentinel set"),
    }
}

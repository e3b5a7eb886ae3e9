//! Diagnosis of a Redis server for `doctor`, before any role is started. Invariant: writes no keys; only loads the
//! scripts into the server's script cache.

use super::{
    address, credentials,
    denied::denied_commands_of,
    keys::Root,
    link::Link,
    script_call::{CALL_TIMEOUT, ScriptCaller, with_timeout},
    scripts::{Scripts, Verb},
    server_check::{self, ServerInfo, ServerIssue, field},
};
use crate::{
    fleet::FleetConfig,
    queue::{Result, fleet::config_of},
    settings::RedisSettings,
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Number of PINGs whose median is reported.
const PINGS: usize = 9;

/// Properties of a server that answers.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// Name and version: `redis 7.0.15`, `valkey 8.0.1`.
    pub server: String,
    /// Result of the check at the start of a role: warnings, or the reason for a refusal.
    pub verdict: std::result::Result<Vec<ServerIssue>, ServerIssue>,
    /// Median round trip of several PINGs.
    pub round_trip: Duration,
    /// Lead of its clock over ours, ms; negative = behind.
    pub clock_ahead_ms: i64,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// `maxmemory`, or the machine's memory if that is not set, bytes; 0 = unknown.
    pub memory_limit: u64,
    /// Whether `maxmemory` is set.
    pub has_memory_limit: bool,
    /// `hash-max-listpack-value`; `None` where CONFIG is not allowed.
    pub packed_bytes: Option<u64>,
    /// Whether it writes an append-only file.
    pub has_aof: bool,
    /// `appendfsync`; `None` where CONFIG is not allowed.
    pub fsync: Option<String>,
    /// Kinds of persistence whose last write failed: append-only file, its rewrite, snapshot.
    pub failed_writes: Vec<&'static str>,
    /// Whether it is still loading its data.
    pub is_loading: bool,
    /// Commands that it denies, or the reason for which it refuses every write, as a sentence. Unknown while no system is in
    /// the namespace.
    pub denied: Option<String>,
    /// Number of scripts that it loaded, or its first error.
    pub scripts: std::result::Result<usize, String>,
    /// Name of the installation in this namespace; `None` = new.
    pub installation: Option<String>,
    /// Number of live dispatchers.
    pub dispatchers: u64,
    /// Fleet config in force.
    pub config: FleetConfig,
}

/// Examines the server of these settings.
///
/// # Errors
/// The server cannot be reached or does not answer.
pub async fn diagnose(settings: &RedisSettings) -> Result<Diagnosis> {
    let root = Root::new(&settings.namespace)?;
    let mut config = address::config(settings)?;
    credentials::settle_sentinels(&mut config).await;
    let link = Link::new(config, &root);
    let pool = Arc::new(link.command_pool().await?);
    let caller = ScriptCaller { pool, scripts: Scripts::embedded(), root, installation: None, refused: Arc::default() };
    let info = server_check::info(&caller).await?;
    let fsync = server_check::fsync_policy(&caller).await?;
    let packed = server_check::setting(&caller, "hash-max-listpack-value").await?;
    let server_info = ServerInfo::parse(&info);
    let validated = server_info.validate(settings.into(), fsync.as_deref());
    let (round_trip, clock_ahead_ms, now_ms) = time(&caller).await?;
    let number = |name: &str| field(&info, name).parse().unwrap_or(0);
    let failed = |(status, kind): (&str, &'static str)| (field(&info, status) == "err").then_some(kind);
    let is_alive = vec![caller.root.dispatchers().into(), now_ms.to_string().into(), "+inf".into()];
    let installation: Option<String> =
        caller.command("HGET", vec![caller.root.meta().into(), "installation".into()]).await?;
    let diagnosis = Diagnosis {
        server: name(&info),
        verdict: validated.map(|(_, warnings)| warnings),
        round_trip,
        clock_ahead_ms,
        memory_used: number("used_memory"),
        memory_limit: Some(number("maxmemory")).filter(|&max| max > 0).unwrap_or(number("total_system_memory")),
        has_memory_limit: number("maxmemory") > 0,
        packed_bytes: packed.and_then(|bytes| bytes.parse().ok()),
        has_aof: server_info.has_aof,
        fsync,
        failed_writes: [
            ("aof_last_write_status", "append-only file"),
            ("aof_last_bgrewrite_status", "rewrite of the append-only file"),
            ("rdb_last_bgsave_status", "snapshot"),
        ]
        .into_iter()
        .filter_map(failed)
        .collect(),
        is_loading: field(&info, "loading") == "1",
        scripts: load(&caller).await,
        denied: denied(&caller, installation.as_deref()).await,
        installation,
        dispatchers: caller.command("ZCOUNT", is_alive).await?,
        config: config_of(&caller).await?,
    };
    Ok(diagnosis)
}

fn name(info: &str) -> String {
    match field(info, "valkey_version") {
        "" => format!("redis {}", field(info, "redis_version")),
        version => format!("valkey {version}"),
    }
}

/// Measures the median round trip, the lead of the server's clock over ours (ms), and the server's time (Unix ms).
async fn time(caller: &ScriptCaller) -> Result<(Duration, i64, u64)> {
    let mut trips = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let began = Instant::now();
        with_timeout(caller.pool.next().ping(CALL_TIMEOUT)).await?;
        trips.push(began.elapsed());
    }
    trips.sort_unstable();
    let began = SystemTime::now();
    let theirs: u64 = caller.call(Verb::Clock, Vec::new()).await?.parse()?;
    let ended = SystemTime::now();
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let ours = ms(began).midpoint(ms(ended));
    Ok((trips[PINGS / 2], i64::try_from(theirs).unwrap_or(i64::MAX) - ours, theirs))
}

async fn denied(caller: &ScriptCaller, installation: Option<&str>) -> Option<String> {
    match denied_commands_of(caller, installation?).await {
        Ok(denied) => denied,
        Err(error) => Some(error.refusal().unwrap_or_else(|| error.to_string())),
    }
}

async fn load(caller: &ScriptCaller) -> std::result::Result<usize, String> {
    for verb in Verb::ALL {
        let client = caller.pool.next().client();
        let loading = caller.scripts.get(*verb).load(&client);
        with_timeout(loading).await.map_err(|error| format!("{}.lua: {error}", verb.name()))?;
    }
    Ok(Verb::ALL.len())
}

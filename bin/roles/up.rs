//! `shuzhiren up`: everything in one process, with its own Redis unless a URL is given.

use super::{
    api::{Front, watch_redis},
    dispatcher::validate,
    initial_config, shared,
};
use clap::Args;
use shuzhiren::{
    auth::{self, Auth, Profile},
    dispatcher::{self, Parts},
    embedded::{self, Embedded},
    fetch::Fetcher,
    fleet::{FleetConfig, HealthCheck, Scheme, Server},
    process::{self, Readiness},
    queue::Queue,
    save_file::{self, Target},
    settings::{
        self, AuthSettings, DispatcherSettings, FetchSettings, FrontSettings, Keep, KeepBytes, ListenSettings,
        QueueSettings, RedisSettings, Secret, SecretSettings, StopSettings, StorageSettings,
    },
    sim::{self, Sim, SimOptions},
    ws::Hub,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Settings of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    listen: ListenSettings,
    /// Folder for Redis, files and the generated keys; two folders are two systems
    #[arg(long, env = "SHUZHIREN_DATA_DIR", default_value = "data", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Initial config of the fleet, as JSON: your ComfyUI machines; ignored if the system has one
    ///
    /// E.g. fleet.json with {"servers": [{"id": "a", "ip": "192.168.1.20", "ports": [8188]}]}, the body of PUT
    /// /api/config. Change it later on the page, with `shuzhiren config edit`, or by PUT /api/config: changes take
    /// effect at once, without a restart.
    #[arg(long, env = "SHUZHIREN_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Redis or Valkey server to run [default: the first found on PATH]
    ///
    /// E.g. /usr/bin/valkey-server. Not needed with --redis-url.
    #[arg(long, env = "REDIS_SERVER", value_name = "FILE")]
    redis_server: Option<PathBuf>,
    /// Memory limit of the own Redis; 0 = no limit [default: a quarter of this machine's memory]
    ///
    /// E.g. 4gb. From 90 % on, no tasks and files are accepted until ended tasks have expired.
    #[arg(long, env = "SHUZHIREN_REDIS_MEMORY", value_parser = settings::bytes, value_name = "BYTES")]
    redis_memory: Option<u64>,
    /// Ports of stand-in instances for a system without a config, comma separated
    ///
    /// They need no GPU and draw simple pictures. They are no longer used once the config names other instances.
    #[arg(
        long,
        env = "SHUZHIREN_STAND_INS",
        value_delimiter = ',',
        default_value = "8001,8002",
        value_name = "PORT,…"
    )]
    stand_ins: Vec<u16>,
    #[command(flatten)]
    redis: RedisSettings,
    #[command(flatten)]
    queue: QueueSettings,
    #[command(flatten)]
    storage: StorageSettings,
    #[command(flatten)]
    auth: AuthSettings,
    #[command(flatten)]
    secrets: SecretSettings,
    #[command(flatten)]
    front: FrontSettings,
    #[command(flatten)]
    fetch: FetchSettings,
    #[command(flatten)]
    dispatcher: DispatcherSettings,
    #[command(flatten)]
    stopping: StopSettings,
}

/// Runs everything until SIGTERM or SIGINT.
pub(crate) async fn run(mut args: UpArgs) -> Result<(), String> {
    validate(&args.dispatcher)?;
    args.queue.default_to_up();
    let keeping = keeping(&args.queue);
    let fetcher = Fetcher::new(&args.fetch)?;
    // The default login is allowed on this machine only.
    let profile = if args.listen.listen.ip().is_loopback() { Profile::Development } else { Profile::Production };
    std::fs::create_dir_all(&args.data_dir)
        .map_err(|error| format!("cannot create {}: {error}", args.data_dir.display()))?;
    let data_dir = args.data_dir.canonicalize().map_err(|error| format!("{}: {error}", args.data_dir.display()))?;
    if args.auth.jwt_secret.is_none() && args.auth.jwt_secret_file.is_none() {
        args.auth.jwt_secret = Some(generated_secret(&data_dir.join("jwt-secret"))?);
    }
    if args.secrets.secret_key.is_none() && args.secrets.secret_key_file.is_none() {
        args.secrets.secret_key = Some(generated_secret(&data_dir.join("secret-key"))?);
    }
    let encryption = shared::encryption(&args.secrets)?;
    let read_config = |path| initial_config::read_encrypted(path, &encryption);
    let config = args.config_file.as_deref().map(read_config).transpose()?;
    let auth =
        auth::prepare(&args.auth, profile).map_err(|error| format!("listening on {}: {error}", args.listen.listen))?;
    args.storage.storage_url.get_or_insert_with(|| format!("file://{}", data_dir.join("files").display()));

    // Everything that may fail is done before anything is started.
    let listener = process::bind(args.listen.listen).await?;
    let listen = listener.local_addr().map_err(|error| error.to_string())?;
    let links = shared::links(&args.storage, &auth, listen)?;
    let store = shared::open_store(&args.storage).await?;
    let stop = process::stop_on_signals();
    let redis = own_redis(&mut args.redis, args.redis_server.as_deref(), args.redis_memory, &data_dir).await?;
    let queue = shared::connect(&args.redis, &args.queue, &stop).await?;
    let stand_ins = settle_fleet(&queue, config, &args.stand_ins, &data_dir).await?;

    let readiness = Readiness::default();
    readiness.until(&stop);
    watch_redis(queue.clone(), readiness.clone(), stop.clone());
    let parts = Parts {
        queue: queue.clone(),
        store: store.clone(),
        settings: args.dispatcher,
        file_bytes_max: args.storage.file_bytes_max,
        retention: shared::retention(&args.queue),
        keep_bytes: args.queue.keep_bytes(),
        drain_timeout: args.stopping.drain_timeout,
        encryption: encryption.clone(),
    };
    let dispatching = tokio::spawn(dispatcher::run(parts, readiness.clone(), stop.clone()));
    let hub = Hub::start(queue.clone(), links.clone(), stop.clone());
    let front = Front {
        queue,
        store,
        auth: Auth::new(&auth),
        links,
        settings: args.front,
        file_bytes_max: args.storage.file_bytes_max,
        upload_quota: shared::upload_quota(&args.storage),
        retention: shared::retention(&args.queue),
        fetcher,
        encryption,
    };
    print_welcome(listen, &auth, &data_dir, &keeping, &stand_ins);
    process::serve(listener, front.router(Some(hub.clone()), readiness), stop.clone(), args.stopping.drain_timeout)
        .await;
    hub.drained(args.stopping.drain_timeout).await;
    dispatching.await.map_err(|error| format!("the dispatcher failed: {error}"))?;
    for stand_in in stand_ins {
        stand_in.stop().await;
    }
    if let Some(redis) = redis {
        redis.stop().await;
    }
    Ok(())
}

/// Reads a key of the system, or creates one: 32 random bytes, readable by this user only.
fn generated_secret(path: &Path) -> Result<Secret, String> {
    if path.exists() {
        return shared::read_secret(path);
    }
    // A link to a missing file is followed.
    let new = match Target::at(path) {
        Ok(Target::File(path) | Target::Stream(path)) => path,
        Err(error) => return Err(format!("cannot create {}: {error}", path.display())),
    };
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(Secret::new(text))
}

/// Starts the embedded Redis unless a URL is given.
async fn own_redis(
    redis: &mut RedisSettings,
    server: Option<&Path>,
    memory_max: Option<u64>,
    data_dir: &Path,
) -> Result<Option<Embedded>, String> {
    if redis.redis_url.is_some() || redis.redis_url_file.is_some() {
        return Ok(None);
    }
    let memory_max = memory_max.unwrap_or_else(embedded::default_memory_max);
    let started = Embedded::start(data_dir, server, redis.durability, memory_max).await;
    let embedded = started.map_err(|error| error.to_string())?;
    redis.redis_url = Some(Secret::new(embedded.url()));
    Ok(Some(embedded))
}

/// Configures the fleet of a new system, and starts the stand-ins that this data folder started with and the config
/// still names.
async fn settle_fleet(
    queue: &Queue,
    config: Option<FleetConfig>,
    ports: &[u16],
    data_dir: &Path,
) -> Result<Vec<Sim>, String> {
    let mark = data_dir.join("stand-ins");
    let current = queue.config().await.map_err(|error| error.to_string())?;
    let mut stand_ins = Vec::new();
    match config {
        Some(config) => initial_config::apply(queue, &config).await?,
        None if current.version == 0 && !ports.is_empty() => {
            // Started first, so that a port in use does not become part of the fleet.
            for port in ports {
                stand_ins.push(stand_in(*port).await?);
            }
            // Written before the config: a crash in between leaves a mark without effect, not instances that never
            // start.
            let text: Vec<String> = ports.iter().map(ToString::to_string).collect();
            save_file::write_private(&mark, text.join("\n").as_bytes())
                .map_err(|error| format!("cannot write {}: {error}", mark.display()))?;
            initial_config::apply(queue, &stand_in_fleet(ports)).await?;
            return Ok(stand_ins);
        }
        None => {}
    }
    let marked: BTreeSet<u16> =
        std::fs::read_to_string(&mark).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect();
    let targets = queue.config().await.map_err(|error| error.to_string())?.targets();
    for target in targets {
        if target.ip == Ipv4Addr::LOCALHOST.to_string() && marked.contains(&target.port) {
            stand_ins.push(stand_in(target.port).await?);
        }
    }
    Ok(stand_ins)
}

async fn stand_in(port: u16) -> Result<Sim, String> {
    let options = SimOptions { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ..SimOptions::default() };
    sim::start(options).await.map_err(|error| {
        format!("{error}; choose other ports with --stand-ins for a new system, else with PUT /api/config")
    })
}

fn stand_in_fleet(ports: &[u16]) -> FleetConfig {
    let server = Server {
        id: "server-1".to_owned(),
        name: "主服务器".to_owned(),
        ip: Ipv4Addr::LOCALHOST.to_string(),
        ports: ports.to_vec(),
        enabled: true,
        scheme: Scheme::Http,
        base_path: String::new(),
        headers: BTreeMap::new(),
        extra_data: BTreeMap::new(),
    };
    FleetConfig { servers: vec![server], health_check: HealthCheck::default(), version: 0 }
}

/// Address of the page for a browser on this machine: loopback if the server listens on all addresses.
fn browser_address(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, listen.port())),
        _ => listen,
    }
}

/// Says how long tasks and outputs are kept, for the welcome.
fn keeping(settings: &QueueSettings) -> String {
    let tasks = readable(settings.keep_tasks());
    let outputs = match settings.keep_outputs {
        Keep::WithTask => format!("tasks and their outputs for {tasks}"),
        Keep::For(time) => format!("tasks for {tasks}, outputs for {}", readable(time)),
        Keep::Forever => format!("tasks for {tasks}, outputs until you delete them"),
    };
    let room = match settings.keep_bytes() {
        KeepBytes::All => return format!("{outputs} (--keep-tasks, --keep-outputs)"),
        KeepBytes::Percent(percent) => format!("{percent} % of the disk"),
        KeepBytes::Bytes(bytes) => format!("{} MB", bytes >> 20),
    };
    format!("{outputs}; the oldest outputs go first if files take more than {room} (--keep-tasks, --keep-bytes)")
}

fn readable(time: Duration) -> String {
    let hours = time.as_secs() / 3_600;
    match hours {
        hours if hours >= 48 && hours % 24 == 0 => format!("{} days", hours / 24),
        0 => format!("{time:?}"),
        hours => format!("{hours} h"),
    }
}

/// Prints what a new user needs on standard output; logs go to standard error.
fn print_welcome(listen: SocketAddr, auth: &AuthSettings, data_dir: &Path, keeping: &str, stand_ins: &[Sim]) {
    let is_document = auth.admin_password.as_ref().is_some_and(|password| password.expose() == auth::DEFAULT_PASSWORD);
    let password = if is_document { auth::DEFAULT_PASSWORD } else { "(as set)" };
    let program = std::env::args().next().unwrap_or_else(|| "shuzhiren".to_owned());
    let sample =
        if is_document { String::new() } else { format!(" --username {} --password …", auth.admin_username) };
    let mut lines = vec![
        "shuzhiren is up".to_owned(),
        format!("  open       http://{}", browser_address(listen)),
        format!("  address    http://{listen}/api    ws://{listen}/ws"),
        format!("  login      {} / {password}", auth.admin_username),
        format!("  data       {}", data_dir.display()),
        format!("  kept       {keeping}"),
    ];
    if !stand_ins.is_empty() {
        let addresses: Vec<String> = stand_ins.iter().map(|sim| sim.addr().to_string()).collect();
        lines.push(format!(
            "  instances  {} (stand-ins; configure real ones with PUT /api/config)",
            addresses.join(", ")
        ));
    }
    lines.push(format!("  try it     {program} sample --url http://{listen}{sample}"));
    lines.push("  stop       Ctrl-C".to_owned());
    let _unread = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}

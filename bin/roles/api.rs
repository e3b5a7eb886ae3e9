//! `shuzhiren api`: serves REST, the page and by default the WebSocket. Never talks to ComfyUI.

use super::{initial_config, shared};
use axum::Router;
use clap::Args;
use shuzhiren::{
    api::{self, ApiState},
    auth::{self, Auth, Profile},
    dashboard,
    fetch::Fetcher,
    process::{self, Readiness},
    queue::{Queue, Retention, UploadQuota},
    secrets::Encryption,
    settings::{
        AuthSettings, FetchSettings, FrontSettings, ListenSettings, QueueSettings, RedisSettings, SecretSettings,
        StopSettings, StorageSettings,
    },
    store::Store,
    task::Links,
    ws::{self, Hub, WsState},
};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Settings of `api`.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    #[command(flatten)]
    listen: ListenSettings,
    /// Do not serve the WebSocket; run `shuzhiren ws` for it
    #[arg(long, env = "SHUZHIREN_NO_WS")]
    no_ws: bool,
    /// Initial config of the fleet, as JSON, e.g. /etc/shuzhiren/fleet.json; ignored if the system has one
    ///
    /// The body of PUT /api/config: {"servers": [{"id": "a", "ip": "192.168.1.20", "ports": [8188]}]}.
    #[arg(long, env = "SHUZHIREN_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,
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
    stopping: StopSettings,
}

/// Parts of the HTTP front.
pub(crate) struct Front {
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) auth: Auth,
    pub(crate) links: Links,
    pub(crate) settings: FrontSettings,
    pub(crate) file_bytes_max: u64,
    pub(crate) upload_quota: UploadQuota,
    pub(crate) retention: Retention,
    pub(crate) fetcher: Fetcher,
    pub(crate) encryption: Encryption,
}

impl Front {
    /// Builds the router: REST, the page at `/`, `/ws` if a hub is given, and the operator's routes.
    pub(crate) fn router(self, hub: Option<Hub>, readiness: Readiness) -> Router {
        let sockets =
            hub.map(|hub| ws::router(WsState { hub, auth: self.auth.clone(), settings: self.settings.clone() }));
        let page = dashboard::router(self.store.redirect_origin());
        let state = ApiState::new(self.queue, self.store, self.auth, self.links, self.settings, self.file_bytes_max);
        let state = state
            .limiting_uploads(self.upload_quota)
            .fetching(self.fetcher)
            .encrypting(self.encryption)
            .keeping(self.retention);
        let rest = api::router(state);
        rest.merge(page).merge(sockets.unwrap_or_default()).merge(process::ops_router(readiness))
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(args: ApiArgs) -> Result<(), String> {
    let auth = auth::prepare(&args.auth, Profile::Production)?;
    let encryption = shared::encryption(&args.secrets)?;
    let read_config = |path| initial_config::read_encrypted(path, &encryption);
    let config = args.config_file.as_deref().map(read_config).transpose()?;
    let fetcher = Fetcher::new(&args.fetch)?;
    let store = shared::open_store(&args.storage).await?;
    let listener = process::bind(args.listen.listen).await?;
    let listen = listener.local_addr().map_err(|error| error.to_string())?;
    let links = shared::links(&args.storage, &auth, listen)?;
    let stop = process::stop_on_signals();
    let queue = shared::connect(&args.redis, &args.queue, &stop).await?;
    if let Some(config) = config {
        initial_config::apply_when_possible(&queue, &config, &stop).await?;
    }
    let readiness = Readiness::default();
    readiness.until(&stop);
    watch_redis(queue.clone(), readiness.clone(), stop.clone());
    tokio::spawn(store.clone().watch_disk(stop.clone()));
    tokio::spawn(store.clone().watch_owner(queue.installation().to_owned(), stop.clone()));
    let hub = (!args.no_ws).then(|| Hub::start(queue.clone(), links.clone(), stop.clone()));
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
    tracing::info!(%listen, ws = hub.is_some(), "api started");
    process::serve(listener, front.router(hub.clone(), readiness), stop, args.stopping.drain_timeout).await;
    if let Some(hub) = hub {
        hub.drained(args.stopping.drain_timeout).await;
    }
    Ok(())
}

/// Updates `/readyz` and the gauges of the queue once per second.
pub(crate) fn watch_redis(queue: Queue, readiness: Readiness, stop: CancellationToken) {
    shuzhiren::metrics::set_refresh({
        let queue = queue.clone();
        move || {
            let queue = queue.clone();
            async move { queue.counts().await.ok() }
        }
    });
    super::shared::watch_connections(&queue, &readiness, stop.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            readiness.set("redis", queue.ping().await.map_err(|error| error.to_string()));
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
}

//! `shuzhiren ws`: serves only the WebSocket.

use super::{api::watch_redis, shared};
use clap::Args;
use shuzhiren::{
    auth::{self, Auth, Profile},
    process::{self, Readiness},
    settings::{
        AuthSettings, FrontSettings, ListenSettings, QueueSettings, RedisSettings, StopSettings, StorageSettings,
    },
    ws::{self, Hub, WsState},
};

/// Settings of `ws`.
#[derive(Debug, Args)]
pub(crate) struct WsArgs {
    #[command(flatten)]
    listen: ListenSettings,
    #[command(flatten)]
    redis: RedisSettings,
    #[command(flatten)]
    queue: QueueSettings,
    #[command(flatten)]
    storage: StorageSettings,
    #[command(flatten)]
    auth: AuthSettings,
    #[command(flatten)]
    front: FrontSettings,
    #[command(flatten)]
    stopping: StopSettings,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(args: WsArgs) -> Result<(), String> {
    let auth = auth::prepare(&args.auth, Profile::Production)?;
    let listener = process::bind(args.listen.listen).await?;
    let listen = listener.local_addr().map_err(|error| error.to_string())?;
    let links = shared::links(&args.storage, &auth, listen)?;
    let stop = process::stop_on_signals();
    let queue = shared::connect(&args.redis, &args.queue, &stop).await?;
    let readiness = Readiness::default();
    readiness.until(&stop);
    watch_redis(queue.clone(), readiness.clone(), stop.clone());
    let hub = Hub::start(queue, links, stop.clone());
    let state = WsState { hub: hub.clone(), auth: Auth::new(&auth), settings: args.front };
    tracing::info!(%listen, "ws started");
    let router = ws::router(state).merge(process::ops_router(readiness));
    process::serve(listener, router, stop, args.stopping.drain_timeout).await;
    hub.drained(args.stopping.drain_timeout).await;
    Ok(())
}

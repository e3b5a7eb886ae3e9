//! The accept loop, written here because `axum::serve` has no head timeout, no connection limit and no bounded drain.

use super::{
    connection_io::{ConnectionState, Io, linger},
    connection_limit::{Full, Slot, Slots},
    error_response::{envelope, new_request_id},
    logs::install_panic_hook,
    middleware::guard,
};
use crate::{
    metrics,
    settings::limits::{BODY_TIMEOUT, CONNECTIONS_MAX, HEAD_TIMEOUT, RETRY_AFTER_SECONDS},
};
use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::StatusCode,
    middleware,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

/// Largest request head, which is also the memory that a half-sent head can take.
const HEAD_BYTES: usize = 64 * 1024;
/// Default of [`ServeLimits::write_stall`]; a download that progresses at all never reaches it.
const WRITE_STALL: Duration = Duration::from_secs(60);
/// Time during a stop within which a connection without a request may still send one.
const FRESH_GRACE: Duration = Duration::from_millis(250);
/// Delay after an accept that failed for lack of resources (file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Maximum number of refusals being sent to connections above the limit.
const REFUSALS_MAX: usize = 256;

/// Limits of [`serve_with`].
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Maximum number of open connections, including upgraded ones.
    pub connections: usize,
    /// Maximum number of open connections from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// Time limit of a request's head, and idle limit of a keep-alive connection.
    pub head: Duration,
    /// Time limit of a body; of an upload (`multipart/…`), of each chunk.
    pub body: Duration,
    /// Time after which a response is aborted if the client takes no byte of it.
    pub write_stall: Duration,
    /// Time limit of running requests after `stop`.
    pub drain: Duration,
}

impl ServeLimits {
    /// Makes the limits of `settings`. One address may have half of all connections: enough for a reverse proxy, but it
    /// cannot lock out other clients.
    pub const fn new(drain: Duration) -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            connections_per_address: CONNECTIONS_MAX / 2,
            head: HEAD_TIMEOUT,
            body: BODY_TIMEOUT,
            write_stall: WRITE_STALL,
            drain,
        }
    }
}

/// Serves until `stop`, then finishes requests for at most `drain`. Applies head and body timeouts and connection
/// limits, sets `X-Request-Id` and nosniff on every response, turns panics into 500, and sends no `Server` header.
/// Handlers may take `ConnectInfo<SocketAddr>`.
///
/// Upgraded connections (WebSockets) belong to their handlers: this returns without waiting for them.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken, drain: Duration) {
    serve_with(listener, router, stop, ServeLimits::new(drain)).await;
}

/// Does the same as [`serve()`] with other limits.
pub async fn serve_with(listener: TcpListener, router: Router, stop: CancellationToken, limits: ServeLimits) {
    install_panic_hook();
    let router = router.layer(middleware::from_fn(move |request, next| guard(limits, request, next)));
    let slots = Slots::new(limits.connections, limits.connections_per_address);
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    // Dropping this future also stops its connections.
    let stop = stop.child_token();
    let _stop_when_dropped = stop.clone().drop_guard();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => match slots.take(peer.ip()) {
                Ok(slot) => {
                    connections.spawn(connection(stream, slot, peer, router.clone(), stop.clone(), limits));
                }
                Err(full) => refuse(stream, full, &refusals),
            },
            // The client closed before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    stream: TcpStream,
    slot: Slot,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
    limits: ServeLimits,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "setting TCP_NODELAY failed");
    }
    let state = Arc::new(ConnectionState::default());
    let io = Io::new(stream, slot, state.clone(), limits.write_stall);
    let of_requests = state.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        of_requests.begin();
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(of_requests.clone());
        router.clone().call(request)
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut http = pin!(http);
    let ended = tokio::select! {
        ended = http.as_mut() => Some(ended),
        () = stop.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            http.as_mut().graceful_shutdown();
            // hyper closes connections that are idle between requests, but waits for the first head of a new one:
            // browsers hold such connections open, and each would take the whole drain time.
            let fresh = timeout(FRESH_GRACE, http.as_mut()).await;
            match fresh {
                Ok(ended) => ended,
                Err(_grace_over) if !state.has_begun() => return,
                Err(_grace_over) => match timeout(limits.drain.saturating_sub(FRESH_GRACE), http).await {
                    Ok(ended) => ended,
                    Err(_drain_over) => return tracing::warn!(%peer, "request aborted: drain timeout exceeded"),
                },
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Refuses a connection above the limit, without reading its request.
fn refuse(stream: TcpStream, full: Full, refusals: &Arc<Semaphore>) {
    metrics::connection_refused(full.as_str());
    let Ok(permit) = refusals.clone().try_acquire_owned() else { return };
    let id = new_request_id();
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = envelope(status, "overloaded", "too many connections; try again", Value::Null, &id);
    let response = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n\
         retry-after: {RETRY_AFTER_SECONDS}\r\nx-request-id: {id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        // A new socket takes this at once; otherwise the client is gone.
        let sent =
            timeout(WRITE_STALL, stream.writable()).await.is_ok() && stream.try_write(response.as_bytes()).is_ok();
        if sent {
            linger(stream).await;
        }
        drop(permit);
    });
}

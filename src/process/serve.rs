//! The accept loop. Our own, because `axum::serve` has no head timeout, no cap and no bounded drain.

use super::{
    connection::{ConnectionState, Io, linger},
    guard::guard,
    logs::install_panic_hook,
    reply::{envelope, new_request_id},
    slots::{Full, Slot, Slots},
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

/// Largest request head; also what a half-sent head can cost in memory.
const HEAD_BYTES: usize = 64 * 1024;
/// [`ServeLimits::write_stall`]; a download that moves at all never meets it.
const WRITE_STALL: Duration = Duration::from_secs(60);
/// At a stop: how long a connection that has not asked anything yet may still begin to.
const FRESH_GRACE: Duration = Duration::from_millis(250);
/// Wait after an accept that failed for want of something (file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections over the cap that are being told so.
const REFUSALS_MAX: usize = 256;

/// The bounds of [`serve_with`].
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Open connections, upgraded ones included.
    pub connections: usize,
    /// Of them from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// A request's head must arrive within; also how long a kept-alive connection may idle.
    pub head: Duration,
    /// A body must arrive within; of an upload (`multipart/…`) each piece.
    pub body: Duration,
    /// A response that a client does not take a byte of for so long is given up.
    pub write_stall: Duration,
    /// After `stop`: requests may take so long.
    pub drain: Duration,
}

impl ServeLimits {
    /// The limits of `settings`. One address may have half of all connections: enough for a reverse proxy, not enough to
    /// keep everybody else out.
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

/// Serves until `stop`, then finishes requests for at most `drain`. Head and body timeouts, connection caps, `X-Request-Id` on
/// every response, panics as 500, nosniff, no `Server` header; handlers may take `ConnectInfo<SocketAddr>`.
///
/// Upgraded connections (WebSockets) belong to whoever upgraded them: this returns without waiting for them.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken, drain: Duration) {
    serve_with(listener, router, stop, ServeLimits::new(drain)).await;
}

/// [`serve()`] with other limits.
pub async fn serve_with(listener: TcpListener, router: Router, stop: CancellationToken, limits: ServeLimits) {
    install_panic_hook();
    let router = router.layer(middleware::from_fn(move |request, next| guard(limits, request, next)));
    let slots = Slots::new(limits.connections, limits.connections_per_address);
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    // Dropping this future stops its connections, too.
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
            // The client was gone before we looked: nobody to answer.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
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
        tracing::trace!(%error, "cannot set TCP_NODELAY");
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
            // hyper closes what idles between requests, but waits for the first head of a fresh connection: browsers hold
            // such open, and each would cost the whole drain.
            let fresh = timeout(FRESH_GRACE, http.as_mut()).await;
            match fresh {
                Ok(ended) => ended,
                Err(_grace_over) if !state.has_begun() => return,
                Err(_grace_over) => match timeout(limits.drain.saturating_sub(FRESH_GRACE), http).await {
                    Ok(ended) => ended,
                    Err(_drain_over) => return tracing::warn!(%peer, "request cut off: the drain timeout is over"),
                },
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Tells a connection over the cap so, without reading what it asks.
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
        // A fresh socket takes this at once; one that does not is gone.
        let sent =
            timeout(WRITE_STALL, stream.writable()).await.is_ok() && stream.try_write(response.as_bytes()).is_ok();
        if sent {
            linger(stream).await;
        }
        drop(permit);
    });
}

//! Accepts and serves the connections of a process. A kill drops all of them.

use crate::sim::{
    engine::process::Process,
    limits::CONNECTIONS_MAX,
    server::{aiohttp::Cut, routes},
};
use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, io, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt;

/// Accepts connections until the process is killed. The listener closes then, so that connections are refused.
pub(crate) async fn accept(process: Arc<Process>, listener: TcpListener) {
    let router = routes::router(Arc::clone(&process));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = process.token.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (process, router) = (Arc::clone(&process), router.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = process.token.cancelled() => {}
                        () = serve(stream, router) => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "cannot set TCP_NODELAY");
    }
    let service =
        hyper::service::service_fn(move |request: Request<Incoming>| answer(router.clone(), request.map(Body::new)));
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(64 << 10)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::trace!(%error, "connection ended with an error");
    }
}

/// Runs a request through the router. A response marked [`Cut`] is not sent; the connection is dropped instead.
async fn answer(router: Router, request: Request) -> Result<Response, io::Error> {
    let response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    if response.extensions().get::<Cut>().is_some() {
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection dropped by a fault"));
    }
    Ok(response)
}

//! Accepts connections of one life and serves them; a kill cuts all of them.

use super::{aiohttp::Cut, routes};
use crate::sim::{CONNECTIONS_MAX, engine::incarnation::Life};
use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, io, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt;

/// Ends when the life does; the listener closes with it, so that connections are refused.
pub(crate) async fn accept(life: Arc<Life>, listener: TcpListener) {
    let router = routes::router(Arc::clone(&life));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = life.token.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (life, router) = (Arc::clone(&life), router.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = life.token.cancelled() => {}
                        () = serve(stream, router) => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "no TCP_NODELAY");
    }
    let service =
        hyper::service::service_fn(move |request: Request<Incoming>| answer(router.clone(), request.map(Body::new)));
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(64 << 10)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::trace!(%error, "a connection ended");
    }
}

/// A response marked [`Cut`] is never sent: the connection ends instead.
async fn answer(router: Router, request: Request) -> Result<Response, io::Error> {
    let response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    if response.extensions().get::<Cut>().is_some() {
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut on command"));
    }
    Ok(response)
}

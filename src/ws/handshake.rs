//! The handshake: checks the upgrade request, its origin, its token, and the number of sockets not logged in.

use super::{
    WsContext,
    limits::{READ_BUFFER_BYTES, WRITE_BUFFER_BYTES, WRITE_BUFFER_BYTES_MAX},
    session,
};
use crate::{
    auth::{Caller, Denied},
    process::error_response,
    settings::limits::WS_FRAME_BYTES,
};
use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State, ws::WebSocketUpgrade},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ALLOW, AUTHORIZATION, CONNECTION, HOST, ORIGIN, UPGRADE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use url::Url;

/// Names of query parameters that hold a token, in lower case.
const TOKEN_PARAMS: [&str; 8] =
    ["token", "access_token", "accesstoken", "auth_token", "authtoken", "jwt", "auth", "authorization"];

/// The client of a socket, as the handshake shows it.
pub enum Client {
    /// Logged in by the header.
    LoggedIn(Caller),
    /// To log in by its first message.
    Unknown,
    /// Put its token into the URL, where it is not read.
    TokenInUrl,
}

/// Handles `GET /ws`.
pub async fn open(State(context): State<WsContext>, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    match admit(&context, &mut parts).await {
        Ok(response) | Err(response) => response,
    }
}

async fn admit(context: &WsContext, parts: &mut Parts) -> Result<Response, Response> {
    if parts.method != Method::GET {
        let refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "only GET opens a WebSocket");
        return Err(with(refusal, ALLOW, HeaderValue::from_static("GET")));
    }
    if !parts.headers.contains_key(UPGRADE) {
        let refusal = refuse(StatusCode::UPGRADE_REQUIRED, "upgrade_required", "this path accepts WebSocket only");
        let refusal = with(refusal, UPGRADE, HeaderValue::from_static("websocket"));
        return Err(with(refusal, CONNECTION, HeaderValue::from_static("upgrade")));
    }
    if !is_origin_allowed(&parts.headers, &context.settings.allowed_origins) {
        return Err(refuse(StatusCode::FORBIDDEN, "origin_forbidden", "this origin may not open the WebSocket"));
    }
    let caller = caller(context, &parts.headers)
        .map_err(|denied| refuse(StatusCode::UNAUTHORIZED, "unauthorized", &denied.to_string()))?;
    if context.hub.stop().is_cancelled() {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "stopping", "this process is stopping; connect again"));
    }
    let client = match caller {
        Some(caller) => Client::LoggedIn(caller),
        None if has_url_token(parts.uri.query()) => Client::TokenInUrl,
        None => Client::Unknown,
    };
    let pending = match client {
        Client::LoggedIn(_) => None,
        Client::Unknown | Client::TokenInUrl => {
            Some(context.pending_sockets.admit(address(parts), context.settings.ws_pending_max).ok_or_else(|| {
                let message = "too many sockets from this address have not logged in";
                refuse(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", message)
            })?)
        }
    };
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|rejection| {
        let response = rejection.into_response();
        refuse(response.status(), "bad_handshake", "the WebSocket handshake violates RFC 6455")
    })?;
    let context = context.clone();
    let tracked = context.hub.track();
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(WS_FRAME_BYTES)
        .max_frame_size(WS_FRAME_BYTES);
    Ok(upgrade.on_upgrade(async move |socket| {
        session::run(socket, context, client, pending).await;
        drop(tracked);
    }))
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response {
    error_response(status, kind, message, serde_json::Value::Null)
}

fn with(mut response: Response, name: axum::http::HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// Returns the caller of the `Authorization` header; `None` if there is none and the first message must log in.
fn caller(context: &WsContext, headers: &HeaderMap) -> Result<Option<Caller>, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denied::Token);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Denied::Token)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::Token);
    }
    context.auth.verify(token.trim()).map(Some)
}

/// Whether the query names a token. Its value is not looked at.
fn has_url_token(query: Option<&str>) -> bool {
    let mut names = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).map(|(name, _)| name);
    names.any(|name| TOKEN_PARAMS.contains(&name.to_ascii_lowercase().as_str()))
}

/// Whether the `Origin` may open a socket: there is none (not a browser), it is the host that the page connects to, or
/// it is in the list.
fn is_origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let Some(origin) = origin.to_str().ok().filter(|_| origins.next().is_none()) else { return false };
    if allowed.iter().any(|allowed| allowed.trim().trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        return true;
    }
    let (Ok(page), Some(host)) = (Url::parse(origin), headers.get(HOST).and_then(|host| host.to_str().ok())) else {
        return false;
    };
    let Ok(ours) = Url::parse(&format!("{}://{host}", page.scheme())) else { return false };
    let is_web = matches!(page.scheme(), "http" | "https");
    is_web && page.host() == ours.host() && page.port_or_known_default() == ours.port_or_known_default()
}

fn address(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

/// Number of sockets that have not logged in, by client address.
#[derive(Debug, Clone, Default)]
pub struct PendingSockets(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A socket that has not logged in; counted until dropped.
#[derive(Debug)]
pub struct PendingSocket {
    pending_sockets: PendingSockets,
    address: IpAddr,
}

impl PendingSockets {
    fn admit(&self, address: IpAddr, max: usize) -> Option<PendingSocket> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= max {
            if *count == 0 {
                counts.remove(&address);
            }
            return None;
        }
        *count += 1;
        Some(PendingSocket { pending_sockets: self.clone(), address })
    }
}

impl Drop for PendingSocket {
    fn drop(&mut self) {
        let mut counts = self.pending_sockets.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PendingSockets, is_origin_allowed};
    use axum::http::{
        HeaderMap, HeaderValue,
        header::{HOST, ORIGIN},
    };
    use std::net::{IpAddr, Ipv4Addr};

    fn allowed(origin: &'static str, host: &'static str, list: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        is_origin_allowed(&headers, &list.iter().map(|&item| item.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_our_own_and_listed_pages_may_connect() {
        assert!(is_origin_allowed(&HeaderMap::new(), &[]));
        assert!(allowed("http://localhost:3000", "localhost:3000", &[]));
        assert!(allowed("https://Example.com", "example.com:443", &[]));
        assert!(allowed("http://[::1]:3000", "[::1]:3000", &[]));
        assert!(allowed("https://ui.example", "api.example", &["https://ui.example/"]));
        for (origin, host) in [
            ("http://evil.example", "localhost:3000"),
            ("http://localhost:3001", "localhost:3000"),
            ("http://localhost:3000.evil.example", "localhost:3000"),
            ("http://evil.example", "localhost:3000@evil.example:x"),
            ("null", "localhost:3000"),
            ("file://", ""),
            ("", "localhost:3000"),
        ] {
            assert!(!allowed(origin, host, &["https://ui.example"]), "{origin}");
        }
    }

    #[test]
    fn pending_sockets_are_counted_by_address_and_forgotten() {
        let (pending_sockets, here) = (PendingSockets::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let first = pending_sockets.admit(here, 2).unwrap();
        let _second = pending_sockets.admit(here, 2).unwrap();
        assert!(pending_sockets.admit(here, 2).is_none());
        assert!(pending_sockets.admit(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 2).is_some());
        drop(first);
        assert!(pending_sockets.admit(here, 2).is_some());
        assert_eq!(pending_sockets.0.lock().unwrap().len(), 1, "an address without sockets is forgotten");
        assert!(PendingSockets::default().admit(here, 0).is_none());
    }
}

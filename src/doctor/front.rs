//! Checks of a running system from the user's side: REST and the WebSocket, through any proxy in front.

use super::{Finding, Level, Report};
use reqwest::{
    Client, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use serde_json::Value;
use std::time::Duration;

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The example nonce of RFC 6455. No message is exchanged on the socket.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Checks the system at `url`; `level` is the severity if it is unreachable.
pub(super) async fn examine(url: &str, level: Level, report: &mut Report) {
    let check = format!("front {url}");
    let base = url.trim_end_matches('/');
    let client = match Client::builder().timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(error) => {
            return report.push(Finding::fail(check, error.to_string(), "check the certificates of this machine"));
        }
    };
    report.push(match health(&client, base).await {
        Ok(()) => Finding::ok(&check, "answers, and Redis is connected"),
        Err((found, advice)) => return report.push(Finding::bad(level, check, found, advice)),
    });
    let socket = client
        .get(format!("{base}/ws"))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, NONCE)
        .send()
        .await;
    let check = format!("{check}/ws");
    report.push(match socket.map(|answer| answer.status()) {
        Ok(StatusCode::SWITCHING_PROTOCOLS) => Finding::ok(check, "the WebSocket opens"),
        Ok(status) => Finding::warn(
            check,
            format!("the WebSocket does not open: {status}"),
            "let the proxy pass WebSocket upgrades (nginx: proxy_http_version 1.1, headers Upgrade and Connection), or start `shuzhiren ws`",
        ),
        Err(error) => Finding::warn(check, cause(&error), "let the proxy pass WebSocket upgrades"),
    });
}

async fn health(client: &Client, base: &str) -> Result<(), (String, &'static str)> {
    let unreachable = "start the api, or correct the address; behind a proxy, check its log";
    let answer = client.get(format!("{base}/api/health")).send().await.map_err(|error| (cause(&error), unreachable))?;
    let status = answer.status();
    let body: Option<Value> = answer.json().await.ok();
    match body.as_ref().and_then(|body| body["data"]["redis"].as_str()) {
        Some("connected") => Ok(()),
        Some(_) => Err(("its Redis does not answer".to_owned(), "see the checks of redis above")),
        None => Err((format!("another service answers: {status}"), "correct the address or the proxy's rules")),
    }
}

/// Returns the innermost cause. The outer ones only repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

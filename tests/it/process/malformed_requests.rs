//! Requests that no client library sends (safety §2.6): answered by 4xx or a closed connection; never by 5xx, never proxied,
//! never echoed; and the server continues.

use super::{Server, limits};
use crate::support::http::{Response, exchange, get};
use std::time::Duration;

/// (name, bytes, statuses allowed besides a closed connection).
fn requests(canary: &str) -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    const BAD: &[u16] = &[400, 404, 405, 408, 411, 413, 414, 415, 417, 431, 501, 505];
    const FINE: &[u16] = &[200, 400, 404, 405, 413];
    let text = |text: &str| text.as_bytes().to_vec();
    let head = |rest: &str| format!("{rest}\r\nhost: t\r\nconnection: close\r\n\r\n").into_bytes();
    let post = |headers: &str, body: &str| {
        format!("POST /length HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}\r\n\r\n{body}").into_bytes()
    };
    vec![
        ("two different lengths", post("content-length: 1\r\ncontent-length: 2", "ab"), BAD),
        ("length and chunked", smuggled("content-length: 4\r\ntransfer-encoding: chunked"), FINE),
        ("chunked and length", smuggled("transfer-encoding: chunked\r\ncontent-length: 4"), FINE),
        ("unknown transfer coding", post("transfer-encoding: cow", "x"), BAD),
        ("chunked, then something", post("transfer-encoding: chunked, identity", "0\r\n\r\n"), BAD),
        ("chunked in HTTP/1.0", text("POST /length HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), BAD),
        ("chunk size not hex", post("transfer-encoding: chunked", "zz\r\nab\r\n0\r\n\r\n"), BAD),
        ("chunk size of 2^64", post("transfer-encoding: chunked", "10000000000000000\r\nab\r\n0\r\n\r\n"), BAD),
        ("chunk without its end", post("transfer-encoding: chunked", "2\r\nabcd\r\n0\r\n\r\n"), BAD),
        ("negative length", post("content-length: -1", ""), BAD),
        ("length with plus", post("content-length: +1", "a"), BAD),
        ("length of 2^64", post("content-length: 18446744073709551616", "a"), BAD),
        ("length in words", post("content-length: one", "a"), BAD),
        ("NUL in a header", text("GET /livez HTTP/1.1\r\nhost: t\r\nx: a\0b\r\n\r\n"), BAD),
        ("NUL in the path", text("GET /liv\0ez HTTP/1.1\r\nhost: t\r\n\r\n"), BAD),
        ("folded header", text("GET /livez HTTP/1.1\r\nhost: t\r\nx: a\r\n b\r\n\r\n"), BAD),
        ("space before the colon", text("GET /livez HTTP/1.1\r\nhost: t\r\nx : a\r\n\r\n"), BAD),
        ("header without a name", text("GET /livez HTTP/1.1\r\nhost: t\r\n: a\r\n\r\n"), BAD),
        ("header without a colon", text("GET /livez HTTP/1.1\r\nhost: t\r\nabc\r\n\r\n"), BAD),
        (
            "absolute form",
            text(&format!("GET http://{canary}/livez HTTP/1.1\r\nhost: {canary}\r\nconnection: close\r\n\r\n")),
            BAD,
        ),
        ("CONNECT", text(&format!("CONNECT {canary} HTTP/1.1\r\nhost: {canary}\r\n\r\n")), BAD),
        ("OPTIONS *", head("OPTIONS * HTTP/1.1"), BAD),
        ("TRACE", text("TRACE /livez HTTP/1.1\r\nhost: t\r\nx-echo: canary-header\r\nconnection: close\r\n\r\n"), BAD),
        ("head of 600 kB", text(&format!("GET /livez HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "a".repeat(600_000))), BAD),
        ("2000 headers", text(&format!("GET /livez HTTP/1.1\r\nhost: t\r\n{}\r\n", "a: b\r\n".repeat(2_000))), BAD),
        ("path of 70 kB", text(&format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(70_000))), BAD),
        ("h2 preface", text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"), BAD),
        ("HTTP/9.9", head("GET /livez HTTP/9.9"), BAD),
        ("HTTP/0.9", text("GET /livez\r\n"), BAD),
        ("RESP", text("*1\r\n$8\r\nFLUSHALL\r\n"), BAD),
        ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), BAD),
        ("only line ends", text("\r\n\r\n\r\n\r\n"), BAD),
        ("method of 5000", head(&format!("{} /livez HTTP/1.1", "A".repeat(5_000))), BAD),
        ("bad escape in the path", head("GET /%zz%ff HTTP/1.1"), BAD),
    ]
}

/// Builds a request smuggling attempt: a proxy that trusts the other header takes the second request for part of the body.
fn smuggled(lengths: &str) -> Vec<u8> {
    format!("POST /length HTTP/1.1\r\nhost: t\r\n{lengths}\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nhost: t\r\n\r\n")
        .into_bytes()
}

#[tokio::test]
async fn malformed_requests_get_4xx_or_a_closed_connection() {
    let server = Server::start(shuzhiren::process::ServeLimits { head: Duration::from_secs(1), ..limits() }).await;
    let canary = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let requests = requests(&canary.local_addr().unwrap().to_string());
    assert!(requests.len() >= 30);
    for (name, bytes, allowed) in requests {
        let answered = exchange(server.address, &bytes, Duration::from_secs(5)).await;
        if let Some(answer) = Response::parse(&answered) {
            assert!(allowed.contains(&answer.status), "{name}: {}", answer.status);
        }
        let text = String::from_utf8_lossy(&answered);
        assert_eq!(text.matches("HTTP/1.1 ").count(), usize::from(!answered.is_empty()), "{name}: two answers: {text}");
        assert!(!text.contains("canary-header"), "{name}: echoed: {text}");
        assert_eq!(get(server.address, "/livez").await.status, 200, "after {name}");
    }
    assert!(futures_util::FutureExt::now_or_never(canary.accept()).is_none(), "a request was proxied");
    let counted = String::from_utf8(get(server.address, "/metrics").await.body).unwrap();
    assert!(counted.contains("method=\"other\""), "{counted}");
    assert!(!counted.contains("AAAA"), "{counted}");
}

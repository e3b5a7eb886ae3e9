//! Limits of the server: heads, bodies, connections, slow readers.

use super::{Server, ask, limits};
use crate::support::{
    eventually,
    http::{Response, get, read_for},
};
use shuzhiren::process::ServeLimits;
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt, net::TcpStream};

#[tokio::test]
async fn half_sent_heads_are_closed_and_do_not_slow_others() {
    let server = Server::start(ServeLimits { head: Duration::from_millis(700), ..limits() }).await;
    let mut half = Vec::new();
    for _ in 0..150 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: test\r\nx-slow: ").await.unwrap();
        half.push(stream);
    }
    let began = Instant::now();
    assert_eq!(get(server.address, "/livez").await.status, 200);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    for mut stream in half {
        // One byte more now and then does not help.
        let _cut = stream.write_all(b"x").await;
        assert_eq!(read_for(&mut stream, Duration::from_secs(5)).await, b"", "closed without an answer");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "still open after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_late_body_is_408() {
    let server = Server::start(ServeLimits { body: Duration::from_millis(300), ..limits() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(
            b"POST /length HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
        )
        .await
        .unwrap();
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(b" ").await.is_err() {
                break;
            }
        }
    };
    let _trickled = tokio::time::timeout(Duration::from_millis(600), trickle).await;
    let answer = Response::parse(&read_for(&mut stream, Duration::from_secs(5)).await).unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (408, &"request_timeout".into()));
}

#[tokio::test]
async fn an_upload_may_take_long_but_not_stall() {
    let server = Server::start(ServeLimits { body: Duration::from_millis(400), ..limits() }).await;
    let head = "POST /length HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 8\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b"x").await.unwrap();
    }
    let answer = Response::parse(&read_for(&mut stream, Duration::from_secs(5)).await).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"8".as_slice()));
    assert_eq!(ask(server.address, &format!("{head}xxxx")).await.unwrap().status, 408);
}

#[tokio::test]
async fn a_connection_over_the_limit_gets_503_until_another_closes() {
    let server = Server::start(ServeLimits { connections: 2, ..limits() }).await;
    let held = [open_socket(&server).await, open_socket(&server).await];
    let answer = get(server.address, "/livez").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
    assert_eq!(answer.json()["error"]["type"], "overloaded");
    assert_eq!(answer.json()["error"]["requestId"], answer.header("x-request-id"));
    drop(held);
    eventually("a free connection", Duration::from_secs(5), || async {
        (get(server.address, "/livez").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let server = Server::start(ServeLimits { connections: 9, connections_per_address: 1, ..limits() }).await;
    let _held = open_socket(&server).await;
    assert_eq!(get(server.address, "/livez").await.status, 503);
    let from_elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    from_elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = from_elsewhere.connect(server.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(Response::parse(&read_for(&mut stream, Duration::from_secs(5)).await).unwrap().status, 200);
}

/// Opens an upgraded connection: hyper no longer manages it, but it must still count.
async fn open_socket(server: &Server) -> tokio_tungstenite::WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    tokio_tungstenite::client_async(format!("ws://{}/socket", server.address), stream).await.unwrap().0
}

/// The server answers without reading 8 MB that are on their way: the answer must still arrive.
#[tokio::test]
async fn an_early_answer_survives_an_unread_body() {
    let server = Server::start(limits()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /early HTTP/1.1\r\nhost: t\r\ncontent-length: 8000000\r\n\r\n").await.unwrap();
    for _ in 0..80 {
        // A reset would fail one of these, or the read.
        stream.write_all(&[b'x'; 100_000]).await.unwrap();
    }
    let answer = Response::parse(&read_for(&mut stream, Duration::from_secs(5)).await).unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (413, &"too_large".into()));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected() {
    let limits = ServeLimits { connections: 1, write_stall: Duration::from_millis(300), ..limits() };
    let server = Server::start(limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    eventually("its place", Duration::from_secs(5), || async {
        (get(server.address, "/livez").await.status == 200).then_some(())
    })
    .await;
    let began = Instant::now();
    read_for(&mut stream, Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "the endless body is still being sent");
}

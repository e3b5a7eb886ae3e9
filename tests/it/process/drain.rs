//! Graceful shutdown.

use super::{Server, limits};
use crate::support::http::{Response, read_for};
use futures_util::{SinkExt, StreamExt};
use shuzhiren::process::ServeLimits;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

async fn send(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn a_request_that_runs_is_answered_and_nothing_new_is_accepted() {
    let server = Server::start(limits()).await;
    let mut running = send(&server, b"GET /slow HTTP/1.1\r\nhost: t\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.stop.cancel();
    let answer = Response::parse(&read_for(&mut running, Duration::from_secs(5)).await).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    timeout(Duration::from_secs(2), server.serving).await.expect("serve returns").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "still listening");
}

/// 100-continue proves that the request was being read when the stop came.
#[tokio::test]
async fn a_request_that_is_being_read_is_answered() {
    let server = Server::start(limits()).await;
    let mut stream =
        send(&server, b"POST /length HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").await;
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.stop.cancel();
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(b"hello").await.unwrap();
    let answer = Response::parse(&read_for(&mut stream, Duration::from_secs(5)).await).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"5".as_slice()));
}

#[tokio::test]
async fn idle_connections_do_not_delay_a_stop() {
    let server = Server::start(limits()).await;
    let _fresh = TcpStream::connect(server.address).await.unwrap();
    let _half = send(&server, b"GET /livez HT").await;
    let mut idle = send(&server, b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert!(idle.read_u8().await.is_ok());
    server.stop.cancel();
    let began = Instant::now();
    server.serving.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_request_without_end_is_cut_when_the_drain_is_over() {
    let server = Server::start(ServeLimits { drain: Duration::from_millis(600), ..limits() }).await;
    let mut endless = send(&server, b"GET /for-ever HTTP/1.1\r\nhost: t\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    server.stop.cancel();
    server.serving.await.unwrap();
    assert!((400..2_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(read_for(&mut endless, Duration::from_secs(5)).await, b"");
}

#[tokio::test]
async fn an_upgraded_connection_is_left_to_its_owner() {
    let server = Server::start(limits()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{}/socket", server.address), stream).await.unwrap();
    server.stop.cancel();
    timeout(Duration::from_secs(2), server.serving).await.expect("serve returns").unwrap();
    socket.send(Message::text("still there")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still there"));
}

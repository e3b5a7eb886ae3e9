//! Hand-written HTTP: requests that a client library would not send, and unprocessed responses.

use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A parsed response.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// Everything after the head.
    pub body: Vec<u8>,
}

impl Response {
    /// Parses the first response in `bytes`; `None` if the head is incomplete.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    /// Returns the value of a header; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends `bytes` on a new connection and returns all data received until the server closes it or `within` has passed.
pub async fn exchange(server: SocketAddr, bytes: &[u8], within: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    // The server may answer and close before it has read everything.
    let _cut = stream.write_all(bytes).await;
    read_for(&mut stream, within).await
}

/// Reads until the server closes the connection or `within` has passed.
pub async fn read_for(stream: &mut TcpStream, within: Duration) -> Vec<u8> {
    let mut all = Vec::new();
    let _ended = timeout(within, async {
        while stream.read_buf(&mut all).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
    all
}

/// Sends a `GET` on a new connection.
pub async fn get(server: SocketAddr, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    let bytes = exchange(server, request.as_bytes(), Duration::from_secs(10)).await;
    Response::parse(&bytes).unwrap_or_else(|| panic!("no answer to GET {path}: {:?}", String::from_utf8_lossy(&bytes)))
}

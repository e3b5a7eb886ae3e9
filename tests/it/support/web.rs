//! A web site with good and bad files to fetch. Hand-written, because a real server would not send invalid replies.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::task::AbortOnDropHandle;

/// A PNG of four pixels.
pub const PNG: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02\x00\x00\x00\xfd\xd4\x9as\x00\x00\x00\x0fIDATx\x9cch\x00\x03\x06\x070\x00\x00$\xce\x04\x81\xd5QV\x15\x00\x00\x00\x00IEND\xaeB`\x82";

/// The site. Dropping it stops it.
pub struct Web {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    held: Arc<Semaphore>,
    _task: AbortOnDropHandle<()>,
}

impl Web {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, held) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Semaphore::new(0)));
        let shared = (heads.clone(), held.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (heads, held) = shared.clone();
                tokio::spawn(async move { serve(stream, &heads, &held).await });
            }
        });
        Self { address, heads, held, _task: AbortOnDropHandle::new(task) }
    }

    /// `http://127.0.0.1:port/path`
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Returns the heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Returns the number of requests for this path.
    pub fn request_count(&self, path: &str) -> usize {
        self.heads().iter().filter(|head| head.starts_with(&format!("GET /{path} "))).count()
    }

    /// Lets held requests continue.
    pub fn release(&self) {
        self.held.add_permits(1_000);
    }
}

async fn serve(stream: TcpStream, heads: &Mutex<Vec<String>>, held: &Semaphore) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !matches!(stream.read_line(&mut head).await, Ok(1..)) {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    heads.lock().unwrap().push(head);
    // Some tests make the client hang up.
    let _ended = answer(&mut stream, &path, held).await;
}

async fn answer(stream: &mut BufReader<TcpStream>, path: &str, held: &Semaphore) -> std::io::Result<()> {
    let (kind, rest) = path.split_once('/').unwrap_or((path, ""));
    match kind {
        "to" => {
            return head(stream, &format!("302 Found\r\nset-cookie: a=b\r\nlocation: {rest}\r\ncontent-length: 0"))
                .await;
        }
        "loop" => return head(stream, "301 Moved\r\nlocation: /loop\r\ncontent-length: 0").await,
        "status" => return head(stream, &format!("{rest} Whatever\r\ncontent-length: 0")).await,
        "silent" => return stream.read_u8().await.map(drop),
        "held" => held.acquire().await.unwrap().forget(),
        "empty" => return head(stream, "200 OK\r\ncontent-length: 0").await,
        "gzip" => return whole(stream, "content-encoding: gzip", PNG).await,
        "page.png" => return whole(stream, "content-type: image/png", b"<!DOCTYPE html><title>log in</title>").await,
        "text.png" => return whole(stream, "content-type: image/png", b"only words, no picture").await,
        "view?id=7" => return whole(stream, "content-type: application/octet-stream", PNG).await,
        "lying" => {
            head(stream, "200 OK\r\ncontent-length: 1000").await?;
            stream.write_all(PNG).await?;
            return stream.shutdown().await;
        }
        "login" => return whole(stream, "content-type: text/html", b"<html><form>who are you?</form>").await,
        "chunked" => {
            head(stream, "200 OK\r\ntransfer-encoding: chunked").await?;
            for _ in 0..rest.parse().unwrap() {
                stream.write_all(b"10000\r\n").await?;
                stream.write_all(&[b'x'; 65_536]).await?;
                stream.write_all(b"\r\n").await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
            return stream.flush().await;
        }
        "huge" => return head(stream, "200 OK\r\ncontent-length: 99999999999").await,
        "endless" | "slow" => {
            head(stream, "200 OK\r\ntransfer-encoding: chunked").await?;
            let (bytes, pause) = if kind == "slow" { (1, 20) } else { (65_536, 0) };
            loop {
                stream.write_all(format!("{bytes:x}\r\n").as_bytes()).await?;
                stream.write_all(&vec![b'x'; bytes]).await?;
                stream.write_all(b"\r\n").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        "big" => {
            let mebibytes: usize = rest.parse().unwrap();
            head(stream, &format!("200 OK\r\ncontent-length: {}", mebibytes << 20)).await?;
            for _ in 0..mebibytes {
                stream.write_all(&[7; 1 << 20]).await?;
            }
            return stream.flush().await;
        }
        _ => {}
    }
    whole(stream, "content-type: image/png", PNG).await
}

async fn head(stream: &mut BufReader<TcpStream>, lines: &str) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {lines}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn whole(stream: &mut BufReader<TcpStream>, header: &str, body: &[u8]) -> std::io::Result<()> {
    head(stream, &format!("200 OK\r\n{header}\r\ncontent-length: {}", body.len())).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

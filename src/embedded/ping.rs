//! Checks whether the server answers. Without a Redis client, which only `queue` uses: a PING is one line.

use super::address::Address;
use std::io;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{Duration, timeout},
};

/// Time limit of a check.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns true if the server answers with PONG. A server that is still loading its data does not.
pub(super) async fn answers(address: &Address) -> bool {
    let exchange = async {
        match address {
            Address::Socket(path) => ping(UnixStream::connect(path).await?, "").await,
            Address::Loopback { port, password } => {
                ping(TcpStream::connect(("127.0.0.1", *port)).await?, &format!("AUTH {password}\r\n")).await
            }
        }
    };
    matches!(timeout(PING_TIMEOUT, exchange).await, Ok(Ok(true)))
}

async fn ping(mut stream: impl AsyncRead + AsyncWrite + Unpin, login: &str) -> io::Result<bool> {
    // QUIT makes the server close the connection, so that the read ends.
    stream.write_all(format!("{login}PING\r\nQUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer).await?;
    Ok(answer.lines().any(|line| line == "+PONG"))
}

//! A minimal Redis connection for tests, without a client library: one command, one reply.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// A unix socket or a TCP connection.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// The connection.
pub struct RawRedis {
    stream: BufReader<Box<dyn Stream>>,
}

/// A reply in RESP2.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Nil,
    Number(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
    Error(String),
}

impl RawRedis {
    pub fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).unwrap()
    }

    /// Connects to a server that may be unreachable.
    pub fn try_connect(socket: &Path) -> std::io::Result<Self> {
        Self::try_connect_within(socket, Duration::from_secs(20))
    }

    /// Connects to a server that may be stopped; a reply may take this long.
    pub fn try_connect_within(socket: &Path, within: Duration) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(within))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)) })
    }

    /// Connects to a port of this machine. A reply may take a second.
    pub fn try_connect_port(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self { stream: BufReader::new(Box::new(stream)) })
    }

    /// Sends a command and returns its reply. Panics on an error reply.
    pub fn run(&mut self, words: &[&str]) -> Reply {
        match self.call(words) {
            Reply::Error(message) => panic!("{words:?}: {message}"),
            answer => answer,
        }
    }

    /// Sends a command to a server that may be unreachable.
    pub fn try_run(&mut self, words: &[&str]) -> std::io::Result<Reply> {
        self.send(words)?;
        self.try_read()
    }

    /// Sends a command and returns its reply, also an error reply.
    pub fn call(&mut self, words: &[&str]) -> Reply {
        self.send(words).unwrap();
        self.try_read().unwrap()
    }

    fn send(&mut self, words: &[&str]) -> std::io::Result<()> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
        }
        self.stream.get_mut().write_all(&command)
    }

    fn try_read(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        Ok(match kind {
            "+" => Reply::Text(rest.into()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(rest.parse().unwrap()),
            "$" => match rest.parse::<i64>().unwrap() {
                -1 => Reply::Nil,
                length => {
                    let mut bytes = vec![0; usize::try_from(length).unwrap() + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(bytes.len() - 2);
                    Reply::Text(bytes)
                }
            },
            "*" => match rest.parse::<i64>().unwrap() {
                -1 => Reply::Nil,
                length => Reply::List((0..length).map(|_| self.try_read()).collect::<std::io::Result<_>>()?),
            },
            other => panic!("not RESP2: {other}"),
        })
    }
}

impl Reply {
    pub fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Number(number) => number.to_string(),
            Self::Nil => String::new(),
            other => panic!("not a text: {other:?}"),
        }
    }

    pub fn number(&self) -> i64 {
        self.text().parse().unwrap_or_else(|_| panic!("not a number: {self:?}"))
    }

    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Nil => &[],
            other => panic!("not a list: {other:?}"),
        }
    }

    pub fn texts(&self) -> Vec<String> {
        self.list().iter().map(Self::text).collect()
    }

    /// Returns a list `[a, b, a, b, …]` as pairs.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.texts().chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned().unwrap_or_default())).collect()
    }
}

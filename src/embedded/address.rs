//! The server's address, and its configuration. That is passed on standard input, because a password on the command
//! line would be visible in `ps`.

use super::Error;
use crate::settings::Durability;
use std::{
    fmt::Write,
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

/// Length of a socket's path, bytes. The limit is 107 on Linux and 103 on macOS.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Address that the server listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Socket(PathBuf),
    Loopback { port: u16, password: String },
}

impl Address {
    /// Returns the socket `redis.sock` in `dir`; a loopback port with a password if that path is too long for a socket,
    /// or would need escaping in a URL.
    pub(super) fn choose(dir: &Path) -> Result<Self, Error> {
        let socket = dir.join("redis.sock");
        if socket.to_str().is_some_and(|path| path.len() <= SOCKET_PATH_BYTES_MAX && path.bytes().all(is_plain)) {
            return Ok(Self::Socket(socket));
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|source| Error::Io { what: "no free port on 127.0.0.1".to_owned(), source })?
            .port();
        Ok(Self::Loopback { port, password: uuid::Uuid::new_v4().simple().to_string() })
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Socket(path) => format!("redis+unix://{}", path.display()),
            Self::Loopback { port, password } => format!("redis://:{password}@127.0.0.1:{port}"),
        }
    }

    /// Returns the complete `redis.conf`. Hashes with fields of up to 512 bytes stay compact: a task takes a third less
    /// memory.
    pub(super) fn config(&self, dir: &Path, durability: Durability, memory_max: u64) -> Result<String, Error> {
        let listen = match self {
            Self::Socket(path) => format!("port 0\nunixsocket {}\nunixsocketperm 700\n", quoted(path)?),
            Self::Loopback { port, password } => format!("bind 127.0.0.1\nport {port}\nrequirepass {password}\n"),
        };
        let appendfsync = match durability {
            Durability::Fsync => "always",
            Durability::Local | Durability::Replica => "everysec",
        };
        Ok(format!(
            "{listen}dir {}\nappendonly yes\nappendfsync {appendfsync}\naof-use-rdb-preamble yes\nsave \"\"\n\
             maxmemory {memory_max}\nmaxmemory-policy noeviction\nhash-max-listpack-value 512\n\
             daemonize no\nloglevel notice\nlogfile \"\"\ntimeout 0\n",
            quoted(dir)?
        ))
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte)
}

/// Quotes a path for `redis.conf`: in double quotes, control characters as `\xNN`.
fn quoted(path: &Path) -> Result<String, Error> {
    let path = path.to_str().ok_or_else(|| Error::Io {
        what: format!("the data directory {} must be UTF-8", path.display()),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    let mut text = String::from("\"");
    for character in path.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            control if control.is_ascii_control() => {
                // Writing to a String does not fail.
                let _written = write!(text, "\\x{:02x}", control as u32);
            }
            other => text.push(other),
        }
    }
    text.push('"');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_socket_path_falls_back_to_a_port_with_a_password() {
        assert_eq!(Address::choose(Path::new("/d")).unwrap(), Address::Socket("/d/redis.sock".into()));
        for dir in ["/".to_owned() + &"a".repeat(100), "/with space".to_owned(), "/a#b".to_owned(), "/数".to_owned()] {
            let address = Address::choose(Path::new(&dir)).unwrap();
            let Address::Loopback { port, password } = &address else { panic!("{dir}: {address:?}") };
            assert_eq!(password.len(), 32);
            assert_eq!(address.url(), format!("redis://:{password}@127.0.0.1:{port}"));
            let config = address.config(Path::new(&dir), Durability::Fsync, 0).unwrap();
            assert!(config.contains("bind 127.0.0.1\n") && config.contains("appendfsync always\n"), "{config}");
        }
    }

    #[test]
    fn a_path_cannot_inject_a_line_into_the_configuration() {
        assert_eq!(quoted(Path::new("/a \"b\\\nport 1")).unwrap(), r#""/a \"b\\\x0aport 1""#);
    }
}

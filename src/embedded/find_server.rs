//! Finds the server program.

use super::Error;
use std::path::{Path, PathBuf};
use tokio::{
    process::Command,
    time::{Duration, timeout},
};

/// Oldest usable version: features of streams and scripts that the queue needs came with Redis 7.0 (Valkey started at
/// 7.2).
pub(super) const OLDEST: (u16, u16) = (7, 0);

/// Time limit of `--version`.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Folders where packages install servers, even if they are not on PATH.
const USUAL_FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin"];

/// A usable server program.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) path: PathBuf,
    pub(super) version: String,
}

/// Finds the requested server, or the first one on PATH that is new enough.
pub(super) async fn server(requested: Option<&Path>) -> Result<Server, Error> {
    let names: Vec<&Path> = match requested {
        Some(requested) => vec![requested],
        None => vec![Path::new("valkey-server"), Path::new("redis-server")],
    };
    let mut too_old = None;
    for path in names.iter().flat_map(|name| candidates(name)).filter(|path| path.is_file()) {
        match version(&path).await {
            Some(version) if is_new_enough(&version) => return Ok(Server { path, version }),
            Some(found) => {
                too_old.get_or_insert(Error::TooOld { path, found });
            }
            None => tracing::debug!(path = %path.display(), "program does not print its version"),
        }
    }
    Err(too_old.unwrap_or_else(|| Error::NotFound { looked: searched(requested) }))
}

/// Returns a path unchanged; a bare name in every folder of PATH and the usual folders.
fn candidates(name: &Path) -> Vec<PathBuf> {
    if name.components().count() > 1 {
        return vec![name.to_owned()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(USUAL_FOLDERS.map(PathBuf::from)).map(|folder| folder.join(name)).collect()
}

fn searched(requested: Option<&Path>) -> Vec<String> {
    match requested {
        Some(requested) => vec![format!("REDIS_SERVER={}", requested.display())],
        None => ["REDIS_SERVER", "valkey-server on PATH", "redis-server on PATH"].map(str::to_owned).to_vec(),
    }
}

/// Reads the version from `Redis server v=7.0.15 sha=…` or `Valkey server v=8.0.1 …`.
async fn version(path: &Path) -> Option<String> {
    let command = Command::new(path).arg("--version").kill_on_drop(true).output();
    let output = timeout(VERSION_TIMEOUT, command).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(str::to_owned)
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u16>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= OLDEST
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(super::is_new_enough("7.0.15"));
        assert!(super::is_new_enough("10.1"));
        assert!(!super::is_new_enough("6.2.14"));
        assert!(!super::is_new_enough("unknown"));
    }
}

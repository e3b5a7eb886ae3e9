//! Settings of the front: login, limits of requests, and files fetched for them.

use super::{Secret, duration};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// Settings of the login.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Login")]
pub struct AuthSettings {
    /// Name of the administrator
    #[arg(long, env = "SHUZHIREN_ADMIN_USERNAME", default_value = "admin", value_name = "NAME")]
    pub admin_username: String,
    /// Password of the administrator [default of `up` on this machine: admin123; otherwise it must be set]
    ///
    /// Other users of the machine can see a flag: prefer the variable or the file.
    #[arg(long, env = "SHUZHIREN_ADMIN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub admin_password: Option<Secret>,
    /// File with the password of the administrator, e.g. /run/secrets/admin
    #[arg(long, env = "SHUZHIREN_ADMIN_PASSWORD_FILE", conflicts_with = "admin_password", value_name = "FILE")]
    pub admin_password_file: Option<PathBuf>,
    /// Key of the tokens, at least 32 bytes, the same in every api and ws process [default of `up`: generated, kept in
    /// its data folder]
    ///
    /// E.g. the output of `openssl rand -hex 32`. A new key invalidates all logins and signed links.
    #[arg(long, env = "SHUZHIREN_JWT_SECRET", hide_env_values = true, value_name = "KEY")]
    pub jwt_secret: Option<Secret>,
    /// File with the key of the tokens, e.g. /run/secrets/jwt
    #[arg(long, env = "SHUZHIREN_JWT_SECRET_FILE", conflicts_with = "jwt_secret", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// Lifetime of a token
    #[arg(long, env = "SHUZHIREN_TOKEN_TTL", default_value = "24h", value_parser = duration, value_name = "DURATION")]
    pub token_ttl: Duration,
}

/// Settings of stored secrets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretSettings {
    /// Key that encrypts the keys of API nodes in Redis, at least 32 bytes, the same in every api and dispatcher [default of
    /// `up`: generated, kept in its data folder]
    ///
    /// E.g. the output of `openssl rand -hex 32`. Without it, tasks and servers with such keys are refused. After a change,
    /// stored keys must be sent again.
    #[arg(long, env = "SHUZHIREN_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    pub secret_key: Option<Secret>,
    /// File with the key that encrypts the keys of API nodes, e.g. /run/secrets/secret-key
    #[arg(long, env = "SHUZHIREN_SECRET_KEY_FILE", conflicts_with = "secret_key", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

/// Settings of the REST and WebSocket front.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Front")]
pub struct FrontSettings {
    /// Largest body of POST /api/tasks, bytes
    #[arg(long, env = "SHUZHIREN_TASK_BYTES_MAX", default_value_t = 8 << 20, value_name = "BYTES")]
    pub task_bytes_max: usize,
    /// Other origins whose pages may open the WebSocket, comma separated
    ///
    /// E.g. `https://studio.example.com,https://lab.example.com`. The page at / needs none.
    #[arg(long, env = "SHUZHIREN_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN,…")]
    pub allowed_origins: Vec<String>,
    /// Maximum number of sockets of one address without login; more get 429
    ///
    /// Raise it behind a proxy, where all clients have the same address.
    #[arg(long, env = "SHUZHIREN_WS_PENDING_MAX", default_value_t = 100, value_name = "COUNT")]
    pub ws_pending_max: usize,
    /// Burst of tasks and uploads of one user before 429; 0 = no limit
    ///
    /// A token bucket per user and api process, refilled by a fifth per second, to stop runaway loops.
    #[arg(long, env = "SHUZHIREN_RATE_BURST", default_value_t = 10_000, value_name = "COUNT")]
    pub rate_burst: u64,
}

/// Settings of files at URLs used by tasks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fetching")]
pub struct FetchSettings {
    /// Disable fetching files from URLs in tasks
    #[arg(long, env = "SHUZHIREN_NO_FETCH")]
    pub no_fetch: bool,
    /// Sources of fetched files besides the public internet, comma separated
    ///
    /// Networks, addresses and hosts, e.g. 10.0.0.0/8,files.intern,*.lab.intern. A host name never allows link-local
    /// and metadata addresses. Other private addresses are refused at every hop, after the name is resolved.
    #[arg(long, env = "SHUZHIREN_FETCH_ALLOW", value_delimiter = ',', value_name = "PLACE,…")]
    pub fetch_allow: Vec<String>,
    /// Time limit for all files of one request together
    #[arg(long, env = "SHUZHIREN_FETCH_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub fetch_timeout: Duration,
    /// Largest fetched file, bytes
    #[arg(long, env = "SHUZHIREN_FETCH_BYTES_MAX", default_value_t = 256 << 20, value_name = "BYTES")]
    pub fetch_bytes_max: u64,
}

//! Settings of the front: who may log in, what requests may be, what is fetched for them.

use super::{Secret, duration};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// Login.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Login")]
pub struct AuthSettings {
    /// The administrator's name
    #[arg(long, env = "SHUZHIREN_ADMIN_USERNAME", default_value = "admin", value_name = "NAME")]
    pub admin_username: String,
    /// The administrator's password [default of `up` on this machine: admin123; else it must be set]
    ///
    /// Others can see a flag: better the variable, or the file.
    #[arg(long, env = "SHUZHIREN_ADMIN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub admin_password: Option<Secret>,
    /// File that holds the administrator's password, e.g. /run/secrets/admin
    #[arg(long, env = "SHUZHIREN_ADMIN_PASSWORD_FILE", conflicts_with = "admin_password", value_name = "FILE")]
    pub admin_password_file: Option<PathBuf>,
    /// Key of the tokens, at least 32 bytes, the same in every api and ws process [default of `up`: made and kept in its data folder]
    ///
    /// E.g. what `openssl rand -hex 32` prints. Another key ends every login and every signed link.
    #[arg(long, env = "SHUZHIREN_JWT_SECRET", hide_env_values = true, value_name = "KEY")]
    pub jwt_secret: Option<Secret>,
    /// File that holds the key of the tokens, e.g. /run/secrets/jwt
    #[arg(long, env = "SHUZHIREN_JWT_SECRET_FILE", conflicts_with = "jwt_secret", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// How long a token is good for
    #[arg(long, env = "SHUZHIREN_TOKEN_TTL", default_value = "24h", value_parser = duration, value_name = "DURATION")]
    pub token_ttl: Duration,
}

/// The REST and WebSocket front.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Front")]
pub struct FrontSettings {
    /// Largest body of POST /api/tasks, bytes
    #[arg(long, env = "SHUZHIREN_TASK_BYTES_MAX", default_value_t = 8 << 20, value_name = "BYTES")]
    pub task_bytes_max: usize,
    /// Origins of other sites whose pages may open the WebSocket, comma separated
    ///
    /// E.g. `https://studio.example.com,https://lab.example.com`. The page at / needs none.
    #[arg(long, env = "SHUZHIREN_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN,…")]
    pub allowed_origins: Vec<String>,
    /// Sockets of one address that have not logged in; more get 429
    ///
    /// Behind a proxy all clients have its address: raise it there.
    #[arg(long, env = "SHUZHIREN_WS_PENDING_MAX", default_value_t = 100, value_name = "COUNT")]
    pub ws_pending_max: usize,
    /// Tasks and uploads that one user may send at once before 429; 0 = no limit
    ///
    /// A bucket for each user in each api process, refilled at a fifth of it per second: it stops a runaway loop.
    #[arg(long, env = "SHUZHIREN_RATE_BURST", default_value_t = 10_000, value_name = "COUNT")]
    pub rate_burst: u64,
}

/// Files at URLs that tasks name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fetching")]
pub struct FetchSettings {
    /// Fetch no files from URLs that tasks name
    #[arg(long, env = "SHUZHIREN_NO_FETCH")]
    pub no_fetch: bool,
    /// What files may be fetched from beyond the public internet, comma separated
    ///
    /// Networks, addresses and hosts, e.g. 10.0.0.0/8,files.intern,*.lab.intern. A host's name never opens link-local and metadata
    /// addresses. Everything private is refused otherwise, at every hop, after the name was resolved.
    #[arg(long, env = "SHUZHIREN_FETCH_ALLOW", value_delimiter = ',', value_name = "PLACE,…")]
    pub fetch_allow: Vec<String>,
    /// Longest time for all files of one request together
    #[arg(long, env = "SHUZHIREN_FETCH_TIMEOUT", default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub fetch_timeout: Duration,
    /// Largest file that is fetched, bytes
    #[arg(long, env = "SHUZHIREN_FETCH_BYTES_MAX", default_value_t = 256 << 20, value_name = "BYTES")]
    pub fetch_bytes_max: u64,
}

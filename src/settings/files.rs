//! Settings of files: where they are, how their links look, how long they are kept.

use super::{Secret, duration};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// How long files of a kind are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// As long as the task that made them.
    WithTask,
    /// For so long since they were stored, and until no waiting or running task or published workflow needs them.
    For(Duration),
    /// Until somebody deletes them.
    Forever,
}

/// Reads `forever`, or a duration.
///
/// # Errors
/// A sentence for clap.
pub(super) fn keep(text: &str) -> Result<Keep, String> {
    match text {
        "forever" => Ok(Keep::Forever),
        _ => match duration(text)? {
            Duration::ZERO => Err("nothing would be kept; write `forever` for no limit".to_owned()),
            time => Ok(Keep::For(time)),
        },
    }
}

/// Reads `task`, `forever`, or a duration.
///
/// # Errors
/// A sentence for clap.
pub(super) fn keep_or_with_task(text: &str) -> Result<Keep, String> {
    if text == "task" { Ok(Keep::WithTask) } else { keep(text) }
}

/// Bytes and links.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub struct StorageSettings {
    /// Where uploads and outputs go: a folder, or a bucket of S3 or of what speaks its protocol
    ///
    /// The same for every api and dispatcher, e.g. file:///srv/shuzhiren/files (on several machines: a shared folder), or
    /// s3://bucket/prefix?endpoint=https://minio:9000&region=us-east-1, with &style=virtual where the bucket's name belongs into the
    /// host name. The key needs s3:ListBucket, GetObject, PutObject, DeleteObject, AbortMultipartUpload. A file in a bucket has at
    /// most 48 GiB. `up` keeps them in its data folder.
    #[arg(long, env = "SHUZHIREN_STORAGE_URL", value_name = "URL")]
    pub storage_url: Option<String>,
    /// Access key of an s3:// store [default: AWS_ACCESS_KEY_ID, or the role that AWS gives the machine]
    #[arg(long, env = "SHUZHIREN_S3_ACCESS_KEY", value_name = "KEY")]
    pub s3_access_key: Option<String>,
    /// Secret key of an s3:// store [default: AWS_SECRET_ACCESS_KEY]
    #[arg(long, env = "SHUZHIREN_S3_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    pub s3_secret_key: Option<Secret>,
    /// File that holds the secret key of an s3:// store, e.g. /run/secrets/s3
    #[arg(long, env = "SHUZHIREN_S3_SECRET_KEY_FILE", conflicts_with = "s3_secret_key", value_name = "FILE")]
    pub s3_secret_key_file: Option<PathBuf>,
    /// Send downloads to the s3:// store by a redirect that is good for five minutes
    ///
    /// Clients must be able to reach the endpoint. Their bytes then never pass through us.
    #[arg(long, env = "SHUZHIREN_REDIRECT_DOWNLOADS")]
    pub redirect_downloads: bool,
    /// Private mode: links to files are signed and good for this long [default: whoever has a link may read, for ever]
    ///
    /// E.g. 1h; at least 10s. A task that is read again has fresh links; with `Authorization` a file can always be read.
    #[arg(long, env = "SHUZHIREN_LINK_TTL", value_parser = duration, value_name = "DURATION")]
    pub link_ttl: Option<Duration>,
    /// What links to files start with [default: http:// and the address of --listen]
    ///
    /// What clients call us, e.g. `https://comfy.example.com`, with the path under which a proxy serves us, if any.
    #[arg(long, env = "SHUZHIREN_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Largest file, bytes: uploads and outputs
    #[arg(long, env = "SHUZHIREN_FILE_BYTES_MAX", default_value_t = 4 << 30, value_name = "BYTES")]
    pub file_bytes_max: u64,
}

#[cfg(test)]
mod tests {
    use super::{Keep, keep, keep_or_with_task};
    use std::time::Duration;

    #[test]
    fn files_are_kept_for_a_time_or_for_ever() {
        assert_eq!(keep("forever"), Ok(Keep::Forever));
        assert_eq!(keep_or_with_task("task"), Ok(Keep::WithTask));
        assert_eq!(keep_or_with_task("48h"), Ok(Keep::For(Duration::from_secs(172_800))));
        for wrong in ["0s", "never", "7", "-1h", "", "task"] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
    }
}

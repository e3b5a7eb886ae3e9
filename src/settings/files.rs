//! Settings of files: location, links and retention.

use super::{Secret, bytes, duration};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// Retention of files of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Kept as long as the task that produced them.
    WithTask,
    /// Kept for this time since they were stored, and as long as a waiting or running task or a published workflow
    /// needs them.
    For(Duration),
    /// Kept until they are deleted.
    Forever,
}

/// Room that all files together may take; beyond it, the oldest outputs are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepBytes {
    /// No limit.
    All,
    /// This share of the store's disk, percent.
    Percent(u8),
    /// This number of bytes.
    Bytes(u64),
}

/// Parses `all`, a share such as `80%`, or a number of bytes such as `500gb`.
///
/// # Errors
/// A message for clap.
pub(super) fn keep_bytes(text: &str) -> Result<KeepBytes, String> {
    if text == "all" {
        return Ok(KeepBytes::All);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent = percent.trim_end().parse().ok().filter(|percent| (1..=100).contains(percent));
        return percent.map(KeepBytes::Percent).ok_or_else(|| format!("`{text}` is not a share from 1% to 100%"));
    }
    match bytes(&text.replace(' ', "").to_ascii_lowercase().replace("ib", "b")) {
        Ok(0) => Err("must not be zero; write `all` for no limit".to_owned()),
        Ok(bytes) => Ok(KeepBytes::Bytes(bytes)),
        Err(_) => Err(format!("`{text}` is not a size; write it like 500gb, 80% or all")),
    }
}

/// Parses `forever`, or a duration.
///
/// # Errors
/// A message for clap.
pub(super) fn keep(text: &str) -> Result<Keep, String> {
    match text {
        "forever" => Ok(Keep::Forever),
        _ => match duration(text)? {
            Duration::ZERO => Err("must not be zero; write `forever` for no limit".to_owned()),
            time => Ok(Keep::For(time)),
        },
    }
}

/// Parses `task`, `forever`, or a duration.
///
/// # Errors
/// A message for clap.
pub(super) fn keep_or_with_task(text: &str) -> Result<Keep, String> {
    if text == "task" { Ok(Keep::WithTask) } else { keep(text) }
}

/// Free space of the store's disk that uploads and claims leave alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskReserve {
    /// The larger of 1 GB and 5 % of the disk, but at most a quarter of it.
    Auto,
    /// This number of bytes.
    Bytes(u64),
}

impl DiskReserve {
    /// Returns the reserve of a disk of `total` bytes.
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Auto => (total / 20).max(1_000_000_000).min(total / 4),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Parses `auto`, or a number of bytes.
///
/// # Errors
/// A message for clap.
fn disk_reserve(text: &str) -> Result<DiskReserve, String> {
    match text {
        "auto" => Ok(DiskReserve::Auto),
        _ => text.parse().map(DiskReserve::Bytes).map_err(|_| "write `auto` or a number of bytes".to_owned()),
    }
}

/// Settings of stored files and their links.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub struct StorageSettings {
    /// Store of uploads and outputs: a folder, or a bucket of S3 or a compatible server
    ///
    /// The same for every api and dispatcher, e.g. file:///srv/shuzhiren/files (on several machines: a shared folder),
    /// or s3://bucket/prefix?endpoint=https://minio:9000&region=us-east-1, with &style=virtual if the bucket is part of
    /// the host name. The key needs s3:ListBucket, GetObject, PutObject, DeleteObject, AbortMultipartUpload. A file in
    /// a bucket has at most 48 GiB. `up` keeps them in its data folder.
    #[arg(long, env = "SHUZHIREN_STORAGE_URL", value_name = "URL")]
    pub storage_url: Option<String>,
    /// Access key of an s3:// store [default: AWS_ACCESS_KEY_ID, or the AWS role of the machine]
    #[arg(long, env = "SHUZHIREN_S3_ACCESS_KEY", value_name = "KEY")]
    pub s3_access_key: Option<String>,
    /// Secret key of an s3:// store [default: AWS_SECRET_ACCESS_KEY]
    #[arg(long, env = "SHUZHIREN_S3_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    pub s3_secret_key: Option<Secret>,
    /// File with the secret key of an s3:// store, e.g. /run/secrets/s3
    #[arg(long, env = "SHUZHIREN_S3_SECRET_KEY_FILE", conflicts_with = "s3_secret_key", value_name = "FILE")]
    pub s3_secret_key_file: Option<PathBuf>,
    /// Redirect downloads to the s3:// store, by a URL valid for five minutes
    ///
    /// Clients must be able to reach the endpoint. The bytes then do not pass through this server.
    #[arg(long, env = "SHUZHIREN_REDIRECT_DOWNLOADS")]
    pub redirect_downloads: bool,
    /// Private mode: lifetime of the signed links to files [default: links are public and never expire]
    ///
    /// E.g. 1h; at least 10s. Reading a task again gives new links; with `Authorization` a file can always be read.
    #[arg(long, env = "SHUZHIREN_LINK_TTL", value_parser = duration, value_name = "DURATION")]
    pub link_ttl: Option<Duration>,
    /// Base URL of links to files [default: http:// and the address of --listen]
    ///
    /// The URL that clients use, e.g. `https://comfy.example.com`, including the path of a proxy, if any.
    #[arg(long, env = "SHUZHIREN_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Largest upload or output, bytes
    #[arg(long, env = "SHUZHIREN_FILE_BYTES_MAX", default_value_t = 4 << 30, value_name = "BYTES")]
    pub file_bytes_max: u64,
    /// Free space of the store's disk that uploads and claims leave alone: bytes, or `auto` = the larger of 1 GB and 5 %,
    /// but at most a quarter of the disk
    ///
    /// With less free space, uploads get 507 and tasks wait; running prompts still store their outputs, and a Redis on
    /// the same disk can still write. E.g. 20000000000; 0 = use all space. An s3:// store has none.
    #[arg(long, env = "SHUZHIREN_DISK_RESERVE", default_value = "auto", value_parser = disk_reserve, value_name = "BYTES")]
    pub disk_reserve: DiskReserve,
    /// Most bytes that the uploads of one user may have together; more get 507. 0 = no limit
    #[arg(long, env = "SHUZHIREN_USER_UPLOAD_BYTES_MAX", default_value_t = 100 << 30, value_name = "BYTES")]
    pub user_upload_bytes_max: u64,
    /// Most bytes that the uploads of all users may have together; more get 507. 0 = no limit
    #[arg(long, env = "SHUZHIREN_UPLOAD_BYTES_MAX", default_value_t = 1 << 40, value_name = "BYTES")]
    pub upload_bytes_max: u64,
}

#[cfg(test)]
mod tests {
    use super::{DiskReserve, Keep, KeepBytes, disk_reserve, keep, keep_bytes, keep_or_with_task};
    use std::time::Duration;

    #[test]
    fn the_reserve_fits_the_disk() {
        let gb = 1_000_000_000;
        for (total, reserve) in [(100 * gb, 5 * gb), (10 * gb, gb), (2 * gb, gb / 2), (0, 0)] {
            assert_eq!(DiskReserve::Auto.bytes(total), reserve, "{total}");
        }
        assert_eq!((disk_reserve("auto"), disk_reserve("7")), (Ok(DiskReserve::Auto), Ok(DiskReserve::Bytes(7))));
        for wrong in ["", "-1", "5%", "1 GB"] {
            assert!(disk_reserve(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_room_of_the_files_is_a_size_a_share_or_all() {
        for (text, expected) in [
            ("all", KeepBytes::All),
            ("80%", KeepBytes::Percent(80)),
            ("80 %", KeepBytes::Percent(80)),
            ("500GB", KeepBytes::Bytes(500 << 30)),
            ("2 TiB", KeepBytes::Bytes(2 << 40)),
            ("1000", KeepBytes::Bytes(1_000)),
        ] {
            assert_eq!(keep_bytes(text), Ok(expected), "{text}");
        }
        for wrong in ["", "0", "0%", "101%", "%", "-1gb", "1.5gb", "lots", "none"] {
            assert!(keep_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn retention_is_a_duration_or_forever() {
        assert_eq!(keep("forever"), Ok(Keep::Forever));
        assert_eq!(keep_or_with_task("task"), Ok(Keep::WithTask));
        assert_eq!(keep_or_with_task("48h"), Ok(Keep::For(Duration::from_secs(172_800))));
        for wrong in ["0s", "never", "7", "-1h", "", "task"] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
    }
}

//! Start-up shared by several roles: connecting to Redis, opening the store, links and limits from settings.

use shuzhiren::{
    process::Readiness,
    queue::{self, Queue, QueueLimits, Retention, UploadQuota},
    secrets::Encryption,
    settings::{AuthSettings, KeepBytes, QueueSettings, RedisSettings, Secret, SecretSettings, StorageSettings},
    store::{Keys, Store},
    task::Links,
};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

/// Pause between two attempts to reach Redis at the start.
const REDIS_PAUSE: Duration = Duration::from_secs(1);

/// Time without any answer of Redis after which `/livez` fails. A process that has not reached Redis since its start is
/// alive, so that an outage costs each process one restart, not a loop of them.
const REDIS_SILENCE_MAX: Duration = Duration::from_secs(60);
/// Interval of the check of the connections.
const CONNECTIONS_CHECK: Duration = Duration::from_secs(1);

/// Minimum lifetime of a signed link.
const LINK_TTL_MIN: Duration = Duration::from_secs(10);

/// Returns the retention of files.
pub(crate) fn retention(settings: &QueueSettings) -> Retention {
    let frees_memory = settings.keep_bytes() != KeepBytes::All;
    Retention { uploads: settings.keep_uploads, outputs: settings.keep_outputs, frees_memory }
}

/// Returns the quotas of uploads.
pub(crate) const fn upload_quota(settings: &StorageSettings) -> UploadQuota {
    UploadQuota { user: settings.user_upload_bytes_max, all: settings.upload_bytes_max }
}

/// Reads a secret from a file: one line, without its line end.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(Secret::new(text))
}

/// Returns the encryption of keys for API nodes; one that refuses to encrypt if no key is set.
pub(crate) fn encryption(settings: &SecretSettings) -> Result<Encryption, String> {
    let key = match &settings.secret_key_file {
        Some(path) => Some(read_secret(path)?),
        None => settings.secret_key.clone().filter(|key| !key.expose().is_empty()),
    };
    key.map_or_else(|| Ok(Encryption::default()), |key| Encryption::new(&key))
}

/// Connects to Redis. Waits while it is unreachable; fails if it cannot be used.
pub(crate) async fn connect(
    redis: &RedisSettings,
    limits: &QueueSettings,
    stop: &CancellationToken,
) -> Result<Queue, String> {
    let mut redis = redis.clone();
    if let Some(path) = redis.redis_url_file.take() {
        redis.redis_url = Some(read_secret(&path)?);
    }
    if redis.redis_url.is_none() {
        return Err("set REDIS_URL, e.g. redis://127.0.0.1:6379 (only `up` starts its own Redis)".to_owned());
    }
    let (user_bytes_max, bytes_max) = (limits.user_waiting_bytes_max, limits.waiting_bytes_max);
    let limits = QueueLimits { waiting_max: limits.waiting_max, keep_tasks: limits.keep_tasks() };
    loop {
        let error = match Queue::connect(&redis, limits).await {
            Ok(queue) => {
                queue.limit_payload_bytes(user_bytes_max, bytes_max);
                return Ok(queue);
            }
            Err(queue::Error::Unusable(why)) => return Err(why),
            Err(error) => error,
        };
        tracing::warn!(%error, delay_ms = REDIS_PAUSE.as_millis(), "redis unreachable; retrying");
        tokio::select! {
            () = stop.cancelled() => return Err("stopped while waiting for Redis".to_owned()),
            () = tokio::time::sleep(REDIS_PAUSE) => {}
        }
    }
}

/// Makes `/readyz` name the connections to Redis that do not answer, and `/livez` fail if none has for a minute.
pub(crate) fn watch_connections(queue: &Queue, readiness: &Readiness, stop: CancellationToken) {
    let seen = queue.clone();
    readiness.alive_unless(move || {
        let silent = seen.unanswered_for();
        (silent > REDIS_SILENCE_MAX).then(|| format!("redis: no answer for {} s", silent.as_secs()))
    });
    let (queue, readiness) = (queue.clone(), readiness.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            let ill = queue.ill_connections();
            readiness.set("redis connections", if ill.is_empty() { Ok(()) } else { Err(ill.join(", ")) });
            tokio::time::sleep(CONNECTIONS_CHECK).await;
        }
    });
}

/// Returns the access key of a bucket, if one is set.
pub(crate) fn store_keys(storage: &StorageSettings) -> Result<Option<Keys>, String> {
    let secret = match &storage.s3_secret_key_file {
        Some(path) => Some(read_secret(path)?),
        None => storage.s3_secret_key.clone(),
    };
    match (&storage.s3_access_key, secret) {
        (Some(access), Some(secret)) => Ok(Some(Keys { access: access.clone(), secret })),
        (None, None) => Ok(None),
        _ => Err("set both SHUZHIREN_S3_ACCESS_KEY and SHUZHIREN_S3_SECRET_KEY (or …_FILE), or neither".to_owned()),
    }
}

/// Opens the store that api and dispatcher share.
pub(crate) async fn open_store(storage: &StorageSettings) -> Result<Store, String> {
    let Some(url) = &storage.storage_url else {
        return Err("set SHUZHIREN_STORAGE_URL, e.g. file:///srv/shuzhiren/files, to the same place for every api and dispatcher: \
                    otherwise files stored by a dispatcher could not be served"
            .to_owned());
    };
    let keys = store_keys(storage)?;
    let failed = |error| format!("SHUZHIREN_STORAGE_URL: {error}");
    let store = Store::open_with(url, keys.as_ref()).await.map_err(failed)?;
    let store = store.with_reserve(storage.disk_reserve);
    if storage.redirect_downloads {
        return store.redirecting().await.map_err(|error| format!("SHUZHIREN_REDIRECT_DOWNLOADS: {error}"));
    }
    Ok(store)
}

/// Builds the links to files; in private mode they are signed with the key of the tokens.
pub(crate) fn links(storage: &StorageSettings, auth: &AuthSettings, listen: SocketAddr) -> Result<Links, String> {
    let links = public_links(storage, listen)?;
    match (storage.link_ttl, &auth.jwt_secret) {
        (None, _) => Ok(links),
        (Some(ttl), _) if ttl < LINK_TTL_MIN => {
            Err("SHUZHIREN_LINK_TTL is below 10s: links would expire before they are opened".to_owned())
        }
        (Some(ttl), Some(secret)) => Ok(links.signed(secret.expose().as_bytes(), ttl)),
        (Some(_), None) => Err("SHUZHIREN_LINK_TTL needs SHUZHIREN_JWT_SECRET".to_owned()),
    }
}

/// Returns the unsigned links, which start with the public URL.
fn public_links(storage: &StorageSettings, listen: SocketAddr) -> Result<Links, String> {
    match &storage.public_url {
        Some(url) => {
            let parsed = url::Url::parse(url).map_err(|error| format!("SHUZHIREN_PUBLIC_URL `{url}`: {error}"))?;
            if !matches!(parsed.scheme(), "http" | "https") || parsed.query().is_some() || parsed.fragment().is_some() {
                return Err(format!("SHUZHIREN_PUBLIC_URL `{url}`: must be an http or https address without query"));
            }
            Ok(Links::new(url))
        }
        None => {
            let host =
                if listen.ip().is_unspecified() { format!("localhost:{}", listen.port()) } else { listen.to_string() };
            if !listen.ip().is_loopback() {
                tracing::warn!(
                    "SHUZHIREN_PUBLIC_URL is not set: links to files start with http://{host}, which other machines may not reach"
                );
            }
            Ok(Links::new(&format!("http://{host}")))
        }
    }
}

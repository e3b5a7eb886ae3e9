//! Node catalogs of the instances, stored once per content. The report of an instance names its catalog by hash.

use super::{Error, Queue, Result, compression};
use crate::event::Event;
use fred::types::Value;
use std::time::Duration;

/// Lifetime of a catalog since it was last stored. Dispatchers store the catalogs of their instances again in time.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Lifetime of the names of an instance's files. They change often, and are stored again at each read, every half an hour
/// or sooner.
const FILES_KEPT: Duration = Duration::from_secs(2 * 3_600);

impl Queue {
    /// Stores a catalog's JSON under the hash of its content (64 lowercase hex digits). Storing it again renews its
    /// lifetime.
    pub async fn put_catalog(&self, hash: &str, json: &str) -> Result<()> {
        self.put_text(hash, json, KEPT).await
    }

    /// Stores the names of an instance's files as [`Self::put_catalog`] does, for a shorter time. [`Self::catalog`] reads
    /// them.
    pub async fn put_input_files(&self, hash: &str, json: &str) -> Result<()> {
        self.put_text(hash, json, FILES_KEPT).await
    }

    async fn put_text(&self, hash: &str, json: &str, kept: Duration) -> Result<()> {
        let packed = Value::Bytes(compression::pack_text(json)?.into());
        let key = self.root().catalog(checked(hash)?);
        self.set_for(kept, key, packed).await
    }

    /// Asks the dispatchers to read the catalogs of their instances again.
    pub async fn want_catalogs(&self) -> Result<()> {
        let message = serde_json::to_string(&Event::Catalogs { wanted: true })
            .map_err(|error| Error::Corrupt(error.to_string()))?;
        let args = vec![self.root().control_channel().into(), message.into()];
        self.command::<Value>("PUBLISH", args).await.map(drop)
    }

    /// Reads the catalog with this hash; `None` if it is not stored or has expired.
    pub async fn catalog(&self, hash: &str) -> Result<Option<String>> {
        let packed: Value = self.command("GET", vec![self.root().catalog(checked(hash)?).into()]).await?;
        packed.into_bytes().map(|bytes| compression::unpack_text(&bytes)).transpose()
    }
}

/// Returns `hash` if it is 64 lowercase hex digits, so that nothing else becomes part of a key.
fn checked(hash: &str) -> Result<&str> {
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash { Ok(hash) } else { Err(Error::Corrupt("the name of a catalog is not a hash".to_owned())) }
}

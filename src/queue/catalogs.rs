//! What instances can run, kept once for each content. No task changes by it: the report of an instance names its catalog.

use super::{Error, Queue, Result, call::within, payloads};
use fred::{
    interfaces::KeysInterface,
    types::{Expiration, Value},
};
use std::time::Duration;

/// Kept for so long after it was last stored; dispatchers store again what they look after.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

impl Queue {
    /// Keeps a catalog's JSON under the hash of its content, a lowercase hex text; storing it again prolongs it.
    pub async fn put_catalog(&self, hash: &str, json: &str) -> Result<()> {
        let packed = Value::Bytes(payloads::pack_text(json)?.into());
        let kept = Some(Expiration::EX(KEPT.as_secs().cast_signed()));
        within(self.pool().set(self.root().catalog(checked(hash)?), packed, kept, None, false)).await
    }

    /// The catalog of that content; `None` = not kept (any more).
    pub async fn catalog(&self, hash: &str) -> Result<Option<String>> {
        let packed: Value = within(self.pool().get(self.root().catalog(checked(hash)?))).await?;
        packed.into_bytes().map(|bytes| payloads::unpack_text(&bytes)).transpose()
    }
}

/// Nothing but a hash becomes part of a key.
fn checked(hash: &str) -> Result<&str> {
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash { Ok(hash) } else { Err(Error::Corrupt("the name of a catalog is no hash".to_owned())) }
}

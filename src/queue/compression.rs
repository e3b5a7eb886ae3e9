//! Compression of payloads and other stored JSON with zstd.

use crate::{
    queue::{Error, Result},
    task::Payload,
};
use std::cell::RefCell;
use zstd::bulk::Compressor;

/// Compression level without entropy coding: a workflow of 2 KB still shrinks to a third, in 3 µs instead of 10 µs at
/// level 1 (measured with `zstd -b`).
const ZSTD_LEVEL: i32 = -5;

/// Largest payload compressed inline, bytes. Larger ones use a blocking thread: 8 MB take tens of milliseconds.
const INLINE_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    /// Compression context of this thread. Making one costs many times as much as compressing a small workflow.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compress(json: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(compressor) => compressor.compress(json),
        None => kept.insert(Compressor::new(ZSTD_LEVEL)?).compress(json),
    })
}

/// Compresses a payload.
pub(crate) async fn pack(payload: &Payload) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(payload).map_err(|error| Error::Corrupt(format!("payload: {error}")))?;
    let is_small = json.len() <= INLINE_BYTES_MAX;
    let pack = move || compress(&json).map_err(|error| Error::Corrupt(format!("cannot compress a payload: {error}")));
    if is_small {
        return pack();
    }
    tokio::task::spawn_blocking(pack)
        .await
        .map_err(|error| Error::Corrupt(format!("cannot compress a payload: {error}")))?
}

/// Compresses a text.
pub(crate) fn pack_text(text: &str) -> Result<Vec<u8>> {
    compress(text.as_bytes()).map_err(|error| Error::Corrupt(format!("cannot compress a text: {error}")))
}

/// Decompresses a text of [`pack_text`].
pub(crate) fn unpack_text(bytes: &[u8]) -> Result<String> {
    let text = zstd::stream::decode_all(bytes).map_err(|error| Error::Corrupt(format!("compressed text: {error}")))?;
    String::from_utf8(text).map_err(|_| Error::Corrupt("compressed text: not UTF-8".to_owned()))
}

/// Decompresses a payload of [`pack`].
pub(crate) fn unpack(bytes: &[u8]) -> Result<Payload> {
    let json = zstd::stream::decode_all(bytes).map_err(|error| Error::Corrupt(format!("payload: {error}")))?;
    serde_json::from_slice(&json).map_err(|error| Error::Corrupt(format!("payload: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{pack, unpack};
    use crate::task::Payload;
    use serde_json::value::RawValue;

    #[tokio::test]
    async fn numbers_survive_to_the_byte() {
        for filler in [10, 400_000] {
            let text = format!(r#"{{"a":18446744073709551615,"b":1e-7,"c":20.0,"d":"{}"}}"#, "x".repeat(filler));
            let raw = RawValue::from_string(text.clone()).unwrap();
            let payload = Payload { workflow: raw.clone(), params: raw, original: None, files: Vec::new() };
            let back = unpack(&pack(&payload).await.unwrap()).unwrap();
            assert_eq!(back.workflow.get(), text);
            assert_eq!(back.params.get(), text);
        }
    }
}

//! Compression of payloads and other stored JSON with zstd.

use crate::{
    queue::{Error, Result},
    task::Payload,
};
use std::cell::RefCell;
use tokio::runtime::{Handle, RuntimeFlavor};
use zstd::bulk::Compressor;

/// Compression level without entropy coding: a workflow of 2 KB still shrinks to a third, in 3 µs instead of 10 µs at
/// level 1 (measured with `zstd -b`).
const ZSTD_LEVEL: i32 = -5;

/// Largest payload read or written inline, bytes. Larger ones let the runtime go on elsewhere: 8 MB take tens of
/// milliseconds.
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
    let json = aside(text_bytes(payload), || encode(payload))?;
    let is_small = json.len() <= INLINE_BYTES_MAX;
    let pack = move || compressed(&json);
    if is_small {
        return pack();
    }
    tokio::task::spawn_blocking(pack)
        .await
        .map_err(|error| Error::Corrupt(format!("cannot compress a payload: {error}")))?
}

/// Compresses a payload on this thread, however large it is.
pub(crate) fn pack_here(payload: &Payload) -> Result<Vec<u8>> {
    compressed(&encode(payload)?)
}

fn text_bytes(payload: &Payload) -> usize {
    let original = payload.original.as_ref().map_or(0, |original| original.get().len());
    let png_info = payload.png_info.as_ref().map_or(0, |png_info| png_info.get().len());
    payload.workflow.get().len() + payload.params.get().len() + original + png_info
}

/// Runs work on a number of bytes; if it is large, the runtime continues on another thread meanwhile.
fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_others = || Handle::try_current().is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > INLINE_BYTES_MAX && has_others() { tokio::task::block_in_place(work) } else { work() }
}

fn encode(payload: &Payload) -> Result<Vec<u8>> {
    serde_json::to_vec(payload).map_err(|error| Error::Corrupt(format!("payload: {error}")))
}

fn compressed(json: &[u8]) -> Result<Vec<u8>> {
    compress(json).map_err(|error| Error::Corrupt(format!("cannot compress a payload: {error}")))
}

/// Compresses a text.
pub(crate) fn pack_text(text: &str) -> Result<Vec<u8>> {
    compress(text.as_bytes()).map_err(|error| Error::Corrupt(format!("cannot compress a text: {error}")))
}

/// Decompresses a text of [`pack_text`].
pub(crate) fn unpack_text(bytes: &[u8]) -> Result<String> {
    aside(unpacked_bytes(bytes), || {
        let text = zstd::stream::decode_all(bytes);
        let text = text.map_err(|error| Error::Corrupt(format!("compressed text: {error}")))?;
        String::from_utf8(text).map_err(|_| Error::Corrupt("compressed text: not UTF-8".to_owned()))
    })
}

/// Decompresses a payload of [`pack`].
pub(crate) fn unpack(bytes: &[u8]) -> Result<Payload> {
    aside(unpacked_bytes(bytes), || {
        let json = zstd::stream::decode_all(bytes).map_err(|error| Error::Corrupt(format!("payload: {error}")))?;
        serde_json::from_slice(&json).map_err(|error| Error::Corrupt(format!("payload: {error}")))
    })
}

/// The number of bytes that these become, as they say themselves.
fn unpacked_bytes(bytes: &[u8]) -> usize {
    let said = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    said.and_then(|said| usize::try_from(said).ok()).unwrap_or(bytes.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{pack, unpack};
    use crate::task::Payload;
    use serde_json::value::RawValue;

    #[tokio::test(flavor = "multi_thread")]
    async fn numbers_survive_to_the_byte() {
        for filler in [10, 400_000] {
            let text = format!(r#"{{"a":18446744073709551615,"b":1e-7,"c":20.0,"d":"{}"}}"#, "x".repeat(filler));
            let raw = RawValue::from_string(text.clone()).unwrap();
            let payload = Payload {
                workflow: raw.clone(),
                params: raw,
                original: None,
                files: Vec::new(),
                is_editor: false,
                png_info: None,
            };
            let back = unpack(&pack(&payload).await.unwrap()).unwrap();
            assert_eq!(back.workflow.get(), text);
            assert_eq!(back.params.get(), text);
        }
    }
}

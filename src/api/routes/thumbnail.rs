//! `GET /upload/file/:fileId?w=256`: thumbnail of a picture, made on the first request and kept in memory.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::query::Query,
    },
    media::{self, Refused, Thumbnail},
    queue::FileRecord,
};
use futures_util::TryStreamExt as _;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Allowed values of `w`: every other size would be another thumbnail to make and to keep.
pub(crate) const SIDES: [u32; 5] = [64, 128, 256, 512, 1024];
/// Pictures decoded concurrently: each takes a core and up to a quarter of a GiB.
const AT_ONCE: usize = 2;
/// Requests that may wait for their turn.
const WAITING_MAX: usize = 64;
/// Longest wait for a turn.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Size of all kept thumbnails, bytes.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// Memory of a kept thumbnail besides its content, bytes.
const KEPT_OVERHEAD_BYTES: usize = 256;

/// A thumbnail, or the reason why the picture has none.
type Made = Result<Arc<Thumbnail>, Refused>;
/// SHA-256 of the picture, and the side of the thumbnail.
type Key = (String, u32);

/// Returns the side that a request asks for.
pub(crate) fn side(query: &Query) -> Result<Option<u32>> {
    let Some(text) = query.one("w")? else { return Ok(None) };
    let known = SIDES.into_iter().find(|side| side.to_string() == text);
    let sides = SIDES.map(|side| side.to_string()).join(", ");
    known.map(Some).ok_or_else(|| ApiError::InvalidQuery(format!("`w` must be one of {sides}")))
}

/// Thumbnails: made a few at a time, and kept.
pub(crate) struct Thumbnails {
    kept: Mutex<Kept>,
    turns: Arc<Semaphore>,
    places: Semaphore,
}

impl Thumbnails {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Semaphore::new(AT_ONCE + WAITING_MAX),
        }
    }

    /// Returns the thumbnail of a registered file.
    pub(crate) async fn get(
        self: &Arc<Self>,
        state: &ApiState,
        record: &FileRecord,
        side: u32,
    ) -> Result<Arc<Thumbnail>> {
        if !matches!(record.content_type.as_str(), "image/png" | "image/jpeg" | "image/gif" | "image/webp") {
            return refusal(Err(Refused::NoPicture));
        }
        if record.size_bytes > media::FILE_BYTES_MAX {
            return refusal(Err(Refused::TooLarge));
        }
        let key = (record.sha256.clone(), side);
        if let Some(made) = self.known(&key) {
            return refusal(made);
        }
        let _place = self.places.try_acquire().map_err(|_| ApiError::Busy)?;
        let make = tokio::time::timeout(WAIT_MAX, self.make(state, record, key));
        refusal(make.await.map_err(|_| ApiError::Busy)??)
    }

    async fn make(self: &Arc<Self>, state: &ApiState, record: &FileRecord, key: Key) -> Result<Made> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| ApiError::Internal)?;
        // Another request may have made it meanwhile.
        if let Some(made) = self.known(&key) {
            return Ok(made);
        }
        let mut bytes = Vec::new();
        let mut stored = state.store.read(record.object(), None).await?.bytes;
        while let Some(chunk) = stored.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        let this = Arc::clone(self);
        // Continues, and keeps its turn, if the client disconnects: the next request finds the thumbnail.
        let making = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let made = media::thumbnail(&bytes, key.1).map(Arc::new);
            this.kept.lock().unwrap_or_else(PoisonError::into_inner).put(key, made.clone());
            made
        });
        making.await.map_err(|_| ApiError::Internal)
    }

    fn known(&self, key: &Key) -> Option<Made> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).made.get(key).cloned()
    }
}

fn refusal<T>(made: Result<T, Refused>) -> Result<T> {
    made.map_err(|refused| match refused {
        Refused::NoPicture => {
            ApiError::UnsupportedMediaType("thumbnails are made of PNG, JPEG, GIF and WebP: leave `w` out")
        }
        Refused::Broken => {
            ApiError::UnsupportedMediaType("the picture cannot be decoded, it may be broken: leave `w` out")
        }
        Refused::TooLarge => ApiError::UnsupportedMediaType("the picture is too large for a thumbnail: leave `w` out"),
    })
}

/// Newest thumbnails, bounded by size.
#[derive(Default)]
struct Kept {
    made: HashMap<Key, Made>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Kept {
    fn put(&mut self, key: Key, made: Made) {
        self.bytes += cost(&made);
        if let Some(before) = self.made.insert(key.clone(), made) {
            self.bytes -= cost(&before);
        } else {
            self.order.push_back(key);
        }
        while self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.order.pop_front().and_then(|key| self.made.remove(&key)) else { break };
            self.bytes -= cost(&oldest);
        }
    }
}

fn cost(made: &Made) -> usize {
    KEPT_OVERHEAD_BYTES + made.as_ref().map_or(0, |thumbnail| thumbnail.bytes.len())
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BYTES_MAX, Kept, cost};
    use crate::media::{Refused, Thumbnail};
    use std::sync::Arc;

    #[test]
    fn what_is_kept_is_bounded() {
        let mut kept = Kept::default();
        let made = Ok(Arc::new(Thumbnail { content_type: "image/jpeg", bytes: vec![0; KEPT_BYTES_MAX / 4] }));
        for n in 0..9 {
            kept.put((n.to_string(), 64), made.clone());
            kept.put((n.to_string(), 64), made.clone());
            kept.put((n.to_string(), 128), Err(Refused::TooLarge));
        }
        assert!(kept.bytes <= KEPT_BYTES_MAX && kept.made.contains_key(&("8".to_owned(), 64)));
        assert!(!kept.made.contains_key(&("0".to_owned(), 64)));
        assert_eq!(kept.bytes, kept.made.values().map(cost).sum::<usize>());
        assert_eq!(kept.order.len(), kept.made.len());
    }
}

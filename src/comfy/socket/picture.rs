//! A picture that a node sent over the WebSocket as its result.
//!
//! Invariant: all such pictures that wait to be stored have a limit together, whichever instance sent them.

use crate::comfy::limits;
use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, LazyLock},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for the pictures of all sockets, KiB.
static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(limits::PICTURES_KIB_MAX)));

/// A picture; clones share it.
#[derive(Clone)]
pub struct Picture {
    /// `image/jpeg` or `image/png`.
    pub content_type: &'static str,
    /// The picture.
    pub bytes: Bytes,
    _room: Arc<OwnedSemaphorePermit>,
}

impl Picture {
    /// Keeps a picture until it is dropped; `None` if too many wait already, or it is empty.
    pub(super) fn keep(content_type: &'static str, bytes: Bytes) -> Option<Self> {
        let kib = u32::try_from(bytes.len() / 1024 + 1).ok().filter(|_| !bytes.is_empty())?;
        let room = ROOM.clone().try_acquire_many_owned(kib).ok()?;
        Some(Self { content_type, bytes, _room: Arc::new(room) })
    }

    /// The extension of its file name, with the dot.
    pub fn extension(&self) -> &'static str {
        if self.content_type == "image/png" { ".png" } else { ".jpg" }
    }
}

impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        self.content_type == other.content_type && self.bytes == other.bytes
    }
}

impl Eq for Picture {}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

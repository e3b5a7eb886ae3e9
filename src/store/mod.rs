//! Bytes: uploads and outputs, by id, on disk or wherever `SHUZHIREN_STORAGE_URL` points. The only user of object_store.
//!
//! Invariant: a path is made of our own ids only; nothing half-written is ever visible.

use crate::task::FileId;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::ops::Range;

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file.
    #[error("no such file")]
    NotFound,
    /// No space left, or the quota is used up (507).
    #[error("the store is full")]
    Full,
    /// More bytes than allowed (413).
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The URL cannot be used; said at start.
    #[error("{0}")]
    Unusable(String),
    /// The store does not work now (503).
    #[error("the store failed: {0}")]
    Unavailable(String),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Bytes.
    pub size_bytes: u64,
    /// Lowercase hex.
    pub sha256: String,
    /// The first up to 512 bytes, for telling the content type.
    pub head: Vec<u8>,
}

/// A store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {}

/// A file being written. Dropped without [`Writer::finish`] it leaves nothing.
#[derive(Debug)]
pub struct Writer {}

/// Bytes to read.
pub struct Download {
    /// Size of the whole file.
    pub size_bytes: u64,
    /// The part that `bytes` is.
    pub range: Range<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, Error>>,
}

impl Store {
    /// Opens `file:///absolute/folder` (made if it does not exist).
    pub async fn open(_url: &str) -> Result<Self, Error> {
        todo!("helper store")
    }

    /// Begins a file of at most `size_max` bytes.
    pub async fn create(&self, _id: FileId, _size_max: u64) -> Result<Writer, Error> {
        todo!("helper store")
    }

    /// Reads a file, or the part of it that `range` asks for (clamped to its size).
    pub async fn read(&self, _id: FileId, _range: Option<Range<u64>>) -> Result<Download, Error> {
        todo!("helper store")
    }

    /// Deletes a file; one that does not exist is fine.
    pub async fn delete(&self, _id: FileId) -> Result<(), Error> {
        todo!("helper store")
    }
}

impl Writer {
    /// Appends.
    pub async fn write(&mut self, _bytes: Bytes) -> Result<(), Error> {
        todo!("helper store")
    }

    /// Makes the file visible.
    pub async fn finish(self) -> Result<Stored, Error> {
        todo!("helper store")
    }
}

/// Content type by magic bytes and, where they do not tell, by extension; from our own table, `application/octet-stream`
/// for everything a browser could run.
pub fn content_type(_head: &[u8], _filename: &str) -> &'static str {
    todo!("helper store")
}

/// A display name: last path component, no control or bidi characters, at most 255 bytes, never empty.
pub fn clean_filename(_name: &str) -> String {
    todo!("helper store")
}

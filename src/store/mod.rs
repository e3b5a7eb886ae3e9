//! Bytes: uploads and outputs, by id, on disk or wherever `SHUZHIREN_STORAGE_URL` points. The only user of object_store.
//!
//! Layout: `<first two characters of the id>/<id>`. A file being written has another name (`<id>#<n>` on a disk) and is
//! renamed, synced, when it is whole. `installation` names the system whose files these are.
//!
//! Invariant: a path is made of our own ids only; nothing half-written is ever visible.

mod error;
mod exam;
mod kind;
mod local;
mod lost;
mod name;
mod write;

pub use error::Error;
pub use exam::Space;
pub use kind::{content_type, kind_of};
pub use name::clean_filename;
pub use write::{Stored, Writer};

use crate::task::FileId;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, path::Path};
use std::{ops::Range, path::PathBuf, sync::Arc};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Bytes read from a disk at a time.
const READ_BYTES: usize = 64 * 1024;
/// Bytes written to a disk at a time; what one upload holds in memory, twice. (An object store wants parts of 5 MiB.)
const LOCAL_PART_BYTES: usize = 256 * 1024;

/// A store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Bytes of one part of a file being written.
    part_bytes: usize,
    /// Where the files are when they are on a disk of ours.
    root: Option<Arc<PathBuf>>,
}

/// Bytes to read.
pub struct Download {
    /// Size of the whole file.
    pub size_bytes: u64,
    /// The part that `bytes` is.
    pub range: Range<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, Error>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("size_bytes", &self.size_bytes)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens `file:///absolute/folder` (made if it does not exist) and throws away what crashed writers left there more
    /// than a day ago.
    ///
    /// # Errors
    /// [`Error::Unusable`]: not such a URL, or the folder cannot be made or written.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let root = local::folder_of(url)?;
        let folder = root.clone();
        let objects = tokio::task::spawn_blocking(move || local::open(&folder))
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))??;
        Ok(Self { objects: Arc::new(objects), part_bytes: LOCAL_PART_BYTES, root: Some(Arc::new(root)) })
    }

    /// Begins a file of at most `size_max` bytes. `id` must be fresh: two writers of one id would replace one another.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    pub async fn create(&self, id: FileId, size_max: u64) -> Result<Writer, Error> {
        Writer::begin(self.clone(), id, size_max).await
    }

    /// Reads a file, or the part of it that `range` asks for (clamped to its size; empty when it starts beyond the end).
    ///
    /// A file deleted meanwhile is read to its end (on a disk).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn read(&self, id: FileId, range: Option<Range<u64>>) -> Result<Download, Error> {
        let path = path_of(id);
        let mut options = GetOptions::default();
        if let Some(range) = range {
            let size_bytes = self.objects.head(&path).await?.size;
            let end = range.end.min(size_bytes);
            let start = range.start.min(end);
            if start == end {
                return Ok(Download { size_bytes, range: start..start, bytes: futures_util::stream::empty().boxed() });
            }
            options.range = Some(GetRange::Bounded(start..end));
        }
        let found = self.objects.get_opts(&path, options).await?;
        let (size_bytes, range) = (found.meta.size, found.range.clone());
        let bytes = match found.payload {
            // object_store would read 8 KiB at a time.
            GetResultPayload::File(file, _) => {
                let mut file = tokio::fs::File::from_std(file);
                tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(range.start)).await?;
                let part = file.take(range.end - range.start);
                ReaderStream::with_capacity(part, READ_BYTES).map_err(Error::from).boxed()
            }
            GetResultPayload::Stream(stream) => stream.map_err(Error::from).boxed(),
        };
        Ok(Download { size_bytes, range, bytes })
    }

    /// Deletes a file; one that does not exist is fine.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete(&self, id: FileId) -> Result<(), Error> {
        match self.objects.delete(&path_of(id)).await.map_err(Error::from) {
            Ok(()) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Shards keep folders small: a disk's folder of a million names is slow to change.
fn path_of(id: FileId) -> Path {
    let id = id.to_string();
    Path::from_iter([&id[..2], &id])
}

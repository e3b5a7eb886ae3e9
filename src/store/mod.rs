//! Bytes: uploads and outputs, by object, on disk or in a bucket, wherever `SHUZHIREN_STORAGE_URL` points. The only
//! user of object_store.
//!
//! Layout: `<first two characters of the id>/<id>`. A file being written has another name (`<id>#<n>` on a disk, none
//! in a bucket) and gets its own, synced, when it is whole. `installation` names the system whose files these are.
//!
//! Invariant: a path is made of our own ids only; nothing half-written is ever visible.
//!
//! The same bytes are stored once, however many files (each with its own id, name and owner) have them; they go with
//! the last file. A file that nobody has registered for a day (its process was killed in between) is deleted by the
//! dispatchers, unless the store's `installation` names another system: after a lost or emptied Redis nothing is
//! deleted until that file is removed by hand.
//!
//! A bucket is anything that speaks S3's protocol. A request to it is tried again 3 times within 15 s; after that
//! uploads get a 503, and attempts are tried again. A bucket or key that does not work is named at the start. After a
//! `kill -9` only the bucket knows of unfinished multipart uploads: give it a lifecycle rule that aborts them. A file
//! in a bucket has at most 48 GiB.

mod bucket;
mod error;
mod exam;
mod kind;
mod local;
mod lost;
mod name;
mod share;
mod write;

pub use bucket::Keys;
pub use error::Error;
pub use exam::Space;
pub use kind::{content_type, kind_of};
pub use name::clean_filename;
pub use share::Redirect;
pub use write::{Stored, Writer};

use crate::task::{FileId, ObjectId};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, aws::AmazonS3, path::Path as ObjectPath,
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Bytes read from a disk at a time.
const READ_BYTES: usize = 64 * 1024;
/// Bytes written to a disk at a time; what one upload holds in memory, twice.
const LOCAL_PART_BYTES: usize = 256 * 1024;
/// Bytes sent to a bucket at a time; what one upload holds in memory. S3 takes no smaller part but the last.
const BUCKET_PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts that S3 takes.
const BUCKET_PARTS_MAX: u64 = 10_000;

/// A store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    place: Place,
    /// The origin to which downloads are sent, when they are.
    redirects: Option<Arc<str>>,
}

/// Where the files are.
#[derive(Debug, Clone)]
enum Place {
    /// On a disk of ours.
    Disk(Arc<PathBuf>),
    /// In a bucket, under this prefix.
    Bucket(Arc<AmazonS3>, ObjectPath),
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
    /// Opens the store that a URL names, with what the environment gives as its key: see [`Store::open_with`].
    ///
    /// # Errors
    /// As there.
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(url, None).await
    }

    /// Opens `file:///absolute/folder` (made if it does not exist; what crashed writers left there more than a day ago is thrown
    /// away), or `s3://bucket/prefix?endpoint=…&region=…&style=path`, and tries whether it can be used.
    ///
    /// # Errors
    /// [`Error::Unusable`]: not such a URL, or the folder or bucket is not there, or does not take files from us.
    pub async fn open_with(url: &str, keys: Option<&Keys>) -> Result<Self, Error> {
        if bucket::is_named(url) {
            let (store, place) = Self::of_bucket(url, keys)?;
            place.probe(&store.objects).await?;
            return Ok(store);
        }
        let root = local::folder_of(url)?;
        let folder = root.clone();
        let objects = tokio::task::spawn_blocking(move || local::open(&folder))
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))??;
        Ok(Self { objects: Arc::new(objects), place: Place::Disk(Arc::new(root)), redirects: None })
    }

    /// In a bucket that nobody has been asked about yet.
    fn of_bucket(url: &str, keys: Option<&Keys>) -> Result<(Self, bucket::Place), Error> {
        let place = bucket::Place::read(url)?;
        let bucket = Arc::new(place.client(keys)?);
        let whole = Place::Bucket(bucket.clone(), place.prefix.clone());
        Ok((Self { objects: bucket, place: whole, redirects: None }, place))
    }

    /// Begins a file of at most `size_max` bytes (in a bucket never more than 10,000 parts of 5 MiB). `id` must be fresh: two writers of one id would replace one another.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    pub async fn create(&self, id: FileId, size_max: u64) -> Result<Writer, Error> {
        let size_max = match self.place {
            Place::Disk(_) => size_max,
            Place::Bucket(..) => size_max.min(BUCKET_PARTS_MAX * BUCKET_PART_BYTES as u64),
        };
        Writer::begin(self.clone(), id.into(), size_max).await
    }

    /// Reads a file, or the part of it that `range` asks for (clamped to its size; empty when it starts beyond the end).
    ///
    /// A file deleted meanwhile is read to its end, on a disk and, while nothing breaks off, in a bucket.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn read(&self, object: ObjectId, range: Option<Range<u64>>) -> Result<Download, Error> {
        let path = self.path(object);
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
    pub async fn delete(&self, object: ObjectId) -> Result<(), Error> {
        match self.objects.delete(&self.path(object)).await.map_err(Error::from) {
            Ok(()) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The folder, when the files are on a disk.
    fn root(&self) -> Option<&Path> {
        match &self.place {
            Place::Disk(root) => Some(root),
            Place::Bucket(..) => None,
        }
    }

    /// Bytes of one part of a file being written.
    const fn part_bytes(&self) -> usize {
        match self.place {
            Place::Disk(_) => LOCAL_PART_BYTES,
            Place::Bucket(..) => BUCKET_PART_BYTES,
        }
    }

    /// Of something at the top of the store.
    fn at(&self, name: &str) -> ObjectPath {
        match &self.place {
            Place::Disk(_) => ObjectPath::from(name),
            Place::Bucket(_, prefix) => prefix.clone().join(name),
        }
    }

    /// Shards keep folders small: a disk's folder of a million names is slow to change.
    fn path(&self, object: ObjectId) -> ObjectPath {
        let id = object.to_string();
        self.at(&id[..2]).join(id)
    }
}

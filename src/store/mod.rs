//! Object store for uploads and outputs, on a disk or in a bucket (`SHUZHIREN_STORAGE_URL`). The only user of
//! object_store.
//!
//! Layout: `<first two characters of the id>/<id>`. An unfinished file has another name (`<id>#<n>` on a disk, none in
//! a bucket) and gets its own, synced, when it is complete. The file `installation` names the system that owns the
//! store.
//!
//! Invariant: paths consist of our own ids only; an unfinished file is never visible.
//!
//! Identical bytes are stored once and shared by all files (each with its own id, name and owner) that have them; they
//! are deleted with the last file. A file that is not registered within a day (its process was killed in between) is
//! deleted by the dispatchers, unless `installation` names another system: after Redis was lost or emptied, nothing is
//! deleted until that file is removed by hand.
//!
//! A bucket is any server with the S3 protocol. A request is retried 3 times within 15 s; after that uploads get a 503,
//! and attempts are retried. An invalid bucket or key is reported at start. After a `kill -9`, unfinished multipart
//! uploads remain in the bucket: give it a lifecycle rule that aborts them. A file in a bucket has at most 48 GiB.

mod bucket;
mod clean_filename;
mod content_type;
mod dedup;
mod diagnose;
mod error;
mod local;
mod orphans;
mod owner;
mod reserve;
#[cfg(not(feature = "s3"))]
#[path = "no_s3_client.rs"]
mod s3_client;
#[cfg(feature = "s3")]
mod s3_client;
mod write;

pub use bucket::Keys;
pub use clean_filename::{clean_filename, portable_parts};
pub use content_type::{content_type, kind_of};
pub use dedup::Redirect;
pub use diagnose::Space;
pub use error::Error;
pub use reserve::DiskRoom;
pub use write::{Stored, Writer};

use crate::task::{FileId, ObjectId};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use reserve::Reserve;
use s3_client::S3Client;
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Bytes of one read from a disk.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of one write to a disk; an upload holds twice as much in memory.
const LOCAL_PART_BYTES: usize = 256 * 1024;
/// Bytes of one part sent to a bucket, and memory of one upload. S3 refuses smaller parts except for the last.
const BUCKET_PART_BYTES: usize = 5 * 1024 * 1024;
/// Maximum number of parts of a file in S3.
const BUCKET_PARTS_MAX: u64 = 10_000;

/// A store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    location: Location,
    /// Origin to which downloads are redirected; `None` = they are not.
    redirects: Option<Arc<str>>,
    reserve: Reserve,
    /// Name of the bucket; `None` = a disk.
    bucket: Option<Arc<str>>,
    /// Whether the files belonged to another installation at the last check.
    is_foreign: Arc<AtomicBool>,
}

/// Location of the files.
#[derive(Debug, Clone)]
enum Location {
    /// A folder on a disk.
    Disk(Arc<PathBuf>),
    /// A bucket, and the prefix in it.
    Bucket(S3Client, ObjectPath),
}

/// A file being read.
pub struct Download {
    /// Size of the whole file.
    pub size_bytes: u64,
    /// Range of the file that `bytes` covers.
    pub range: Range<u64>,
    /// The bytes of `range`.
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
    fn new(objects: Arc<dyn ObjectStore>, location: Location, bucket: Option<Arc<str>>) -> Self {
        Self { objects, location, redirects: None, reserve: Reserve::none(), bucket, is_foreign: Arc::default() }
    }

    /// Opens the store of a URL with the credentials of the environment: see [`Store::open_with`].
    ///
    /// # Errors
    /// The same as [`Store::open_with`].
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(url, None).await
    }

    /// Opens `file:///absolute/folder` (created if missing; unfinished files older than a day are deleted) or
    /// `s3://bucket/prefix?endpoint=…&region=…&style=path`, and probes whether it can be used.
    ///
    /// # Errors
    /// [`Error::Unusable`]: the URL is invalid, or the folder or bucket is missing or not writable.
    pub async fn open_with(url: &str, keys: Option<&Keys>) -> Result<Self, Error> {
        if bucket::is_named(url) {
            let (store, url) = Self::of_bucket(url, keys)?;
            url.probe(&store.objects).await?;
            return Ok(store);
        }
        let root = local::folder_of(url)?;
        let folder = root.clone();
        let objects = tokio::task::spawn_blocking(move || local::open(&folder))
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))??;
        let location = Location::Disk(Arc::new(root));
        Ok(Self::new(Arc::new(objects), location, None))
    }

    /// Returns the name of the bucket; `None` for a folder on a disk.
    pub fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref()
    }

    /// Opens a store in a bucket without sending a request.
    fn of_bucket(url: &str, keys: Option<&Keys>) -> Result<(Self, bucket::BucketUrl), Error> {
        let url = bucket::BucketUrl::read(url)?;
        let client = S3Client::new(&url, keys)?;
        let objects = client.objects();
        let location = Location::Bucket(client, url.prefix.clone());
        let bucket = Some(url.bucket.as_str().into());
        Ok((Self::new(objects, location, bucket), url))
    }

    /// Starts a file as [`Store::create`] does, which must leave the reserve of the disk free: an upload.
    ///
    /// # Errors
    /// As [`Store::create`]; and [`Error::ReserveReached`], which writing may return as well.
    pub async fn create_upload(&self, id: FileId, size_max: u64) -> Result<Writer, Error> {
        self.refuse_low_disk().await?;
        Ok(self.create(id, size_max).await?.keeping_reserve())
    }

    /// Starts a file of at most `size_max` bytes (in a bucket at most 10,000 parts of 5 MiB). It may use the reserve of
    /// the disk. `id` must be new: two writers of the same id would overwrite each other.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`].
    pub async fn create(&self, id: FileId, size_max: u64) -> Result<Writer, Error> {
        let size_max = match self.location {
            Location::Disk(_) => size_max,
            Location::Bucket(..) => size_max.min(BUCKET_PARTS_MAX * BUCKET_PART_BYTES as u64),
        };
        Writer::begin(self.clone(), id.into(), size_max).await
    }

    /// Reads a file, or a `range` of it (clamped to its size; empty if it starts beyond the end).
    ///
    /// A file deleted meanwhile is still read to its end; in a bucket only while the connection holds.
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
            // object_store itself would read only 8 KiB at a time.
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

    /// Deletes a file; a missing one is no error.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete(&self, object: ObjectId) -> Result<(), Error> {
        match self.objects.delete(&self.path(object)).await.map_err(Error::from) {
            Ok(()) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the folder, if the files are on a disk.
    fn root(&self) -> Option<&Path> {
        match &self.location {
            Location::Disk(root) => Some(root),
            Location::Bucket(..) => None,
        }
    }

    /// Returns the size of a part of a file being written.
    const fn part_bytes(&self) -> usize {
        match self.location {
            Location::Disk(_) => LOCAL_PART_BYTES,
            Location::Bucket(..) => BUCKET_PART_BYTES,
        }
    }

    /// Returns the path of a file at the top level of the store.
    fn at(&self, name: &str) -> ObjectPath {
        match &self.location {
            Location::Disk(_) => ObjectPath::from(name),
            Location::Bucket(_, prefix) => prefix.clone().join(name),
        }
    }

    /// Returns the path of an object. Shards keep folders small: a disk folder with a million names is slow to change.
    fn path(&self, object: ObjectId) -> ObjectPath {
        let id = object.to_string();
        self.at(&id[..2]).join(id)
    }
}

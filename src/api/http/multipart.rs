//! A multipart form under a meter: what it may hold in all, and how far the parser may read without finding a part.
//!
//! The parser (multer) has no bound of its own on a part's head and would keep all of it.

use crate::api::error::{ApiError, Result};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Request, multipart::Field},
};
use futures_util::StreamExt;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// Bytes that may arrive between two parts: some of what follows arrives with a head.
const HEAD_BYTES_MAX: i64 = 4 << 20;
/// Parts of a form.
const PARTS_MAX: usize = 32;

/// A form that is being read.
pub(crate) struct Form {
    multipart: Multipart,
    meter: Arc<Meter>,
    parts: usize,
}

struct Meter {
    bytes_max: u64,
    left_in_all: AtomicI64,
    left_of_head: AtomicI64,
}

impl Form {
    /// Begins to read `request`, which may hold `bytes_max` bytes in all.
    pub(crate) async fn open(request: Request, bytes_max: u64) -> Result<Self> {
        let meter = Arc::new(Meter {
            bytes_max,
            left_in_all: AtomicI64::new(i64::try_from(bytes_max).unwrap_or(i64::MAX)),
            left_of_head: AtomicI64::new(i64::MAX),
        });
        let (parts, body) = request.into_parts();
        let metered = body.into_data_stream().map({
            let meter = Arc::clone(&meter);
            move |chunk| chunk.map_err(io::Error::other).and_then(|chunk: Bytes| meter.pass(chunk))
        });
        let multipart = Multipart::from_request(Request::from_parts(parts, Body::from_stream(metered)), &())
            .await
            .map_err(|_| ApiError::InvalidUpload("the Content-Type names no boundary".to_owned()))?;
        Ok(Self { multipart, meter, parts: 0 })
    }

    /// The next part; `None` only behind the form's closing boundary.
    pub(crate) async fn next(&mut self) -> Result<Option<Part<'_>>> {
        if self.parts == PARTS_MAX {
            return Err(ApiError::InvalidUpload(format!("the form has more than {PARTS_MAX} parts")));
        }
        self.parts += 1;
        let meter = &self.meter;
        meter.left_of_head.store(HEAD_BYTES_MAX, Ordering::Relaxed);
        let field = self.multipart.next_field().await.map_err(|_| meter.fault())?;
        meter.left_of_head.store(i64::MAX, Ordering::Relaxed);
        Ok(field.map(|field| Part { field, meter }))
    }
}

/// One part; to be read to its end before the next.
pub(crate) struct Part<'a> {
    field: Field<'a>,
    meter: &'a Meter,
}

impl Part<'_> {
    /// The `name` of the form's field.
    pub(crate) fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// What the client calls the file: not to be trusted.
    pub(crate) fn filename(&self) -> &str {
        self.field.file_name().unwrap_or_default()
    }

    /// The next bytes.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.field.chunk().await.map_err(|_| self.meter.fault())
    }
}

impl Meter {
    fn pass(&self, chunk: Bytes) -> io::Result<Bytes> {
        let length = i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        let in_all = self.left_in_all.fetch_sub(length, Ordering::Relaxed);
        let of_head = self.left_of_head.fetch_sub(length, Ordering::Relaxed);
        if length > in_all || length > of_head {
            return Err(io::Error::other("the form is larger than allowed"));
        }
        Ok(chunk)
    }

    /// Why the parser gave up.
    fn fault(&self) -> ApiError {
        if self.left_in_all.load(Ordering::Relaxed) < 0 {
            return ApiError::TooLarge(self.bytes_max);
        }
        if self.left_of_head.load(Ordering::Relaxed) < 0 {
            return ApiError::InvalidUpload("a part of the form has no end of its head".to_owned());
        }
        ApiError::InvalidUpload("the form is broken or was cut off".to_owned())
    }
}

//! Multipart forms with limits on their size, and on the bytes that the parser may read without finding a part.
//!
//! The parser (multer) has no limit on the head of a part, and would buffer all of it.

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

/// Bytes that may arrive between two parts: a head arrives with some of the content that follows.
const HEAD_BYTES_MAX: i64 = 4 << 20;
/// Parts of a form.
const PARTS_MAX: usize = 32;

/// A form being read.
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
    /// Starts to read a form of at most `bytes_max` bytes.
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

    /// Returns the next part; `None` only after the closing boundary of the form.
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

/// A part. It must be read to its end before the next one.
pub(crate) struct Part<'a> {
    field: Field<'a>,
    meter: &'a Meter,
}

impl Part<'_> {
    /// Returns the `name` of the field.
    pub(crate) fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// Returns the client's name of the file, which is not trusted.
    pub(crate) fn filename(&self) -> &str {
        self.field.file_name().unwrap_or_default()
    }

    /// Returns the next bytes.
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

    /// Returns the reason why the parser failed.
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

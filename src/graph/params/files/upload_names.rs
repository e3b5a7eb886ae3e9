//! Names of the caller's uploads, looked up once for all tasks of a request. Resolving is pure: a first pass collects the
//! names, and a second one has the files.

use crate::task::FileId;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

/// Most names that one request looks up, as many as the files that its tasks may use; more count as no uploads.
const NAMES_MAX: usize = 5_000;
/// Longest name of an upload, bytes.
const NAME_BYTES_MAX: usize = 255;

/// The uploads of one caller by name.
#[derive(Debug, Default)]
pub struct UploadNames {
    /// Files of each name, the latest first; `None` = not looked up yet.
    known: Option<HashMap<String, Vec<FileId>>>,
    wanted: Mutex<BTreeSet<String>>,
}

/// Result of a search for an upload.
#[derive(Debug)]
pub(super) enum Upload<'a> {
    /// Uploads of that name, the latest first.
    Found(&'a [FileId]),
    /// There is none.
    None,
    /// The name will be looked up.
    Pending,
}

impl UploadNames {
    /// Returns names that were looked up: each with its files, the latest first.
    pub fn new(known: HashMap<String, Vec<FileId>>) -> Self {
        Self { known: Some(known), wanted: Mutex::default() }
    }

    /// Returns the names that were searched for and not looked up yet.
    pub fn wanted(&self) -> Vec<String> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(super) fn find(&self, name: &str) -> Upload<'_> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Upload::None;
        }
        let Some(known) = &self.known else {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if wanted.len() < NAMES_MAX {
                wanted.insert(name.to_owned());
            }
            return Upload::Pending;
        };
        known.get(name).filter(|files| !files.is_empty()).map_or(Upload::None, |files| Upload::Found(files))
    }
}

//! Cache of the input files that an instance has received since its start: each file is uploaded once.

use crate::dispatcher::shared::lock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Largest number of files remembered. At the limit the cache is cleared, and files are uploaded again when needed.
const FILES_MAX: usize = 10_000;

/// The files of one instance, by upload name (hash of the content and extension).
#[derive(Default)]
pub(crate) struct InputCache(Mutex<HashMap<String, Slot>>);

/// The instance's name for one file. Locked during the upload, so that concurrent users wait instead of uploading too.
type Slot = Arc<tokio::sync::Mutex<Option<String>>>;

/// A file at the instance.
pub(crate) struct Upload {
    /// The instance's name for the file, written into the graph.
    pub(crate) name: String,
    /// Whether the cache listed the file, so that it was not uploaded.
    pub(crate) is_cached: bool,
}

impl InputCache {
    /// Returns the cached file, or runs `upload`, which returns the instance's name for it.
    ///
    /// # Errors
    /// The error of `upload`; nothing is cached then.
    pub(crate) async fn get_or_upload<E>(
        &self,
        file: &str,
        upload: impl Future<Output = Result<String, E>>,
    ) -> Result<Upload, E> {
        let slot = self.slot(file);
        let mut known = slot.lock().await;
        if let Some(name) = known.clone() {
            return Ok(Upload { name, is_cached: true });
        }
        let name = upload.await?;
        *known = Some(name.clone());
        Ok(Upload { name, is_cached: false })
    }

    /// Removes a file that the instance turned out to lack.
    pub(crate) fn forget(&self, file: &str) {
        lock(&self.0).remove(file);
    }

    /// Removes all files, because the instance may have restarted. An upload in progress is not cached: its slot is
    /// detached.
    pub(crate) fn forget_all(&self) {
        lock(&self.0).clear();
    }

    fn slot(&self, file: &str) -> Slot {
        let mut slots = lock(&self.0);
        if slots.len() >= FILES_MAX && !slots.contains_key(file) {
            slots.clear();
        }
        slots.entry(file.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{FILES_MAX, InputCache};
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    async fn upload_file(cache: &InputCache, file: &str, sent: &AtomicU32) -> (String, bool) {
        let upload = async {
            sent.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>(format!("in/{file}"))
        };
        let uploaded = cache.get_or_upload(file, upload).await.unwrap();
        (uploaded.name, uploaded.is_cached)
    }

    #[tokio::test]
    async fn concurrent_users_upload_a_file_once() {
        let (cache, sent) = (InputCache::default(), AtomicU32::new(0));
        let (one, other) = tokio::join!(upload_file(&cache, "a", &sent), upload_file(&cache, "a", &sent));
        assert_eq!((one, other), (("in/a".to_owned(), false), ("in/a".to_owned(), true)));
        upload_file(&cache, "b", &sent).await;
        assert_eq!(sent.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn a_forgotten_or_failed_file_is_uploaded_again() {
        let (cache, sent) = (InputCache::default(), AtomicU32::new(0));
        assert!(cache.get_or_upload("a", async { Err::<String, _>(7) }).await.is_err_and(|error| error == 7));
        assert!(!upload_file(&cache, "a", &sent).await.1);
        cache.forget("b");
        assert!(upload_file(&cache, "a", &sent).await.1);
        cache.forget("a");
        assert!(!upload_file(&cache, "a", &sent).await.1);
        cache.forget_all();
        assert!(!upload_file(&cache, "a", &sent).await.1);
    }

    /// The instance restarts during an upload: the old process may have received the file.
    #[tokio::test]
    async fn an_upload_in_progress_when_the_cache_is_cleared_is_not_cached() {
        let (cache, sent) = (InputCache::default(), AtomicU32::new(0));
        let upload = async {
            cache.forget_all();
            Ok::<_, ()>("in/a".to_owned())
        };
        assert!(!cache.get_or_upload("a", upload).await.unwrap().is_cached);
        assert!(!upload_file(&cache, "a", &sent).await.1);
    }

    #[tokio::test]
    async fn the_cache_is_bounded() {
        let (cache, sent) = (InputCache::default(), AtomicU32::new(0));
        for number in 0..FILES_MAX + 1 {
            upload_file(&cache, &number.to_string(), &sent).await;
        }
        assert!(!upload_file(&cache, "0", &sent).await.1 && cache.0.lock().unwrap().len() < FILES_MAX);
    }
}

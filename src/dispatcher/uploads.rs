//! Which files an instance has been given since it started, and what it calls them: each is brought there once.

use super::instance::lock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Files remembered; beyond it all are forgotten, and brought again when they are needed.
const REMEMBERED_MAX: usize = 10_000;

/// The memory of one instance, by the name that the file is sent under (its content's hash).
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Slot>>);

/// The instance's name for one file; held while it is being brought, so that others wait instead of bringing it too.
type Slot = Arc<tokio::sync::Mutex<Option<String>>>;

/// A file that is at the instance.
pub(super) struct Brought {
    /// What goes into the graph.
    pub(super) name: String,
    /// It was there already, as far as is remembered.
    pub(super) is_remembered: bool,
}

impl Uploads {
    /// Brings a file with `upload`, which gives the instance's name for it, unless it is there.
    ///
    /// # Errors
    /// What `upload` says; nothing is remembered then.
    pub(super) async fn bring<E>(
        &self,
        file: &str,
        upload: impl Future<Output = Result<String, E>>,
    ) -> Result<Brought, E> {
        let slot = self.slot(file);
        let mut known = slot.lock().await;
        if let Some(name) = known.clone() {
            return Ok(Brought { name, is_remembered: true });
        }
        let name = upload.await?;
        *known = Some(name.clone());
        Ok(Brought { name, is_remembered: false })
    }

    /// The instance does not have it after all.
    pub(super) fn forget(&self, file: &str) {
        lock(&self.0).remove(file);
    }

    /// The instance may have started anew. What is on its way just now ends in a slot that nobody finds any more.
    pub(super) fn forget_all(&self) {
        lock(&self.0).clear();
    }

    fn slot(&self, file: &str) -> Slot {
        let mut slots = lock(&self.0);
        if slots.len() >= REMEMBERED_MAX && !slots.contains_key(file) {
            slots.clear();
        }
        slots.entry(file.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{REMEMBERED_MAX, Uploads};
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    async fn bring(uploads: &Uploads, file: &str, sent: &AtomicU32) -> (String, bool) {
        let upload = async {
            sent.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>(format!("in/{file}"))
        };
        let brought = uploads.bring(file, upload).await.unwrap();
        (brought.name, brought.is_remembered)
    }

    #[tokio::test]
    async fn two_who_need_a_file_at_once_bring_it_once() {
        let (uploads, sent) = (Uploads::default(), AtomicU32::new(0));
        let (one, other) = tokio::join!(bring(&uploads, "a", &sent), bring(&uploads, "a", &sent));
        assert_eq!((one, other), (("in/a".to_owned(), false), ("in/a".to_owned(), true)));
        bring(&uploads, "b", &sent).await;
        assert_eq!(sent.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn what_was_forgotten_or_did_not_arrive_is_brought_again() {
        let (uploads, sent) = (Uploads::default(), AtomicU32::new(0));
        assert!(uploads.bring("a", async { Err::<String, _>(7) }).await.is_err_and(|error| error == 7));
        assert!(!bring(&uploads, "a", &sent).await.1);
        uploads.forget("b");
        assert!(bring(&uploads, "a", &sent).await.1);
        uploads.forget("a");
        assert!(!bring(&uploads, "a", &sent).await.1);
        uploads.forget_all();
        assert!(!bring(&uploads, "a", &sent).await.1);
    }

    /// The instance starts anew while a file is on its way: it may have gone to the old one.
    #[tokio::test]
    async fn what_is_on_its_way_when_all_is_forgotten_is_not_remembered() {
        let (uploads, sent) = (Uploads::default(), AtomicU32::new(0));
        let upload = async {
            uploads.forget_all();
            Ok::<_, ()>("in/a".to_owned())
        };
        assert!(!uploads.bring("a", upload).await.unwrap().is_remembered);
        assert!(!bring(&uploads, "a", &sent).await.1);
    }

    #[tokio::test]
    async fn the_memory_is_bounded() {
        let (uploads, sent) = (Uploads::default(), AtomicU32::new(0));
        for number in 0..REMEMBERED_MAX + 1 {
            bring(&uploads, &number.to_string(), &sent).await;
        }
        assert!(!bring(&uploads, "0", &sent).await.1 && uploads.0.lock().unwrap().len() < REMEMBERED_MAX);
    }
}

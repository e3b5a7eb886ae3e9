//! Reserve of free space on the disk of a store: uploads and claims stop before it is used, so that running prompts can
//! still store their outputs, and a Redis on the same disk can still write.

use super::{Error, Space, Store};
use crate::{metrics, settings::DiskReserve};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Age up to which a sample of the free space is used again.
const FRESH: Duration = Duration::from_millis(500);
/// Interval between two reports.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for a file system to report its space: a lost network disk blocks.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Free space of a disk and its reserve, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskRoom {
    /// Bytes available to us.
    pub free: u64,
    /// Bytes that uploads and claims leave free.
    pub reserve: u64,
}

impl DiskRoom {
    /// Whether less than the reserve is free.
    pub const fn is_low(&self) -> bool {
        self.free < self.reserve
    }
}

/// The reserve of a store, and the last sample of its free space.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    rule: DiskReserve,
    samples: Arc<Samples>,
}

impl Reserve {
    /// No reserve.
    pub(super) fn none() -> Self {
        Self { rule: DiskReserve::Bytes(0), samples: Arc::default() }
    }
}

impl Store {
    /// Sets the reserve of the disk. Without it, a store uses all space.
    #[must_use]
    pub fn with_reserve(self, rule: DiskReserve) -> Self {
        Self { reserve: Reserve { rule, samples: Arc::default() }, ..self }
    }

    /// Returns the free space of the disk, at most half a second old; the last known one while the disk does not answer.
    /// `None` if the store is not on a disk, or if the disk never answered.
    pub async fn disk_room(&self) -> Option<DiskRoom> {
        let last = self.reserve.samples.lock().last;
        match last {
            Some((at, (_, room))) if at.elapsed() < FRESH => Some(room),
            _ => Some(self.sample().await?.1.1),
        }
    }

    /// Returns the size of the disk, bytes, and its room. `None` if the store is a bucket, or the disk does not answer.
    pub async fn disk(&self) -> Option<(u64, DiskRoom)> {
        let (at, sample) = self.sample().await?;
        (at.elapsed() < SAMPLE_TIMEOUT).then_some(sample)
    }

    /// Whether less than the reserve is free.
    pub async fn is_disk_low(&self) -> bool {
        self.disk_room().await.is_some_and(|room| room.is_low())
    }

    /// Reports the free space of the disk as metrics, and in the log when it reaches the reserve, until `stop`.
    pub async fn watch_disk(self, stop: CancellationToken) {
        let mut was_low = false;
        loop {
            if let Some(room) = self.disk_room().await {
                metrics::disk(room.free, room.reserve);
                match (was_low, room.is_low()) {
                    (false, true) => tracing::error!(
                        free_bytes = room.free,
                        reserve_bytes = room.reserve,
                        "disk of the file store at its reserve: uploads are refused and tasks wait"
                    ),
                    (true, false) => tracing::info!(free_bytes = room.free, "disk of the file store has space again"),
                    _ => {}
                }
                was_low = room.is_low();
            }
            if stop.run_until_cancelled(sleep(WATCH_INTERVAL)).await.is_none() {
                return;
            }
        }
    }

    /// Refuses new bytes while less than the reserve is free.
    ///
    /// # Errors
    /// [`Error::ReserveReached`].
    pub(super) async fn refuse_low_disk(&self) -> Result<(), Error> {
        match self.sample().await {
            Some((_, (_, room))) if room.is_low() => Err(Error::ReserveReached(room)),
            _ => Ok(()),
        }
    }

    async fn sample(&self) -> Option<(Instant, Sample)> {
        self.root()?;
        let store = self.clone();
        let read = move || {
            let Space { free, total } = store.space().ok()??;
            Some((total, DiskRoom { free, reserve: store.reserve.rule.bytes(total) }))
        };
        self.reserve.samples.take(read).await
    }
}

/// Size of the disk, bytes, and its room.
type Sample = (u64, DiskRoom);

/// The last sample, and the one being taken: a disk that hangs uses one thread, however many ask.
#[derive(Debug, Default)]
struct Samples(Mutex<SampleState>);

#[derive(Debug, Default)]
struct SampleState {
    last: Option<(Instant, Sample)>,
    /// Its begin, and a channel that closes at its end.
    running: Option<(Instant, watch::Receiver<()>)>,
}

impl Samples {
    /// Takes a sample, or waits for the one being taken, until it has run for [`SAMPLE_TIMEOUT`]. Returns the last one then.
    async fn take(
        self: &Arc<Self>,
        read: impl FnOnce() -> Option<Sample> + Send + 'static,
    ) -> Option<(Instant, Sample)> {
        let (began, mut ended) = self.begin(read);
        let left = SAMPLE_TIMEOUT.saturating_sub(began.elapsed());
        let _ended_or_late = timeout(left, ended.changed()).await;
        self.lock().last
    }

    fn begin(
        self: &Arc<Self>,
        read: impl FnOnce() -> Option<Sample> + Send + 'static,
    ) -> (Instant, watch::Receiver<()>) {
        let mut state = self.lock();
        if let Some((began, ended)) = &state.running
            && ended.has_changed().is_ok()
        {
            return (*began, ended.clone());
        }
        let (running, ended) = watch::channel(());
        let begun = (Instant::now(), ended);
        state.running = Some(begun.clone());
        let samples = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let sample = read();
            samples.lock().last = sample.map(|sample| (Instant::now(), sample));
            drop(running);
        });
        begun
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SampleState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{DiskRoom, Samples};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    #[tokio::test]
    async fn a_disk_that_hangs_uses_one_thread_and_the_last_sample_stays() {
        let samples = Arc::new(Samples::default());
        let room = DiskRoom { free: 7, reserve: 1 };
        let found = |taken: Option<(super::Instant, super::Sample)>| taken.map(|(_, (_, room))| room);
        assert_eq!(found(samples.take(move || Some((9, room))).await), Some(room));
        let (release, hung) = mpsc::channel::<()>();
        let (begun, hung) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(hung)));
        let hang = || {
            let (begun, hung) = (begun.clone(), hung.clone());
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _released = hung.lock().unwrap().recv();
                None
            }
        };
        let waiting = (0..50).map(|_| samples.take(hang()));
        for taken in futures_util::future::join_all(waiting).await {
            assert_eq!(found(taken), Some(room));
        }
        // A late one waits no longer than the sample itself may take.
        assert_eq!(found(samples.take(hang()).await), Some(room));
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        drop(release);
        let fresh = DiskRoom { free: 9, reserve: 1 };
        let sampled = async { while found(samples.take(move || Some((9, fresh))).await) != Some(fresh) {} };
        tokio::time::timeout(std::time::Duration::from_secs(20), sampled).await.unwrap();
    }
}

//! The CPU work of requests: reading and resolving them. Small work runs at once. Larger work runs on a few threads of its
//! own, so that the runtime answers others meanwhile, within a budget, and ends when the request is dropped. One user never
//! holds all threads if there are several, and others wait for at most one piece of heavy work of that user. A user's
//! ordinary work does not queue behind the heavy work of the same user: an administrator may be many programs.

use super::{Error, Result};
use crate::graph::{Budget, BudgetLimits, Exhausted};
use std::{
    collections::HashMap,
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    task::JoinError,
    time::timeout,
};

/// Largest text that is worked on at once, without another thread, bytes.
const SMALL_BYTES_MAX: usize = 32 * 1024;
/// Budget of such work: one or two milliseconds. What needs more begins again on another thread.
const SMALL: BudgetLimits =
    BudgetLimits { steps: 20_000, cpu: Duration::from_millis(20 * SLOWNESS), bytes: 1 << 20, searches: 0 };
/// Budget of ordinary work: a tenth of a second of CPU. What needs more is heavy, and begins again in a queue of its own.
const ORDINARY: BudgetLimits = BudgetLimits { steps: 2_000_000, cpu: Duration::from_millis(400 * SLOWNESS), ..WHOLE };
/// Budget of a request. The steps are about a second of CPU; the clock ends work that no step counts, and leaves room for
/// slower machines, so that the same request has the same answer on all of them.
const WHOLE: BudgetLimits =
    BudgetLimits { steps: 20_000_000, cpu: Duration::from_millis(4_000 * SLOWNESS), bytes: 32 << 20, searches: 5 };
/// Unoptimised code takes many times as long.
const SLOWNESS: u64 = if cfg!(debug_assertions) { 10 } else { 1 };
/// Users remembered until those without work are forgotten.
const USERS_MAX: usize = 1_000;
/// Longest wait for a thread.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Turns of each user, for each kind of work.
type Turns = HashMap<(Kind, String), Weak<Semaphore>>;

/// Threads for the CPU work of requests; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct CpuPool {
    free: Arc<Semaphore>,
    /// Threads that one user may hold or wait for, for each kind of work.
    user_threads: usize,
    users: Arc<Mutex<Turns>>,
}

/// Work for which a user waits in a queue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Ordinary,
    Heavy,
}

/// Sets a flag that ends the work when its request is dropped, because the client is gone.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl CpuPool {
    /// Returns a pool that leaves one core to the runtime if there are several.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (cores - 1).max(1);
        Self { free: Arc::new(Semaphore::new(threads)), user_threads: threads.div_ceil(2), users: Arc::default() }
    }

    /// Runs `work` of a user on a text of `bytes` within a budget. It is begun again when it turns out to be larger than it
    /// seemed: at most twice.
    ///
    /// # Errors
    /// [`Error::TooComplex`] if the budget does not suffice; [`Error::Busy`] if no thread is free for a long time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        user: &str,
        bytes: usize,
        work: impl Fn(&Budget) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if bytes <= SMALL_BYTES_MAX {
            let budget = Budget::new(SMALL, None);
            let result = work(&budget);
            if budget.check().is_ok() {
                return result;
            }
        }
        let ordinary = self.run_apart(Kind::Ordinary, user, move |cancelled| {
            let budget = Budget::new(ORDINARY, Some(cancelled));
            let result = work(&budget);
            match budget.check() {
                Err(Exhausted::Work) => Err(work),
                checked => Ok(checked.map_err(Error::from).and(result)),
            }
        });
        let work = match ordinary.await? {
            Ok(result) => return result,
            Err(work) => work,
        };
        let heavy = self.run_apart(Kind::Heavy, user, move |cancelled| {
            let budget = Budget::new(WHOLE, Some(cancelled));
            let result = work(&budget);
            budget.check()?;
            result
        });
        heavy.await?
    }

    /// Runs `work` of a user whose time is proportional to the `bytes` that it reads.
    ///
    /// # Errors
    /// [`Error::Busy`] if no thread is free for a long time.
    pub(super) async fn run_linear<T: Send + 'static>(
        &self,
        user: &str,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if bytes <= SMALL_BYTES_MAX { Ok(work()) } else { self.run_apart(Kind::Ordinary, user, |_| work()).await }
    }

    async fn run_apart<T: Send + 'static>(
        &self,
        kind: Kind,
        user: &str,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> Result<T> {
        let thread =
            timeout(WAIT_MAX, self.thread(kind, user)).await.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
        let request = CancelOnDrop(Arc::default());
        let cancelled = request.0.clone();
        let result = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            work(cancelled)
        });
        result.await.map_err(resume)
    }
}

impl CpuPool {
    /// Waits for a thread: first for the user's turn, then for the thread.
    async fn thread(&self, kind: Kind, user: &str) -> std::result::Result<[OwnedSemaphorePermit; 2], AcquireError> {
        let turn = self.turns(kind, user).acquire_owned().await?;
        Ok([turn, self.free.clone().acquire_owned().await?])
    }

    fn turns(&self, kind: Kind, user: &str) -> Arc<Semaphore> {
        let key = (kind, user.to_owned());
        // The map is consistent after every statement, so a panic while it was locked does no harm.
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = users.get(&key).and_then(Weak::upgrade) {
            return turns;
        }
        if users.len() >= USERS_MAX {
            users.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(self.user_threads));
        users.insert(key, Arc::downgrade(&turns));
        turns
    }
}

/// Passes a panic on to the request, which answers 500; else the process is ending.
fn resume(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::Busy,
    }
}

impl From<Exhausted> for Error {
    fn from(why: Exhausted) -> Self {
        match why {
            Exhausted::Work => Self::TooComplex(
                "resolving this takes too much work: use fewer nodes, links, placeholders or params, or make smaller batches",
            ),
            Exhausted::Bytes => Self::TooComplex(
                "the params write more than 32 MiB into the workflow: use a long value in fewer places",
            ),
            // No client reads it.
            Exhausted::Cancelled => Self::Busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CpuPool, Error, ORDINARY, SMALL_BYTES_MAX, Semaphore};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    #[tokio::test]
    async fn small_work_runs_at_once_and_begins_again_elsewhere_if_it_is_not_small() {
        let pool = CpuPool::new();
        let here = std::thread::current().id();
        let run_on = async |bytes: usize, steps: usize| {
            let work = move |budget: &crate::graph::Budget| {
                budget.spend(steps);
                Ok(std::thread::current().id())
            };
            pool.run("lin", bytes, work).await
        };
        assert_eq!(run_on(100, 1_000).await.unwrap(), here);
        assert_ne!(run_on(100, 1_000_000).await.unwrap(), here);
        assert_ne!(run_on(SMALL_BYTES_MAX + 1, 1).await.unwrap(), here);
        assert!(matches!(run_on(100, usize::MAX).await, Err(Error::TooComplex(_))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_of_a_dropped_request_ends_and_frees_its_thread() {
        let pool = CpuPool::new();
        let threads = pool.free.available_permits();
        let (begun, ended) = (mpsc::channel(), Arc::new(AtomicUsize::new(0)));
        let rounds = Arc::new(AtomicUsize::new(0));
        let (count, done) = (ended.clone(), rounds.clone());
        let request = tokio::spawn({
            let pool = pool.clone();
            async move {
                let work = move |budget: &crate::graph::Budget| {
                    let _sent = begun.0.send(());
                    // Stands for work of 4,000 rounds, which is what the budget allows.
                    while budget.spend(5_000) {
                        std::thread::sleep(Duration::from_millis(1));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                };
                pool.run("lin", SMALL_BYTES_MAX + 1, work).await
            }
        });
        begun.1.recv_timeout(Duration::from_secs(30)).unwrap();
        request.abort();
        let freed = pool.free.acquire_many(u32::try_from(threads).unwrap());
        let _all = tokio::time::timeout(Duration::from_secs(30), freed).await.unwrap().unwrap();
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert!(rounds.load(Ordering::Relaxed) < 2_000, "ended by its budget, not by the client");
    }

    /// With the threads of two, heavy work of a user takes one of them, and ordinary work of the same user the other.
    #[tokio::test(flavor = "multi_thread")]
    async fn ordinary_work_of_a_user_does_not_wait_for_heavy_work() {
        let pool = CpuPool { free: Arc::new(Semaphore::new(2)), user_threads: 1, users: Arc::default() };
        let (release, released) = mpsc::channel::<()>();
        let (begun, heavy_begun) = mpsc::channel();
        let released = Arc::new(std::sync::Mutex::new(released));
        let steps = usize::try_from(ORDINARY.steps).unwrap() + 1;
        let heavy: Vec<_> = (0..3)
            .map(|_| {
                let (pool, released, begun) = (pool.clone(), released.clone(), begun.clone());
                let work = move |budget: &crate::graph::Budget| {
                    if budget.spend(steps) {
                        let _sent = begun.send(());
                        let _freed = released.lock().unwrap().recv_timeout(Duration::from_secs(30));
                    }
                    Ok(())
                };
                tokio::spawn(async move { pool.run("kim", SMALL_BYTES_MAX + 1, work).await })
            })
            .collect();
        heavy_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        let ordinary = pool.run("kim", SMALL_BYTES_MAX + 1, |_| Ok(7));
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), ordinary).await.unwrap().unwrap(), 7);
        drop(release);
        for work in heavy {
            work.await.unwrap().unwrap();
        }
    }

    /// With the threads of two, one user's work takes one of them, however much there is.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_with_much_work_does_not_keep_others_waiting() {
        let pool = CpuPool { free: Arc::new(Semaphore::new(2)), user_threads: 1, users: Arc::default() };
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let of_kim: Vec<_> = (0..5)
            .map(|_| {
                let (pool, released) = (pool.clone(), released.clone());
                let wait = move || {
                    let _freed = released.lock().unwrap().recv_timeout(Duration::from_secs(30));
                };
                tokio::spawn(async move { pool.run_linear("kim", SMALL_BYTES_MAX + 1, wait).await })
            })
            .collect();
        let of_lin = pool.run_linear("lin", SMALL_BYTES_MAX + 1, || 7);
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), of_lin).await.unwrap().unwrap(), 7);
        drop(release);
        for work in of_kim {
            work.await.unwrap().unwrap();
        }
    }
}

//! Gauges: the counts of the queue, read when scraped, and the instances leased by this process.

use super::table::{
    DISK_FREE_BYTES, DISK_RESERVE_BYTES, FILE_BYTES, FILES, INSTANCE_BUSY, INSTANCE_QUARANTINED, INSTANCE_UP,
    QUEUE_OLDEST_SECONDS, QUEUE_TASKS, QUEUE_WAITING,
};
use crate::fleet::Counts;
use ::metrics::gauge;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Minimum interval between two reads of the counts.
const FRESH: Duration = Duration::from_millis(1_500);
/// Longest time that a scrape waits for the counts.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of instances with a label; an exported series remains as long as the process.
const INSTANCES_MAX: usize = 1_000;

type Refresh = Arc<dyn Fn() -> BoxFuture<'static, Option<Counts>> + Send + Sync>;

static REFRESH: Mutex<(Option<Refresh>, Option<Instant>)> = Mutex::new((None, None));
static INSTANCES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Sets the function by which a scrape reads the counts of the queue. If it returns `None` (unavailable), the gauges
/// become `NaN`, so that stale values are never shown as current. Without this hook a process exports no gauges of the
/// queue. The last call counts.
pub fn set_refresh<F>(refresh: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = Option<Counts>> + Send + 'static,
{
    *REFRESH.lock().unwrap_or_else(PoisonError::into_inner) = (Some(Arc::new(move || refresh().boxed())), None);
}

pub(super) async fn refresh() {
    let due = {
        let mut state = REFRESH.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = state.1.is_some_and(|at| at.elapsed() < FRESH);
        let due = state.0.clone().filter(|_| !is_fresh);
        if due.is_some() {
            state.1 = Some(Instant::now());
        }
        due
    };
    if let Some(ask) = due {
        queue(timeout(REFRESH_TIMEOUT, ask()).await.unwrap_or_default());
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are f64; counts stay below 2^53")]
fn queue(counts: Option<Counts>) {
    let known = counts.is_some();
    let counts = counts.unwrap_or_default();
    let level = |value: u64| if known { value as f64 } else { f64::NAN };
    for (state, value) in [
        ("pending", counts.pending),
        ("running", counts.running),
        ("completed", counts.completed),
        ("failed", counts.failed),
        ("cancelled", counts.cancelled),
    ] {
        gauge!(QUEUE_TASKS, "state" => state).set(level(value));
    }
    for (lane, value) in ["high", "normal", "low"].into_iter().zip(counts.waiting_by_lane) {
        gauge!(QUEUE_WAITING, "lane" => lane).set(level(value));
    }
    let files = counts.files;
    for (kind, total) in [("upload", files.uploads), ("output", files.outputs), ("stored", files.stored)] {
        gauge!(FILES, "kind" => kind).set(level(total.count));
        gauge!(FILE_BYTES, "kind" => kind).set(level(total.bytes));
    }
    gauge!(QUEUE_OLDEST_SECONDS).set(level(counts.oldest_waiting_ms.unwrap_or_default()) / 1_000.0);
}

/// Sets the gauges of the file store's disk.
#[expect(clippy::cast_precision_loss, reason = "gauges are f64; disks stay below 2^53 bytes")]
pub fn disk(free: u64, reserve: u64) {
    gauge!(DISK_FREE_BYTES).set(free as f64);
    gauge!(DISK_RESERVE_BYTES).set(reserve as f64);
}

/// Sets the gauges of an instance leased by this process.
pub fn instance(instance: &str, up: bool, busy: bool, quarantined: bool) {
    set_instance(instance, [up, busy, quarantined].map(|flag| f64::from(u8::from(flag))));
}

/// Sets the gauges of an instance that is no longer leased by this process to `NaN`.
pub fn instance_gone(instance: &str) {
    set_instance(instance, [f64::NAN; 3]);
}

fn set_instance(instance: &str, [up, busy, quarantined]: [f64; 3]) {
    let mut known = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
    if !known.contains(instance) {
        if known.len() >= INSTANCES_MAX {
            return;
        }
        known.insert(instance.to_owned());
    }
    drop(known);
    gauge!(INSTANCE_UP, "instance" => instance.to_owned()).set(up);
    gauge!(INSTANCE_BUSY, "instance" => instance.to_owned()).set(busy);
    gauge!(INSTANCE_QUARANTINED, "instance" => instance.to_owned()).set(quarantined);
}

//! Cache of the fleet's catalogs: what the instances can run. Kept for a moment, because every submission needs it.

use crate::{
    fleet::InstanceView,
    graph::{Catalog, FleetCatalog, Member},
    queue::{Queue, Result},
    task::InstanceId,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Age from which the catalogs are read again, in the background.
const FRESH: Duration = Duration::from_secs(1);
/// Age from which a caller waits for the read.
const STALE: Duration = Duration::from_secs(10);
/// Longest such wait: without Redis, a submission fails anyway.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Distinct catalogs; an instance with another one counts as unknown.
const CATALOGS_MAX: usize = 64;

/// Instances and catalogs of the fleet at one moment.
#[derive(Debug, Default)]
pub struct FleetSnapshot {
    /// Every instance of the config.
    pub instances: Vec<InstanceId>,
    /// Merged catalogs of the instances.
    pub catalog: FleetCatalog,
}

/// Cached catalogs; cheap to clone.
#[derive(Clone)]
pub struct CatalogCache(Arc<Inner>);

struct Inner {
    queue: Queue,
    cached: Mutex<Cached>,
    /// Held while the catalogs are read, so that one caller reads at a time.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Cached {
    snapshot: Arc<FleetSnapshot>,
    /// Time of the last read, successful or not.
    read_at: Option<Instant>,
    catalogs: HashMap<String, Arc<Catalog>>,
}

impl CatalogCache {
    pub(super) fn new(queue: Queue) -> Self {
        Self(Arc::new(Inner { queue, cached: Mutex::default(), reading: Arc::default() }))
    }

    /// Returns the newest snapshot: at most [`STALE`] old while Redis answers, else the last one that was read.
    pub async fn current(&self) -> Arc<FleetSnapshot> {
        let age = self.age();
        if age.is_some_and(|age| age < FRESH) {
            return self.last();
        }
        if age.is_some_and(|age| age < STALE) {
            if let Ok(reading) = self.0.reading.clone().try_lock_owned() {
                let cache = self.clone();
                tokio::spawn(async move {
                    cache.read().await;
                    drop(reading);
                });
            }
            return self.last();
        }
        let _reading = self.0.reading.lock().await;
        if self.age().is_none_or(|age| age >= STALE)
            && tokio::time::timeout(WAIT_MAX, Box::pin(self.read())).await.is_err()
        {
            self.lock().read_at = Some(Instant::now());
        }
        self.last()
    }

    fn age(&self) -> Option<Duration> {
        self.lock().read_at.map(|at| at.elapsed())
    }

    fn last(&self) -> Arc<FleetSnapshot> {
        self.lock().snapshot.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cached> {
        // The value is consistent after every statement, so a panic while it was locked does no harm.
        self.0.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self) {
        let read = self.members().await;
        let mut cached = self.lock();
        cached.read_at = Some(Instant::now());
        match read {
            Ok((instances, members, catalogs)) => {
                let catalog = FleetCatalog::new(members);
                // The same content stays the same snapshot, and keeps what was derived from it.
                if cached.snapshot.instances != instances || !cached.snapshot.catalog.is_same(&catalog) {
                    cached.snapshot = Arc::new(FleetSnapshot { instances, catalog });
                }
                cached.catalogs = catalogs;
            }
            Err(error) => tracing::debug!(%error, "catalogs of the fleet not read"),
        }
    }

    async fn members(&self) -> Result<(Vec<InstanceId>, Vec<Member>, HashMap<String, Arc<Catalog>>)> {
        let queue = &self.0.queue;
        let targets = queue.config().await?.targets();
        let ids: Vec<InstanceId> = targets.iter().map(|target| target.id.clone()).collect();
        let statuses = queue.instances(&ids).await?;
        let cached = self.lock().catalogs.clone();
        let mut catalogs: HashMap<String, Arc<Catalog>> = HashMap::new();
        let mut members = Vec::with_capacity(targets.len());
        for (target, status) in targets.iter().zip(&statuses) {
            let view = InstanceView::new(target, status.as_ref());
            let mut catalog = None;
            if let Some(hash) = status.as_ref().and_then(|status| status.report.catalog.as_ref()) {
                catalog = catalogs.get(hash).or_else(|| cached.get(hash)).cloned();
                if catalog.is_none() && catalogs.len() < CATALOGS_MAX {
                    catalog = queue.catalog(hash).await?.and_then(|json| Catalog::from_json(&json)).map(Arc::new);
                }
                if let Some(catalog) = &catalog {
                    catalogs.insert(hash.clone(), catalog.clone());
                }
            }
            members.push(Member { instance: target.id.clone(), is_alive: view.enabled && view.alive, catalog });
        }
        Ok((ids, members, catalogs))
    }
}

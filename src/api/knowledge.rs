//! What the instances can run, as this process last read it: kept for a moment, because every submit asks.

use super::{error::Result, routes::nodes::Listed};
use crate::{
    fleet::InstanceView,
    graph::{Catalog, FleetCatalog, Member},
    queue::Queue,
    task::InstanceId,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Read again, in the background, when older.
const FRESH: Duration = Duration::from_secs(1);
/// Waited for when older.
const STALE: Duration = Duration::from_secs(10);
/// Longest such wait: without Redis a submit fails by itself.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Kinds of instances; what is beyond counts as not known.
const CATALOGS_MAX: usize = 64;

/// The fleet at one instant.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Every instance of the config.
    pub(super) instances: Vec<InstanceId>,
    /// What they can run.
    pub(super) pool: FleetCatalog,
    /// All of it as `GET /api/nodes` shows it, once somebody asked.
    pub(super) listed: OnceLock<Listed>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Knowledge(Arc<Inner>);

struct Inner {
    queue: Queue,
    known: Mutex<Known>,
    /// One reads at a time.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Known {
    snapshot: Arc<Snapshot>,
    /// Tried to read, in vain or not.
    read_at: Option<Instant>,
    catalogs: HashMap<String, Arc<Catalog>>,
}

impl Knowledge {
    pub(super) fn new(queue: Queue) -> Self {
        Self(Arc::new(Inner { queue, known: Mutex::default(), reading: Arc::default() }))
    }

    /// What is known now: at most [`STALE`] old while Redis answers; without Redis what was known last.
    pub(super) async fn now(&self) -> Arc<Snapshot> {
        let age = self.age();
        if age.is_some_and(|age| age < FRESH) {
            return self.last();
        }
        if age.is_some_and(|age| age < STALE) {
            if let Ok(reading) = self.0.reading.clone().try_lock_owned() {
                let knowledge = self.clone();
                tokio::spawn(async move {
                    knowledge.read().await;
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

    fn last(&self) -> Arc<Snapshot> {
        self.lock().snapshot.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // What is behind this lock is consistent after every statement.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self) {
        let read = self.members().await;
        let mut known = self.lock();
        known.read_at = Some(Instant::now());
        match read {
            Ok((instances, members, catalogs)) => {
                let pool = FleetCatalog::new(members);
                // What was made of the same knowledge stays.
                if known.snapshot.instances != instances || !known.snapshot.pool.is_same(&pool) {
                    known.snapshot = Arc::new(Snapshot { instances, pool, listed: OnceLock::new() });
                }
                known.catalogs = catalogs;
            }
            Err(error) => tracing::debug!(%error, "what the instances can run was not read"),
        }
    }

    async fn members(&self) -> Result<(Vec<InstanceId>, Vec<Member>, HashMap<String, Arc<Catalog>>)> {
        let queue = &self.0.queue;
        let targets = queue.config().await?.targets();
        let ids: Vec<InstanceId> = targets.iter().map(|target| target.id.clone()).collect();
        let statuses = queue.instances(&ids).await?;
        let before = self.lock().catalogs.clone();
        let mut catalogs: HashMap<String, Arc<Catalog>> = HashMap::new();
        let mut members = Vec::with_capacity(targets.len());
        for (target, status) in targets.iter().zip(&statuses) {
            let view = InstanceView::new(target, status.as_ref());
            let mut catalog = None;
            if let Some(hash) = status.as_ref().and_then(|status| status.report.catalog.as_ref()) {
                catalog = catalogs.get(hash).or_else(|| before.get(hash)).cloned();
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

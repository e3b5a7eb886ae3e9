//! Cache of the fleet's catalogs: what the instances can run. Kept for a moment, because every submission needs it.

use crate::{
    clock::unix_ms,
    fleet::InstanceView,
    graph::{Catalog, FleetCatalog, InputFiles, Member},
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
/// Shortest interval between two requests to read the instances again; dispatchers keep it for each instance, too.
const ASK_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for the end of that interval, and then for the instances.
const REFRESH_WAIT_MAX: Duration = Duration::from_secs(5);
/// Interval of looks for the new catalogs.
const REFRESH_POLL: Duration = Duration::from_millis(150);
/// Text of the names of files that are kept of all instances, bytes; the files of the others count as unknown.
const FILES_BYTES_MAX: usize = 16 << 20;
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
    /// Time of the last request to read the instances again, and of its end. Held while one is under way, so that all
    /// callers share it.
    asked: tokio::sync::Mutex<Option<(Instant, Instant)>>,
}

#[derive(Default)]
struct Cached {
    snapshot: Arc<FleetSnapshot>,
    /// Time of the last read, successful or not.
    read_at: Option<Instant>,
    catalogs: HashMap<String, Arc<Catalog>>,
    files: HashMap<String, KnownFiles>,
    /// Time at which each enabled instance that responds was read last, Unix ms.
    read_ms: HashMap<InstanceId, u64>,
}

/// Names of the files of an instance, and the bytes of their text.
type KnownFiles = (Arc<InputFiles>, usize);

/// Result of one read.
struct Members {
    instances: Vec<InstanceId>,
    members: Vec<Member>,
    catalogs: HashMap<String, Arc<Catalog>>,
    /// Files by content hash.
    files: HashMap<String, KnownFiles>,
    /// Files of the instances that respond.
    files_of: HashMap<InstanceId, Option<Arc<InputFiles>>>,
    read_ms: HashMap<InstanceId, u64>,
}

impl CatalogCache {
    pub(super) fn new(queue: Queue) -> Self {
        Self(Arc::new(Inner { queue, cached: Mutex::default(), reading: Arc::default(), asked: Default::default() }))
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

    /// Returns a snapshot for a request that missed something in the last one: has the instances read again, at most
    /// once per [`ASK_INTERVAL`], and waits for those that respond. Without an answer in time, returns what is known.
    pub(super) async fn refreshed(&self) -> Arc<FleetSnapshot> {
        let missed_at = Instant::now();
        let mut asked = self.0.asked.lock().await;
        if let Some((at, ended)) = *asked {
            let wait = ASK_INTERVAL.saturating_sub(at.elapsed());
            // Another caller's request has ended meanwhile, or the next one is too far away.
            if ended > missed_at || wait > REFRESH_WAIT_MAX {
                return self.last();
            }
            tokio::time::sleep(wait).await;
        }
        let began = Instant::now();
        let _in_time = tokio::time::timeout(REFRESH_WAIT_MAX, Box::pin(self.read_instances_again())).await;
        *asked = Some((began, Instant::now()));
        self.last()
    }

    async fn read_instances_again(&self) {
        let _reading = self.0.reading.lock().await;
        self.read().await;
        let before = self.lock().read_ms.clone();
        if before.is_empty() {
            return;
        }
        if let Err(error) = self.0.queue.want_catalogs().await {
            tracing::debug!(%error, "instances not asked for their catalogs");
            return;
        }
        loop {
            tokio::time::sleep(REFRESH_POLL).await;
            self.read().await;
            let cached = self.lock();
            if before.iter().all(|(id, read_ms)| cached.read_ms.get(id).is_none_or(|now| now != read_ms)) {
                return;
            }
        }
    }

    /// Returns the age of the oldest list of an instance that responds, by the clocks of the hosts: only for people.
    pub(super) fn oldest_list(&self) -> Option<Duration> {
        let oldest = self.lock().read_ms.values().copied().min()?;
        Some(Duration::from_millis(unix_ms().saturating_sub(oldest)))
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
            Ok(Members { instances, members, catalogs, files, files_of, read_ms }) => {
                let catalog = FleetCatalog::new(members).with_input_files(files_of);
                // The same content stays the same snapshot, and keeps what was derived from it.
                if cached.snapshot.instances != instances || !cached.snapshot.catalog.is_same(&catalog) {
                    cached.snapshot = Arc::new(FleetSnapshot { instances, catalog });
                }
                cached.catalogs = catalogs;
                cached.files = files;
                cached.read_ms = read_ms;
            }
            Err(error) => tracing::debug!(%error, "catalogs of the fleet not read"),
        }
    }

    async fn members(&self) -> Result<Members> {
        let queue = &self.0.queue;
        let targets = queue.config().await?.targets();
        let ids: Vec<InstanceId> = targets.iter().map(|target| target.id.clone()).collect();
        let statuses = queue.instances(&ids).await?;
        let (cached, cached_files) = {
            let cached = self.lock();
            (cached.catalogs.clone(), cached.files.clone())
        };
        let (mut files, mut files_of) = (HashMap::<String, KnownFiles>::new(), HashMap::new());
        let mut catalogs: HashMap<String, Arc<Catalog>> = HashMap::new();
        let (mut members, mut read_ms) = (Vec::with_capacity(targets.len()), HashMap::new());
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
            let is_alive = view.enabled && view.alive;
            let hash = status.as_ref().and_then(|status| status.report.input_files.as_ref());
            if let Some(hash) = hash.filter(|hash| !files.contains_key(*hash)) {
                let bytes: usize = files.values().map(|(_, bytes)| bytes).sum();
                let known = match cached_files.get(hash) {
                    Some(known) => Some(known.clone()),
                    None if bytes > FILES_BYTES_MAX => None,
                    None => queue
                        .catalog(hash)
                        .await?
                        .and_then(|json| InputFiles::from_json(&json).map(|files| (Arc::new(files), json.len()))),
                };
                files.extend(known.map(|known| (hash.clone(), known)));
            }
            let known = hash.and_then(|hash| files.get(hash)).map(|(files, _)| files.clone());
            if is_alive || known.is_some() {
                files_of.insert(target.id.clone(), known);
            }
            if let Some(at) = status.as_ref().and_then(|status| status.report.catalog_read_ms).filter(|_| is_alive) {
                read_ms.insert(target.id.clone(), at);
            }
            members.push(Member { instance: target.id.clone(), is_alive, catalog });
        }
        Ok(Members { instances: ids, members, catalogs, files, files_of, read_ms })
    }
}

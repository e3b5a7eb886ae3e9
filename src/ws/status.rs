//! `global_status` and `instance_status`: computed once per process, only while somebody listens, at most once a second.

use super::{
    frames,
    hub::Hub,
    limits::{STATUS_EVERY, STATUS_STALE},
    outbox::Frame,
};
use crate::{
    fleet::{FleetConfig, InstanceStatus, InstanceView, OverviewView, Target},
    queue::Result,
    task::InstanceId,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// What was told last, and whether it may have changed.
#[derive(Debug, Default)]
pub struct StatusBoard {
    is_dirty: AtomicBool,
    is_config_stale: AtomicBool,
    board: tokio::sync::Mutex<Board>,
}

#[derive(Debug, Default)]
struct Board {
    config: Option<FleetConfig>,
    overview: Option<OverviewView>,
    /// As last told.
    instances: HashMap<String, InstanceView>,
    frame: Option<Frame>,
    computed: Option<Instant>,
    /// When a read ended last, well or not: a hundred logins must not each wait for a Redis that does not answer.
    tried: Option<Instant>,
}

impl StatusBoard {
    /// Something happened that counts.
    pub fn dirty(&self) {
        self.is_dirty.store(true, Ordering::Relaxed);
    }

    /// The config must be read again.
    pub fn config_changed(&self) {
        self.is_config_stale.store(true, Ordering::Relaxed);
        self.dirty();
    }
}

/// Refreshes the board while there are sessions.
pub async fn run(hub: Hub) {
    let mut ticks = interval(STATUS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if hub.sessions() == 0 {
            continue;
        }
        let mut board = hub.status().board.lock().await;
        let is_stale = board.computed.is_none_or(|computed| computed.elapsed() >= STATUS_STALE);
        if (is_stale || hub.status().is_dirty.load(Ordering::Relaxed))
            && let Err(error) = board.refresh(&hub).await
        {
            tracing::debug!(%error, "cannot read the counts");
        }
    }
}

/// What a new session hears first: at most a second old, or older when Redis does not answer; `None` = never read yet.
pub async fn greeting(hub: &Hub) -> Option<Frame> {
    let mut board = hub.status().board.lock().await;
    let is_fresh = board.tried.is_some_and(|tried| tried.elapsed() < STATUS_EVERY);
    if !is_fresh && let Err(error) = board.refresh(hub).await {
        tracing::debug!(%error, "cannot read the counts for a greeting");
    }
    board.frame.clone()
}

/// Tells an instance's change at once.
pub fn hear_instance(hub: &Hub, status: InstanceStatus) {
    hub.status().dirty();
    // A refresh is under way: it finds the change by itself, or the next one does.
    let Ok(mut board) = hub.status().board.try_lock() else { return };
    let view = board.view(&status);
    board.tell_instance(hub, view);
}

impl Board {
    /// Reads everything again and tells what changed.
    async fn refresh(&mut self, hub: &Hub) -> Result<()> {
        let board = hub.status();
        board.is_dirty.store(false, Ordering::Relaxed);
        let read = self.read(hub).await;
        self.tried = Some(Instant::now());
        if read.is_err() {
            board.dirty();
        }
        let (views, overview) = read?;
        let is_first = self.overview.is_none();
        for view in views {
            if is_first {
                self.instances.insert(view.id.clone(), view);
            } else {
                self.tell_instance(hub, view);
            }
        }
        self.computed = Some(Instant::now());
        // The age of the oldest grows by itself: that alone is no news.
        let is_news = self.overview.as_ref().is_none_or(|told| {
            OverviewView { oldest_waiting_ms: None, ..told.clone() }
                != OverviewView { oldest_waiting_ms: None, ..overview.clone() }
        });
        let frame = frames::global_status(&overview, &hub.cursor());
        self.overview = Some(overview);
        if is_news {
            hub.tell_all(&frame);
        }
        self.frame = Some(frame);
        Ok(())
    }

    async fn read(&mut self, hub: &Hub) -> Result<(Vec<InstanceView>, OverviewView)> {
        let queue = hub.queue();
        let must_read = hub.status().is_config_stale.swap(false, Ordering::Relaxed);
        let config = match self.config.take() {
            Some(config) if !must_read => config,
            _ => match queue.config().await {
                Ok(config) => config,
                Err(error) => {
                    hub.status().config_changed();
                    return Err(error);
                }
            },
        };
        let targets = self.config.insert(config).targets();
        let ids: Vec<InstanceId> = targets.iter().map(|target| target.id.clone()).collect();
        let statuses = if ids.is_empty() { Vec::new() } else { queue.instances(&ids).await? };
        let views: Vec<InstanceView> =
            targets.iter().zip(&statuses).map(|(target, status)| InstanceView::new(target, status.as_ref())).collect();
        self.instances.retain(|id, _| ids.iter().any(|known| known.as_str() == id));
        let overview = OverviewView::new(&views, &queue.counts().await?);
        Ok((views, overview))
    }

    fn view(&self, status: &InstanceStatus) -> InstanceView {
        let targets = self.config.iter().flat_map(FleetConfig::targets);
        let target = targets.into_iter().find(|target| target.id == status.id);
        InstanceView::new(&target.unwrap_or_else(|| unlisted(&status.id)), Some(status))
    }

    /// Tells an instance when something that matters differs from what was told.
    fn tell_instance(&mut self, hub: &Hub, view: InstanceView) {
        let told = self.instances.get(&view.id);
        let is_same = told.is_some_and(|told| {
            (told.alive, told.busy, told.enabled, told.phase, &told.current_task_id)
                == (view.alive, view.busy, view.enabled, view.phase, &view.current_task_id)
        });
        if !is_same {
            hub.tell_all(&frames::instance_status(&view));
        }
        self.instances.insert(view.id.clone(), view);
    }
}

/// An instance that is no part of the config as we know it: just removed, or just added.
fn unlisted(id: &InstanceId) -> Target {
    Target {
        id: id.clone(),
        server_id: String::new(),
        server_name: String::new(),
        ip: String::new(),
        port: 0,
        base_url: String::new(),
        headers: BTreeMap::new(),
        server_enabled: true,
    }
}

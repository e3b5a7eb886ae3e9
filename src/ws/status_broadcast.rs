//! `global_status` and `instance_status`: computed once per process, only while there are sessions, at most once a
//! second.

use super::{
    frames,
    hub::Hub,
    limits::{STATUS_EVERY, STATUS_STALE},
    outbox::Frame,
};
use crate::{
    event::{TaskChange, TaskEvent},
    fleet::{FleetConfig, InstanceStatus, InstanceView, OverviewView, Target},
    queue::Result,
    task::InstanceId,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The status last sent, and whether it may have changed.
#[derive(Debug, Default)]
pub struct StatusBoard {
    is_dirty: AtomicBool,
    is_config_stale: AtomicBool,
    board: tokio::sync::Mutex<StatusCache>,
}

#[derive(Debug, Default)]
struct StatusCache {
    config: Option<FleetConfig>,
    overview: Option<OverviewView>,
    /// Instances as last sent.
    instances: HashMap<String, InstanceView>,
    frame: Option<Frame>,
    computed: Option<Instant>,
    /// End of the last read, successful or not: a hundred logins must not each wait for a Redis that does not answer.
    tried: Option<Instant>,
}

impl StatusBoard {
    /// Records that the counts may have changed.
    pub fn mark_dirty(&self) {
        self.is_dirty.store(true, Ordering::Relaxed);
    }

    /// Records that the config must be read again.
    pub fn invalidate_config(&self) {
        self.is_config_stale.store(true, Ordering::Relaxed);
        self.mark_dirty();
    }
}

/// Refreshes the status while there are sessions.
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
            tracing::debug!(%error, "reading the global status failed");
        }
    }
}

/// Returns the first `global_status` of a new session: at most a second old, or older if Redis does not answer. `None`
/// if it was never read.
pub async fn greeting(hub: &Hub) -> Option<Frame> {
    let mut board = hub.status().board.lock().await;
    let is_fresh = board.tried.is_some_and(|tried| tried.elapsed() < STATUS_EVERY);
    if !is_fresh && let Err(error) = board.refresh(hub).await {
        tracing::debug!(%error, "reading the global status for a new session failed");
    }
    board.frame.clone()
}

/// Sends at once that an instance became busy or idle, which is published as a change of its task only.
pub fn on_task(hub: &Hub, event: &TaskEvent) {
    hub.status().mark_dirty();
    let Some(instance) = &event.instance else { return };
    let Ok(mut board) = hub.status().board.try_lock() else { return };
    let Some(mut view) = board.instances.get(instance.as_str()).cloned() else { return };
    let id = event.id.to_string();
    match event.change {
        TaskChange::Claimed if view.current_task_id.is_none() => view.current_task_id = Some(id),
        // Another task may be in flight there: then the refresh shows it.
        TaskChange::Completed { .. } | TaskChange::Failed { .. } if view.current_task_id.as_ref() == Some(&id) => {
            view.current_task_id = None;
        }
        _ => return,
    }
    view.busy = view.current_task_id.is_some();
    board.publish_instance(hub, view);
}

/// Sends an instance's change at once.
pub fn on_instance(hub: &Hub, status: InstanceStatus) {
    hub.status().mark_dirty();
    // A refresh is running: it or the next one finds the change.
    let Ok(mut board) = hub.status().board.try_lock() else { return };
    let view = board.view(&status);
    board.publish_instance(hub, view);
}

impl StatusCache {
    /// Reads everything again and sends what changed.
    async fn refresh(&mut self, hub: &Hub) -> Result<()> {
        let board = hub.status();
        board.is_dirty.store(false, Ordering::Relaxed);
        let read = self.read(hub).await;
        self.tried = Some(Instant::now());
        if read.is_err() {
            board.mark_dirty();
        }
        let (views, overview) = read?;
        let is_first = self.overview.is_none();
        for view in views {
            if is_first {
                self.instances.insert(view.id.clone(), view);
            } else {
                self.publish_instance(hub, view);
            }
        }
        self.computed = Some(Instant::now());
        // The age of the oldest waiting task always grows: that alone is no change.
        let is_news = self.overview.as_ref().is_none_or(|sent| {
            OverviewView { oldest_waiting_ms: None, ..sent.clone() }
                != OverviewView { oldest_waiting_ms: None, ..overview.clone() }
        });
        let frame = frames::global_status(&overview, &hub.cursor());
        self.overview = Some(overview);
        if is_news {
            hub.broadcast(&frame);
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
                    hub.status().invalidate_config();
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

    /// Sends an instance's status if a relevant field differs from the one last sent.
    fn publish_instance(&mut self, hub: &Hub, view: InstanceView) {
        let sent = self.instances.get(&view.id);
        let is_same = sent.is_some_and(|sent| {
            (sent.alive, sent.busy, sent.enabled, sent.phase, &sent.current_task_id)
                == (view.alive, view.busy, view.enabled, view.phase, &view.current_task_id)
        });
        if !is_same {
            hub.broadcast(&frames::instance_status(&view));
        }
        self.instances.insert(view.id.clone(), view);
    }
}

/// Makes the target of an instance that the cached config does not contain: just removed, or just added.
fn unlisted(id: &InstanceId) -> Target {
    Target {
        id: id.clone(),
        server_id: String::new(),
        server_name: String::new(),
        ip: String::new(),
        port: 0,
        base_url: String::new(),
        headers: BTreeMap::new(),
        extra_data: BTreeMap::new(),
        server_enabled: true,
    }
}

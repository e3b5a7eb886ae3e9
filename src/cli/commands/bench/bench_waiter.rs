//! The endings of many tasks on one WebSocket, for `bench`: whoever waits for one is woken by it.

use super::status_of;
use crate::cli::{
    client::{
        error::Fault,
        rest::Api,
        websocket::{Live, Lost},
    },
    term::format::{is_ended, text},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};

/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(500);
/// What is not heard for so long is asked for.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Endings kept that nobody waits for yet: most are of tasks that are not ours.
const ENDED_MAX: usize = 100_000;

/// Endings heard and awaited.
pub(crate) struct Endings<'a> {
    api: &'a Api,
    known: Mutex<Known>,
    /// Whether the WebSocket stands: nothing is submitted before it does.
    is_open: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    /// An ending may come before the answer that names the task.
    ended: HashMap<String, String>,
    awaited: HashMap<String, oneshot::Sender<String>>,
}

impl<'a> Endings<'a> {
    /// Nothing is heard yet: [`Endings::hear`] must run beside whoever waits.
    pub(crate) fn new(api: &'a Api) -> Self {
        Self { api, known: Mutex::default(), is_open: watch::Sender::new(false) }
    }

    /// Waits until endings are heard.
    pub(crate) async fn opened(&self) {
        let mut is_open = self.is_open.subscribe();
        // The sender lives as long as we do.
        let _open = is_open.wait_for(|is_open| *is_open).await;
    }

    /// How a task ended. What is not heard in time is asked for: a connection may have been away just then.
    pub(crate) async fn of(&self, id: &str) -> Result<String, Fault> {
        let mut ending = {
            let mut known = self.lock();
            if let Some(status) = known.ended.remove(id) {
                return Ok(status);
            }
            let (tell, ending) = oneshot::channel();
            known.awaited.insert(id.to_owned(), tell);
            ending
        };
        loop {
            if let Ok(Ok(status)) = timeout(ASK_EVERY, &mut ending).await {
                return Ok(status);
            }
            let task = self.api.get(&format!("/api/tasks/{id}")).await?;
            if is_ended(task.text("status")) {
                self.lock().awaited.remove(id);
                return Ok(task.text("status").to_owned());
            }
        }
    }

    /// Hears until it cannot any more.
    pub(crate) async fn hear(&self) -> Fault {
        let mut heard_at = Instant::now();
        loop {
            let Err(lost) = self.listen(&mut heard_at).await;
            match lost {
                Lost::Final(fault) => return fault,
                Lost::Socket(why) if heard_at.elapsed() > self.api.patience() => {
                    return Fault::Unreachable(format!("no WebSocket at {}: {why}", self.api.base()));
                }
                Lost::Socket(_) => sleep(AGAIN).await,
            }
        }
    }

    async fn listen(&self, heard_at: &mut Instant) -> Result<std::convert::Infallible, Lost> {
        let mut live = Live::connect(self.api).await?;
        loop {
            let heard = live.next().await?;
            *heard_at = Instant::now();
            self.is_open.send_replace(true);
            if let Some(status) = status_of(&heard.kind, &heard.data) {
                self.tell(text(&heard.data, "taskId"), status);
            }
        }
    }

    fn tell(&self, id: &str, status: String) {
        let mut known = self.lock();
        match known.awaited.remove(id) {
            // Whoever waited may have gone.
            Some(tell) => drop(tell.send(status)),
            None if known.ended.len() < ENDED_MAX => drop(known.ended.insert(id.to_owned(), status)),
            // Nobody's, or found by asking.
            None => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The stream of events that the scripts publish. It never ends: a supervisor subscribes again after every reconnect
//! and reports a gap when messages may have been lost.

use crate::{
    event::Event,
    queue::{Queue, Result, redis::connect},
};
use fred::{
    clients::SubscriberClient,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{Message, Value},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_util::task::AbortOnDropHandle;

/// Messages buffered for a slow reader; more become a gap.
const BACKLOG_MAX: usize = 16_384;
/// Interval of the connection check: a dead connection reports nothing by itself.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Timeout of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// A subscription to all events, see [`Queue::feed`].
#[derive(Debug)]
pub struct Feed {
    messages: mpsc::Receiver<Value>,
    gap: Arc<AtomicBool>,
    wake: Arc<tokio::sync::Notify>,
    _supervisor: AbortOnDropHandle<()>,
}

/// An item of a [`Feed`].
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// A published event.
    Event(Box<Event>),
    /// Messages may have been lost (reconnect, overflow): read the state again.
    Gap,
}

struct Supervisor {
    client: SubscriberClient,
    channel: String,
    messages: mpsc::Sender<Value>,
    gap: Arc<AtomicBool>,
    wake: Arc<tokio::sync::Notify>,
}

impl Queue {
    /// Subscribes to the events on a connection of its own. Subscribe before reading the state: an event published
    /// between the two would otherwise be in neither.
    pub async fn feed(&self) -> Result<Feed> {
        let client = connect::subscriber(self.redis())?;
        connect::until_connected(client.init()).await?;
        let channel = self.root().channel();
        let (received, reconnected) = (client.message_rx(), client.reconnect_rx());
        connect::until_connected(client.subscribe(channel.clone())).await?;
        let (sender, messages) = mpsc::channel(BACKLOG_MAX);
        let (gap, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
        let supervisor = Supervisor { client, channel, messages: sender, gap: gap.clone(), wake: wake.clone() };
        let supervisor = AbortOnDropHandle::new(tokio::spawn(supervisor.run(received, reconnected)));
        Ok(Feed { messages, gap, wake, _supervisor: supervisor })
    }
}

impl Feed {
    /// Returns the next item. Never ends while the queue exists; reconnects and subscribes again by itself. Cancel safe.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            if self.gap.swap(false, Ordering::AcqRel) {
                return FeedItem::Gap;
            }
            let message = tokio::select! {
                message = self.messages.recv() => message,
                () = self.wake.notified() => continue,
            };
            let Some(message) = message else {
                // Unreachable while the supervisor runs. Without it, stay silent rather than spin.
                std::future::pending::<()>().await;
                continue;
            };
            let Some(text) = message.as_str() else { continue };
            match serde_json::from_str(&text) {
                Ok(event) => return FeedItem::Event(Box::new(event)),
                Err(error) => tracing::warn!(%error, "unreadable message on the events channel; ignored"),
            }
        }
    }
}

impl Supervisor {
    async fn run(
        self,
        mut received: tokio::sync::broadcast::Receiver<Message>,
        mut reconnected: tokio::sync::broadcast::Receiver<fred::types::config::Server>,
    ) {
        let mut check = tokio::time::interval(CHECK_EVERY);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = received.recv() => match message {
                    Ok(message) => self.forward(message.value),
                    Err(RecvError::Lagged(_)) => self.report_gap(),
                    Err(RecvError::Closed) => return,
                },
                server = reconnected.recv() => match server {
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        self.subscribe_again().await;
                        self.report_gap();
                    }
                    Err(RecvError::Closed) => return,
                },
                _ = check.tick() => self.subscribe_again().await,
            }
        }
    }

    /// Subscribes again. This changes nothing if the subscription exists, and the answer proves that the connection
    /// works.
    async fn subscribe_again(&self) {
        let subscribed = tokio::time::timeout(CHECK_TIMEOUT, self.client.subscribe(self.channel.clone())).await;
        if !matches!(subscribed, Ok(Ok(()))) {
            tracing::warn!("events subscription not answering; reconnecting");
            let _failed = tokio::time::timeout(CHECK_TIMEOUT, self.client.force_reconnection()).await;
        }
    }

    fn forward(&self, message: Value) {
        if self.messages.try_send(message).is_err() {
            self.report_gap();
        }
    }

    fn report_gap(&self) {
        self.gap.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

//! The stream of events that the scripts publish. It never ends: it subscribes again after every change of the
//! connection and reports a gap when messages may have been lost.

use crate::{
    event::Event,
    queue::{
        Error, Queue, Result,
        redis::{connection::Purpose, link::Supervised, recheck::Fitness, script_call::with_timeout},
    },
};
use fred::{
    clients::Client,
    interfaces::{EventInterface, PubsubInterface},
    types::{Message, Value},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc, watch,
};
use tokio_util::task::AbortOnDropHandle;

/// Messages buffered for a slow reader; more become a gap.
const BACKLOG_MAX: usize = 16_384;
/// Time limit of the answer that proves a subscription.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Pause before a failed subscription is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A subscription to all events, see [`Queue::feed`].
#[derive(Debug)]
pub struct Feed {
    messages: mpsc::Receiver<Value>,
    gap: Arc<AtomicBool>,
    wake: Arc<tokio::sync::Notify>,
    _forwarder: AbortOnDropHandle<()>,
}

/// An item of a [`Feed`].
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// A published event.
    Event(Box<Event>),
    /// Messages may have been lost (reconnect, overflow): read the state again.
    Gap,
}

struct Subscription {
    connection: Supervised,
    changes: watch::Receiver<u64>,
    channel: String,
    messages: mpsc::Sender<Value>,
    gap: Arc<AtomicBool>,
    wake: Arc<tokio::sync::Notify>,
    fitness: Arc<Fitness>,
}

impl Queue {
    /// Subscribes to the events on a connection of its own. Subscribe before reading the state: an event published
    /// between the two would otherwise be in neither.
    pub async fn feed(&self) -> Result<Feed> {
        self.subscribe(self.root().channel()).await
    }

    /// Subscribes to the events on which dispatchers act: cancels of tasks in flight, the config, switches of instances.
    pub async fn control_feed(&self) -> Result<Feed> {
        self.subscribe(self.root().control_channel()).await
    }

    async fn subscribe(&self, channel: String) -> Result<Feed> {
        let connection = self.link().open(Purpose::Events).await?;
        let changes = connection.changes();
        let client = connection.client();
        let received = client.message_rx();
        let subscribed = subscribe_proved(&connection, &client, &channel).await;
        let fitness = Arc::clone(self.fitness());
        fitness.note_subscription(&subscribed);
        subscribed?;
        let (sender, messages) = mpsc::channel(BACKLOG_MAX);
        let (gap, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
        let (seen, woken) = (gap.clone(), wake.clone());
        let subscription =
            Subscription { connection, changes, channel, messages: sender, gap: seen, wake: woken, fitness };
        let forwarder = AbortOnDropHandle::new(tokio::spawn(subscription.run(client, received)));
        Ok(Feed { messages, gap, wake, _forwarder: forwarder })
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
                // Unreachable while the forwarder runs. Without it, stay silent rather than spin.
                std::future::pending::<()>().await;
                continue;
            };
            let Some(text) = message.as_str() else { continue };
            // A process has connected (`check_redis_restart.lua`).
            if text.is_empty() {
                continue;
            }
            match serde_json::from_str(&text) {
                Ok(event) => return FeedItem::Event(Box::new(event)),
                Err(error) => tracing::warn!(%error, "unreadable message on the events channel; ignored"),
            }
        }
    }
}

/// Subscribes, and asks with a PING whether the server did: fred does not wait for the answer to SUBSCRIBE, and drops a
/// refusal. A connection in subscriber mode answers a PING with an array.
async fn subscribe_proved(connection: &Supervised, client: &Client, channel: &str) -> Result<()> {
    with_timeout(client.subscribe(channel.to_owned())).await?;
    match with_timeout(connection.ping(ANSWER_MAX)).await? {
        Value::Array(_) => Ok(()),
        _ => Err(Error::Refused(format!("SUBSCRIBE to the channel {channel} was denied"))),
    }
}

impl Subscription {
    async fn run(mut self, client: Client, received: broadcast::Receiver<Message>) {
        // The client is kept with its messages: without it, they would end before the change is seen.
        let mut current = (client, received);
        loop {
            tokio::select! {
                message = current.1.recv() => match message {
                    Ok(message) => self.forward(message.value),
                    Err(RecvError::Lagged(_)) => self.report_gap(),
                    // Unreachable: the client holds the sender.
                    Err(RecvError::Closed) => return,
                },
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let client = self.connection.client();
                    let received = client.message_rx();
                    current = (client, received);
                    self.subscribe(&current.0).await;
                    self.report_gap();
                }
            }
        }
    }

    /// Subscribes after a change of the connection. This changes nothing if the subscription exists.
    async fn subscribe(&self, client: &Client) {
        loop {
            let subscribed = subscribe_proved(&self.connection, client, &self.channel).await;
            self.fitness.note_subscription(&subscribed);
            let Err(error) = subscribed else { return };
            if self.changes.has_changed().unwrap_or(true) {
                return;
            }
            tracing::debug!(%error, "subscribing to the events failed; retrying");
            tokio::time::sleep(PAUSE).await;
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

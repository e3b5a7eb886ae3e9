//! The server's events across lost connections: connects, reports a loss, pauses and connects again.
//!
//! The one place that decides when to reconnect. What to read by REST after a loss is up to the caller.

use super::{
    rest::Api,
    websocket::{Event, Socket, SocketError},
};
use crate::cli::error::Error;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause before each attempt to reconnect.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// A WebSocket that is replaced when it is lost.
pub(crate) struct EventStream<'a> {
    api: &'a Api,
    socket: Option<Socket>,
    /// Time of the first loss since the last event.
    lost_at: Option<Instant>,
    /// Reason of a loss that [`EventStream::next`] has yet to report.
    unreported: Option<String>,
}

/// Result of waiting on an [`EventStream`].
pub(crate) enum Next {
    /// There is a new connection, which has no subscription yet.
    Opened,
    /// An event, or the reply to a subscription.
    Event(Event),
    /// The connection was lost or could not be made.
    Lost(Loss),
}

/// A lost connection, or a failed attempt to connect.
pub(crate) struct Loss {
    /// Reason, for people.
    pub(crate) why: String,
    /// Whether an event arrived since the loss before.
    pub(crate) is_first: bool,
    /// Time since the first of these losses.
    duration: Duration,
}

impl Loss {
    /// Fails once there has been no event for as long as `api` waits for its server.
    pub(crate) fn limit(&self, api: &Api) -> Result<(), Error> {
        if self.duration > api.wait_max() {
            return Err(Error::Unreachable(format!("no live updates from {}: {}", api.base(), self.why)));
        }
        Ok(())
    }
}

impl<'a> EventStream<'a> {
    /// Creates a stream that connects at the first [`EventStream::next`].
    pub(crate) const fn new(api: &'a Api) -> Self {
        Self { api, socket: None, lost_at: None, unreported: None }
    }

    /// Whether there is a connection. Only then may a call of [`EventStream::next`] be dropped and repeated at will:
    /// otherwise it starts to pause and to connect from the beginning.
    pub(crate) const fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Waits for the next event; pauses and connects first if there is no connection.
    ///
    /// # Errors
    /// What reconnecting cannot change, such as a token that is not valid.
    pub(crate) async fn next(&mut self) -> Result<Next, Error> {
        if let Some(why) = self.unreported.take() {
            return self.lost(SocketError::Lost(why));
        }
        if let Some(socket) = &mut self.socket {
            return match socket.next().await {
                Ok(event) => {
                    self.lost_at = None;
                    Ok(Next::Event(event))
                }
                Err(error) => self.lost(error),
            };
        }
        if self.lost_at.is_some() {
            sleep(RECONNECT_PAUSE).await;
        }
        match Socket::connect(self.api).await {
            Ok(socket) => {
                self.socket = Some(socket);
                Ok(Next::Opened)
            }
            Err(error) => self.lost(error),
        }
    }

    /// Subscribes to tasks by id. A loss while sending is reported by [`EventStream::next`].
    pub(crate) async fn subscribe(&mut self, ids: &[String]) -> Result<(), Error> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let sent = socket.subscribe(ids).await;
        self.sent(sent)
    }

    /// Subscribes to everything, with the endings after `cursor`. A loss is reported by [`EventStream::next`].
    pub(crate) async fn subscribe_all(&mut self, cursor: &str) -> Result<(), Error> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let sent = socket.subscribe_all(cursor).await;
        self.sent(sent)
    }

    /// Gives up the connection, such as one whose server cannot serve a subscription now.
    pub(crate) fn disconnect(&mut self, why: &str) {
        self.unreported = Some(why.to_owned());
    }

    fn sent(&mut self, sent: Result<(), SocketError>) -> Result<(), Error> {
        match sent {
            Ok(()) => Ok(()),
            Err(SocketError::Lost(why)) => {
                self.unreported = Some(why);
                Ok(())
            }
            Err(SocketError::Final(error)) => Err(error),
        }
    }

    fn lost(&mut self, error: SocketError) -> Result<Next, Error> {
        self.socket = None;
        match error {
            SocketError::Final(error) => Err(error),
            SocketError::Lost(why) => {
                let is_first = self.lost_at.is_none();
                let duration = self.lost_at.get_or_insert_with(Instant::now).elapsed();
                Ok(Next::Lost(Loss { why, is_first, duration }))
            }
        }
    }
}

//! Lifetime of one socket: login, then events and requests until the client or the server closes it.
//!
//! A single task reads and writes: while a write waits for a slow client, nothing is read from it. No write waits
//! longer than [`Timing::write`](super::limits::Timing).

use super::{
    WsContext,
    close::Close,
    handshake::{Client, PendingSocket},
    hub::Hub,
    limits::{BATCH_MAX, CLOSE_ECHO, CLOSE_TIMEOUT, IDS_PER_SESSION_MAX, STRIKES_MAX, WRITE_BYTES},
    login::{Login, log_in, refuse_url_token, text_of},
    membership::Membership,
    outbox::{Frame, Outbox},
    replies,
    requests::{self, Incoming, Refusal, Request, Selection},
    status_broadcast,
    subscription::{Subscription, TooMany, Visibility},
};
use crate::{clock, metrics, queue};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt;
use std::{future::ready, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Serves one socket until it is closed.
pub async fn run(mut socket: WebSocket, context: WsContext, client: Client, pending: Option<PendingSocket>) {
    // Boxed, so that an idle socket does not keep the memory that the login needed.
    let login = match client {
        Client::LoggedIn(caller) => Ok(Login::Header(caller)),
        Client::Unknown => Box::pin(log_in(&mut socket, &context)).await,
        Client::TokenInUrl => Err(Box::pin(refuse_url_token(&mut socket, &context)).await),
    };
    drop(pending);
    let close = match login {
        Ok(login) => {
            let mut session = Box::pin(Session::join(socket, context.hub, login)).await;
            let close = session.serve().await;
            socket = session.socket;
            close
        }
        Err(close) => close,
    };
    close_socket(socket, close).await;
}

/// Sends the close frame and waits briefly for the client's.
async fn close_socket(mut socket: WebSocket, close: Close) {
    if close == Close::SLOW {
        metrics::ws_closed_slow();
    }
    if close != Close::BY_CLIENT {
        let frame = CloseFrame { code: close.code, reason: close.reason.into() };
        match timeout(CLOSE_TIMEOUT, socket.send(Message::Close(Some(frame)))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    let echo = async {
        while let Some(Ok(_)) = socket.recv().await {}
        // Nothing can be read after a malformed frame. Closing at once would reset the connection and lose our close
        // frame.
        if matches!(close, Close::TOO_BIG | Close::PROTOCOL | Close::NOT_UTF8) {
            sleep(CLOSE_ECHO).await;
        }
    };
    // A close frame that is not answered in time counts as answered.
    if timeout(CLOSE_ECHO, echo).await.is_err() {
        tracing::trace!(code = close.code, "client did not answer the close frame");
    }
}

struct Session {
    socket: WebSocket,
    hub: Hub,
    membership: Membership,
    /// Expiry of the token, Unix seconds.
    expires_at: u64,
    ping_at: Instant,
    /// Deadline for any message from the client, set while a ping is unanswered.
    pong_by: Option<Instant>,
    strikes: u32,
    last_strike: Instant,
}

impl Session {
    /// Joins the hub. The first frames are `auth_ok` (after a login by message) and `global_status`.
    async fn join(socket: WebSocket, hub: Hub, login: Login) -> Self {
        hub.listening().await;
        let greeting = status_broadcast::greeting(&hub).await;
        let (caller, auth_ok) = match login {
            Login::Header(caller) => (caller, None),
            Login::Message(caller, request_id) => {
                let frame = replies::auth_ok(&caller, &hub.cursor(), request_id.as_deref());
                (caller, Some(frame))
            }
        };
        let membership = hub.join(Visibility::of(&caller), auth_ok.into_iter().chain(greeting).collect());
        let now = Instant::now();
        let ping_at = now + hub.timing().ping;
        let expires_at = caller.expires_at;
        Self { socket, hub, membership, expires_at, ping_at, pong_by: None, strikes: 0, last_strike: now }
    }

    async fn serve(&mut self) -> Close {
        let mut batch = Vec::new();
        let timer = sleep_until(self.next_deadline());
        tokio::pin!(timer);
        loop {
            if let Err(close) = self.write(&mut batch).await {
                return close;
            }
            let wrote = !batch.is_empty();
            batch.clear();
            let result = tokio::select! {
                biased;
                received = self.socket.recv() => self.on_message(received).await,
                () = &mut timer => self.check_deadlines().await,
                () = ready(()), if wrote => continue,
                () = self.membership.outbox.ready() => continue,
            };
            if let Err(close) = result {
                return close;
            }
            timer.as_mut().reset(self.next_deadline());
        }
    }

    /// Writes at most [`BATCH_MAX`] waiting frames. A client that does not take them in time, or whose outbox overflows
    /// meanwhile, is slow. A long frame has more time.
    async fn write(&mut self, batch: &mut Vec<Frame>) -> Result<(), Close> {
        self.membership.outbox.take(batch, BATCH_MAX)?;
        let (limit, outbox) = (self.hub.timing().write, &self.membership.outbox);
        let limit_of = |bytes: usize| limit + limit * u32::try_from(bytes / WRITE_BYTES).unwrap_or(u32::MAX);
        for frame in batch.iter() {
            let feed = self.socket.feed(Message::Text(frame.text.clone()));
            with_write_timeout(feed, limit_of(frame.text.len()), outbox).await?;
        }
        let Some(longest) = batch.iter().map(|frame| frame.text.len()).max() else { return Ok(()) };
        with_write_timeout(self.socket.flush(), limit_of(longest), outbox).await?;
        metrics::ws_delivered(batch.len() as u64);
        Ok(())
    }

    async fn on_message(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<(), Close> {
        let text = text_of(received)?;
        self.pong_by = None;
        let Some(text) = text else { return Ok(()) };
        let Incoming { request_id, request } = requests::parse(&text);
        let request_id = request_id.as_deref();
        let answered = match request {
            // Boxed, so that an idle socket does not hold the memory of a request to Redis.
            Ok(request) => Box::pin(self.answer(request, request_id)).await,
            Err(refusal) => Err(refusal.into()),
        };
        match answered {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => {
                self.membership.outbox.push(replies::error(&refusal, request_id));
                self.strike()?;
            }
            Err(Stop::Closed(close)) => return Err(close),
        }
        // Before the next request is read, which limits the replies that wait.
        self.write_replies().await
    }

    /// Writes until no reply waits.
    async fn write_replies(&mut self) -> Result<(), Close> {
        let mut batch = Vec::new();
        while self.membership.outbox.has_replies() {
            self.write(&mut batch).await?;
            batch.clear();
        }
        Ok(())
    }

    async fn answer(&mut self, request: Request, request_id: Option<&str>) -> Result<(), Stop> {
        match request {
            Request::Auth(_) => {
                return Err(Refusal::new("already_logged_in", "this socket is already logged in").into());
            }
            Request::Ping => self.membership.outbox.push(replies::pong(request_id)),
            Request::GetTask(id) => self.membership.answer_task(id, request_id).await.map_err(Stop::unavailable)?,
            Request::Subscribe(selection) => self.subscribe(selection, request_id).await?,
            Request::Unsubscribe(selection) => {
                let changed = self.membership.update_subscription(|subscription| {
                    if selection.all {
                        *subscription = Subscription::nothing();
                    }
                    subscription.remove(&selection.tasks)
                });
                changed.unwrap_or(Ok(())).map_err(too_many)?;
                self.membership.answer_subscribed(&[], request_id).await.map_err(Stop::unavailable)?;
            }
        }
        Ok(())
    }

    /// Changes the subscription before the read: an ending between the two would otherwise be in neither. Answers in
    /// pieces, each of which is written before the next is read.
    async fn subscribe(&mut self, selection: Selection, request_id: Option<&str>) -> Result<(), Stop> {
        let changed = self.membership.update_subscription(|subscription| {
            if selection.all {
                *subscription = Subscription::all();
            }
            if selection.tasks.is_empty() { Ok(()) } else { subscription.add(&selection.tasks) }
        });
        changed.unwrap_or(Ok(())).map_err(too_many)?;
        let mut rest = selection.tasks.as_slice();
        loop {
            let answered = self.membership.answer_subscribed(rest, request_id).await.map_err(Stop::unavailable)?;
            rest = &rest[answered..];
            if rest.is_empty() {
                break;
            }
            self.write_replies().await.map_err(Stop::Closed)?;
        }
        if let Some(cursor) = &selection.since {
            self.membership.replay(cursor, request_id);
        }
        Ok(())
    }

    /// Counts an invalid message. One such message per second is allowed.
    fn strike(&mut self) -> Result<(), Close> {
        let expired = u32::try_from(self.last_strike.elapsed().as_secs()).unwrap_or(u32::MAX);
        if expired > 0 {
            self.last_strike = Instant::now();
        }
        self.strikes = self.strikes.saturating_sub(expired) + 1;
        if self.strikes > STRIKES_MAX { Err(Close::NOISE) } else { Ok(()) }
    }

    async fn check_deadlines(&mut self) -> Result<(), Close> {
        let now = Instant::now();
        if self.until_expiry().is_zero() {
            return Err(Close::EXPIRED);
        }
        if self.pong_by.is_some_and(|by| now >= by) {
            return Err(Close::SILENT);
        }
        if now >= self.ping_at {
            let (timing, outbox) = (self.hub.timing(), &self.membership.outbox);
            with_write_timeout(self.socket.send(Message::Ping(Bytes::new())), timing.write, outbox).await?;
            self.ping_at = now + timing.ping;
            self.pong_by.get_or_insert(now + timing.pong);
        }
        Ok(())
    }

    /// Returns the remaining lifetime of the token by the wall clock, which is read again at each ping.
    fn until_expiry(&self) -> Duration {
        Duration::from_millis(self.expires_at.saturating_mul(1_000).saturating_sub(clock::unix_ms()))
    }

    fn next_deadline(&self) -> Instant {
        let ping_at = self.pong_by.map_or(self.ping_at, |by| by.min(self.ping_at));
        let now = Instant::now();
        now.checked_add(self.until_expiry()).map_or(ping_at, |expiry| expiry.min(ping_at))
    }
}

async fn with_write_timeout(
    write: impl Future<Output = Result<(), axum::Error>>,
    limit: Duration,
    outbox: &Outbox,
) -> Result<(), Close> {
    tokio::select! {
        biased;
        written = write => written.map_err(|_| Close::BY_CLIENT),
        close = outbox.closed() => Err(close),
        () = sleep(limit) => Err(Close::SLOW),
    }
}

/// Reason why a request is not answered to its end.
enum Stop {
    /// The client gets an error.
    Refused(Refusal),
    /// The session must close.
    Closed(Close),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Stop {
    fn unavailable(error: queue::Error) -> Self {
        tracing::debug!(%error, "websocket request failed: queue unavailable");
        Refusal::new("unavailable", "the queue is unavailable; try again").into()
    }
}

fn too_many(_: TooMany) -> Refusal {
    Refusal::new("too_many", format!("at most {IDS_PER_SESSION_MAX} tasks can be named on one socket"))
}

//! One socket: login, then what the hub has for it and what the client asks, until one of the two has enough.
//!
//! One task reads and writes: while a write waits for a slow client nothing is read from it, and no write waits longer
//! than [`Pace::write`](super::limits::Pace).

use super::{
    Door, answers,
    close::Close,
    frames,
    handshake::Stranger,
    hub::Hub,
    inbound::{self, Incoming, Refusal, Request, Selection},
    limits::{BATCH_MAX, CLOSE_ECHO, CLOSE_TIMEOUT, IDS_PER_SESSION_MAX, STRIKES_MAX},
    login::{Login, log_in, text_of},
    outbox::{Frame, Outbox},
    seat::Seat,
    status,
    watch::{Sight, TooMany, Watch},
};
use crate::{auth::Caller, clock, metrics, queue};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::SinkExt;
use std::{future::ready, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Serves one socket to its end.
pub async fn run(mut socket: WebSocket, door: Door, caller: Option<Caller>, stranger: Option<Stranger>) {
    // Boxed: an idle socket should not hold the room that its beginning needed.
    let login = match caller {
        Some(caller) => Ok(Login::Header(caller)),
        None => Box::pin(log_in(&mut socket, &door)).await,
    };
    drop(stranger);
    let close = match login {
        Ok(login) => {
            let mut session = Box::pin(Session::join(socket, door.hub, login)).await;
            let close = session.live().await;
            socket = session.socket;
            close
        }
        Err(close) => close,
    };
    hang_up(socket, close).await;
}

/// Says goodbye, and waits a moment for the client's.
async fn hang_up(mut socket: WebSocket, close: Close) {
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
        // After a broken frame nothing can be read. Closing at once would reset the connection and lose our close frame.
        if matches!(close, Close::TOO_BIG | Close::PROTOCOL | Close::NOT_UTF8) {
            sleep(CLOSE_ECHO).await;
        }
    };
    // Not answered in time is as good as answered.
    if timeout(CLOSE_ECHO, echo).await.is_err() {
        tracing::trace!(code = close.code, "the client did not answer the close frame");
    }
}

struct Session {
    socket: WebSocket,
    hub: Hub,
    seat: Seat,
    /// Unix second.
    expires_at: u64,
    ping_at: Instant,
    /// Set while a ping is out: a sign of life must come by then.
    pong_by: Option<Instant>,
    strikes: u32,
    last_strike: Instant,
}

impl Session {
    /// Takes a seat in the hub; the first things said are `auth_ok` (after a login by message) and `global_status`.
    async fn join(socket: WebSocket, hub: Hub, login: Login) -> Self {
        hub.listening().await;
        let greeting = status::greeting(&hub).await;
        let (caller, auth_ok) = match login {
            Login::Header(caller) => (caller, None),
            Login::Message(caller, request_id) => {
                let frame = answers::auth_ok(&caller, &hub.cursor(), request_id.as_deref());
                (caller, Some(frame))
            }
        };
        let seat = hub.join(Sight::of(&caller), auth_ok.into_iter().chain(greeting).collect());
        let now = Instant::now();
        let ping_at = now + hub.pace().ping;
        let expires_at = caller.expires_at;
        Self { socket, hub, seat, expires_at, ping_at, pong_by: None, strikes: 0, last_strike: now }
    }

    async fn live(&mut self) -> Close {
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
                received = self.socket.recv() => self.hear(received).await,
                () = &mut timer => self.look_at_the_clock().await,
                () = ready(()), if wrote => continue,
                () = self.seat.outbox.ready() => continue,
            };
            if let Err(close) = result {
                return close;
            }
            timer.as_mut().reset(self.next_deadline());
        }
    }

    /// Writes some of what waits. A client that does not take it in time is slow, and so is one whose outbox overflows
    /// meanwhile.
    async fn write(&mut self, batch: &mut Vec<Frame>) -> Result<(), Close> {
        self.seat.outbox.take(batch, BATCH_MAX)?;
        let (patience, outbox) = (self.hub.pace().write, &self.seat.outbox);
        for frame in batch.iter() {
            let feed = self.socket.feed(Message::Text(frame.text.clone()));
            patiently(feed, patience, outbox).await?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        patiently(self.socket.flush(), patience, outbox).await?;
        metrics::ws_delivered(batch.len() as u64);
        Ok(())
    }

    async fn hear(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<(), Close> {
        let text = text_of(received)?;
        self.pong_by = None;
        let Some(text) = text else { return Ok(()) };
        let Incoming { request_id, request } = inbound::parse(&text);
        let request_id = request_id.as_deref();
        let answered = match request {
            // Boxed: what a question to Redis needs would otherwise be part of every idle socket.
            Ok(request) => Box::pin(self.answer(request, request_id)).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = answered {
            self.seat.outbox.push(answers::error(&refusal, request_id));
            return self.strike();
        }
        Ok(())
    }

    async fn answer(&mut self, request: Request, request_id: Option<&str>) -> Result<(), Refusal> {
        match request {
            Request::Auth(_) => return Err(Refusal::new("already_logged_in", "this socket is logged in")),
            Request::Ping => self.seat.outbox.push(answers::pong(request_id)),
            Request::GetTask(id) => self.seat.answer_task(id, request_id).await.map_err(unavailable)?,
            Request::Subscribe(selection) => self.subscribe(selection, request_id).await?,
            Request::Unsubscribe(selection) => {
                let changed = self.seat.change_watch(|watch| {
                    if selection.all {
                        *watch = Watch::nothing();
                    }
                    watch.remove(&selection.tasks)
                });
                changed.unwrap_or(Ok(())).map_err(too_many)?;
                self.seat.answer_subscribed(&[], request_id).await.map_err(unavailable)?;
            }
        }
        Ok(())
    }

    /// Watch before reading: an ending between the two would otherwise reach neither.
    async fn subscribe(&mut self, selection: Selection, request_id: Option<&str>) -> Result<(), Refusal> {
        let changed = self.seat.change_watch(|watch| {
            if selection.all {
                *watch = Watch::all();
            }
            if selection.tasks.is_empty() { Ok(()) } else { watch.add(&selection.tasks) }
        });
        changed.unwrap_or(Ok(())).map_err(too_many)?;
        self.seat.answer_subscribed(&selection.tasks, request_id).await.map_err(unavailable)?;
        if let Some(cursor) = &selection.since {
            self.seat.replay(cursor, request_id);
        }
        Ok(())
    }

    /// One useless message a second is forgiven.
    fn strike(&mut self) -> Result<(), Close> {
        let forgiven = u32::try_from(self.last_strike.elapsed().as_secs()).unwrap_or(u32::MAX);
        if forgiven > 0 {
            self.last_strike = Instant::now();
        }
        self.strikes = self.strikes.saturating_sub(forgiven) + 1;
        if self.strikes > STRIKES_MAX { Err(Close::NOISE) } else { Ok(()) }
    }

    async fn look_at_the_clock(&mut self) -> Result<(), Close> {
        let now = Instant::now();
        if self.until_expiry().is_zero() {
            return Err(Close::EXPIRED);
        }
        if self.pong_by.is_some_and(|by| now >= by) {
            return Err(Close::SILENT);
        }
        if now >= self.ping_at {
            let (patience, outbox) = (self.hub.pace(), &self.seat.outbox);
            patiently(self.socket.send(Message::Ping(Bytes::new())), patience.write, outbox).await?;
            self.ping_at = now + patience.ping;
            self.pong_by.get_or_insert(now + patience.pong);
        }
        Ok(())
    }

    /// By the wall clock, which the token is about: looked at again with each ping.
    fn until_expiry(&self) -> Duration {
        Duration::from_millis(self.expires_at.saturating_mul(1_000).saturating_sub(clock::unix_ms()))
    }

    fn next_deadline(&self) -> Instant {
        let ping_at = self.pong_by.map_or(self.ping_at, |by| by.min(self.ping_at));
        let now = Instant::now();
        now.checked_add(self.until_expiry()).map_or(ping_at, |expiry| expiry.min(ping_at))
    }
}

async fn patiently(
    write: impl Future<Output = Result<(), axum::Error>>,
    patience: Duration,
    outbox: &Outbox,
) -> Result<(), Close> {
    tokio::select! {
        biased;
        written = write => written.map_err(|_| Close::BY_CLIENT),
        close = outbox.closed() => Err(close),
        () = sleep(patience) => Err(Close::SLOW),
    }
}

fn unavailable(error: queue::Error) -> Refusal {
    tracing::debug!(%error, "cannot answer on a WebSocket");
    Refusal::new("unavailable", "the queue cannot be reached now; ask again")
}

fn too_many(_: TooMany) -> Refusal {
    Refusal::new("too_many", format!("at most {IDS_PER_SESSION_MAX} tasks can be named on one socket"))
}

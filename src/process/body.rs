//! A request's body under a clock: whoever sends a byte a second does not hold a handler for ever.

use super::connection::ConnectionState;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Allowed {
    /// All of it: small bodies (JSON).
    InAll(Duration),
    /// Each piece: uploads, which may take as long as they get further.
    PerPiece(Duration),
}

/// A body that fails when it is late, and tells its connection when nobody read it to its end.
pub(super) struct TimedBody {
    body: Body,
    allowed: Allowed,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
    late: Arc<AtomicBool>,
    connection: Option<Arc<ConnectionState>>,
}

impl TimedBody {
    /// `late` becomes true when the time is over.
    pub(super) fn new(
        body: Body,
        allowed: Allowed,
        late: Arc<AtomicBool>,
        connection: Option<Arc<ConnectionState>>,
    ) -> Self {
        let (Allowed::InAll(time) | Allowed::PerPiece(time)) = allowed;
        Self { body, allowed, deadline: Instant::now() + time, timer: None, ended: false, late, connection }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(timer.as_mut().poll(cx));
        self.late.store(true, Ordering::Relaxed);
        Poll::Ready(())
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.poll_late(cx));
            return Poll::Ready(Some(Err(axum::Error::new("the body did not arrive in time"))));
        };
        match &frame {
            Some(Ok(_)) => {
                if let Allowed::PerPiece(time) = self.allowed {
                    self.deadline = Instant::now() + time;
                    self.timer = None;
                }
            }
            Some(Err(_)) | None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        if !self.ended
            && !self.body.is_end_stream()
            && let Some(connection) = &self.connection
        {
            connection.leave_unread();
        }
    }
}

//! Time limit on a request's body, so that a client that sends a byte a second does not hold a handler forever.

use super::connection_io::ConnectionState;
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

/// Time limit of a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum BodyLimit {
    /// Limit for the whole body, used for small ones (JSON).
    Total(Duration),
    /// Limit for each chunk, used for uploads, which may take any time as long as they progress.
    PerChunk(Duration),
}

/// A body that fails when it is late, and marks its connection if it was not read to its end.
pub(super) struct TimedBody {
    body: Body,
    limit: BodyLimit,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
    late: Arc<AtomicBool>,
    connection: Option<Arc<ConnectionState>>,
}

impl TimedBody {
    /// Wraps a body; `late` becomes true when the time limit is exceeded.
    pub(super) fn new(
        body: Body,
        limit: BodyLimit,
        late: Arc<AtomicBool>,
        connection: Option<Arc<ConnectionState>>,
    ) -> Self {
        let (BodyLimit::Total(time) | BodyLimit::PerChunk(time)) = limit;
        Self { body, limit, deadline: Instant::now() + time, timer: None, ended: false, late, connection }
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
                if let BodyLimit::PerChunk(time) = self.limit {
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

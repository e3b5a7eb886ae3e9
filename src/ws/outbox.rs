//! Queue of frames waiting for one socket: bounded, and conflated once its reader is behind.
//!
//! Invariant: endings and replies are never dropped; of a task's progress only the newest needs to arrive. A newer
//! progress replaces an older one in place, so the order within a task is kept. A reply is a barrier: progress never
//! moves before it, otherwise an older snapshot would follow a newer progress. Replies do not count towards the limit of
//! bytes; the session writes them before it reads the next request, which limits them.

use super::{
    close::Close,
    limits::{COALESCE_FROM, OUTBOX_BYTES_MAX},
};
use crate::task::TaskId;
use axum::extract::ws::Utf8Bytes;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// A message, serialised once and shared by all sockets.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The JSON.
    pub text: Utf8Bytes,
    /// Whether it may be replaced or crossed while it waits.
    pub kind: FrameKind,
}

/// Rules for a waiting message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// May be replaced by a newer progress of the same task.
    Progress(TaskId),
    /// Must arrive, and no newer progress of the same task moves before it.
    Output(TaskId),
    /// Must arrive.
    Required,
    /// Must arrive, and nothing moves across it.
    Barrier,
    /// A barrier that the client asked for: it does not count, so it never closes a session as slow.
    Reply,
}

impl Frame {
    /// Returns the frame as one that the client asked for.
    pub fn into_reply(self) -> Self {
        Self { kind: FrameKind::Reply, ..self }
    }

    /// Returns the bytes that count towards the limit.
    fn counted(&self) -> usize {
        if self.kind == FrameKind::Reply { 0 } else { self.text.len() }
    }
}

/// Queue between the hub and one session.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    /// Bytes of the frames that the client did not ask for.
    bytes: usize,
    /// Number of replies among the frames.
    replies: usize,
    /// Sequence number of the first of `frames`.
    first: u64,
    /// Sequence number of the newest waiting progress of each task; kept only while the session is behind.
    newest_progress: Option<HashMap<TaskId, u64>>,
    close: Option<Close>,
}

impl Outbox {
    /// Appends a frame, or replaces an older progress of the same task. If the outbox is full, drops everything and
    /// closes the session as slow.
    pub fn push(&self, frame: Frame) {
        let mut waiting = self.lock();
        if waiting.close.is_some() {
            return;
        }
        let was_empty = waiting.frames.is_empty();
        if waiting.bytes > 0 && waiting.bytes + frame.counted() > OUTBOX_BYTES_MAX {
            waiting.close(Close::SLOW);
            drop(waiting);
            self.wake.notify_one();
            return;
        }
        waiting.admit(frame);
        drop(waiting);
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Drops all waiting frames and closes the session.
    pub fn close(&self, close: Close) {
        self.lock().close(close);
        self.wake.notify_one();
    }

    /// Moves at most `max` frames into `batch`.
    ///
    /// # Errors
    /// The reason the session must close.
    pub fn take(&self, batch: &mut Vec<Frame>, max: usize) -> Result<(), Close> {
        let mut waiting = self.lock();
        if let Some(close) = waiting.close {
            return Err(close);
        }
        waiting.take(batch, max);
        Ok(())
    }

    /// Whether replies are waiting.
    pub fn has_replies(&self) -> bool {
        self.lock().replies > 0
    }

    /// Waits until there is a frame or the session must close.
    pub async fn ready(&self) {
        while self.is_idle() {
            self.wake.notified().await;
        }
    }

    /// Waits until the session must close.
    pub async fn closed(&self) -> Close {
        loop {
            if let Some(close) = self.lock().close {
                return close;
            }
            self.wake.notified().await;
        }
    }

    fn is_idle(&self) -> bool {
        let waiting = self.lock();
        waiting.frames.is_empty() && waiting.close.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn close(&mut self, close: Close) {
        self.close.get_or_insert(close);
        self.frames = VecDeque::new();
        self.newest_progress = None;
        (self.bytes, self.replies) = (0, 0);
    }

    fn admit(&mut self, frame: Frame) {
        if self.newest_progress.is_none() && self.frames.len() >= COALESCE_FROM {
            self.newest_progress = Some(self.find_newest_progress());
        }
        let next = self.first + self.frames.len() as u64;
        if let Some(newest_progress) = &mut self.newest_progress {
            match frame.kind {
                FrameKind::Progress(task) => {
                    let older = newest_progress.get(&task).and_then(|place| place.checked_sub(self.first));
                    if let Some(older) = older.and_then(|place| self.frames.get_mut(place as usize)) {
                        self.bytes = self.bytes + frame.text.len() - older.text.len();
                        *older = frame;
                        return;
                    }
                    newest_progress.insert(task, next);
                }
                FrameKind::Output(task) => drop(newest_progress.remove(&task)),
                FrameKind::Required => {}
                FrameKind::Reply | FrameKind::Barrier => newest_progress.clear(),
            }
        }
        self.bytes += frame.counted();
        self.replies += usize::from(frame.kind == FrameKind::Reply);
        self.frames.push_back(frame);
    }

    fn find_newest_progress(&self) -> HashMap<TaskId, u64> {
        let mut newest_progress = HashMap::new();
        for (place, frame) in (self.first..).zip(&self.frames) {
            match frame.kind {
                FrameKind::Progress(task) => {
                    newest_progress.insert(task, place);
                }
                FrameKind::Output(task) => drop(newest_progress.remove(&task)),
                FrameKind::Required => {}
                FrameKind::Reply | FrameKind::Barrier => newest_progress.clear(),
            }
        }
        newest_progress
    }

    fn take(&mut self, batch: &mut Vec<Frame>, max: usize) {
        let count = self.frames.len().min(max);
        self.first += count as u64;
        for frame in self.frames.drain(..count) {
            self.bytes -= frame.counted();
            self.replies -= usize::from(frame.kind == FrameKind::Reply);
            batch.push(frame);
        }
        if self.frames.is_empty() {
            self.newest_progress = None;
            // Frees the memory of a burst once the socket is idle.
            if self.frames.capacity() > COALESCE_FROM {
                self.frames = VecDeque::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, FrameKind, Outbox};
    use crate::{
        task::TaskId,
        ws::{
            close::Close,
            limits::{COALESCE_FROM, OUTBOX_BYTES_MAX},
        },
    };

    fn frame(text: &str, kind: FrameKind) -> Frame {
        Frame { text: text.into(), kind }
    }

    fn texts(outbox: &Outbox) -> Vec<String> {
        let mut batch = Vec::new();
        outbox.take(&mut batch, usize::MAX).unwrap();
        batch.iter().map(|frame| frame.text.to_string()).collect()
    }

    #[test]
    fn a_session_that_keeps_up_gets_every_progress() {
        let (outbox, task) = (Outbox::default(), TaskId::new());
        for text in ["1", "2", "3"] {
            outbox.push(frame(text, FrameKind::Progress(task)));
        }
        assert_eq!(texts(&outbox), ["1", "2", "3"]);
    }

    #[test]
    fn a_session_behind_gets_the_newest_progress_and_every_ending() {
        let (outbox, slow, other) = (Outbox::default(), TaskId::new(), TaskId::new());
        for n in 0..COALESCE_FROM {
            outbox.push(frame(&format!("e{n}"), FrameKind::Required));
        }
        outbox.push(frame("p1", FrameKind::Progress(slow)));
        outbox.push(frame("q1", FrameKind::Progress(other)));
        outbox.push(frame("p2", FrameKind::Progress(slow)));
        outbox.push(frame("end", FrameKind::Required));
        let texts = texts(&outbox);
        assert_eq!(texts[COALESCE_FROM..], ["p2", "q1", "end"]);
        outbox.push(frame("p3", FrameKind::Progress(slow)));
        assert_eq!(super::tests::texts(&outbox), ["p3"], "a frame that was taken is not replaced");
    }

    #[test]
    fn progress_never_moves_across_a_reply() {
        let (outbox, task) = (Outbox::default(), TaskId::new());
        outbox.push(frame("p1", FrameKind::Progress(task)));
        for _ in 0..COALESCE_FROM {
            outbox.push(frame("e", FrameKind::Required));
        }
        outbox.push(frame("snapshot", FrameKind::Reply));
        outbox.push(frame("p2", FrameKind::Progress(task)));
        outbox.push(frame("p3", FrameKind::Progress(task)));
        let texts = texts(&outbox);
        assert_eq!(texts[0], "p1");
        assert_eq!(texts[COALESCE_FROM + 1..], ["snapshot", "p3"]);
    }

    #[test]
    fn progress_never_moves_across_an_output_of_its_task() {
        let (outbox, task, other) = (Outbox::default(), TaskId::new(), TaskId::new());
        for (text, kind) in [("p1", FrameKind::Progress(task)), ("o1", FrameKind::Output(task))] {
            outbox.push(frame(text, kind));
        }
        for n in 0..COALESCE_FROM {
            outbox.push(frame(&format!("e{n}"), FrameKind::Required));
        }
        for (text, kind) in [
            ("p2", FrameKind::Progress(task)),
            ("o2", FrameKind::Output(task)),
            ("o3", FrameKind::Output(other)),
            ("p3", FrameKind::Progress(task)),
            ("p4", FrameKind::Progress(task)),
        ] {
            outbox.push(frame(text, kind));
        }
        let texts = texts(&outbox);
        assert_eq!(texts[..2], ["p1", "o1"]);
        assert_eq!(texts[COALESCE_FROM + 2..], ["p2", "o2", "o3", "p4"]);
    }

    #[tokio::test]
    async fn a_full_outbox_closes_as_slow_and_frees_the_memory() {
        let outbox = Outbox::default();
        let text = "x".repeat(OUTBOX_BYTES_MAX / 4);
        for _ in 0..5 {
            outbox.push(frame(&text, FrameKind::Required));
        }
        assert_eq!(outbox.closed().await, Close::SLOW);
        assert_eq!(outbox.take(&mut Vec::new(), 1), Err(Close::SLOW));
        assert_eq!(outbox.lock().frames.capacity(), 0);
    }

    #[test]
    fn replies_do_not_count() {
        let outbox = Outbox::default();
        let long = "x".repeat(OUTBOX_BYTES_MAX);
        for _ in 0..3 {
            outbox.push(frame(&long, FrameKind::Required).into_reply());
        }
        assert!(outbox.has_replies());
        outbox.push(frame(&long, FrameKind::Required));
        let mut batch = Vec::new();
        outbox.take(&mut batch, 3).unwrap();
        assert!(!outbox.has_replies());
        assert_eq!(texts(&outbox).len(), 1, "the event behind the replies");
    }

    #[test]
    fn a_single_message_above_the_limit_is_delivered() {
        let outbox = Outbox::default();
        outbox.push(frame(&"x".repeat(OUTBOX_BYTES_MAX * 2), FrameKind::Required));
        assert_eq!(texts(&outbox).len(), 1);
    }
}

//! What waits for one socket: bounded, and conflated once its reader is behind.
//!
//! Invariant: endings and answers are never dropped; of a task's progress only the newest needs to arrive. A newer
//! progress takes the place of an older one, so the order within a task is kept. An answer is a barrier: progress never
//! moves to before it, else an older snapshot would follow a newer progress.

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

/// One message, serialised once and shared by all sockets.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The JSON.
    pub text: Utf8Bytes,
    /// What may happen to it while it waits.
    pub kind: FrameKind,
}

/// What may happen to a waiting message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A newer one of the same task may take its place.
    Progress(TaskId),
    /// Must arrive, and no newer progress of the same task moves to before it.
    Output(TaskId),
    /// Must arrive.
    Must,
    /// Must arrive, and nothing moves across it.
    Barrier,
    /// The same, and asked for: never what makes a session slow.
    Answer,
}

/// The queue between the hub and one session.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Number of the first of `frames`.
    first: u64,
    /// Where the newest progress of a task waits; kept only while the session is behind.
    places: Option<HashMap<TaskId, u64>>,
    close: Option<Close>,
}

impl Outbox {
    /// Appends, or replaces an older progress of the same task. Too much waiting: everything is dropped and the session
    /// told to close as slow.
    pub fn push(&self, frame: Frame) {
        let mut waiting = self.lock();
        if waiting.close.is_some() {
            return;
        }
        let was_empty = waiting.frames.is_empty();
        if !was_empty && waiting.bytes + frame.text.len() > OUTBOX_BYTES_MAX && frame.kind != FrameKind::Answer {
            waiting.shut(Close::SLOW);
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

    /// Drops what waits and tells the session to close.
    pub fn close(&self, close: Close) {
        self.lock().shut(close);
        self.wake.notify_one();
    }

    /// Moves at most `max` messages into `batch`.
    ///
    /// # Errors
    /// Why the session must close.
    pub fn take(&self, batch: &mut Vec<Frame>, max: usize) -> Result<(), Close> {
        let mut waiting = self.lock();
        if let Some(close) = waiting.close {
            return Err(close);
        }
        waiting.take(batch, max);
        Ok(())
    }

    /// Waits until something waits or the session must close.
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
    fn shut(&mut self, close: Close) {
        self.close.get_or_insert(close);
        self.frames = VecDeque::new();
        self.places = None;
        self.bytes = 0;
    }

    fn admit(&mut self, frame: Frame) {
        if self.places.is_none() && self.frames.len() >= COALESCE_FROM {
            self.places = Some(self.find_places());
        }
        let next = self.first + self.frames.len() as u64;
        if let Some(places) = &mut self.places {
            match frame.kind {
                FrameKind::Progress(task) => {
                    let older = places.get(&task).and_then(|place| place.checked_sub(self.first));
                    if let Some(older) = older.and_then(|place| self.frames.get_mut(place as usize)) {
                        self.bytes = self.bytes + frame.text.len() - older.text.len();
                        *older = frame;
                        return;
                    }
                    places.insert(task, next);
                }
                FrameKind::Output(task) => drop(places.remove(&task)),
                FrameKind::Must => {}
                FrameKind::Answer | FrameKind::Barrier => places.clear(),
            }
        }
        self.bytes += frame.text.len();
        self.frames.push_back(frame);
    }

    fn find_places(&self) -> HashMap<TaskId, u64> {
        let mut places = HashMap::new();
        for (place, frame) in (self.first..).zip(&self.frames) {
            match frame.kind {
                FrameKind::Progress(task) => {
                    places.insert(task, place);
                }
                FrameKind::Output(task) => drop(places.remove(&task)),
                FrameKind::Must => {}
                FrameKind::Answer | FrameKind::Barrier => places.clear(),
            }
        }
        places
    }

    fn take(&mut self, batch: &mut Vec<Frame>, max: usize) {
        let count = self.frames.len().min(max);
        self.first += count as u64;
        for frame in self.frames.drain(..count) {
            self.bytes -= frame.text.len();
            batch.push(frame);
        }
        if self.frames.is_empty() {
            self.places = None;
            // An idle socket keeps no memory of a burst.
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
            outbox.push(frame(&format!("e{n}"), FrameKind::Must));
        }
        outbox.push(frame("p1", FrameKind::Progress(slow)));
        outbox.push(frame("q1", FrameKind::Progress(other)));
        outbox.push(frame("p2", FrameKind::Progress(slow)));
        outbox.push(frame("end", FrameKind::Must));
        let texts = texts(&outbox);
        assert_eq!(texts[COALESCE_FROM..], ["p2", "q1", "end"]);
        outbox.push(frame("p3", FrameKind::Progress(slow)));
        assert_eq!(super::tests::texts(&outbox), ["p3"], "a place that was taken is not written to");
    }

    #[test]
    fn progress_never_moves_across_an_answer() {
        let (outbox, task) = (Outbox::default(), TaskId::new());
        outbox.push(frame("p1", FrameKind::Progress(task)));
        for _ in 0..COALESCE_FROM {
            outbox.push(frame("e", FrameKind::Must));
        }
        outbox.push(frame("snapshot", FrameKind::Answer));
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
            outbox.push(frame(&format!("e{n}"), FrameKind::Must));
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
    async fn too_much_waiting_closes_as_slow_and_frees_the_memory() {
        let outbox = Outbox::default();
        let text = "x".repeat(OUTBOX_BYTES_MAX / 4);
        for _ in 0..5 {
            outbox.push(frame(&text, FrameKind::Must));
        }
        assert_eq!(outbox.closed().await, Close::SLOW);
        assert_eq!(outbox.take(&mut Vec::new(), 1), Err(Close::SLOW));
        assert_eq!(outbox.lock().frames.capacity(), 0);
    }

    #[test]
    fn one_message_larger_than_the_limit_still_gets_through() {
        let outbox = Outbox::default();
        outbox.push(frame(&"x".repeat(OUTBOX_BYTES_MAX * 2), FrameKind::Must));
        assert_eq!(texts(&outbox).len(), 1);
    }
}

//! Bounded queue of events, in number and in bytes: between the socket's task and its reader, and from there to an
//! attempt. Never blocks the writer.

use crate::comfy::{PromptEvent, limits};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Queue with a single writer and a single reader.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<PromptEvent>,
    /// Memory of the events.
    bytes: usize,
    is_closed: bool,
}

impl EventQueue {
    /// Adds an event. A newer step of the same progress bar replaces the older one; a full queue drops progress first.
    pub(crate) fn push(&self, event: PromptEvent) {
        self.lock().push(event);
        self.arrived.notify_one();
    }

    /// Marks the end of the events. Queued ones can still be read.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// Returns the next event; `None` once closed and empty. Cancel safe.
    pub(crate) async fn next(&self) -> Option<PromptEvent> {
        loop {
            {
                let mut state = self.lock();
                if let Some(event) = state.remove(0) {
                    return Some(event);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, event: PromptEvent) {
        if self.events.back().is_some_and(|last| is_same_bar(last, &event)) {
            self.remove(self.events.len() - 1);
        }
        let bytes = event.memory();
        while self.events.len() >= limits::EVENTS_MAX || self.bytes + bytes > limits::EVENT_BYTES_MAX {
            let dispensable = self.events.iter().position(|event| !is_essential(event));
            let dropped = match dispensable {
                Some(index) => self.remove(index),
                None if !is_essential(&event) => return,
                // Only a flood of other clients' prompts gets here; polling finds the dropped events.
                None => self.remove(0),
            };
            if dropped.is_none() {
                return;
            }
        }
        self.bytes += bytes;
        self.events.push_back(event);
    }

    fn remove(&mut self, index: usize) -> Option<PromptEvent> {
        let event = self.events.remove(index)?;
        self.bytes -= event.memory();
        Some(event)
    }
}

fn is_essential(event: &PromptEvent) -> bool {
    matches!(
        event,
        PromptEvent::Started(_) | PromptEvent::Failed { .. } | PromptEvent::Ended(_) | PromptEvent::Picture { .. }
    )
}

fn is_same_bar(last: &PromptEvent, event: &PromptEvent) -> bool {
    match (last, event) {
        (PromptEvent::Progress { prompt, node, .. }, PromptEvent::Progress { prompt: other, node: other_node, .. }) => {
            prompt == other && node == other_node
        }
        (PromptEvent::QueueRemaining(_), PromptEvent::QueueRemaining(_)) => true,
        (PromptEvent::Ended(prompt), PromptEvent::Ended(other))
        | (PromptEvent::Failed { prompt, .. }, PromptEvent::Failed { prompt: other, .. }) => prompt == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::EventQueue;
    use crate::comfy::{PromptEvent, limits};
    use uuid::Uuid;

    fn step(node: u32, value: f64) -> PromptEvent {
        PromptEvent::Progress { prompt: Uuid::nil(), node: Some(node.to_string()), value, max: 9.0 }
    }

    fn prompt(n: usize) -> Uuid {
        Uuid::from_u128(n as u128)
    }

    async fn drained(events: &EventQueue) -> Vec<PromptEvent> {
        events.close();
        let mut received = Vec::new();
        while let Some(event) = events.next().await {
            received.push(event);
        }
        received
    }

    #[tokio::test]
    async fn steps_of_one_bar_are_conflated() {
        let events = EventQueue::default();
        for event in [step(1, 1.0), step(1, 2.0), step(2, 1.0), step(1, 3.0)] {
            events.push(event);
        }
        assert_eq!(drained(&events).await, [step(1, 2.0), step(2, 1.0), step(1, 3.0)]);
    }

    #[tokio::test]
    async fn a_full_queue_drops_progress_but_no_end_of_a_prompt() {
        let events = EventQueue::default();
        for n in 0..limits::EVENTS_MAX - 1 {
            events.push(PromptEvent::Ended(prompt(n)));
            events.push(step(u32::try_from(n).unwrap(), 1.0));
        }
        events.push(PromptEvent::Started(prompt(7)));
        events.push(step(1, 1.0));
        let received = drained(&events).await;
        assert_eq!(received.len(), limits::EVENTS_MAX);
        assert_eq!(
            received.iter().filter(|event| matches!(event, PromptEvent::Ended(_))).count(),
            limits::EVENTS_MAX - 1
        );
        assert_eq!(received.last(), Some(&PromptEvent::Started(prompt(7))));
    }

    /// A reader that is slow for a moment, and events of half a megabyte each.
    #[tokio::test]
    async fn the_queue_is_bounded_in_bytes_and_keeps_the_ends() {
        let events = EventQueue::default();
        for n in 0..300 {
            events.push(PromptEvent::Cached { prompt: prompt(n), nodes: vec!["x".repeat(100); 4_000] });
            events.push(PromptEvent::Ended(prompt(n)));
        }
        assert!(events.lock().bytes <= limits::EVENT_BYTES_MAX);
        let received = drained(&events).await;
        assert_eq!(received.iter().filter(|event| matches!(event, PromptEvent::Ended(_))).count(), 300);
        assert!(received.iter().map(PromptEvent::memory).sum::<usize>() <= limits::EVENT_BYTES_MAX);
        assert_eq!(events.lock().bytes, 0);
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let events = EventQueue::default();
        for n in 0..10 * limits::EVENTS_MAX {
            events.push(PromptEvent::Ended(prompt(n)));
        }
        assert_eq!(drained(&events).await.len(), limits::EVENTS_MAX);
    }
}

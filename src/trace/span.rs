//! A span: started, given attributes and events, and sent when dropped.

use super::{
    exporter_slot::ExporterSlot,
    names::Name,
    record::{AttributeValue, RemoteSpan, SpanEvent, SpanRecord},
};
use crate::task::TaskId;
use std::{
    fmt::Display,
    time::{Duration, Instant, SystemTime},
};

/// Maximum number of events of a span; more are only counted.
const EVENTS_MAX: usize = 128;
/// Longest node id in a span, bytes.
const NODE_BYTES_MAX: usize = 40;

/// A span of a task's trace, or none. It ends when dropped.
#[derive(Debug)]
pub struct Span(Option<Open>);

#[derive(Debug)]
struct Open {
    record: Box<SpanRecord>,
    slot: &'static ExporterSlot,
    opened: Instant,
}

impl Span {
    /// Makes an empty span, as a placeholder.
    pub fn none() -> Self {
        Self(None)
    }

    /// Starts the root span of a task, `ago` before now.
    pub fn root(task: TaskId, name: Name, ago: Duration) -> Self {
        Self::start(task, name, ago, (root_id(task), 0))
    }

    /// Starts a span below the root, `ago` before now.
    pub fn of(task: TaskId, name: Name, ago: Duration) -> Self {
        Self::start(task, name, ago, (random_id(), root_id(task)))
    }

    fn start(task: TaskId, name: Name, ago: Duration, ids: (u64, u64)) -> Self {
        let Some(slot) = ExporterSlot::of(task) else { return Self(None) };
        let now = SystemTime::now();
        let begun = now.checked_sub(ago).unwrap_or(now);
        Self(Some(Open::new(slot, name, (begun, now), task.bits(), ids)))
    }

    /// Starts a span below this one, now.
    pub fn child(&self, name: Name) -> Self {
        let Some(open) = &self.0 else { return Self(None) };
        let now = open.now();
        Self(Some(Open::new(open.slot, name, (now, now), open.record.trace, (random_id(), open.record.id))))
    }

    /// Whether spans of this task are sent.
    pub fn is_wanted(task: TaskId) -> bool {
        ExporterSlot::of(task).is_some()
    }

    /// Whether the span is recorded.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Sets a text attribute, replacing an earlier value.
    pub fn text(&mut self, key: &'static str, value: impl Display) {
        if let Some(open) = &mut self.0 {
            open.set(key, AttributeValue::Text(value.to_string()));
        }
    }

    /// Sets a number attribute, replacing an earlier value.
    pub fn count(&mut self, key: &'static str, value: u64) {
        if let Some(open) = &mut self.0 {
            open.set(key, AttributeValue::Count(value));
        }
    }

    /// Sets an attribute to true.
    pub fn flag(&mut self, key: &'static str) {
        if let Some(open) = &mut self.0 {
            open.set(key, AttributeValue::True);
        }
    }

    /// Marks the span as failed. Only the kind is recorded: messages may contain texts of users.
    pub fn fail(&mut self, kind: &'static str) {
        if let Some(open) = &mut self.0 {
            open.record.failure = Some(kind);
        }
    }

    /// Records an event, now.
    pub fn event(&mut self, name: &'static str) {
        if let Some(open) = &mut self.0 {
            open.add_event(name, None);
        }
    }

    /// Records the start of a node, now. Ids come from users: one that does not have the form of an id is omitted.
    pub fn node(&mut self, id: &str) {
        if let Some(open) = &mut self.0 {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'_' | b'-');
            let is_id = id.len() <= NODE_BYTES_MAX && id.bytes().all(is_part);
            open.add_event("node", is_id.then(|| id.to_owned()));
        }
    }

    /// Adds a link to the client's span.
    pub fn link(&mut self, remote: Option<RemoteSpan>) {
        if let Some(open) = &mut self.0 {
            open.record.remote = remote;
        }
    }

    /// Ends the span `ago` before now.
    pub fn end_ago(mut self, ago: Duration) {
        if let Some(open) = self.0.take() {
            open.close(ago);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.close(Duration::ZERO);
        }
    }
}

impl Open {
    fn new(
        slot: &'static ExporterSlot,
        name: Name,
        (begun, ended): (SystemTime, SystemTime),
        trace: u128,
        (id, parent): (u64, u64),
    ) -> Self {
        let record = SpanRecord {
            name,
            trace,
            id,
            parent,
            begun,
            ended,
            attributes: Vec::new(),
            failure: None,
            events: Vec::new(),
            events_dropped: 0,
            remote: None,
        };
        Self { record: Box::new(record), slot, opened: Instant::now() }
    }

    /// Returns the current time by the monotonic clock, so that setting the system clock neither makes spans of years
    /// nor moves a span outside its parent.
    fn now(&self) -> SystemTime {
        self.record.ended + self.opened.elapsed()
    }

    fn close(mut self, ago: Duration) {
        let end = self.now().checked_sub(ago).unwrap_or(self.record.begun);
        self.record.ended = end.max(self.record.begun);
        self.slot.send(*self.record);
    }

    fn set(&mut self, key: &'static str, value: AttributeValue) {
        match self.record.attributes.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.record.attributes.push((key, value)),
        }
    }

    fn add_event(&mut self, name: &'static str, node: Option<String>) {
        if self.record.events.len() < EVENTS_MAX {
            let at = self.now();
            self.record.events.push(SpanEvent { name, at, node });
        } else {
            self.record.events_dropped += 1;
        }
    }
}

/// Returns the end of the task's id; never 0, because it contains a UUID's variant.
fn root_id(task: TaskId) -> u64 {
    task.bits() as u64
}

fn random_id() -> u64 {
    getrandom::u64().unwrap_or(1).max(1)
}

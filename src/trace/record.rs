//! Content of a span, as it is recorded and queued for export.

use super::names::Name;
use std::time::SystemTime;

/// The recorded content of a span.
#[derive(Debug)]
pub(super) struct SpanRecord {
    pub(super) name: Name,
    pub(super) trace: u128,
    pub(super) id: u64,
    /// Id of the parent span; 0 = none.
    pub(super) parent: u64,
    pub(super) begun: SystemTime,
    /// End of the span; the start while it is open.
    pub(super) ended: SystemTime,
    pub(super) attributes: Vec<(&'static str, AttributeValue)>,
    /// Kind of the failure.
    pub(super) failure: Option<&'static str>,
    pub(super) events: Vec<SpanEvent>,
    pub(super) events_dropped: u32,
    pub(super) remote: Option<RemoteSpan>,
}

/// The value of an attribute.
#[derive(Debug)]
pub(super) enum AttributeValue {
    Text(String),
    Count(u64),
    True,
}

/// An event.
#[derive(Debug)]
pub(super) struct SpanEvent {
    pub(super) name: &'static str,
    pub(super) at: SystemTime,
    pub(super) node: Option<String>,
}

/// The client's span to which a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteSpan {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) is_sampled: bool,
}

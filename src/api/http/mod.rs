//! HTTP as every route uses it: envelope, body, query, extractors, conditional headers.

pub(super) mod body;
pub(super) mod body_room;
pub(super) mod envelope;
pub(super) mod extract;
pub(super) mod multipart;
pub(super) mod page;
pub(super) mod query;
pub(super) mod range_headers;
pub(super) mod spans;
pub(super) mod strict_json;
pub(super) mod timestamp;

//! Reads a `PUT /api/config` body: everything wrong in one list, nothing half applied.

use super::FleetConfig;
use serde::Serialize;
use serde_json::Value;

/// One thing wrong: `{"pointer":"/servers/0/ports/1","code":"…","message":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer into the body.
    pub pointer: String,
    /// Stable machine word.
    pub code: String,
    /// What to do.
    pub message: String,
    /// Wrong shape or type (the answer is 400) rather than a value that does not fit (422).
    #[serde(skip)]
    pub is_shape: bool,
}

/// Applies `body` (what it names replaces, the rest stays) to `current`.
///
/// # Errors
/// Every problem of the document; `current` is untouched.
pub fn parse_config(_body: &Value, _current: &FleetConfig) -> Result<FleetConfig, Vec<Problem>> {
    todo!("helper api")
}

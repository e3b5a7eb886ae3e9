//! Name and version of a published workflow.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 64;

/// Name of a published workflow: 1–64 of `A-Z a-z 0-9 . _ -`, a letter or digit first. It is part of paths, of
/// `name@3`, and of Redis keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(as = FlowName, value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
pub struct WorkflowName(String);

/// Error of a text that is not a valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or a digit")]
pub struct NotAName;

impl WorkflowName {
    /// Returns the name as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkflowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkflowName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let bytes = text.as_bytes();
        let is_name = bytes.len() <= NAME_BYTES_MAX
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(is_part);
        if is_name { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }
}

impl TryFrom<String> for WorkflowName {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<WorkflowName> for String {
    fn from(name: WorkflowName) -> Self {
        name.0
    }
}

/// The published workflow of a task: `{"name","version"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowVersion {
    /// The published workflow.
    pub name: WorkflowName,
    /// Version, from 1.
    pub version: u64,
}

/// Writes `name@3`.
impl fmt::Display for WorkflowVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl FromStr for WorkflowVersion {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (name, version) = text.split_once('@').ok_or(NotAName)?;
        Ok(Self { name: name.parse()?, version: version.parse().map_err(|_| NotAName)? })
    }
}

#[cfg(test)]
mod tests {
    use super::WorkflowName;

    #[test]
    fn only_plain_names_are_accepted() {
        for good in ["a", "0", "text-to-image", "SDXL_1.0", &"x".repeat(64)] {
            assert_eq!(good.parse::<WorkflowName>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", ".", "-a", "_a", "a b", "a@3", "a/b", "a:b", "a}b", "ä", "a\0", &"x".repeat(65)] {
            assert!(bad.parse::<WorkflowName>().is_err(), "{bad}");
        }
    }
}

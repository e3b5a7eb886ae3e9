//! Reference to a published workflow on the command line: `NAME` or `NAME@VERSION`.

use crate::task::WorkflowName;
use std::{fmt, str::FromStr};

/// Maximum digits of a version, as on the server.
const DIGITS_MAX: usize = 15;

/// A published workflow, in its latest or a given version.
#[derive(Debug, Clone)]
pub(crate) struct WorkflowRef {
    pub(crate) name: WorkflowName,
    version: Option<u64>,
}

impl WorkflowRef {
    /// Path to read it from.
    pub(crate) fn path(&self) -> String {
        let version = self.version.map(|version| format!("?version={version}")).unwrap_or_default();
        format!("{}{version}", path_of(&self.name))
    }
}

/// Path of a published workflow. A name has no character with a meaning in a path.
pub(crate) fn path_of(name: &WorkflowName) -> String {
    format!("/api/workflows/{name}")
}

/// Parses a name where no version is allowed.
pub(crate) fn whole_name(text: &str) -> Result<WorkflowName, String> {
    match text.split_once('@') {
        Some((name, _)) => Err(format!("a version cannot be given here: use `{name}` alone")),
        None => text.parse().map_err(|error: crate::task::NotAName| error.to_string()),
    }
}

impl FromStr for WorkflowRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                let is_plain =
                    (1..=DIGITS_MAX).contains(&version.len()) && version.bytes().all(|it| it.is_ascii_digit());
                let number = version.parse().ok().filter(|_| is_plain);
                (name, Some(number.ok_or_else(|| format!("`{version}` is not a version: write it like {name}@3"))?))
            }
        };
        let name = name.parse().map_err(|error: crate::task::NotAName| error.to_string())?;
        Ok(Self { name, version })
    }
}

impl fmt::Display for WorkflowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => self.name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{WorkflowRef, whole_name};

    #[test]
    fn a_name_may_have_a_version() {
        let path = |text: &str| text.parse::<WorkflowRef>().map(|workflow| (workflow.path(), workflow.to_string()));
        assert_eq!(path("a.b"), Ok(("/api/workflows/a.b".to_owned(), "a.b".to_owned())));
        assert_eq!(path("a@12"), Ok(("/api/workflows/a?version=12".to_owned(), "a@12".to_owned())));
        for bad in ["", "@3", "a@", "a@x", "a@+1", "a@1@2", "../x", "a b", "图", "a@9999999999999999"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert!(whole_name("a").is_ok() && whole_name("a@3").unwrap_err().contains("`a` alone"));
    }
}

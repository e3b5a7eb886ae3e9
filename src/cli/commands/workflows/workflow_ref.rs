//! `NAME` or `NAME@VERSION`: a published workflow as it is typed.

use crate::task::FlowName;
use std::{fmt, str::FromStr};

/// Digits of a version, as the server takes them.
const DIGITS_MAX: usize = 15;

/// The newest version, or a certain one.
#[derive(Debug, Clone)]
pub(crate) struct FlowRef {
    pub(crate) name: FlowName,
    version: Option<u64>,
}

impl FlowRef {
    /// Where it is read.
    pub(crate) fn path(&self) -> String {
        let version = self.version.map(|version| format!("?version={version}")).unwrap_or_default();
        format!("{}{version}", path_of(&self.name))
    }
}

/// Where a published workflow is: a name has nothing in it that means something in a path.
pub(crate) fn path_of(name: &FlowName) -> String {
    format!("/api/workflows/{name}")
}

/// A name where no version can be given.
pub(crate) fn whole_name(text: &str) -> Result<FlowName, String> {
    match text.split_once('@') {
        Some((name, _)) => Err(format!("versions are not handled one by one here: give `{name}` alone")),
        None => text.parse().map_err(|error: crate::task::NotAName| error.to_string()),
    }
}

impl FromStr for FlowRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                let is_plain =
                    (1..=DIGITS_MAX).contains(&version.len()) && version.bytes().all(|it| it.is_ascii_digit());
                let number = version.parse().ok().filter(|_| is_plain);
                (name, Some(number.ok_or_else(|| format!("`{version}` is no version: write it like {name}@3"))?))
            }
        };
        let name = name.parse().map_err(|error: crate::task::NotAName| error.to_string())?;
        Ok(Self { name, version })
    }
}

impl fmt::Display for FlowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => self.name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FlowRef, whole_name};

    #[test]
    fn a_name_may_have_a_version() {
        let path = |text: &str| text.parse::<FlowRef>().map(|flow| (flow.path(), flow.to_string()));
        assert_eq!(path("a.b"), Ok(("/api/workflows/a.b".to_owned(), "a.b".to_owned())));
        assert_eq!(path("a@12"), Ok(("/api/workflows/a?version=12".to_owned(), "a@12".to_owned())));
        for bad in ["", "@3", "a@", "a@x", "a@+1", "a@1@2", "../x", "a b", "图", "a@9999999999999999"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert!(whole_name("a").is_ok() && whole_name("a@3").unwrap_err().contains("`a` alone"));
    }
}

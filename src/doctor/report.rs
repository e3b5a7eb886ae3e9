//! The report of the checks: a table for people, JSON for programs.

use serde::Serialize;
use std::fmt;

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Passed.
    Ok,
    /// Not checked.
    Skip,
    /// Works, but needs attention.
    Warn,
    /// Does not work.
    Fail,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check, e.g. `redis.clock`, `instance 10.0.0.1:8188`.
    pub check: String,
    /// The result.
    pub level: Level,
    /// The observation.
    pub found: String,
    /// Recommended action; `None` if none is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// Returns a passed check.
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), level: Level::Ok, found: found.into(), advice: None }
    }

    /// Returns a skipped check with the reason.
    pub fn skip(check: impl Into<String>, why: impl Into<String>) -> Self {
        Self { level: Level::Skip, ..Self::ok(check, why) }
    }

    /// Returns a warning.
    pub fn warn(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::bad(Level::Warn, check, found, advice)
    }

    /// Returns a failed check.
    pub fn fail(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::bad(Level::Fail, check, found, advice)
    }

    /// Returns a warning or failure, by `level`.
    pub fn bad(level: Level, check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level, advice: Some(advice.into()), ..Self::ok(check, found) }
    }
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Appends the findings of another report.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.findings.extend(other.findings);
        self
    }

    /// Returns the number of findings of this level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Returns `{"ok": bool, "findings": [{"check", "level": "ok|skip|warn|fail", "found", "advice"?}]}`; `ok` is true
    /// if nothing failed.
    pub fn to_json(&self) -> String {
        let body = serde_json::json!({ "ok": self.count(Level::Fail) == 0, "findings": self.findings });
        format!("{body:#}")
    }
}

/// A line per check, the advice below it, and the totals.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
        for Finding { check, level, found, advice } in &self.findings {
            writeln!(f, "{:<4}  {check:<width$}  {found}", level.as_str())?;
            if let Some(advice) = advice {
                writeln!(f, "{:<4}  {:<width$}  → {advice}", "", "")?;
            }
        }
        let counts = [Level::Fail, Level::Warn, Level::Skip, Level::Ok];
        let counts: Vec<String> =
            counts.iter().map(|level| format!("{} {}", self.count(*level), level.as_str())).collect();
        writeln!(f, "{}", counts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Report};

    #[test]
    fn advice_is_printed_below_its_finding() {
        let mut report = Report::default();
        report.push(Finding::ok("a", "good"));
        report.push(Finding::fail("long.name", "bad", "mend it"));
        assert_eq!(
            report.to_string(),
            "ok    a          good\nfail  long.name  bad\n                 → mend it\n1 fail, 0 warn, 0 skip, 1 ok\n"
        );
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["findings"][1]["advice"], "mend it");
        assert!(json["findings"][0].get("advice").is_none());
    }
}

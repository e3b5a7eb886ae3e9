//! What was found: as a table for people, as JSON for programs.

use serde::Serialize;
use std::fmt;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not looked at.
    Skip,
    /// It works, but may surprise.
    Warn,
    /// It does not work.
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

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `redis.clock`, `instance 10.0.0.1:8188`.
    pub check: String,
    /// How it went.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do; `None` when nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), level: Level::Ok, found: found.into(), advice: None }
    }

    /// Not looked at, and why.
    pub fn skip(check: impl Into<String>, why: impl Into<String>) -> Self {
        Self { level: Level::Skip, ..Self::ok(check, why) }
    }

    /// It works, but may surprise.
    pub fn warn(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::bad(Level::Warn, check, found, advice)
    }

    /// It does not work.
    pub fn fail(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::bad(Level::Fail, check, found, advice)
    }

    /// As bad as `level` says.
    pub fn bad(level: Level, check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level, advice: Some(advice.into()), ..Self::ok(check, found) }
    }
}

/// All of it, in the order looked at.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Both, in this order.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.findings.extend(other.findings);
        self
    }

    /// How many checks went so.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// `{"ok": bool, "findings": [{"check", "level": "ok|skip|warn|fail", "found", "advice"?}]}`; ok = nothing failed.
    pub fn to_json(&self) -> String {
        let body = serde_json::json!({ "ok": self.count(Level::Fail) == 0, "findings": self.findings });
        format!("{body:#}")
    }
}

/// One line a check, what to do below it, and a sum.
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
    fn what_to_do_stands_below_what_was_found() {
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

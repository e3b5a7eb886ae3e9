//! Downloads of files at URLs, for the inputs of tasks: one streamed GET; redirects are followed by hand, so that every
//! hop is checked.
//!
//! Invariants: only http and https; only allowed addresses are connected to (checked in the resolver, so that a name
//! cannot change between check and connect); no proxy, cookies, credentials or decompression; size and time are
//! bounded; no error reveals whether a port is open or what a name resolves to. Start with [`Fetcher::open`].

mod allowlist;
mod download;
mod http_get;

pub use download::Download;
pub use http_get::Fetcher;

use std::time::Duration;

/// The reason a file was not fetched, with a message for the submitter that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Fetching is switched off.
    #[error("this system fetches no files: upload the file and write {{\"$file\":\"<fileId>\"}}")]
    Off,
    /// The URL cannot be fetched.
    #[error("this cannot be fetched: {0}")]
    Invalid(&'static str),
    /// The URL itself, or a redirect, contains an address that is not allowed.
    #[error(
        "the URL leads to a private, local or reserved address: upload the file, or have the operator allow the address"
    )]
    NotAllowed,
    /// The same message for an unknown name, a name with an address that is not allowed, a closed port and a timeout,
    /// so that clients learn nothing about our network.
    #[error(
        "the file was not fetched: the host is unknown, not allowed, or does not answer; check the URL, or upload the file"
    )]
    Unreachable,
    /// The server answered with an error status.
    #[error("the server answered {0} instead of the file: check that the URL can be opened without a login")]
    Status(u16),
    /// The server answered with something other than the file.
    #[error("the server {0}: check the URL, or upload the file")]
    BadAnswer(&'static str),
    /// The file is larger than the limit, bytes.
    #[error("the file is larger than the limit of {0} bytes for fetched files: upload it")]
    TooLarge(u64),
    /// The file did not arrive in time.
    #[error("the file did not arrive within {0:?}: upload it")]
    TooSlow(Duration),
    /// Too many files are being fetched.
    #[error("too many files are being fetched: try again in a moment")]
    Busy,
}

impl Refusal {
    /// Returns the stable code in `error.details[].code`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Off => "param_url_off",
            Self::Invalid(_) => "param_url_invalid",
            Self::NotAllowed => "param_url_not_allowed",
            Self::Unreachable => "param_url_unreachable",
            Self::Status(_) | Self::BadAnswer(_) => "param_url_bad_answer",
            Self::TooLarge(_) => "param_url_too_large",
            Self::TooSlow(_) => "param_url_too_slow",
            Self::Busy => "param_url_busy",
        }
    }
}

//! Files from the web, for the inputs of tasks: one GET, streamed, redirects followed by hand so that every hop is judged.
//!
//! Invariants: http and https only; no address is ever connected to that the guard does not let through (the resolver itself
//! refuses, so a name cannot change its mind between the look and the connect); no proxy, no cookie, no credentials, no
//! decompression; everything is bounded in size and time; no refusal tells an open port from a closed one, or where a name
//! leads. Look first at [`Fetcher::open`].

mod address;
mod allow;
mod arrival;
mod get;
mod resolve;

pub use arrival::Arrival;
pub use get::Fetcher;

use std::time::Duration;

/// Why a file was not fetched: a sentence for the submitter that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Switched off.
    #[error("this system fetches no files: upload the file and write {{\"$file\":\"<fileId>\"}}")]
    Off,
    /// No URL that could be fetched.
    #[error("this cannot be fetched: {0}")]
    Invalid(&'static str),
    /// An address in the URL itself, or in a redirect.
    #[error(
        "the URL leads to a private, local or reserved address: upload the file, or have the operator allow the address"
    )]
    NotAllowed,
    /// One sentence for an unknown name, a name that leads where we must not go, a closed port and no answer at all: whoever
    /// asks learns nothing about the network that we stand in.
    #[error(
        "nothing was fetched: the host is not known, not allowed here, or does not answer; check the URL, or upload the file"
    )]
    Unreachable,
    /// Not the file.
    #[error("the server answered {0} instead of the file: check that the URL can be opened without a login")]
    Status(u16),
    /// Something that is no file either.
    #[error("the server {0}: check the URL, or upload the file")]
    BadAnswer(&'static str),
    /// Over the cap, bytes.
    #[error("the file is larger than {0} bytes, which is the most that is fetched: upload it")]
    TooLarge(u64),
    /// Over the time.
    #[error("the file did not arrive within {0:?}: upload it")]
    TooSlow(Duration),
    /// Too many are being fetched.
    #[error("too many files are being fetched: try again in a moment")]
    Busy,
}

impl Refusal {
    /// The stable word of `error.details[].code`.
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

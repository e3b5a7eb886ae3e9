//! JSON bodies with more than a few members, read into the types that the rooms below take.

mod extra_data;
mod publication;
mod submission;
mod sweep;
mod wrapping;

pub(super) use extra_data::keys_of_retry;
pub(super) use publication::PublicationBody;
pub(super) use submission::{KNOWN as SUBMISSION_MEMBERS, parse as parse_submission};

//! Files of tasks: uploads, files inside a submission or at its URLs, and the right to name a stored file.

pub(super) mod access;
mod base64;
mod declared_type;
mod incoming;
mod registry;
mod staging;
pub(super) mod upload_names;
mod url;

pub(super) use incoming::{CheckedFiles, IncomingFiles, check_urls};
pub use registry::{FileRegistry, ReceivedFile};
pub(super) use staging::StagedFiles;

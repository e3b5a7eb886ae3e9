//! Raw JSON text: checks, ordered members, single values, layout. Nothing here re-encodes a number.
//!
//! Everything works on `RawValue` or on text, so bytes stay as the client sent them. `serde_json` checks the grammar;
//! [`scan`] finds what the grammar allows and consumers cannot hold.

mod faults;
mod members;
mod pointer;
mod pretty;
pub(crate) mod raw_value;
mod string_literals;
mod syntax_error;
mod walk;

pub(crate) use faults::{DEPTH_MAX, Fault, FaultKind, NUMBER_BYTES_MAX, first_duplicate_key, first_fault, scan};
pub(crate) use members::{Member, Members};
pub(crate) use pointer::child_pointer;
pub(crate) use pretty::{compact, pretty};
pub(crate) use string_literals::{lone_surrogates, string_end};
pub(crate) use syntax_error::explain;
pub(crate) use walk::{each_element, each_member, first_elements, member};

//! Options and result of [`super::resolve`], and the limits of params.

use super::{Declared, OwnFiles, UploadNames};
use crate::{
    graph::{Budget, FleetCatalog, Workflow},
    json::child_pointer,
    task::{FileInput, InstanceId, Warning},
};

/// JSON pointer of the params in the request.
pub(super) const BASE: &str = "/params";
/// Maximum number of inputs set by params.
pub(super) const ASSIGNMENTS_MAX: usize = 10_000;
/// Warnings kept with a task.
pub(super) const WARNINGS_MAX: usize = 50;
/// Maximum number of stored files that one task uses.
pub(super) const FILES_MAX: usize = 256;

/// Options of [`super::resolve`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Whether an unused name and a placeholder without a value are always errors.
    pub is_strict: bool,
    /// Whether to draw every seed that no param sets.
    pub randomizes_seeds: bool,
    /// Whether to map `prompt`, `negative_prompt`, `seed`, `steps`, `cfg`, `width` and `height` if the graph does not
    /// declare them.
    pub maps_names: bool,
    /// The declared parameters of a published workflow, which takes no other names.
    pub declared: Option<&'a Declared>,
    /// Whether a workflow is being published: parameters without a default may be missing, because submitters provide
    /// them.
    pub is_publishing: bool,
    /// The catalogs of the instances; `None` = nothing is checked against them.
    pub pool: Option<&'a FleetCatalog>,
    /// The addresses of our own files; `None` = links are fetched like any other.
    pub own: Option<&'a OwnFiles>,
    /// The uploads of the caller by name; `None` = no name of a file is looked up.
    pub uploads: Option<&'a UploadNames>,
    /// The local time that a `%date:…%` of a file name stands for; `None` = names are left as they are.
    pub now: Option<jiff::civil::DateTime>,
    /// The budget of the request; without one, the work is not limited. Once it is over, a result means nothing.
    pub budget: &'a Budget,
}

/// A file inside the request; its input is `null` until the file is stored and named.
#[derive(Debug, Clone)]
pub struct InlineFile {
    /// Id of the node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// JSON pointer of the value in the request.
    pub pointer: String,
    /// The directive as given in the params.
    pub directive: String,
    /// The bytes in base64, or a data URI.
    pub base64: String,
    /// Name of the file, as given.
    pub filename: Option<String>,
}

/// A file at a URL; its input is `null` until the file is fetched, stored and named.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    /// Id of the node.
    pub node_id: String,
    /// The input of that node.
    pub input: String,
    /// JSON pointer of the value in the request.
    pub pointer: String,
    /// The URL as given.
    pub url: String,
    /// Expected SHA-256 of the bytes, lowercase hex.
    pub sha256: Option<String>,
    /// Name of the file, as given.
    pub filename: Option<String>,
}

/// A graph with its params applied.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The graph.
    pub workflow: Workflow,
    /// Stored files it needs; their inputs are `null` until the dispatcher writes the file's name on the instance.
    pub files: Vec<FileInput>,
    /// Files inside the request that must be stored first.
    pub inline: Vec<InlineFile>,
    /// Files at URLs that must be fetched first.
    pub remote: Vec<RemoteFile>,
    /// Drawn seeds: `("3.seed", value)`.
    pub seeds: Vec<(String, u64)>,
    /// Well-known names, with the address found.
    pub mapped: Vec<(String, String)>,
    /// Warnings for the submitter.
    pub warnings: Vec<Warning>,
    /// The instances that meet all its needs; `None` = all, as far as is known.
    pub eligible: Option<Vec<InstanceId>>,
    /// Needs that narrowed the instances: `class X`, `4.ckpt_name "a.safetensors"`; at most 5.
    pub needs: Vec<String>,
}

/// Returns the JSON pointer of a param.
pub(super) fn pointer(key: &str) -> String {
    child_pointer(BASE, key)
}

//! Values that are files, in params and in the graph: stored files (`$file`), files at URLs (`$url`, or a URL for an
//! input that takes files), and assets of ComfyUI's API v2.

use super::{
    apply::Writer,
    options::{InlineFile, RemoteFile},
    own_files::{is_base64, may_be_base64},
    value::{Remote, Value, ValueError, member},
};
use crate::{
    graph::links::is_url,
    json::{child_pointer, raw_value},
    problem::{Problem, clip},
    task::{FileId, FileInput},
};
use serde_json::value::RawValue;

/// Member that marks an asset: `{"__type":"core/ASSET","info":{"id","hash"?,"file_path"?}}`, as the SDKs of API v2
/// write it.
pub(super) const TYPE: &str = "__type";
const ASSET: &str = "core/ASSET";
/// Members allowed in an asset's `info`. `hash` is BLAKE3 and is ignored: our file id already identifies the bytes.
const INFO: [&str; 4] = ["id", "hash", "file_path", "url"];

/// Prefix of a file given as a text.
const DATA_URI: &str = "\"data:";
/// Longest text that is looked at as a link of ours, bytes of JSON.
const LINK_BYTES_MAX: usize = 2_000;
/// Shortest JSON text that may be base64 without a prefix.
const BASE64_BYTES_MIN: usize = 102;
/// Length of the JSON text of a file id.
const FILE_ID_BYTES: usize = 38;
/// Starts of other texts that may name a file of ours.
const PLACES: [&str; 4] = ["/", "s3://", "upload/file/", "api/files/"];
/// Directives allowed in `params` only: a graph holds its values literally, and files inside a request are stored
/// separately.
const FOR_PARAMS: [&str; 6] = ["$base64", "$random", "$link", "$unset", "$literal", "$force"];

/// Parses `{"$file":"<fileId>"}`.
pub(super) fn stored<'p>(argument: &RawValue) -> Result<Value<'p>, ValueError> {
    let text = raw_value::text(argument);
    if let Some(url) = text.as_ref().filter(|text| is_url(text) || PLACES.iter().any(|place| text.starts_with(place))) {
        // A link of ours; one of others is fetched, as by `$url`.
        return Ok(Value::Remote(Remote { url: url.clone(), sha256: None, filename: None }));
    }
    let id = text.and_then(|id| id.parse().ok()).map(Value::File);
    id.ok_or_else(|| ValueError::bad("`$file` takes the fileId of an upload, e.g. {\"$file\":\"3f0c…\"}"))
}

/// Parses `{"$url":"https://…","sha256"?:"<64 hex digits>","filename"?:"a.png"}`.
pub(super) fn remote(members: &[(String, &RawValue)]) -> Result<Remote, ValueError> {
    let text = |name: &str| member(members, name).map(raw_value::text);
    let (Some(Some(url)), filename, sha256) = (text("$url"), text("filename"), text("sha256")) else {
        return Err(ValueError::bad("`$url` takes a text, e.g. {\"$url\":\"https://host/a.png\"}"));
    };
    let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (filename, sha256) {
        (Some(None), _) => Err(ValueError::bad("`filename` takes a text, e.g. \"a.png\"")),
        (_, Some(sha256)) if !sha256.as_ref().is_some_and(is_hash) => {
            Err(ValueError::bad("`sha256` takes the 64 hexadecimal digits of the file's SHA-256"))
        }
        (filename, sha256) => Ok(Remote {
            url,
            sha256: sha256.flatten().map(|sha256| sha256.to_ascii_lowercase()),
            filename: filename.flatten(),
        }),
    }
}

/// Parses an asset: by an id that is one of our file ids, otherwise by its `url`.
pub(super) fn asset<'p>(members: &[(String, &'p RawValue)]) -> Result<Value<'p>, ValueError> {
    let kind = member(members, TYPE).and_then(raw_value::text);
    if kind.as_deref() != Some(ASSET) {
        let kind = kind.unwrap_or_default();
        let message = format!("the type `{}` is not supported; only {ASSET} is", clip(&kind));
        return Err(ValueError::unsupported(message));
    }
    let info = member(members, "info").and_then(raw_value::members);
    let info = info.filter(|info| members.len() == 2 && info.iter().all(|(name, _)| INFO.contains(&name.as_str())));
    let Some(info) = info else {
        return Err(ValueError::bad("an asset is {\"__type\":\"core/ASSET\",\"info\":{\"id\":\"<fileId>\"}}"));
    };
    let text = |name: &str| member(&info, name).and_then(raw_value::text);
    if let Some(file_id) = text("id").and_then(|id| id.parse().ok()) {
        return Ok(Value::File(file_id));
    }
    let Some(url) = text("url") else {
        let message = "unknown asset: upload the file and give its fileId as `info.id`, or give `info.url`";
        return Err(ValueError::unsupported(message.to_owned()));
    };
    Ok(Value::Remote(Remote { url, sha256: None, filename: text("file_path") }))
}

impl Writer<'_> {
    /// Returns the URL in the text of an input that takes files.
    pub(super) fn link_to_file(&self, place: usize, input: &str, value: &RawValue) -> Option<Remote> {
        if !is_url(value.get().strip_prefix('"')?) {
            return None;
        }
        let (eligibility, url) = (self.eligibility.as_ref()?, raw_value::text(value)?);
        let is_link = eligibility.takes_file_at(&self.workflow.node(place).class, input, &url);
        is_link.then_some(Remote { url, sha256: None, filename: None })
    }

    /// Returns the file of ours that the text of an input that takes files names.
    pub(super) fn own_file(&self, place: usize, input: &str, value: &RawValue) -> Option<FileId> {
        let class = &self.workflow.node(place).class;
        let takes_files = || self.eligibility.as_ref().is_some_and(|eligible| eligible.takes_files(class, input));
        if !value.get().starts_with('"') || value.get().len() > LINK_BYTES_MAX || !takes_files() {
            return None;
        }
        self.own?.file_at(&raw_value::text(value)?)
    }

    /// Adds a file that is the text of an input itself.
    pub(super) fn add_inline_text(&mut self, place: usize, input: &str, (value, pointer): (Box<RawValue>, String)) {
        let node_id = self.workflow.node(place).id.clone();
        let (directive, base64) = (value.get().to_owned(), raw_value::text(&value).unwrap_or_default());
        self.inline.push(InlineFile { node_id, input: input.to_owned(), pointer, directive, base64, filename: None });
        self.workflow.put(place, input, RawValue::NULL.to_owned());
    }

    /// Whether a file is given for the input.
    pub(super) fn is_file_input(&self, node_id: &str, input: &str) -> bool {
        self.files.iter().any(|file| file.node_id == node_id && file.input == input)
            || self.inline.iter().any(|file| file.node_id == node_id && file.input == input)
            || self.remote.iter().any(|file| file.node_id == node_id && file.input == input)
    }

    pub(super) fn add_file(&mut self, place: usize, input: &str, file_id: FileId) {
        let node_id = self.workflow.node(place).id.clone();
        self.files.push(FileInput { node_id, input: input.to_owned(), file_id });
        self.workflow.put(place, input, RawValue::NULL.to_owned());
    }

    pub(super) fn add_remote_file(&mut self, place: usize, input: &str, pointer: String, remote: Remote) {
        let Remote { url, sha256, filename } = remote;
        if let Some(file_id) = self.own.and_then(|own| own.file_at(&url)) {
            return self.add_file(place, input, file_id);
        }
        let node_id = self.workflow.node(place).id.clone();
        self.remote.push(RemoteFile { node_id, input: input.to_owned(), pointer, url, sha256, filename });
        self.workflow.put(place, input, RawValue::NULL.to_owned());
    }

    /// Whether the text of an input that takes file names is a whole file (`data:image/png;base64,…`).
    pub(super) fn is_file_itself(&self, place: usize, input: &str, value: &RawValue) -> bool {
        let class = &self.workflow.node(place).class;
        let is_file = || raw_value::text(value).is_some_and(|text| is_base64(&text));
        value.get().starts_with('"')
            && (value.get().starts_with(DATA_URI)
                || ((value.get().len() >= BASE64_BYTES_MIN || may_be_base64(value.get())) && is_file()))
            && self.eligibility.as_ref().is_some_and(|eligibility| eligibility.takes_files(class, input))
    }

    /// Collects the files referenced in the graph itself, and refuses directives that are allowed in params only.
    pub(super) fn collect_own_files(&mut self) {
        let mut found = Vec::new();
        for (place, node) in self.workflow.nodes().enumerate() {
            if !self.budget.spend(1 + node.inputs.len()) {
                return;
            }
            for (input, value) in &node.inputs {
                let own = || self.own(place, input, value);
                if may_name_file(value)
                    && self.budget.spend_text(value.get().len())
                    && !self.set.contains_key(&(place, input.as_str()))
                    && let Some(own) = own()
                {
                    found.push((place, input.clone(), own));
                }
            }
        }
        for (place, input, own) in found {
            let node_id = self.workflow.node(place).id.clone();
            let pointer = child_pointer(&child_pointer(&child_pointer("/workflow", &node_id), "inputs"), &input);
            match own {
                Ok(GraphFile::Stored(file_id)) => self.add_file(place, &input, file_id),
                Ok(GraphFile::Inline(value)) => self.add_inline_text(place, &input, (value, pointer)),
                Ok(GraphFile::Remote(remote)) => self.add_remote_file(place, &input, pointer, remote),
                Err((code, message)) => {
                    self.problems.push(Problem::unfit(pointer, code, message).at_node(&node_id).at_input(&input));
                }
            }
        }
    }

    /// Returns the file that a value of the graph stands for; `None` if it is an ordinary value.
    fn own(&self, place: usize, input: &str, value: &RawValue) -> Option<Result<GraphFile, (&'static str, String)>> {
        let address = || format!("{}.{}", clip(&self.workflow.node(place).id), clip(input));
        if let Some(file_id) = self.own_file(place, input, value) {
            return Some(Ok(GraphFile::Stored(file_id)));
        }
        if let Some(remote) = self.link_to_file(place, input, value) {
            return Some(Ok(GraphFile::Remote(remote)));
        }
        if self.is_file_itself(place, input, value) {
            return Some(Ok(GraphFile::Inline(value.to_owned())));
        }
        let members = raw_value::members(value)?;
        if let Some((name, _)) = members.iter().find(|(name, _)| FOR_PARAMS.contains(&name.as_str())) {
            let message = format!(
                "`{name}` is not taken inside of the graph: give `params` {{\"{0}\": {{\"{name}\": …}}}}; if the object itself is \
                 meant, {{\"{0}\": {{\"$literal\": …}}}}",
                address()
            );
            return Some(Err(("workflow_bad_directive", message)));
        }
        let is_asset = member(&members, TYPE).and_then(raw_value::text).is_some_and(|kind| kind == ASSET);
        if !is_asset && !members.iter().any(|(name, _)| name == "$file" || name == "$url") {
            return None;
        }
        match Value::read(value) {
            Ok(Value::File(file_id)) => Some(Ok(GraphFile::Stored(file_id))),
            Ok(Value::Remote(remote)) => Some(Ok(GraphFile::Remote(remote))),
            // No other value has these prefixes.
            Ok(_) => None,
            Err(error) => Some(Err(("workflow_bad_file", error.message))),
        }
    }
}

/// A file referenced in the graph itself.
enum GraphFile {
    Stored(FileId),
    Inline(Box<RawValue>),
    Remote(Remote),
}

/// Whether a value may name a file; a cheap test, so that most values are not parsed.
fn may_name_file(value: &RawValue) -> bool {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'"') => {
            is_url(&json[1..])
                || json.starts_with(DATA_URI)
                || json.len() >= BASE64_BYTES_MIN
                || may_be_base64(json)
                || json.len() == FILE_ID_BYTES
                || PLACES.iter().any(|start| json[1..].starts_with(start))
        }
        first => first == Some(&b'{'),
    }
}

//! Values that are files, in params and in the graph: stored files (`$file`), files at URLs (`$url`, or a URL for an
//! input that takes files), and assets of ComfyUI's API v2.

mod names;
mod own_files;
mod upload_names;

pub(super) use names::UNKNOWN_FILE;
pub use own_files::OwnFiles;
pub(super) use own_files::is_base64;
pub use upload_names::UploadNames;

use super::{
    apply::Writer,
    options::{InlineFile, RemoteFile},
    value::{Remote, Value, ValueError, member},
};
use crate::{
    graph::links::is_url,
    json::{child_pointer, raw_value},
    problem::{Problem, clip},
    task::{FileId, FileInput},
};
use own_files::may_be_base64;
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
    let Some(text) = text else {
        return Err(ValueError::bad("`$file` takes the fileId of an upload, e.g. {\"$file\":\"3f0c…\"}"));
    };
    Ok(FileId::from_spelling(&text).map_or(Value::Named(text), Value::File))
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
    if let Some(file_id) = text("id").and_then(|id| FileId::from_spelling(&id)) {
        return Ok(Value::File(file_id));
    }
    let Some(url) = text("url") else {
        let message = "unknown asset: upload the file and give its fileId as `info.id`, or give `info.url`";
        return Err(ValueError::unsupported(message.to_owned()));
    };
    Ok(Value::Remote(Remote { url, sha256: None, filename: text("file_path") }))
}

impl Writer<'_> {
    /// Returns the file that a plain value stands for in an input that takes files; `None` if it is an ordinary value.
    pub(super) fn plain_file(&self, place: usize, input: &str, value: &RawValue) -> Option<PlainFile> {
        let class = &self.workflow.node(place).class;
        let eligibility = self.eligibility.as_ref()?;
        let takes_files = || eligibility.pool().has_file_inputs(class) && eligibility.takes_files(class, input);
        match value.get().as_bytes().first() {
            Some(b'{') if takes_files() => return self.object_file(place, input, value),
            Some(b'"') if takes_files() => {}
            _ => return None,
        }
        if is_file_itself(value) {
            return Some(PlainFile::Inline);
        }
        let text = raw_value::text(value).filter(|_| value.get().len() <= LINK_BYTES_MAX)?;
        let own_file = || self.own.and_then(|own| own.file_at(&text));
        if let Some(file_id) = FileId::from_spelling(&text).or_else(own_file) {
            return Some(PlainFile::Stored(file_id));
        }
        if eligibility.takes_file_at(class, input, &text) {
            return Some(PlainFile::Remote(Remote { url: text, sha256: None, filename: None }));
        }
        if is_url(&text) { None } else { self.named_upload(place, input, &text) }
    }

    /// Puts a file into an input; `value` is what stood for it.
    pub(super) fn put_file(
        &mut self,
        place: usize,
        input: &str,
        (value, pointer): (&RawValue, String),
        file: PlainFile,
    ) {
        match file {
            PlainFile::Stored(file_id) => self.add_file(place, input, file_id),
            PlainFile::Remote(remote) => self.add_remote_file(place, input, pointer, remote),
            PlainFile::Inline => self.add_inline_text(place, input, (value.to_owned(), pointer)),
            PlainFile::OnInstance(name) => self.workflow.put(place, input, raw_value::quote(&name)),
            PlainFile::Pending => {
                // It is judged when it is resolved again.
                self.open.insert((place, input.to_owned()));
                self.workflow.put(place, input, RawValue::NULL.to_owned());
            }
        }
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

    /// Collects the files referenced in the graph itself, and refuses directives that are allowed in params only.
    pub(super) fn collect_own_files(&mut self) {
        let mut found = Vec::new();
        for (place, node) in self.workflow.nodes().enumerate() {
            if !self.budget.spend(1 + node.inputs.len()) {
                return;
            }
            let takes_files = self.eligibility.as_ref().is_some_and(|known| known.pool().has_file_inputs(&node.class));
            for (input, value) in &node.inputs {
                let own = || self.own(place, input, value);
                if (raw_value::is_object(value) || (takes_files && value.get().starts_with('"')))
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
                Ok((value, file)) => self.put_file(place, &input, (&value, pointer), file),
                Err((code, message)) => {
                    self.problems.push(Problem::unfit(pointer, code, message).at_node(&node_id).at_input(&input));
                }
            }
        }
    }

    /// Returns the file that a value of the graph stands for; `None` if it is an ordinary value.
    fn own(&self, place: usize, input: &str, value: &RawValue) -> Option<Result<GraphFile, (&'static str, String)>> {
        let address = || format!("{}.{}", clip(&self.workflow.node(place).id), clip(input));
        let members = raw_value::members(value);
        let directive = members.iter().flatten().find(|(name, _)| FOR_PARAMS.contains(&name.as_str()));
        if let Some((name, _)) = directive {
            let message = format!(
                "`{name}` is not taken inside of the graph: give `params` {{\"{0}\": {{\"{name}\": …}}}}; if the object itself is \
                 meant, {{\"{0}\": {{\"$literal\": …}}}}",
                address()
            );
            return Some(Err(("workflow_bad_directive", message)));
        }
        let is_named = members.as_ref().is_some_and(|members| {
            let is_asset = member(members, TYPE).and_then(raw_value::text).is_some_and(|kind| kind == ASSET);
            is_asset || members.iter().any(|(name, _)| name == "$file" || name == "$url")
        });
        let file = if is_named {
            match Value::read(value) {
                Ok(Value::File(file_id)) => Ok(PlainFile::Stored(file_id)),
                Ok(Value::Named(name)) => self.file_of_name(place, input, &name),
                Ok(Value::Remote(remote)) => Ok(PlainFile::Remote(remote)),
                // No other value has these prefixes.
                Ok(_) => return None,
                Err(error) => Err(error),
            }
        } else {
            Ok(self.plain_file(place, input, value)?)
        };
        Some(match file {
            Ok(file) => Ok((value.to_owned(), file)),
            Err(error) => Err(("workflow_bad_file", error.message)),
        })
    }
}

/// A value of the graph, and the file that it stands for.
type GraphFile = (Box<RawValue>, PlainFile);

/// A file that a plain value stands for.
pub(super) enum PlainFile {
    Stored(FileId),
    Remote(Remote),
    /// The text itself, in base64.
    Inline,
    /// A file that the instances have.
    OnInstance(String),
    /// An upload whose name is to be looked up: the graph will be resolved again.
    Pending,
}

/// Whether a text is a whole file (`data:image/png;base64,…`).
fn is_file_itself(value: &RawValue) -> bool {
    let json = value.get();
    let is_file = || raw_value::text(value).is_some_and(|text| is_base64(&text));
    json.starts_with(DATA_URI) || ((json.len() >= BASE64_BYTES_MIN || may_be_base64(json)) && is_file())
}

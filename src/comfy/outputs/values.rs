//! Reads one item of a node's ui result: a file, a bare path of a 3D file, or a value with its kind. Pure.

use crate::{
    comfy::{
        RemoteFile, limits, python_json,
        remote_file::{NameProblem, split_suffix},
    },
    json::{each_element, member},
    task::OutputKind,
};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::ops::ControlFlow;

/// Extensions of files that nodes name by a bare string instead of `{"filename"}` (protocol §18).
const BARE_PATHS: [&str; 10] = [".obj", ".fbx", ".gltf", ".glb", ".usdz", ".ply", ".splat", ".spz", ".ksplat", ".stl"];

/// An item of a ui result.
pub(super) enum Item {
    /// Nothing: null, `[]`, `{}`, a file name that is null, or a picture that was sent over the socket.
    Nothing,
    /// A list.
    List(List),
    /// An object that is no file.
    Object,
    /// A file, or the reason for which no request can be made from its name.
    File(Result<RemoteFile, NameProblem>),
    /// A string that looks like the path of a file in the folder of outputs, or else in that of temporary files.
    Path(RemoteFile),
    /// A scalar.
    Value(OutputKind, String),
}

/// The content of a list, as far as it decides how the list is read.
#[derive(Default)]
pub(super) struct List {
    length: usize,
    has_files: bool,
    has_lists: bool,
    has_only_strings: bool,
}

impl List {
    /// Whether each item is an output of its own; else the whole list is one JSON value. Items of a key's own list are
    /// results of a batch; a list in it is data, unless it holds files or the texts of a text key.
    pub(super) fn is_walked(&self, is_outermost: bool, is_text: bool) -> bool {
        let is_batch = is_outermost || (is_text && self.has_only_strings);
        self.has_files || self.has_lists && is_outermost || is_batch && self.length <= limits::VALUES_MAX
    }
}

/// Reads an item. Below a text key scalars are texts.
pub(super) fn item(raw: &RawValue, is_text: bool) -> Item {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'[') => list(json, is_text),
        Some(b'{') => object(json),
        Some(b'"') => string(raw, is_text),
        Some(b't' | b'f') => Item::Value(if is_text { OutputKind::Text } else { OutputKind::Boolean }, json.to_owned()),
        Some(b'-' | b'0'..=b'9') => {
            let number = json[..json.len().min(limits::WORD_BYTES_MAX)].to_owned();
            Item::Value(if is_text { OutputKind::Text } else { OutputKind::Number }, number)
        }
        _ => Item::Nothing,
    }
}

/// Whether a value is a boolean or a list of them.
pub(super) fn is_flags(raw: &RawValue) -> bool {
    let is_flag = |json: &str| matches!(json, "true" | "false");
    let mut are_flags = true;
    let is_list = each_element(raw.get(), |flag| {
        are_flags &= is_flag(flag.get());
        if are_flags { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if is_list.is_some() { are_flags } else { is_flag(raw.get()) }
}

pub(super) fn is_text_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("text") || key.contains("string")
}

fn list(json: &str, is_text: bool) -> Item {
    let mut list = List { has_only_strings: true, ..List::default() };
    let _read = each_element(json, |item| {
        list.length += 1;
        list.has_only_strings &= item.get().starts_with('"');
        list.has_lists |= item.get().starts_with('[') && has_file(item.get());
        list.has_files |= is_file(item, is_text);
        ControlFlow::Continue(())
    });
    if list.length == 0 { Item::Nothing } else { Item::List(list) }
}

/// Whether a nested list holds a file.
fn has_file(json: &str) -> bool {
    let mut found = false;
    let _read = each_element(json, |item| {
        found = is_file(item, false);
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

fn is_file(raw: &RawValue, is_text: bool) -> bool {
    match raw.get().as_bytes().first() {
        Some(b'{') => RemoteFile::from_ui(raw.get()).is_some(),
        Some(b'"') => !is_text && bare_path(raw).is_some(),
        _ => false,
    }
}

fn object(json: &str) -> Item {
    if let Some(file) = RemoteFile::from_ui(json) {
        return Item::File(file);
    }
    let is_word = |key: &str, word: &str| member(json, key).is_some_and(|raw| raw.get() == word);
    let is_nothing = json[1..json.len() - 1].trim().is_empty();
    // A picture with this source is in a binary frame.
    if is_nothing || is_word("filename", "null") || is_word("source", "\"websocket\"") {
        return Item::Nothing;
    }
    Item::Object
}

fn string(raw: &RawValue, is_text: bool) -> Item {
    if !is_text && let Some(file) = bare_path(raw) {
        return Item::Path(file);
    }
    let Some(text) = python_json::text(raw, limits::LONG_TEXT_BYTES_MAX) else { return Item::Nothing };
    let kind = if !is_text && is_json(&text) { OutputKind::Json } else { OutputKind::Text };
    Item::Value(kind, text)
}

/// Whether a text is a JSON list or object.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_ascii_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Reads the path of a 3D file: `3d/x_00001.glb`, also with the suffix ` [temp]` or ` [output]`.
fn bare_path(raw: &RawValue) -> Option<RemoteFile> {
    let text = python_json::exact_text(raw, 2 * limits::NAME_BYTES_MAX)?;
    let (path, folder_type) = split_suffix(&text).unwrap_or((&text, "output"));
    let lower = path.to_ascii_lowercase();
    let stem = BARE_PATHS.iter().find_map(|extension| lower.strip_suffix(extension))?;
    if stem.is_empty() || path.contains(['\n', '\r']) {
        return None;
    }
    let (subfolder, filename) = path.rsplit_once(['/', '\\']).unwrap_or(("", path));
    RemoteFile::from_texts(filename, subfolder, folder_type)
}

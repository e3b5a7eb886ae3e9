//! Validates file names sent by an instance. They are data for a query string, never part of a path.

use super::{RemoteFile, limits};
use serde_json::{Map, Value};

impl RemoteFile {
    /// Reads `{"filename","subfolder"?,"type"?}`. `None` if a part is not a string, or contains `..`, a control
    /// character or a drive letter.
    pub(super) fn from_ui(item: &Map<String, Value>) -> Option<Self> {
        let part = |name: &str, default: &str| match item.get(name) {
            None | Some(Value::Null) => Some(default.to_owned()),
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => None,
        };
        let file = Self {
            filename: part("filename", "")?,
            subfolder: part("subfolder", "")?,
            folder_type: part("type", "output")?,
        };
        file.is_safe().then_some(file)
    }

    fn is_safe(&self) -> bool {
        let is_printable = |text: &str| text.len() <= limits::NAME_BYTES_MAX && !text.chars().any(char::is_control);
        let is_name = !matches!(self.filename.as_str(), "" | "." | "..") && !self.filename.contains(['/', '\\']);
        // A ComfyUI on Windows writes `sub\folder`.
        let is_below = !self.subfolder.starts_with(['/', '\\'])
            && self.subfolder.as_bytes().get(1) != Some(&b':')
            && self.subfolder.split(['/', '\\']).all(|part| part != "..");
        let is_folder = matches!(self.folder_type.as_str(), "output" | "temp" | "input");
        is_name && is_below && is_folder && is_printable(&self.filename) && is_printable(&self.subfolder)
    }
}

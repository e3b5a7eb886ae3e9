//! Validates file names sent by an instance. They are data for a query string, never part of a path.

use super::{RemoteFile, error_text::displayable, limits, python_json};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of an unusable name that are shown.
const SHOWN_BYTES_MAX: usize = 100;

/// `{"filename","subfolder"?,"type"?,…}`, an output of a node.
#[derive(Deserialize, Default)]
struct UiFile<'a> {
    #[serde(borrow, default)]
    filename: Option<&'a RawValue>,
    #[serde(borrow, default)]
    subfolder: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    folder_type: Option<&'a RawValue>,
}

impl RemoteFile {
    /// Reads `{"filename","subfolder"?,"type"?}`; `None` without a file name.
    ///
    /// # Errors
    /// The reason for which no request can be made from the name, with the name.
    pub(super) fn from_ui(json: &str) -> Option<Result<Self, String>> {
        // Most objects have none, and there may be millions.
        if !json.contains("\"filename\"") {
            return None;
        }
        let UiFile { filename, subfolder, folder_type } = python_json::object(json)?;
        Some(Self::from_parts(filename?, subfolder, folder_type))
    }

    /// Makes a location of its parts.
    ///
    /// # Errors
    /// As [`RemoteFile::from_ui`].
    pub(super) fn from_parts(
        filename: &RawValue,
        subfolder: Option<&RawValue>,
        folder_type: Option<&RawValue>,
    ) -> Result<Self, String> {
        let unusable = |what: &str, raw: &RawValue, why: &str| Err(format!("the {what} {} {why}", shown(raw)));
        let Some(name) = python_json::exact_text(filename, limits::NAME_BYTES_MAX) else {
            return unusable("file name", filename, "is too long, or no text");
        };
        let folder = match subfolder {
            None => String::new(),
            Some(raw) => match python_json::exact_text(raw, limits::NAME_BYTES_MAX) {
                Some(folder) => folder,
                None => return unusable("folder name", raw, "is too long, or no text"),
            },
        };
        let kind =
            folder_type.map_or_else(|| "output".to_owned(), |raw| python_json::text(raw, 10).unwrap_or_default());
        if name.contains(char::is_control) {
            return unusable("file name", filename, "has control characters");
        }
        if name.contains(['/', '\\']) || matches!(name.as_str(), "" | "." | "..") {
            return unusable("file name", filename, "is not the name of a file");
        }
        if let Some(raw) = subfolder.filter(|_| !is_below(&folder)) {
            return unusable("folder name", raw, "leads out of the instance's folders");
        }
        if let Some(raw) = folder_type.filter(|_| !matches!(kind.as_str(), "output" | "temp" | "input")) {
            return unusable("type name", raw, "is not output, temp or input");
        }
        Ok(Self { filename: name, subfolder: folder, folder_type: kind })
    }

    /// Makes a location of texts; `None` if no request can be made from them.
    pub(super) fn from_texts(filename: &str, subfolder: &str, folder_type: &str) -> Option<Self> {
        let [filename, subfolder, folder_type] =
            [filename, subfolder, folder_type].map(|text| serde_json::value::to_raw_value(text).ok());
        Self::from_parts(filename?.as_ref(), Some(subfolder?.as_ref()), Some(folder_type?.as_ref())).ok()
    }

    /// Memory of the location, about, bytes.
    pub(super) fn memory(&self) -> usize {
        self.filename.len() + self.subfolder.len() + self.folder_type.len()
    }
}

/// Whether the folder is below the folder of its type. A ComfyUI on Windows writes `sub\folder`.
fn is_below(folder: &str) -> bool {
    !folder.starts_with(['/', '\\'])
        && folder.as_bytes().get(1) != Some(&b':')
        && folder.split(['/', '\\']).all(|part| part != "..")
        && !folder.contains(char::is_control)
}

fn shown(raw: &RawValue) -> String {
    let text = python_json::text(raw, SHOWN_BYTES_MAX);
    format!("{:?}", displayable(&text.unwrap_or_else(|| "…".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::RemoteFile;

    #[test]
    fn a_name_that_no_request_can_be_made_from_is_an_error_with_its_reason() {
        for (json, why) in [
            (r#"{"filename":"../../etc/passwd"}"#, "is not the name"),
            (r#"{"filename":".."}"#, "is not the name"),
            (r#"{"filename":"..\\x"}"#, "is not the name"),
            (r#"{"filename":""}"#, "is not the name"),
            (r#"{"filename":"a\u0000b"}"#, "control"),
            (r#"{"filename":5}"#, "no text"),
            (r#"{"filename":{"a":1}}"#, "no text"),
            (r#"{"filename":"a\udce4"}"#, "no text"),
            (r#"{"filename":"a","subfolder":"/etc"}"#, "leads out"),
            (r#"{"filename":"a","subfolder":"a/../../b"}"#, "leads out"),
            (r#"{"filename":"a","subfolder":"C:\\x"}"#, "leads out"),
            (r#"{"filename":"a","subfolder":[]}"#, "no text"),
            (r#"{"filename":"a","type":"secret"}"#, "is not output"),
            (r#"{"filename":"a","type":1}"#, "is not output"),
        ] {
            let reason = RemoteFile::from_ui(json).unwrap().unwrap_err();
            assert!(reason.contains(why) && reason.contains("name"), "{json}: {reason}");
        }
        let long = format!(r#"{{"filename":"{}"}}"#, "x".repeat(2_000));
        assert!(RemoteFile::from_ui(&long).unwrap().unwrap_err().len() < 200);
    }

    #[test]
    fn an_object_without_a_file_name_is_no_file() {
        for json in ["{}", r#"{"filename":null,"subfolder":""}"#, r#"{"name":"a"}"#, "[]", "7"] {
            assert!(RemoteFile::from_ui(json).is_none(), "{json}");
        }
    }
}

//! Validates file names sent by an instance. They are data for a query string, never part of a path of ours: only the
//! instance decides which of its folders it reads, and `/view` refuses those that are not its own.

use super::{RemoteFile, error_text::displayable, limits, python_json};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of an unusable name that are shown.
const SHOWN_BYTES_MAX: usize = 100;

/// The reason for which no request can be made from a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameProblem {
    /// The file is not in a folder of the instance, but in a bucket or at a URL.
    Elsewhere(String),
    /// It is no name of a file.
    Unusable(String),
}

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
    pub(super) fn from_ui(json: &str) -> Option<Result<Self, NameProblem>> {
        // Most objects have none, and there may be millions.
        if !json.contains("\"filename\"") {
            return None;
        }
        let UiFile { filename, subfolder, folder_type } = python_json::object(json)?;
        Some(Self::from_parts(filename?, subfolder, folder_type))
    }

    /// Makes a location of its parts. Folders in the name belong to the folder, and a suffix ` [temp]` is the type, as
    /// they are for ComfyUI's own loaders.
    ///
    /// # Errors
    /// As [`RemoteFile::from_ui`].
    pub(super) fn from_parts(
        filename: &RawValue,
        subfolder: Option<&RawValue>,
        folder_type: Option<&RawValue>,
    ) -> Result<Self, NameProblem> {
        let unusable = |what: &str, raw: &RawValue, why: &str| {
            Err(NameProblem::Unusable(format!("the {what} {} {why}", shown(raw))))
        };
        // Nodes leave out what they do not know, or write null.
        let is_given = |raw: &&RawValue| !matches!(raw.get(), "null" | "\"\"");
        let (subfolder, folder_type) = (subfolder.filter(is_given), folder_type.filter(is_given));
        let kind = match folder_type {
            None => "output".to_owned(),
            Some(raw) => match python_json::exact_text(raw, limits::WORD_BYTES_MAX) {
                Some(kind) => kind,
                None => return unusable("type name", raw, "is not output, temp or input"),
            },
        };
        let Some(text) = python_json::exact_text(filename, limits::NAME_BYTES_MAX) else {
            return unusable("file name", filename, "is too long, or no text");
        };
        if is_url(&text) {
            return Err(NameProblem::Elsewhere(format!("it is not on the instance, but at {}", shown(filename))));
        }
        if !matches!(kind.as_str(), "output" | "temp" | "input") {
            let place = displayable(&kind);
            return Err(NameProblem::Elsewhere(format!("its place is {place:?}, which is no folder of the instance")));
        }
        let (text, kind) = split_suffix(&text).unwrap_or((&text, &kind));
        let folder = match subfolder {
            None => String::new(),
            Some(raw) => match python_json::exact_text(raw, limits::NAME_BYTES_MAX) {
                Some(folder) => folder,
                None => return unusable("folder name", raw, "is too long, or no text"),
            },
        };
        let (inner, name) = text.rsplit_once(['/', '\\']).map_or(("", text), |(inner, name)| {
            // The root itself is a folder, too.
            (if inner.is_empty() { &text[..1] } else { inner }, name)
        });
        if name.contains(char::is_control) {
            return unusable("file name", filename, "has control characters");
        }
        if matches!(name, "" | "." | "..") {
            return unusable("file name", filename, "is not the name of a file");
        }
        if let Some(raw) = subfolder.filter(|_| climbs(&folder)) {
            return unusable("folder name", raw, "leads out of the instance's folders");
        }
        if climbs(inner) {
            return unusable("file name", filename, "leads out of the instance's folders");
        }
        Ok(Self { filename: name.to_owned(), subfolder: joined(folder, inner), folder_type: kind.to_owned() })
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

/// Whether the text begins like `https://` or `s3://`.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// Splits `x.glb [temp]`, a name with the folder that it is in.
pub(super) fn split_suffix(text: &str) -> Option<(&str, &str)> {
    ["output", "temp", "input"].into_iter().find_map(|kind| {
        let name = text.strip_suffix(']')?.strip_suffix(kind)?.strip_suffix(" [")?;
        Some((name, kind))
    })
}

/// Whether the folder leads upwards. A ComfyUI on Windows writes `sub\folder`.
fn climbs(folder: &str) -> bool {
    folder.contains(char::is_control) || folder.split(['/', '\\']).any(|part| part == "..")
}

/// Whether the folder is one of the machine, rather than below one of ComfyUI's.
pub(crate) fn is_absolute(folder: &str) -> bool {
    folder.starts_with(['/', '\\']) || folder.as_bytes().get(1) == Some(&b':')
}

/// Joins the folder with the one in the name, which may repeat it.
fn joined(folder: String, inner: &str) -> String {
    let repeats = folder.strip_suffix(inner).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', '\\']));
    if inner.is_empty() || repeats {
        folder
    } else if folder.is_empty() || is_absolute(inner) {
        inner.to_owned()
    } else {
        let separator = if folder.ends_with(['/', '\\']) { "" } else { "/" };
        format!("{folder}{separator}{inner}")
    }
}

fn shown(raw: &RawValue) -> String {
    let text = python_json::text(raw, SHOWN_BYTES_MAX);
    format!("{:?}", displayable(&text.unwrap_or_else(|| "…".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::{NameProblem, RemoteFile};

    #[test]
    fn a_name_that_no_request_can_be_made_from_is_an_error_with_its_reason() {
        for (json, why) in [
            (r#"{"filename":"../../etc/passwd"}"#, "leads out"),
            (r#"{"filename":".."}"#, "is not the name"),
            (r#"{"filename":"..\\x"}"#, "leads out"),
            (r#"{"filename":"a/"}"#, "is not the name"),
            (r#"{"filename":""}"#, "is not the name"),
            (r#"{"filename":"a\u0000b"}"#, "control"),
            (r#"{"filename":5}"#, "no text"),
            (r#"{"filename":{"a":1}}"#, "no text"),
            (r#"{"filename":"a\udce4"}"#, "no text"),
            (r#"{"filename":"a","subfolder":"a/../../b"}"#, "leads out"),
            (r#"{"filename":"a","subfolder":[]}"#, "no text"),
            (r#"{"filename":"a","type":1}"#, "is not output"),
        ] {
            let NameProblem::Unusable(reason) = RemoteFile::from_ui(json).unwrap().unwrap_err() else {
                panic!("{json}")
            };
            assert!(reason.contains(why) && reason.contains("name"), "{json}: {reason}");
        }
        let long = format!(r#"{{"filename":"{}"}}"#, "x".repeat(2_000));
        assert!(matches!(RemoteFile::from_ui(&long), Some(Err(NameProblem::Unusable(reason))) if reason.len() < 200));
    }

    /// `/view` serves each of these.
    #[test]
    fn a_file_that_the_instance_serves_is_asked_for() {
        for (json, place) in [
            (r#"{"filename":"p.png","subfolder":"/srv/out/q","type":"output"}"#, ["p.png", "/srv/out/q", "output"]),
            (r#"{"filename":"q/p.png","subfolder":""}"#, ["p.png", "q", "output"]),
            (r#"{"filename":"q/p.png","subfolder":null,"type":null}"#, ["p.png", "q", "output"]),
            (r#"{"filename":"q/p.png","subfolder":"q","type":""}"#, ["p.png", "q", "output"]),
            (r#"{"filename":"q/p.png","subfolder":"a"}"#, ["p.png", "a/q", "output"]),
            (r#"{"filename":"q/p.png","subfolder":"aq/"}"#, ["p.png", "aq/q", "output"]),
            (r#"{"filename":"/srv/out/p.png","subfolder":"a"}"#, ["p.png", "/srv/out", "output"]),
            (r#"{"filename":"/p.png"}"#, ["p.png", "/", "output"]),
            (r#"{"filename":"C:\\out\\q\\p.png"}"#, ["p.png", "C:\\out\\q", "output"]),
            (r#"{"filename":"q\\p.png","subfolder":"a\\q"}"#, ["p.png", "a\\q", "output"]),
            (r#"{"filename":"q/p.png [temp]"}"#, ["p.png", "q", "temp"]),
            (r#"{"filename":"a: b.png","subfolder":"C:\\x"}"#, ["a: b.png", "C:\\x", "output"]),
        ] {
            let file = RemoteFile::from_ui(json).unwrap().unwrap();
            assert_eq!([&file.filename, &file.subfolder, &file.folder_type], place, "{json}");
        }
    }

    /// Savers of buckets and of other services.
    #[test]
    fn a_file_at_another_place_is_known_as_such() {
        for json in [
            r#"{"filename":"a.png","type":"s3"}"#,
            r#"{"filename":"a.png","subfolder":"b","type":"gdrive"}"#,
            r#"{"filename":"https://example.com/a.png?x=1"}"#,
            r#"{"filename":"s3://bucket/a.png","type":"output"}"#,
        ] {
            let found = RemoteFile::from_ui(json).unwrap();
            assert!(matches!(found, Err(NameProblem::Elsewhere(_))), "{json}");
        }
    }

    #[test]
    fn an_object_without_a_file_name_is_no_file() {
        for json in ["{}", r#"{"filename":null,"subfolder":""}"#, r#"{"name":"a"}"#, "[]", "7"] {
            assert!(RemoteFile::from_ui(json).is_none(), "{json}");
        }
    }
}

//! What a file is, against what it is said to be; and a name for it: nodes choose their reader by the extension.

use crate::store;

const EXTENSIONS: [(&str, &str); 17] = [
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/tiff", "tiff"),
    ("image/webp", "webp"),
    ("video/mp4", "mp4"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("video/x-matroska", "mkv"),
    ("audio/flac", "flac"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/wav", "wav"),
    ("model/gltf-binary", "glb"),
];
/// What everything is that is not known.
const BYTES: &str = "application/octet-stream";

/// The extension of a type.
pub(super) fn extension_of(content_type: &str) -> Option<&'static str> {
    EXTENSIONS.iter().find(|(known, _)| *known == content_type).map(|&(_, extension)| extension)
}

/// Pictures are known by their first bytes; sound and video not always, so only what is certainly something else disagrees.
pub(super) fn agrees(said: &str, head: &[u8]) -> bool {
    let top = |kind: &str| kind.split('/').next().unwrap_or_default().to_owned();
    let (said, found) = (top(said), store::content_type(head, ""));
    match said.as_str() {
        "image" => top(found) == "image",
        "video" | "audio" => !matches!(top(found).as_str(), "image" | "model") && !is_markup(head),
        _ => true,
    }
}

/// Whether it is a page instead of the file: a login, an error, a preview.
pub(super) fn is_page(said: Option<&str>, head: &[u8]) -> bool {
    let is_said = said.is_some_and(|said| matches!(said, "text/html" | "application/xhtml+xml"));
    let start: Vec<u8> = head.trim_ascii_start().iter().take(14).map(u8::to_ascii_lowercase).collect();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html") || (is_said && is_markup(head))
}

/// The name of a fetched file: the one in the URL, with an extension that fits what the file is.
pub(super) fn name_of(in_url: &str, said: Option<&str>, head: &[u8]) -> String {
    let name = store::clean_filename(in_url);
    let (by_name, found) = (store::content_type(&[], &name), store::content_type(head, ""));
    if by_name != BYTES && store::content_type(head, &name) == by_name {
        return name;
    }
    let extension = match (extension_of(found), by_name) {
        (None, BYTES) => said.and_then(extension_of),
        // A text keeps its own.
        (found, _) => found,
    };
    let Some(extension) = extension else { return name };
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    store::clean_filename(&format!("{}.{extension}", if stem.is_empty() { "file" } else { stem }))
}

fn is_markup(head: &[u8]) -> bool {
    head.trim_ascii_start().starts_with(b"<")
}

#[cfg(test)]
mod tests {
    use super::{is_page, name_of};

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";

    #[test]
    fn a_fetched_file_gets_the_extension_of_what_it_is() {
        for (in_url, said, head, name) in [
            ("a.png", None, PNG, "a.png"),
            ("a.PNG", Some("image/png"), PNG, "a.PNG"),
            ("a.jpg", Some("image/jpeg"), PNG, "a.png"),
            ("view", None, PNG, "view.png"),
            ("index.php", Some("image/png"), PNG, "index.png"),
            ("page.html", None, PNG, "page.png"),
            ("v1.2", None, PNG, "v1.png"),
            ("", None, PNG, "file.png"),
            ("a.m4a", None, MP4, "a.m4a"),
            ("a.mov", None, MP4, "a.mov"),
            ("a", None, MP4, "a.mp4"),
            ("a.mp3", None, b"\xff\xe3\x18\xc4", "a.mp3"),
            ("sound", Some("audio/mpeg"), b"\0\0\0\0", "sound.mp3"),
            ("a.txt", Some("text/plain"), b"hello", "a.txt"),
            ("a.safetensors", Some("application/octet-stream"), b"\x40\0\0", "a.safetensors"),
            ("a.bin", Some("text/plain"), b"hello", "a.bin"),
            ("../../x.png", None, PNG, "x.png"),
        ] {
            assert_eq!(name_of(in_url, said, head), name, "{in_url} {said:?}");
        }
    }

    #[test]
    fn a_page_is_known_by_what_it_is_not_by_what_it_is_called() {
        for page in [&b"<!DOCTYPE html><p>"[..], b"  \n<!doctype HTML>", b"<HTML lang=en>"] {
            assert!(is_page(None, page) && is_page(Some("image/png"), page));
        }
        assert!(is_page(Some("text/html"), b"<div>"));
        assert!(!is_page(None, b"<svg xmlns=\"http://www.w3.org/2000/svg\">") && !is_page(Some("text/html"), PNG));
    }
}

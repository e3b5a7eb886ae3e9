//! Content type of an incoming file: whether it agrees with the declared one, and the extension it calls for. Nodes choose
//! their reader by the extension.

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
/// Content type of unknown content.
const UNKNOWN: &str = "application/octet-stream";

/// Returns the extension of a content type.
pub(super) fn extension_of(content_type: &str) -> Option<&'static str> {
    EXTENSIONS.iter().find(|(known, _)| *known == content_type).map(|&(_, extension)| extension)
}

/// Whether the first bytes of a file agree with its declared type. Pictures are always detected by their first bytes, audio
/// and video are not: for those only content that is certainly something else disagrees.
pub(super) fn agrees(declared: &str, head: &[u8]) -> bool {
    let top_level = |content_type: &str| content_type.split('/').next().unwrap_or_default().to_owned();
    let (declared, detected) = (top_level(declared), top_level(store::content_type(head, "")));
    match declared.as_str() {
        "image" => detected == "image",
        "video" | "audio" => !matches!(detected.as_str(), "image" | "model") && !is_markup(head),
        _ => true,
    }
}

/// Whether the content is a web page, such as a login, an error or a preview, instead of the file.
pub(super) fn is_page(declared: Option<&str>, head: &[u8]) -> bool {
    let is_declared = declared.is_some_and(|declared| matches!(declared, "text/html" | "application/xhtml+xml"));
    let start: Vec<u8> = head.trim_ascii_start().iter().take(14).map(u8::to_ascii_lowercase).collect();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html") || (is_declared && is_markup(head))
}

/// Returns the name of a fetched file: the one in its URL, with the extension of its content type.
pub(super) fn filename(in_url: &str, declared: Option<&str>, head: &[u8]) -> String {
    let name = store::clean_filename(in_url);
    let (by_name, detected) = (store::content_type(&[], &name), store::content_type(head, ""));
    if by_name != UNKNOWN && store::content_type(head, &name) == by_name {
        return name;
    }
    let extension = match (extension_of(detected), by_name) {
        (None, UNKNOWN) => declared.and_then(extension_of),
        // A text file keeps its extension.
        (detected, _) => detected,
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
    use super::{filename, is_page};

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";

    #[test]
    fn a_fetched_file_gets_the_extension_of_its_content() {
        for (in_url, declared, head, name) in [
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
            assert_eq!(filename(in_url, declared, head), name, "{in_url} {declared:?}");
        }
    }

    #[test]
    fn a_page_is_detected_by_its_content() {
        for page in [&b"<!DOCTYPE html><p>"[..], b"  \n<!doctype HTML>", b"<HTML lang=en>"] {
            assert!(is_page(None, page) && is_page(Some("image/png"), page));
        }
        assert!(is_page(Some("text/html"), b"<div>"));
        assert!(!is_page(None, b"<svg xmlns=\"http://www.w3.org/2000/svg\">") && !is_page(Some("text/html"), PNG));
    }
}

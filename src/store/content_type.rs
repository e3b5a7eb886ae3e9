//! Content type of a file, by its first bytes, then by its name; only types of our own table (safety.md §2.5).

use crate::task::OutputKind;

/// Content type for active or unknown content, so that a browser never executes it.
const BYTES: &str = "application/octet-stream";

/// Content types by extension that are safe to show.
const BY_EXTENSION: [(&str, &str); 31] = [
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("png", "image/png"),
    ("apng", "image/png"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("webp", "image/webp"),
    ("m4v", "video/mp4"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("mp3", "audio/mpeg"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("json", "application/json"),
    ("txt", "text/plain"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("obj", "model/obj"),
    ("ckpt", BYTES),
    ("latent", BYTES),
    ("safetensors", BYTES),
    ("sft", BYTES),
];

/// Extensions that make a browser or a system execute the file, regardless of its bytes.
const ACTIVE: [&str; 24] = [
    "bat", "cmd", "css", "exe", "hta", "htm", "html", "js", "mht", "mhtml", "mjs", "pdf", "php", "ps1", "sh", "shtml",
    "svg", "svgz", "swf", "wasm", "xht", "xhtml", "xml", "xsl",
];

/// Extensions of 3D models without a type in the table.
const MODELS: [&str; 7] = ["dae", "fbx", "ply", "splat", "stl", "usd", "usdz"];

/// Returns the content type by magic bytes or, if they are unknown, by extension. Only types of our own table;
/// `application/octet-stream` for everything a browser could execute. `head` holds up to the first 512 bytes.
pub fn content_type(head: &[u8], filename: &str) -> &'static str {
    let extension = extension_of(filename);
    if ACTIVE.contains(&extension.as_str()) {
        return BYTES;
    }
    let by_extension = BY_EXTENSION.iter().find(|(known, _)| *known == extension).map_or(BYTES, |(_, kind)| kind);
    let by_magic = infer::get(head).map(|found| found.mime_type());
    // Texts can begin with magic bytes such as `BM`: a text is recognised by its name and by being valid text.
    if matches!(by_extension, "text/plain" | "application/json" | "model/gltf+json" | "model/obj") {
        let is_markup = by_magic.is_some_and(|kind| kind.starts_with("text/"));
        return if is_text(head) && !is_markup { by_extension } else { BYTES };
    }
    if head.starts_with(b"glTF") {
        return "model/gltf-binary";
    }
    match by_magic {
        None => by_extension,
        Some("video/mp4" | "video/x-m4v" | "audio/m4a") => match by_extension {
            "audio/mp4" | "video/quicktime" => by_extension,
            _ => "video/mp4",
        },
        Some("video/x-matroska") if by_extension == "video/webm" => by_extension,
        Some("audio/opus") => "audio/ogg",
        Some("audio/x-flac") => "audio/flac",
        Some("audio/x-wav") => "audio/wav",
        Some(found) => BY_EXTENSION.iter().find(|(_, kind)| *kind == found).map_or(BYTES, |(_, kind)| kind),
    }
}

/// Returns the kind of an output file: by content type, then by extension, then by the key of the node's `ui` that
/// listed it (`images`, `gifs`, `audio`, `latents`, `3d`, …; protocol §8).
pub fn kind_of(content_type: &str, ui_key: &str, filename: &str) -> OutputKind {
    match content_type.split('/').next() {
        Some("image") => return OutputKind::Image,
        Some("video") => return OutputKind::Video,
        Some("audio") => return OutputKind::Audio,
        Some("model") => return OutputKind::Model3d,
        _ => {}
    }
    let extension = extension_of(filename);
    if extension == "latent" {
        return OutputKind::Latent;
    }
    if MODELS.contains(&extension.as_str()) {
        return OutputKind::Model3d;
    }
    if content_type != BYTES || ACTIVE.contains(&extension.as_str()) {
        return OutputKind::File;
    }
    match ui_key {
        "images" => OutputKind::Image,
        "gifs" | "video" | "videos" => OutputKind::Video,
        "audio" | "audios" => OutputKind::Audio,
        "latents" => OutputKind::Latent,
        "3d" | "mesh" | "meshes" | "model_file" => OutputKind::Model3d,
        _ => OutputKind::File,
    }
}

fn extension_of(filename: &str) -> String {
    let last = filename.rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(['.', ' ']);
    last.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase())
}

/// Whether the bytes are UTF-8 without NUL, possibly cut within a character.
fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::{content_type, kind_of};
    use crate::task::OutputKind;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
    const M4A: &[u8] = b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom";
    const MOV: &[u8] = b"\0\0\0\x14ftypqt  \0\0\0\0qt  ";
    const MKV: &[u8] = b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x88matroska";

    #[test]
    fn bytes_take_precedence_over_names() {
        for (head, name, expected) in [
            (PNG, "a.png", "image/png"),
            (PNG, "a.jpg", "image/png"),
            (PNG, "noname", "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "x", "image/jpeg"),
            (b"GIF89a\x01\0", "x", "image/gif"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "x", "image/webp"),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "x", "image/avif"),
            (b"BM\x36\0\0\0\0\0", "x", "image/bmp"),
            (b"II*\0\x08\0\0\0\0\0\0\0", "x", "image/tiff"),
            (MP4, "x", "video/mp4"),
            (MP4, "a.m4a", "audio/mp4"),
            (M4A, "a.m4a", "audio/mp4"),
            (MOV, "a.mov", "video/quicktime"),
            (MKV, "a.mkv", "video/x-matroska"),
            (MKV, "a.webm", "video/webm"),
            (b"ID3\x03\0\0\0\0", "x", "audio/mpeg"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "x", "audio/wav"),
            (b"fLaC\0\0\0\x22", "x", "audio/flac"),
            (b"OggS\0\x02\0\0", "x", "audio/ogg"),
            (b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead", "a.opus", "audio/ogg"),
            (b"glTF\x02\0\0\0", "x", "model/gltf-binary"),
        ] {
            assert_eq!(content_type(head, name), expected, "{name} {head:?}");
        }
    }

    #[test]
    fn the_name_decides_if_the_bytes_are_unknown() {
        for (head, name, expected) in [
            (&b"hello"[..], "a.TXT", "text/plain"),
            (b"BMW is a car", "a.txt", "text/plain"),
            ("文".as_bytes().split_at(2).0, "a.txt", "text/plain"),
            (b"{\"a\":1}", "a.json", "application/json"),
            (b"{\"asset\":{}}", "a.gltf", "model/gltf+json"),
            (b"v 1.0 2.0 3.0", "a.obj", "model/obj"),
            (b"", "a.mp3", "audio/mpeg"),
            (b"\x40\0\0\0\0\0\0\0{\"__metadata__\"", "a.safetensors", "application/octet-stream"),
            (b"\x40\0\0\0\0\0\0\0{\"latent_tensor\"", "a.latent", "application/octet-stream"),
            (b"anything", "a.bin", "application/octet-stream"),
            (b"", "", "application/octet-stream"),
        ] {
            assert_eq!(content_type(head, name), expected, "{name}");
        }
    }

    #[test]
    fn active_content_is_an_octet_stream() {
        let html = b"<!DOCTYPE html><script>alert(1)</script>";
        for name in ["a.html", "a.png", "a.txt", "a.json", "a", "a.jpg.html", "a.html.", "A.XHTML", "a.obj"] {
            assert_eq!(content_type(html, name), "application/octet-stream", "{name}");
        }
        for name in ["a.html", "a.svg", "a.xml", "a.js", "a.pdf", "a.mht", "a.png.svg"] {
            assert_eq!(content_type(PNG, name), "application/octet-stream", "{name}: systems go by the name");
        }
        for (head, name) in [
            (&b"%PDF-1.7"[..], "a.pdf"),
            (b"%PDF-1.7", "a.png"),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\">", "a.svg"),
            (b"<?xml version=\"1.0\"?>", "a.xml"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "a.png"),
            (b"PK\x03\x04", "a.mp4"),
            (b"\0\x01\x02", "a.txt"),
            (b"\xff\xfeh\0", "a.txt"),
        ] {
            assert_eq!(content_type(head, name), "application/octet-stream", "{name} {head:?}");
        }
    }

    #[test]
    fn the_kind_of_an_output_follows_content_then_name_then_key() {
        for (content_type, ui_key, filename, expected) in [
            ("image/png", "images", "a.png", OutputKind::Image),
            ("video/mp4", "images", "a.mp4", OutputKind::Video),
            ("image/gif", "gifs", "a.gif", OutputKind::Image),
            ("audio/flac", "audio", "a.flac", OutputKind::Audio),
            ("application/octet-stream", "latents", "a.latent", OutputKind::Latent),
            ("model/gltf-binary", "3d", "a.glb", OutputKind::Model3d),
            ("application/octet-stream", "3d", "a.ply", OutputKind::Model3d),
            ("application/octet-stream", "images", "a.exr", OutputKind::Image),
            ("application/octet-stream", "images", "a.html", OutputKind::File),
            ("text/plain", "text", "a.txt", OutputKind::File),
            ("application/octet-stream", "anything", "a.zip", OutputKind::File),
        ] {
            assert_eq!(kind_of(content_type, ui_key, filename), expected, "{content_type} {ui_key} {filename}");
        }
    }
}

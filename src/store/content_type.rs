//! Content type of a file, by its first bytes, then by its name; only types of our own table (safety.md §2.5).

use crate::task::OutputKind;

/// Content type for active or unknown content, so that a browser never executes it.
const BYTES: &str = "application/octet-stream";

/// Content types by extension; none that a browser executes.
const BY_EXTENSION: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("exr", "image/x-exr"),
    ("gif", "image/gif"),
    ("hdr", "image/vnd.radiance"),
    ("heic", "image/heic"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("jxl", "image/jxl"),
    ("png", "image/png"),
    ("apng", "image/png"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("tga", "image/x-tga"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("webp", "image/webp"),
    ("avi", "video/x-msvideo"),
    ("m4v", "video/mp4"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("aac", "audio/aac"),
    ("aif", "audio/aiff"),
    ("aiff", "audio/aiff"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mp3", "audio/mpeg"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("csv", "text/csv"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("srt", "application/x-subrip"),
    ("tsv", "text/tab-separated-values"),
    ("txt", "text/plain"),
    ("vtt", "text/vtt"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("7z", "application/x-7z-compressed"),
    ("gz", "application/gzip"),
    ("npy", "application/x-npy"),
    ("npz", "application/x-npz"),
    ("tar", "application/x-tar"),
    ("zip", "application/zip"),
    ("3mf", "model/3mf"),
    ("fbx", "model/x-fbx"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("ksplat", "model/x-ksplat"),
    ("mtl", "model/mtl"),
    ("obj", "model/obj"),
    ("ply", "model/ply"),
    ("splat", "model/x-splat"),
    ("spz", "model/x-spz"),
    ("stl", "model/stl"),
    ("usda", "model/vnd.usda"),
    ("usdz", "model/vnd.usdz+zip"),
    ("ckpt", BYTES),
    ("gguf", BYTES),
    ("latent", BYTES),
    ("pt", BYTES),
    ("safetensors", BYTES),
    ("sft", BYTES),
];

/// Types of files that are text: recognised by their name and by being valid text, because texts can begin with magic bytes
/// such as `BM`.
const TEXTS: [&str; 13] = [
    "text/plain",
    "text/csv",
    "text/markdown",
    "text/tab-separated-values",
    "text/vtt",
    "application/json",
    "application/jsonl",
    "application/x-subrip",
    "application/yaml",
    "model/gltf+json",
    "model/mtl",
    "model/obj",
    "model/vnd.usda",
];

/// Extensions of files that begin with data of any kind.
const RAW: [&str; 5] = ["hdr", "ksplat", "splat", "stl", "tga"];

/// Extensions of files that are archives with a content of their own.
const ARCHIVES: [&str; 6] = ["3mf", "gz", "npz", "spz", "usdz", "zip"];

/// Extensions that make a browser or a system execute the file, regardless of its bytes.
const ACTIVE: [&str; 27] = [
    "bat", "cmd", "css", "dae", "exe", "hta", "htm", "html", "js", "lnk", "mht", "mhtml", "mjs", "pdf", "php", "ps1",
    "scr", "sh", "shtml", "svg", "svgz", "swf", "wasm", "xht", "xhtml", "xml", "xsl",
];

/// Extensions of 3D models without a type in the table.
const MODELS: [&str; 4] = ["blend", "dae", "usd", "usdc"];

/// Returns the content type by magic bytes or, if they are unknown, by extension. Only types of our own table;
/// `application/octet-stream` for everything a browser could execute. `head` holds up to the first 512 bytes.
pub fn content_type(head: &[u8], filename: &str) -> &'static str {
    let extension = extension_of(filename);
    if ACTIVE.contains(&extension.as_str()) {
        return BYTES;
    }
    let by_extension = BY_EXTENSION.iter().find(|(known, _)| *known == extension).map_or(BYTES, |(_, kind)| kind);
    let by_magic = infer::get(head).map(|found| found.mime_type());
    if TEXTS.contains(&by_extension) {
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
        Some("application/zip" | "application/gzip") if ARCHIVES.contains(&extension.as_str()) => by_extension,
        // Another name than that of an archive is a wrong name.
        Some("application/zip" | "application/gzip") => BYTES,
        // Uncompressed data that begins by chance as another format does.
        Some(found) if RAW.contains(&extension.as_str()) && !found.starts_with("text/") => by_extension,
        Some("audio/opus") => "audio/ogg",
        Some("audio/x-aiff") => "audio/aiff",
        Some("image/heif") => "image/heic",
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
mod tests;

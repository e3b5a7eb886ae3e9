//! Our own files as people name them where an input takes a file: by link, by id, as base64.

use crate::task::FileId;
use ::url::Url;

/// Paths of files, each followed by a file id.
const PATHS: [&str; 2] = ["upload/file/", "api/files/"];
/// Shortest text of any content that is taken for base64 without a `data:` prefix.
const BASE64_CHARS_MIN: usize = 100;
/// Shortest base64 of a file whose first bytes are known.
const KNOWN_BASE64_CHARS_MIN: usize = 24;
/// First bytes of files in base64: PNG, JPEG, GIF, RIFF (WebP, WAV), BMP, MP4 and kin, Matroska, MP3, FLAC, Ogg, glTF,
/// PDF, TIFF, ZIP.
const BASE64_STARTS: [&str; 18] = [
    "iVBORw0KGgo",
    "/9j/",
    "_9j_",
    "R0lGOD",
    "UklGR",
    "Qk0",
    "AAAAGGZ0",
    "AAAAHGZ0",
    "AAAAIGZ0",
    "AAAAFGZ0",
    "GkXfo",
    "SUQz",
    "ZkxhQ",
    "T2dnUw",
    "Z2xURg",
    "JVBERi",
    "SUkqA",
    "TU0AK",
];

/// Addresses under which files of this system are known.
#[derive(Debug, Clone, Default)]
pub struct OwnFiles {
    /// `host` or `host:port` of the links, in lower case: that of the public URL and that of the request.
    pub hosts: Vec<String>,
    /// The bucket of the file store, if there is one.
    pub bucket: Option<String>,
}

impl OwnFiles {
    /// Returns the addresses of this public URL.
    pub fn new(public_url: &str, bucket: Option<String>) -> Self {
        let host = public_url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        Self { hosts: host.map(str::to_ascii_lowercase).into_iter().collect(), bucket }
    }

    /// Adds the host that the client used.
    #[must_use]
    pub fn with_host(mut self, host: Option<&str>) -> Self {
        self.hosts.extend(host.map(str::to_ascii_lowercase));
        self
    }

    /// Returns the file that a text names by its id, by a link of ours, signed or not, or by its place in our bucket.
    pub(super) fn file_at(&self, text: &str) -> Option<FileId> {
        let text = text.trim();
        if let Some(id) = FileId::from_spelling(text) {
            return Some(id);
        }
        if let Some(place) = text.strip_prefix("s3://") {
            let (bucket, key) = place.split_once('/')?;
            let is_own = self.bucket.as_deref() == Some(bucket);
            return key.rsplit('/').next().filter(|_| is_own)?.parse().ok();
        }
        let path = match text.split_once("://") {
            Some(("http" | "https" | "HTTP" | "HTTPS", _)) => {
                let url = Url::parse(text).ok()?;
                let host = url.host_str()?.to_ascii_lowercase();
                let with_port = format!("{host}:{}", url.port_or_known_default()?);
                let is_own = |own: &String| *own == host && url.port().is_none() || *own == with_port;
                self.hosts.iter().any(is_own).then(|| url.path().to_owned())?
            }
            Some(_) => return None,
            None => text.split(['?', '#']).next()?.to_owned(),
        };
        let end = PATHS.iter().find_map(|start| {
            let at = path.rfind(start)?;
            let is_start = at == 0 || path[..at].ends_with('/');
            is_start.then(|| &path[at + start.len()..])
        });
        end?.trim_end_matches('/').parse().ok()
    }
}

/// Whether a text is a file itself: a data URI, base64 that begins as a file does, or so much base64 that it cannot be a
/// name. Line breaks between its lines do not count.
pub(in crate::graph::params) fn is_base64(text: &str) -> bool {
    let text = text.trim();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    let is_known = BASE64_STARTS.iter().any(|start| text.starts_with(start));
    let least = if is_known { KNOWN_BASE64_CHARS_MIN } else { BASE64_CHARS_MIN };
    text.starts_with("data:")
        || (text.len() >= least && text.bytes().all(|byte| is_plain(byte) || matches!(byte, b'\r' | b'\n')))
}

/// Whether the JSON of a text may be base64 that begins as a file does.
pub(super) fn may_be_base64(json: &str) -> bool {
    json.len() >= KNOWN_BASE64_CHARS_MIN + 2 && BASE64_STARTS.iter().any(|start| json[1..].starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{BASE64_CHARS_MIN, BASE64_STARTS, FileId, OwnFiles, is_base64};

    /// Bug reports 12 and 17.
    #[test]
    fn our_own_links_ids_and_places_are_files() {
        let id = FileId::new();
        let own =
            OwnFiles::new("https://Files.Example/base", Some("pictures".to_owned())).with_host(Some("10.0.0.1:3000"));
        for text in [
            format!("{id}"),
            format!("https://files.example/base/upload/file/{id}"),
            format!("https://files.example:443/upload/file/{id}?expires=1&signature=x"),
            format!("http://10.0.0.1:3000/upload/file/{id}"),
            format!("http://10.0.0.1:3000/api/files/{id}/"),
            format!("/upload/file/{id}?expires=1"),
            format!("/api/files/{id}"),
            format!("s3://pictures/a/b/{id}"),
        ] {
            assert_eq!(own.file_at(&text), Some(id), "{text}");
        }
        for other in [
            format!("https://other.example/upload/file/{id}"),
            format!("http://10.0.0.1:3001/upload/file/{id}"),
            format!("http://files.example.evil.example/upload/file/{id}"),
            format!("https://files.example/elsewhere/{id}"),
            format!("s3://other/{id}"),
            format!("ftp://files.example/upload/file/{id}"),
            "https://files.example/upload/file/x".to_owned(),
            "x.png".to_owned(),
            String::new(),
        ] {
            assert_eq!(own.file_at(&other), None, "{other}");
        }
    }

    #[test]
    fn a_text_that_is_long_base64_is_no_name() {
        assert!(is_base64("data:image/png;base64,AA") && is_base64(&"iVBORw0KGgo=".repeat(20)));
        assert!(!is_base64("photo.png") && !is_base64(&"long name.png".repeat(20)) && !is_base64("iVBORw0KGgo="));
    }

    /// Bug reports 17 and 19.
    #[test]
    fn base64_of_a_small_file_is_known_by_its_first_bytes() {
        let pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQ==";
        assert!(
            pixel.len() < BASE64_CHARS_MIN
                && is_base64(pixel)
                && is_base64(&format!("{}\n{}", &pixel[..40], &pixel[40..]))
        );
        for start in BASE64_STARTS {
            assert!(is_base64(&format!("{start}{}", "A".repeat(24))), "{start}");
        }
        for name in
            ["iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB.png", "UklGRg", "T2dnUw my voice recording of yesterday", "Qk0-final"]
        {
            assert!(!is_base64(name), "{name}");
        }
    }
}

//! Files inside the params (`$base64`): decoded, and compared with their declared type and name.

use super::declared_type::{agrees, extension_of};
use crate::{graph::InlineFile, problem::Problem, store, task::FileId};
use ::base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Decoded file of the params.
#[derive(Debug)]
pub(super) struct DecodedFile {
    /// Id that it will have.
    pub(super) id: FileId,
    /// Given name, or one with the extension of its type.
    pub(super) filename: String,
    /// Content.
    pub(super) bytes: Bytes,
}

/// Decodes the files.
///
/// # Errors
/// Every problem: invalid base64, an empty or too large file, or content that contradicts its declared type or name.
pub(super) fn decode(files: &[(FileId, InlineFile)], bytes_max: u64) -> Result<Vec<DecodedFile>, Vec<Problem>> {
    let (mut decoded, mut problems) = (Vec::with_capacity(files.len()), Vec::new());
    for (id, file) in files {
        match decode_one(file, bytes_max) {
            Ok((filename, bytes)) => decoded.push(DecodedFile { id: *id, filename, bytes }),
            Err((code, message)) => problems.push(Problem {
                node_id: Some(file.node_id.clone()),
                input: Some(file.input.clone()),
                ..Problem::unfit(file.pointer.clone(), code, message)
            }),
        }
    }
    if problems.is_empty() { Ok(decoded) } else { Err(problems) }
}

/// Returns name and content of a file, or the code and message of its problem.
fn decode_one(file: &InlineFile, bytes_max: u64) -> Result<(String, Bytes), (&'static str, String)> {
    let (declared, encoded) =
        split(&file.base64).ok_or_else(|| ("param_bad_base64", "not a base64 data URI".to_owned()))?;
    let plain: Vec<u8> = encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let alphabet = if plain.iter().any(|byte| matches!(byte, b'-' | b'_')) { URL_SAFE } else { STANDARD };
    let bytes = GeneralPurpose::new(&alphabet, CONFIG)
        .decode(&plain)
        .map_err(|error| ("param_bad_base64", format!("not base64: {error}")))?;
    if bytes.is_empty() {
        return Err(("param_bad_base64", "the file is empty".to_owned()));
    }
    if bytes.len() as u64 > bytes_max {
        return Err(("param_file_too_large", format!("the file is larger than {bytes_max} bytes")));
    }
    let head = &bytes[..bytes.len().min(512)];
    let filename = file.filename.as_deref().filter(|name| !name.is_empty()).map(store::clean_filename);
    let by_name = filename.as_deref().map(|name| store::content_type(&[], name));
    for expected in [declared, by_name].into_iter().flatten() {
        if is_svg(head) {
            let message = "an SVG is a drawing that no node for pictures reads: send it as PNG, JPEG or WebP";
            return Err(("param_wrong_mime", message.to_owned()));
        }
        if !agrees(expected, head) {
            return Err((
                "param_wrong_mime",
                format!("the content does not match the declared type or name: {expected}"),
            ));
        }
    }
    let detected = store::content_type(head, "");
    let default_name = || extension_of(detected).map_or("file".to_owned(), |extension| format!("file.{extension}"));
    Ok((filename.unwrap_or_else(default_name), bytes.into()))
}

/// Whether the content is an SVG. Does not look at the declared type.
fn is_svg(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    text.trim_start_matches('\u{feff}').trim_start().starts_with('<') && text.contains("<svg")
}

/// Splits a data URI, or plain base64, into its declared type and the base64.
fn split(text: &str) -> Option<(Option<&str>, &str)> {
    let Some(rest) = text.strip_prefix("data:") else { return Some((None, text)) };
    let (kind, encoded) = rest.split_once(',')?;
    let kind = kind.strip_suffix(";base64")?;
    let essence = kind.split(';').next().unwrap_or_default();
    Some(((!essence.is_empty()).then_some(essence), encoded))
}

#[cfg(test)]
mod tests {
    use super::{DecodedFile, FileId, InlineFile, Problem};

    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==";
    /// `<html><script>1</script></html>`
    const HTML: &str = "PGh0bWw+PHNjcmlwdD4xPC9zY3JpcHQ+PC9odG1sPg==";

    fn decode(files: &[InlineFile], bytes_max: u64) -> Result<Vec<DecodedFile>, Vec<Problem>> {
        let files: Vec<_> = files.iter().map(|file| (FileId::new(), file.clone())).collect();
        super::decode(&files, bytes_max)
    }

    fn file(base64: &str, filename: Option<&str>) -> InlineFile {
        InlineFile {
            node_id: "1".to_owned(),
            input: "image".to_owned(),
            pointer: "/params/1.image".to_owned(),
            directive: String::new(),
            base64: base64.to_owned(),
            filename: filename.map(str::to_owned),
        }
    }

    fn code(base64: &str, filename: Option<&str>) -> String {
        match decode(&[file(base64, filename)], 1_000) {
            Err(problems) => problems[0].code.clone(),
            Ok(decoded) => panic!("must be refused: {decoded:?}"),
        }
    }

    #[test]
    fn every_form_of_base64_is_decoded_and_a_file_without_a_name_gets_an_extension() {
        let spaced = format!(" {}\n{} ", &PNG[..20], &PNG[20..]);
        let uri = format!("data:image/png;base64,{PNG}");
        for text in [PNG, PNG.trim_end_matches('='), &spaced, &uri, &format!("data:;base64,{PNG}")] {
            let decoded = decode(&[file(text, None)], 1_000).unwrap();
            assert_eq!(decoded[0].filename, "file.png", "{text}");
            assert!(decoded[0].bytes.starts_with(b"\x89PNG"));
        }
        assert_eq!(decode(&[file("-_-_", Some("../a.bin"))], 1_000).unwrap()[0].filename, "a.bin");
        assert_eq!(decode(&[file("aGVsbG8", None)], 1_000).unwrap()[0].filename, "file");
        assert_eq!(decode(&[file("//NgxAAAAANIAAAAAExB", Some("a.mp3"))], 1_000).unwrap()[0].filename, "a.mp3");
    }

    #[test]
    fn content_that_contradicts_its_type_or_name_is_refused() {
        assert_eq!(code(HTML, Some("a.png")), "param_wrong_mime");
        assert_eq!(code(&format!("data:image/png;base64,{HTML}"), None), "param_wrong_mime");
        assert_eq!(code(&format!("data:audio/mpeg;base64,{PNG}"), None), "param_wrong_mime");
        assert_eq!(code("aGVsbG8=", Some("a.png")), "param_wrong_mime");
        for bad in ["", "====", "a", "aGk*", "data:image/png,abc", "data:image/png;base64", "not base64 at all!"] {
            assert_eq!(code(bad, None), "param_bad_base64", "{bad}");
        }
        assert_eq!(code(&"AAAA".repeat(400), None), "param_file_too_large");
        let Err(both) = decode(&[file("*", None), file("a", None)], 9) else { panic!() };
        assert_eq!(both.len(), 2, "all of them at once");
    }
}

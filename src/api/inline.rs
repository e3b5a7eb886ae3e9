//! Files that come inside a request (`$base64`): decoded, looked at, and stored like uploads before the task that needs them.

use super::{
    ApiState,
    error::{ApiError, Result},
    routes::upload::{self, Received},
    sniff::{agrees, extension_of},
};
use crate::{
    auth::Caller,
    graph::{InlineFile, Problem},
    store,
    task::{FileId, FileInput},
};
use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde_json::value::RawValue;

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// One file, decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    node_id: String,
    input: String,
    filename: String,
    bytes: Bytes,
    /// As it stands in the params.
    directive: String,
}

/// Decodes all of them.
///
/// # Errors
/// Every problem: no base64, empty, too large, or not what its type or name says.
pub(super) fn decode(files: &[InlineFile], bytes_max: u64) -> Result<Vec<Decoded>> {
    let (mut decoded, mut problems) = (Vec::with_capacity(files.len()), Vec::new());
    for file in files {
        match decode_one(file, bytes_max) {
            Ok(file) => decoded.push(file),
            Err((code, message)) => problems.push(Problem {
                node_id: Some(file.node_id.clone()),
                input: Some(file.input.clone()),
                ..Problem::unfit(file.pointer.clone(), code, message)
            }),
        }
    }
    if problems.is_empty() { Ok(decoded) } else { Err(ApiError::InvalidParams(problems)) }
}

fn decode_one(file: &InlineFile, bytes_max: u64) -> Result<Decoded, (&'static str, String)> {
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
    for said in [declared, by_name].into_iter().flatten() {
        if !agrees(said, head) {
            return Err(("param_wrong_mime", format!("the file is not what it says to be: {said}")));
        }
    }
    let found = store::content_type(head, "");
    let named = || extension_of(found).map_or("file".to_owned(), |extension| format!("file.{extension}"));
    Ok(Decoded {
        node_id: file.node_id.clone(),
        input: file.input.clone(),
        filename: filename.unwrap_or_else(named),
        bytes: bytes.into(),
        directive: file.directive.clone(),
    })
}

/// The type of a data URI, and the base64 of either form.
fn split(text: &str) -> Option<(Option<&str>, &str)> {
    let Some(rest) = text.strip_prefix("data:") else { return Some((None, text)) };
    let (kind, encoded) = rest.split_once(',')?;
    let kind = kind.strip_suffix(";base64")?;
    let essence = kind.split(';').next().unwrap_or_default();
    Some(((!essence.is_empty()).then_some(essence), encoded))
}

/// Stores them; gives what names them in the graph, and `params` with `{"$file":…}` in their places: what is kept with a task
/// is small, and can be sent again. Nothing is left when one fails.
pub(super) async fn store(
    state: &ApiState,
    caller: &Caller,
    files: Vec<Decoded>,
    params: Box<RawValue>,
) -> Result<(Vec<FileInput>, Box<RawValue>)> {
    let mut inputs = Vec::with_capacity(files.len());
    let mut params = String::from(Box::<str>::from(params));
    for file in files {
        let file_id = FileId::new();
        match store_one(state, caller.clone(), file_id, &file).await {
            Ok(()) => {
                // Within a text its quotes would be escaped: this stands nowhere else.
                params = params.replace(&file.directive, &format!("{{\"$file\":\"{file_id}\"}}"));
                inputs.push(FileInput { node_id: file.node_id, input: file.input, file_id });
            }
            Err(error) => {
                take_back(state, &inputs).await;
                return Err(error);
            }
        }
    }
    Ok((inputs, RawValue::from_string(params).map_err(|_| ApiError::Internal)?))
}

/// Deletes those that no task needs.
pub(super) async fn take_back(state: &ApiState, inputs: &[FileInput]) {
    for input in inputs {
        upload::take_back(state, input.file_id).await;
    }
}

async fn store_one(state: &ApiState, caller: Caller, id: FileId, file: &Decoded) -> Result<()> {
    let mut writer = state.store.create(id, state.file_bytes_max).await?;
    writer.write(file.bytes.clone()).await?;
    upload::register(state, caller, Received { id, filename: file.filename.clone(), writer }).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::{ApiError, InlineFile, decode};

    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==";
    /// `<html><script>1</script></html>`
    const HTML: &str = "PGh0bWw+PHNjcmlwdD4xPC9zY3JpcHQ+PC9odG1sPg==";

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
            Err(ApiError::InvalidParams(problems)) => problems[0].code.clone(),
            other => panic!("must be refused: {other:?}"),
        }
    }

    #[test]
    fn every_way_to_write_base64_is_read_and_a_nameless_file_gets_its_extension() {
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
    fn what_is_not_what_it_says_is_refused() {
        assert_eq!(code(HTML, Some("a.png")), "param_wrong_mime");
        assert_eq!(code(&format!("data:image/png;base64,{HTML}"), None), "param_wrong_mime");
        assert_eq!(code(&format!("data:audio/mpeg;base64,{PNG}"), None), "param_wrong_mime");
        assert_eq!(code("aGVsbG8=", Some("a.png")), "param_wrong_mime");
        for bad in ["", "====", "a", "aGk*", "data:image/png,abc", "data:image/png;base64", "not base64 at all!"] {
            assert_eq!(code(bad, None), "param_bad_base64", "{bad}");
        }
        assert_eq!(code(&"AAAA".repeat(400), None), "param_file_too_large");
        let Err(ApiError::InvalidParams(both)) = decode(&[file("*", None), file("a", None)], 9) else { panic!() };
        assert_eq!(both.len(), 2, "all of them at once");
    }
}

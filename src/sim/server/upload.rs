//! `POST /upload/image` and `/upload/mask`, with names, duplicates and folders handled as in the real server.

use crate::sim::{
    engine::{event_log::LogEvent, process::Process},
    file_paths::{Key, folder_type, normalized},
    server::aiohttp,
};
use axum::{
    body::Bytes,
    extract::{FromRequest, Multipart, Request, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

/// Fields of a form. More are refused with a 500, like a malformed form.
const FIELDS_MAX: usize = 64;

/// The fields of a form: texts by name, and the file `image`.
#[derive(Default)]
struct Form {
    texts: HashMap<String, String>,
    image: Option<(String, Bytes)>,
    /// Whether `image` came without a file name.
    image_is_text: bool,
}

pub(crate) async fn image(State(process): State<Arc<Process>>, request: Request) -> Response {
    match form(&process, request).await {
        Ok(form) => store(&process, &form, false).await,
        Err(response) => response,
    }
}

pub(crate) async fn mask(State(process): State<Arc<Process>>, request: Request) -> Response {
    match form(&process, request).await {
        Ok(form) => store(&process, &form, true).await,
        Err(response) => response,
    }
}

async fn form(process: &Process, request: Request) -> Result<Form, Response> {
    if process.instance.strikes(|faults| &mut faults.upload_500) {
        return Err(aiohttp::internal_error());
    }
    let max = process.instance.options.upload_bytes_max;
    let (parts, content) = request.into_parts();
    let bytes = aiohttp::body(process, content).await?;
    // A body that is not a form has no fields.
    let request = Request::from_parts(parts, axum::body::Body::from(bytes));
    let Ok(mut multipart) = Multipart::from_request(request, &()).await else { return Ok(Form::default()) };
    let mut form = Form::default();
    for _ in 0..FIELDS_MAX {
        let field = match multipart.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => return Ok(form),
            Err(_) => return Err(aiohttp::internal_error()),
        };
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        let content = field.bytes().await.map_err(|_| aiohttp::too_large(max))?;
        match (name.as_str(), filename) {
            ("image", Some(filename)) => form.image = Some((filename, content)),
            ("image", None) => form.image_is_text = true,
            _ => {
                form.texts.insert(name, String::from_utf8_lossy(&content).into_owned());
            }
        }
    }
    Err(aiohttp::internal_error())
}

async fn store(process: &Process, form: &Form, is_mask: bool) -> Response {
    let kind = match form.texts.get("type") {
        None => "input",
        Some(kind) => match folder_type(kind) {
            Some(kind) => kind,
            None => return aiohttp::internal_error(),
        },
    };
    if form.image_is_text {
        return aiohttp::internal_error();
    }
    let Some((filename, content)) = form.image.as_ref().filter(|(filename, _)| !filename.is_empty()) else {
        return aiohttp::empty(StatusCode::BAD_REQUEST);
    };
    let subfolder = form.texts.get("subfolder").cloned().unwrap_or_default();
    let full = format!("{subfolder}/{filename}");
    let full = if subfolder.is_empty() { filename.clone() } else { full };
    let (Some(folder), Some(full), false) = (normalized(&subfolder), normalized(&full), filename.starts_with('/'))
    else {
        return aiohttp::empty(StatusCode::BAD_REQUEST);
    };
    let (deep, _) = full.rsplit_once('/').unwrap_or(("", &full));
    if deep != folder && !process.instance.files.has_folder(kind, deep) {
        return aiohttp::internal_error();
    }
    let overwrite = matches!(form.texts.get("overwrite").map(String::as_str), Some("true" | "1"));
    let (name, key, is_duplicate) = free_name(process, kind, &folder, filename, content, overwrite).await;
    let written = match (is_duplicate, is_mask) {
        (true, _) => Ok(()),
        (false, false) => process.instance.files.put(key, content.clone()),
        (false, true) => match masked(process, form).await {
            Ok(Some(original)) => process.instance.files.put(key, original),
            Ok(None) => Ok(()),
            Err(response) => return *response,
        },
    };
    if let Err(error) = written {
        tracing::debug!(%error, name, "cannot store upload");
        return aiohttp::internal_error();
    }
    process.instance.log.add(process.number, LogEvent::Uploaded, &name);
    aiohttp::json(&json!({"name": name, "subfolder": subfolder, "type": kind}))
}

/// Returns the name to store under: the given one, or `name (1).png` and so on if a file with other content has that
/// name. The flag is true if the same content is already stored.
async fn free_name(
    process: &Process,
    kind: &'static str,
    folder: &str,
    filename: &str,
    content: &Bytes,
    overwrite: bool,
) -> (String, Key, bool) {
    let key_of = |name: &str| -> Key {
        let full = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let full = normalized(&full).unwrap_or(full);
        let (sub, last) = full.rsplit_once('/').unwrap_or(("", &full));
        (kind, sub.to_owned(), last.to_owned())
    };
    let (stem, extension) = split_extension(filename);
    let mut name = filename.to_owned();
    let mut key = key_of(&name);
    let mut at = 0_u64;
    while !overwrite && let Some(there) = process.instance.files.read(&key).await {
        if there == *content {
            return (name, key, true);
        }
        at += 1;
        name = format!("{stem} ({at}){extension}");
        key = key_of(&name);
    }
    (name, key, false)
}

/// Python's `os.path.splitext`.
fn split_extension(name: &str) -> (&str, &str) {
    let base = name.rfind('/').map_or(0, |at| at + 1);
    match name.rfind('.') {
        Some(at) if at > base && !name[base..at].chars().all(|letter| letter == '.') => name.split_at(at),
        _ => (name, ""),
    }
}

/// Reads the picture that the mask belongs to; `None` if it does not exist, which the real server does not report
/// either.
async fn masked(process: &Process, form: &Form) -> Result<Option<Bytes>, Box<Response>> {
    let failure = || Box::new(aiohttp::internal_error());
    let text = form.texts.get("original_ref").ok_or_else(failure)?;
    let original: Value = serde_json::from_str(text).map_err(|_| failure())?;
    let filename = original["filename"].as_str().ok_or_else(failure)?;
    let Some(kind) = folder_type(original["type"].as_str().unwrap_or("output")) else { return Ok(None) };
    let Some(subfolder) = normalized(original["subfolder"].as_str().unwrap_or_default()) else { return Ok(None) };
    Ok(process.instance.files.read(&(kind, subfolder, filename.to_owned())).await)
}

#[cfg(test)]
mod tests {
    use super::split_extension;

    #[test]
    fn extensions_are_split_as_python_does() {
        for (name, parts) in
            [("a.png", ("a", ".png")), ("a.b.c", ("a.b", ".c")), (".x", (".x", "")), ("..png", ("..png", ""))]
        {
            assert_eq!(split_extension(name), parts);
        }
    }
}

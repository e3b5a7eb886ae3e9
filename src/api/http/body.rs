//! JSON bodies: type, encoding and declared length are checked before a byte is read. The server limits the time of a body
//! (`process`).

use super::body_room::BodyBytes;
use crate::api::error::{ApiError, Result};
use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use futures_util::StreamExt;

/// Reads the body of a request with a JSON content type, at most `bytes_max` bytes.
pub(crate) async fn read_json(request: Request, bytes_max: usize) -> Result<Bytes> {
    read(request, bytes_max, None).await
}

/// Reads a large body as [`read_json`] does, within the bytes that all bodies may have. A declared length is taken before a
/// byte is read.
pub(crate) async fn read_large_json(request: Request, bytes_max: usize, taken: &mut BodyBytes) -> Result<Bytes> {
    read(request, bytes_max, Some(taken)).await
}

async fn read(request: Request, bytes_max: usize, mut taken: Option<&mut BodyBytes>) -> Result<Bytes> {
    let (parts, body) = request.into_parts();
    refuse_encoding(&parts.headers)?;
    if !is_json(&parts.headers) {
        return Err(ApiError::UnsupportedMediaType("the Content-Type must be application/json"));
    }
    refuse_declared_length(&parts.headers, bytes_max as u64)?;
    if let Some(taken) = &mut taken {
        taken.reserve(declared_length(&parts.headers).unwrap_or(0))?;
    }
    collect(body, bytes_max, taken).await
}

/// Refuses a compressed body, whose real size is unknown.
pub(crate) fn refuse_encoding(headers: &HeaderMap) -> Result<()> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(ApiError::UnsupportedMediaType("Content-Encoding is not supported: send the body without it"))
}

/// Refuses a body by its declared length, before it is read.
pub(crate) fn refuse_declared_length(headers: &HeaderMap, bytes_max: u64) -> Result<()> {
    if declared_length(headers).is_some_and(|declared| declared > bytes_max) {
        return Err(ApiError::TooLarge(bytes_max));
    }
    Ok(())
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the content type is `application/json`, at most with `charset=utf-8`. A form of a foreign site cannot send it.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let Ok(only) = only.to_str() else { return false };
    let mut parts = only.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| {
            let lower = parameter.to_ascii_lowercase();
            lower.strip_prefix("charset=").is_none_or(|charset| charset.trim_matches('"') == "utf-8")
        })
}

async fn collect(body: Body, bytes_max: usize, mut taken: Option<&mut BodyBytes>) -> Result<Bytes> {
    let mut stream = body.into_data_stream();
    let broken = |_| ApiError::InvalidJson("the body broke off".to_owned());
    let Some(first) = stream.next().await.transpose().map_err(broken)? else { return Ok(Bytes::new()) };
    if first.len() > bytes_max {
        return Err(ApiError::TooLarge(bytes_max as u64));
    }
    let Some(second) = stream.next().await.transpose().map_err(broken)? else { return Ok(first) };
    let mut whole = Vec::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if chunk.len() > bytes_max - whole.len() {
            return Err(ApiError::TooLarge(bytes_max as u64));
        }
        if let Some(taken) = &mut taken {
            taken.reserve((whole.len() + chunk.len()) as u64)?;
        }
        whole.extend_from_slice(&chunk);
        next = stream.next().await.transpose().map_err(broken)?;
    }
    Ok(Bytes::from(whole))
}

#[cfg(test)]
mod tests {
    use super::{ApiError, collect, is_json};
    use axum::{
        body::Body,
        http::{HeaderMap, HeaderValue, header},
    };

    fn headers(types: &[&'static str]) -> HeaderMap {
        types.iter().map(|one| (header::CONTENT_TYPE, HeaderValue::from_static(one))).collect()
    }

    #[test]
    fn only_json_is_json() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_json(&headers(&[good])), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/json5",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "text/json",
            "application/jsonx",
            "json",
        ] {
            assert!(!is_json(&headers(&[bad])), "{bad}");
        }
        assert!(!is_json(&headers(&[])));
        assert!(!is_json(&headers(&["application/json", "application/json"])));
    }

    #[tokio::test]
    async fn a_body_is_cut_at_the_limit_however_it_comes() {
        let chunks = |sizes: &[usize]| {
            let chunks: Vec<Result<Vec<u8>, std::io::Error>> = sizes.iter().map(|size| Ok(vec![b'x'; *size])).collect();
            Body::from_stream(futures_util::stream::iter(chunks))
        };
        for (sizes, fits) in [
            (&[][..], true),
            (&[10][..], true),
            (&[11][..], false),
            (&[4, 6][..], true),
            (&[4, 6, 1][..], false),
            (&[4, 7][..], false),
        ] {
            let read = collect(chunks(sizes), 10, None).await;
            match read {
                Ok(bytes) => assert!(fits && bytes.len() == sizes.iter().sum::<usize>(), "{sizes:?}"),
                Err(error) => assert!(!fits && matches!(error, ApiError::TooLarge(10)), "{sizes:?}"),
            }
        }
    }
}

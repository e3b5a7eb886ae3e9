//! `POST /api/files/upload` (safety.md §2.5).

use super::server::{Api, FILE_BYTES_MAX, PUBLIC_URL, assert_refused, data};
use crate::support::{eventually, http::Response};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const TYPE: &str = "multipart/form-data; boundary=XX";

/// Returns a form with one part: name of the field, name of the file as it stands in the header, content.
pub fn part(field: &str, filename: &str, bytes: &[u8]) -> Vec<u8> {
    let mut part = b"--XX\r\ncontent-disposition: form-data; name=\"".to_vec();
    part.extend(format!("{field}\"; filename=\"{filename}\"\r\ncontent-type: text/html\r\n\r\n").bytes());
    part.extend(bytes);
    part.extend(b"\r\n");
    part
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), b"--XX--\r\n".to_vec()].concat()
}

async fn send(api: &Api, content_type: &str, body: &[u8]) -> Response {
    api.send("POST", "/api/files/upload", &[("authorization", &api.bearer()), ("content-type", content_type)], body)
        .await
}

/// Uploads one file.
pub async fn upload(api: &Api, filename: &str, bytes: &[u8]) -> Response {
    send(api, TYPE, &form(&[part("file", filename, bytes)])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_answered_as_the_document_says() {
    let api = Api::start().await;
    let file = data(&upload(&api, "主 图.png", PNG).await);
    let id = file["fileId"].as_str().unwrap();
    assert_eq!(
        (&file["filename"], &file["url"]),
        (&json!("主 图.png"), &json!(format!("{PUBLIC_URL}/upload/file/{id}")))
    );
    assert_eq!(
        (&file["sizeBytes"], &file["contentType"], &file["kind"]),
        (&json!(PNG.len()), &json!("image/png"), &json!("upload"))
    );
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
    let list = data(&api.get("/api/files").await);
    assert_eq!(list, json!({"total": 1, "items": [file]}));
    assert_eq!(data(&api.get("/api/files?kind=output").await)["total"], 0);
    assert_eq!(data(&api.get("/api/files?kind=upload&limit=1&offset=0").await)["items"][0]["fileId"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_cleaned_and_never_paths() {
    let api = Api::start().await;
    for (sent, kept) in [
        ("../../etc/passwd", Some("passwd")),
        ("..\\\\..\\\\boot.ini", None),
        ("/abs/x.png", Some("x.png")),
        ("C:\\\\x.png", None),
        (".", None),
        ("..", None),
        ("", None),
        ("a\tb.png", None),
        (&"n".repeat(5_000), None),
        ("\u{202e}gnp.exe", Some("gnp.exe")),
        (".htaccess", None),
        ("CON", None),
        ("$(reboot).png", Some("$(reboot).png")),
        ("a;b.png", Some("a;b.png")),
    ] {
        let answer = upload(&api, sent, PNG).await;
        if answer.status == 400 {
            assert_refused(&answer, 400, "invalid_upload", sent);
            continue;
        }
        let file = data(&answer);
        let name = file["filename"].as_str().unwrap();
        assert!(
            !name.is_empty()
                && name.len() <= 255
                && !name.contains(['/', '\\', '\u{202e}'])
                && !name.chars().any(char::is_control),
            "{name:?}"
        );
        assert!(kept.is_none_or(|kept| kept == name), "{sent:?} became {name:?}");
        let link = format!("/upload/file/{}", file["fileId"].as_str().unwrap());
        assert_eq!(api.send("GET", &link, &[], b"").await.body, PNG);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_do_not_hold_leave_nothing() {
    let api = Api::start().await;
    let (before, files) = (api.snapshot(), api.stored_files());
    let good = form(&[part("file", "a.png", PNG)]);
    let huge_head = [b"--XX\r\nx: ".to_vec(), vec![b'y'; 1 << 20], b"\r\n\r\n".to_vec()].concat();
    let many_headers = [b"--XX\r\n".to_vec(), b"a: b\r\n".repeat(5_000), b"\r\nx\r\n--XX--\r\n".to_vec()].concat();
    let many_fields: Vec<Vec<u8>> = (0..10_000).map(|n| part(&format!("f{n}"), "x", b"y")).collect();
    let nothing: &[u8] = b"";
    for (content_type, body, status, word) in [
        ("application/json", good.as_slice(), 415, "unsupported_media_type"),
        ("multipart/mixed; boundary=XX", &good, 415, "unsupported_media_type"),
        ("", &good, 415, "unsupported_media_type"),
        ("multipart/form-data", &good, 400, "invalid_upload"),
        ("multipart/form-data; boundary=", &good, 400, "invalid_upload"),
        ("multipart/form-data; boundary=YY", &good, 400, "invalid_upload"),
        (&format!("multipart/form-data; boundary={}", "b".repeat(5_000)), &good, 400, "invalid_upload"),
        (TYPE, nothing, 400, "invalid_upload"),
        (TYPE, b"--XX--\r\n", 400, "invalid_upload"),
        (TYPE, b"garbage", 400, "invalid_upload"),
        (TYPE, &good[..good.len() - 8], 400, "invalid_upload"),
        (TYPE, &good[..60], 400, "invalid_upload"),
        (TYPE, &huge_head, 400, "invalid_upload"),
        (TYPE, &many_headers, 400, "invalid_upload"),
        (TYPE, &form(&many_fields), 400, "invalid_upload"),
        (TYPE, &form(&[part("image", "a.png", PNG)]), 400, "invalid_upload"),
        (TYPE, &form(&[part("file", "a.png", PNG), part("file", "b.png", PNG)]), 400, "invalid_upload"),
        (TYPE, &form(&[part("file", "a.png", b"")]), 400, "invalid_upload"),
        (TYPE, &form(&[part("file", "a.png", PNG), part("note", "", &vec![b'x'; 70_000])]), 400, "invalid_upload"),
    ] {
        let shown: String = String::from_utf8_lossy(body).chars().take(80).collect();
        assert_refused(&send(&api, content_type, body).await, status, word, &format!("{content_type:.60} {shown:?}"));
    }
    let encoded = [("authorization", &*api.bearer()), ("content-type", TYPE), ("content-encoding", "gzip")];
    assert_refused(
        &api.send("POST", "/api/files/upload", &encoded, &good).await,
        415,
        "unsupported_media_type",
        "gzip",
    );
    assert_eq!(api.snapshot(), before);
    eventually("the store to be as it was", Duration::from_secs(5), async || {
        (api.stored_files() == files).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_beside_small_fields_is_taken() {
    let api = Api::start().await;
    let body = form(&[part("type", "", b"input"), part("file", "a.png", PNG), part("overwrite", "", b"true")]);
    assert_eq!(data(&send(&api, TYPE, &body).await)["sizeBytes"], PNG.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_refused_at_once_or_at_the_limit() {
    let api = Api::start().await;
    let files = api.stored_files();
    let bearer = api.bearer();
    let declared = [
        ("authorization", bearer.as_str()),
        ("content-type", TYPE),
        ("content-length", "1099511627776"),
        ("expect", "100-continue"),
    ];
    assert_refused(&api.send("POST", "/api/files/upload", &declared, b"").await, 413, "too_large", "declared");
    let limit = usize::try_from(FILE_BYTES_MAX).unwrap();
    assert_refused(&upload(&api, "a.bin", &vec![7; limit + 1]).await, 413, "too_large", "a byte too many");
    eventually("the store to be as it was", Duration::from_secs(5), async || {
        (api.stored_files() == files).then_some(())
    })
    .await;
    assert_eq!(data(&upload(&api, "a.bin", &vec![7; limit]).await)["sizeBytes"], limit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_nothing() {
    let api = Api::start().await;
    let (before, files) = (api.snapshot(), api.stored_files());
    let mut stream = tokio::net::TcpStream::connect(api.address).await.unwrap();
    let head = format!(
        "POST /api/files/upload HTTP/1.1\r\nhost: t\r\nauthorization: {}\r\ncontent-type: {TYPE}\r\ncontent-length: 1000000\r\n\r\n",
        api.bearer()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&part("file", "a.bin", &vec![7; 300_000])).await.unwrap();
    eventually("the upload to have begun", Duration::from_secs(5), async || (api.stored_files() > files).then_some(()))
        .await;
    drop(stream);
    eventually("the store to be as it was", Duration::from_secs(5), async || {
        (api.stored_files() == files).then_some(())
    })
    .await;
    assert_eq!(api.snapshot(), before);
}

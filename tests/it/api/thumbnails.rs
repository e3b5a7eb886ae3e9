//! `GET /upload/file/:fileId?w=…`: small copies, made within limits.

use super::{
    server::{Api, assert_refused, data},
    upload::upload,
};
use futures_util::future::join_all;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(RgbImage::from_pixel(width, height, Rgb([200, 40, 40]))).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

async fn stored(api: &Api, filename: &str, bytes: &[u8]) -> String {
    format!("/upload/file/{}", data(&upload(api, filename, bytes).await)["fileId"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_has_small_copies_of_its_own() {
    let api = Api::start().await;
    for (name, format) in [
        ("a.png", ImageFormat::Png),
        ("a.jpg", ImageFormat::Jpeg),
        ("a.gif", ImageFormat::Gif),
        ("a.webp", ImageFormat::WebP),
    ] {
        let link = stored(&api, name, &picture(600, 300, format)).await;
        let whole = api.send("GET", &link, &[], b"").await;
        let asked = (0..8).map(|_| async { api.send("GET", &format!("{link}?w=256"), &[], b"").await });
        for small in join_all(asked).await {
            assert_eq!((small.status, small.header("content-type")), (200, "image/jpeg"), "{name}");
            let size = imagesize::blob_size(&small.body).unwrap();
            assert_eq!((size.width, size.height), (256, 128), "{name}");
            assert_eq!(small.header("content-length"), small.body.len().to_string());
            for name in ["cache-control", "content-security-policy", "x-content-type-options"] {
                assert_eq!(small.header(name), whole.header(name), "{name}");
            }
            assert_ne!(small.header("etag"), whole.header("etag"));
            assert!(small.header("content-disposition").starts_with("inline;"));
            let again =
                api.send("GET", &format!("{link}?w=256"), &[("if-none-match", small.header("etag"))], b"").await;
            assert_eq!((again.status, again.body.len()), (304, 0));
            let other = api.send("GET", &format!("{link}?w=64"), &[("if-none-match", small.header("etag"))], b"").await;
            assert_eq!(other.status, 200, "another size is another thing");
            let head = api.send("HEAD", &format!("{link}?w=256"), &[], b"").await;
            assert_eq!(
                (head.status, head.header("content-length"), head.body.len()),
                (200, small.header("content-length"), 0)
            );
            let part = api.send("GET", &format!("{link}?w=256"), &[("range", "bytes=0-1")], b"").await;
            assert_eq!((part.status, part.body.len()), (200, small.body.len()), "never in parts");
        }
        assert_eq!(api.send("GET", &link, &[], b"").await.body, picture(600, 300, format), "the original stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_small_copy_says_so() {
    let api = Api::start().await;
    let link = stored(&api, "a.png", &picture(60, 30, ImageFormat::Png)).await;
    for query in ["w=0", "w=100", "w=-1", "w=", "w=9999999999999", "w=256&w=256", "w=0256", "width=256", "w=256&x=1"] {
        let answer = api.send("GET", &format!("{link}?{query}"), &[], b"").await;
        assert_refused(&answer, 400, "invalid_query", query);
    }
    let flat = picture(7_000, 7_000, ImageFormat::Png);
    assert!(flat.len() < 1 << 20, "some kilobytes that unfold into 150 MB");
    for (name, bytes) in [
        ("a.svg", &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..]),
        ("a.txt", b"text"),
        ("a.mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"),
        ("a.png", b"\x89PNG\r\n\x1a\n broken"),
        ("bomb.png", &flat),
    ] {
        let link = stored(&api, name, bytes).await;
        for _ in 0..2 {
            let answer = api.send("GET", &format!("{link}?w=256"), &[], b"").await;
            assert_refused(&answer, 415, "unsupported_media_type", name);
            let is_broken = answer.json()["message"].as_str().unwrap().contains("broken");
            assert_eq!(is_broken, name == "a.png", "{name}: {}", answer.json());
        }
        assert_eq!(api.send("GET", &link, &[], b"").await.status, 200, "{name}");
    }
    assert_eq!(api.send("GET", &format!("{link}?w=64"), &[], b"").await.status, 200);
    api.delete(&link.replace("/upload/file/", "/api/files/")).await;
    let gone = api.send("GET", &format!("{link}?w=64"), &[], b"").await;
    assert_refused(&gone, 404, "not_found", "deleted, although its copy was kept");
}

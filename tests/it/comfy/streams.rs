//! Downloads and uploads that break, stall, have a wrong length, or are slow.

use super::{
    TIMEOUT, chunks, client_of, file,
    peer::{Peer, reply},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use shuzhiren::comfy::Error;
use std::{io, time::Duration};

const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_file_name_is_sent_in_the_query_only() {
    let peer = Peer::start(|_| reply(200, "x")).await;
    let client = client_of(peer.addr, TIMEOUT);
    client.view(&file("a b&type=input#?\r\n../ü.png", "win\\x/..")).await.unwrap();
    assert_eq!(
        peer.lines(),
        ["GET /view?filename=a+b%26type%3Dinput%23%3F%0D%0A..%2F%C3%BC.png&subfolder=win%5Cx%2F..&type=output"]
    );
}

#[tokio::test]
async fn a_broken_download_ends_with_an_error() {
    let cases: [(&'static [u8], bool); 3] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", true),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false),
    ];
    for (bytes, hangs) in cases {
        let peer = Peer::raw(bytes, hangs).await;
        let client = client_of(peer.addr, SHORT);
        let parts: Vec<Result<bytes::Bytes, Error>> = client.view(&file("a", "")).await.unwrap().bytes.collect().await;
        assert!(matches!(parts.last(), Some(Err(Error::Unreachable(_)))), "{parts:?}");
        assert!(matches!(&parts[0], Ok(chunk) if chunk == "abc"), "{parts:?}");
    }
}

#[tokio::test]
async fn a_download_without_a_length_is_complete() {
    let peer = Peer::raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true).await;
    let client = client_of(peer.addr, SHORT);
    let download = client.view(&file("a", "")).await.unwrap();
    assert_eq!(download.size_bytes, None);
    let parts: Vec<bytes::Bytes> = download.bytes.try_collect().await.unwrap();
    assert_eq!(parts, ["abc"]);
}

#[tokio::test]
async fn an_upload_is_a_form_with_a_safe_name() {
    let peer = Peer::start(|_| reply(200, r#"{"name":"x (1).png","subfolder":"t","type":"input"}"#)).await;
    let client = client_of(peer.addr, TIMEOUT);
    let name = client.upload("t", "a\"b/ü.png", 6, chunks(&["abc", "def"])).await.unwrap();
    assert_eq!(name, "t/x (1).png");
    let request = peer.requests().pop().unwrap();
    assert_eq!(request.line, "POST /upload/image");
    assert!(request.headers.contains_key("content-length"));
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    for part in [
        "name=\"image\"; filename=\"a_b__.png\"",
        "abcdef",
        "name=\"overwrite\"\r\n\r\ntrue",
        "name=\"subfolder\"\r\n\r\nt",
        "name=\"type\"\r\n\r\ninput",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test]
async fn an_unreadable_input_is_not_blamed_on_the_instance() {
    let peer = Peer::start(|_| reply(200, r#"{"name":"x","subfolder":"","type":"input"}"#)).await;
    let client = client_of(peer.addr, TIMEOUT);
    let broken = stream::iter([Ok(bytes::Bytes::from("ab")), Err(io::Error::other("disk on fire"))]).boxed();
    for (bytes, word) in [(chunks(&["ab"]), "ended after 2"), (chunks(&["abcdef"]), "longer"), (broken, "disk on fire")]
    {
        let Err(Error::Refused(why)) = client.upload("", "a", 4, bytes).await else { panic!("{word}") };
        assert!(why.contains(word), "{why}");
    }
}

/// The timeout applies to each step, so a slow body may take longer in total.
#[tokio::test]
async fn a_slow_upload_may_take_longer_than_the_timeout() {
    let peer = Peer::start(|_| reply(200, r#"{"name":"x","subfolder":"","type":"input"}"#)).await;
    let client = client_of(peer.addr, Duration::from_millis(200));
    let slow = stream::unfold(0, |n| async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        (n < 10).then(|| (Ok::<_, io::Error>(bytes::Bytes::from("ab")), n + 1))
    });
    assert_eq!(client.upload("", "a", 20, slow.boxed()).await.unwrap(), "x");
}

#[tokio::test]
async fn an_upload_that_is_not_read_is_aborted() {
    let peer = Peer::raw(b"", true).await;
    let client = client_of(peer.addr, SHORT);
    let endless = stream::repeat_with(|| Ok::<_, io::Error>(bytes::Bytes::from(vec![0; 1 << 20]))).boxed();
    let given_up = tokio::time::timeout(SHORT * 5, client.upload("", "a", 1 << 40, endless)).await.unwrap();
    assert!(matches!(given_up, Err(Error::Unreachable(_))), "{given_up:?}");
}

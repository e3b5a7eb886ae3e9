//! Behaviour and failures of buckets only.

use super::{Home, NO_LIMIT, PREFIX, TestStore, pattern};
use crate::support::s3::S3;
use bytes::Bytes;
use futures_util::TryStreamExt;
use shuzhiren::{
    settings::Secret,
    store::{Error, Keys, Redirect, Store},
    task::FileId,
};

fn s3(test: &mut TestStore) -> &mut S3 {
    match &mut test.home {
        Home::Bucket(s3) => s3,
        Home::Disk(_) => unreachable!("these tests are of buckets"),
    }
}

async fn refusal(url: &str, keys: &Keys) -> String {
    match Store::open_with(url, Some(keys)).await {
        Err(Error::Unusable(message)) => message,
        other => panic!("{url} must be refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_is_reported_at_start() {
    let mut s3 = S3::start().await;
    let keys = s3.keys();
    let no_bucket = refusal(&s3.url_of("fils", PREFIX), &keys).await;
    assert!(no_bucket.contains("there is no bucket `fils`"), "{no_bucket}");
    for wrong in [
        Keys { secret: Secret::new("not the secret of this key"), ..keys.clone() },
        Keys { access: "nobody".to_owned(), ..keys.clone() },
    ] {
        let refused = refusal(&s3.url(PREFIX), &wrong).await;
        assert!(refused.contains("SHUZHIREN_S3_SECRET_KEY") && !refused.contains("not the secret"), "{refused}");
    }
    let (url, text) = (s3.url(PREFIX), s3.url(PREFIX).replace("http://", ""));
    assert!(refusal(&text, &keys).await.contains("must begin with https:// or http://"));
    s3.stop();
    let away = refusal(&url, &keys).await;
    assert!(away.contains("in the bucket `files` at http://127.0.0.1:"), "{away}");
    s3.resume().await;
    Store::open_with(&url, Some(&keys)).await.unwrap();
    assert!(super::files_in(&s3.folder(PREFIX)).is_empty(), "the probe leaves nothing");
}

/// The server fails in the middle of reads and writes, and recovers.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_bucket_is_unavailable_and_works_again_later() {
    let mut test = TestStore::in_a_bucket().await;
    let (kept, _) = test.put(b"kept").await;
    let mut large = test.store.create(FileId::new(), NO_LIMIT).await.unwrap();
    large.write(pattern(6_000_000, 1).into()).await.unwrap();
    let mut small = test.store.create(FileId::new(), NO_LIMIT).await.unwrap();
    small.write(Bytes::from_static(b"small")).await.unwrap();
    s3(&mut test).stop();
    let (read, head, deleted, written, marked) = tokio::join!(
        test.store.read(kept.into(), None),
        test.store.read(kept.into(), Some(0..1)),
        test.store.delete(kept.into()),
        small.finish(),
        test.store.belongs_to("one"),
    );
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    assert!(matches!(head, Err(Error::Unavailable(_))), "{head:?}");
    assert!(matches!(deleted, Err(Error::Unavailable(_))), "{deleted:?}");
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    assert!(matches!(marked, Err(Error::Unavailable(_))), "{marked:?}");
    let cut = large.write(pattern(6_000_000, 2).into()).await;
    assert!(matches!(cut, Err(Error::Unavailable(_))), "{cut:?}");
    assert!(large.finish().await.is_err(), "aborted");
    s3(&mut test).resume().await;
    assert_eq!(test.bytes(kept).await, b"kept");
    let (again, _) = test.put(&pattern(6_000_000, 3)).await;
    assert!(test.bytes(again).await == pattern(6_000_000, 3));
}

/// A short outage in the middle of a file is hidden by retries.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_is_retried() {
    let mut test = TestStore::in_a_bucket().await;
    let id = FileId::new();
    let mut writer = test.store.create(id, NO_LIMIT).await.unwrap();
    writer.write(pattern(5_500_000, 1).into()).await.unwrap();
    s3(&mut test).stop();
    let (finished, ()) = tokio::join!(writer.finish(), s3(&mut test).resume());
    assert_eq!(finished.unwrap().size_bytes, 5_500_000);
    assert!(test.bytes(id).await == pattern(5_500_000, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_download_is_an_error_not_an_end() {
    let mut test = TestStore::in_a_bucket().await;
    let (id, _) = test.put(&pattern(12_000_000, 1)).await;
    let mut bytes = test.store.read(id.into(), None).await.unwrap().bytes;
    let first = bytes.try_next().await.unwrap().unwrap();
    s3(&mut test).stop();
    let mut length = first.len();
    let error = loop {
        match bytes.try_next().await {
            Ok(Some(piece)) => length += piece.len(),
            Ok(None) => panic!("ended after {length} bytes"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Unavailable(_)) && length < 12_000_000, "{error:?} after {length} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_gives_the_bytes_without_login() {
    let test = TestStore::in_a_bucket().await;
    let (id, _) = test.put(b"0123456789").await;
    let look = Redirect { content_type: "image/png", disposition: "inline; filename=\"a b.png\"" };
    assert_eq!(test.store.redirect(id.into(), look).await.unwrap(), None, "redirects are off");
    assert_eq!(test.store.redirect_origin(), None);
    let store = test.store.clone().redirecting().await.unwrap();
    let address = store.redirect(id.into(), look).await.unwrap().unwrap();
    let origin = store.redirect_origin().unwrap();
    assert!(address.starts_with(&format!("{origin}/")) && origin.starts_with("http://127.0.0.1:"), "{origin}");
    let query: std::collections::BTreeMap<_, _> =
        url::Url::parse(&address).unwrap().query_pairs().into_owned().collect();
    assert_eq!(query["response-content-type"], "image/png");
    assert_eq!(query["response-content-disposition"], look.disposition);
    assert_eq!(query["X-Amz-Expires"], "300");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(&address).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &*answer.bytes().await.unwrap()), (200, &b"0123456789"[..]));
    let part = http.get(&address).header("range", "bytes=2-3").send().await.unwrap();
    assert_eq!((part.status().as_u16(), &*part.bytes().await.unwrap()), (206, &b"23"[..]));
    let forged = http.get(address.replace("image%2Fpng", "text%2Fhtml")).send().await.unwrap();
    assert_eq!(forged.status().as_u16(), 403, "the response headers are signed");
    let plain = http.get(address.split('?').next().unwrap()).send().await.unwrap();
    assert_eq!(plain.status().as_u16(), 403, "the bucket is not public");
    let disk = TestStore::on_disk().await;
    assert!(matches!(disk.store.redirecting().await, Err(Error::Unusable(_))));
}

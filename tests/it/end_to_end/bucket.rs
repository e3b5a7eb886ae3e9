//! The whole system on a bucket: real processes, and a real S3 server that fails and recovers.

use crate::support::{
    eventually,
    s3::S3,
    stack::{Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

const PREFIX: &str = "one/two";
const OLD: Duration = Duration::from_secs(25 * 3_600);

fn objects(s3: &S3) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(s3.folder(PREFIX)).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = |shard: PathBuf| std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path());
    shards.filter(|path| path.is_dir()).flat_map(files).collect()
}

/// Makes an HTTP client that does not follow redirects.
fn browser() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[7; 192]).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_becomes_an_input_and_an_output_becomes_a_link() {
    let s3 = S3::start().await;
    let stack = Stack::start_with_files(1, s3.variables()).await;
    let picture = png();
    let (first, second) =
        (stack.client.upload("a.png", picture.clone()).await, stack.client.upload("b.png", picture.clone()).await);
    assert_eq!(objects(&s3).len(), 1, "identical bytes");
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "x"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bucket"}}
    });
    // The second file shares the object of the first.
    let params = json!({"1.image": {"$file": second["fileId"]}});
    let id = stack.client.submit(json!({"workflow": graph, "params": params})).await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    let made = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
    assert_eq!(json!(made.len()), task["result"]["outputs"][0]["sizeBytes"]);
    assert!(made.starts_with(b"\x89PNG"));
    let files = stack.client.get("/api/monitor/overview").await["files"].take();
    assert_eq!(
        (&files["uploads"]["count"], &files["outputs"]["count"], &files["stored"]["count"]),
        (&json!(2), &json!(1), &json!(2))
    );
    stack.client.delete(&format!("/api/files/{}", first["fileId"].as_str().unwrap())).await;
    assert!(stack.client.download(second["url"].as_str().unwrap()).await == picture);
    stack.client.delete(&format!("/api/files/{}", second["fileId"].as_str().unwrap())).await;
    assert_eq!(objects(&s3).len(), 1, "the output");
    let output = task["result"]["outputs"][0]["fileId"].as_str().unwrap();
    stack.client.delete(&format!("/api/files/{output}")).await;
    assert_eq!(objects(&s3), [] as [PathBuf; 0]);
    let task = stack.client.task(&id).await;
    assert_eq!((&task["result"]["files"], &task["result"]["outputs"][0]["deleted"]), (&json!([]), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bucket_is_down_uploads_are_refused_and_attempts_retried() {
    let mut s3 = S3::start().await;
    let stack = Stack::start_with_files(1, s3.variables()).await;
    let kept = stack.client.upload("a.bin", vec![7; 1_000]).await;
    s3.stop();
    let id = stack.client.submit(json!({"workflow": workflow::quick(5), "maxAttempts": 10})).await;
    let part = reqwest::multipart::Part::bytes(vec![8; 1_000]).file_name("b.bin");
    let form = reqwest::multipart::Form::new().part("file", part);
    let upload = stack.client.http().post(format!("{}/api/files/upload", stack.client.base));
    let answer = upload.bearer_auth(&stack.client.token).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "storage_unavailable");
    let download = stack.client.http().get(kept["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(download.status(), 503);
    let tried = eventually("an attempt failed", WAIT_MAX, async || {
        let task = stack.client.task(&id).await;
        (task["attempts"][0]["outcome"] == "storage_failed").then_some(task)
    })
    .await;
    assert!(tried["status"] == "pending" || tried["status"] == "running", "{tried}");
    s3.resume().await;
    let task = stack.client.wait_ended(&id).await;
    assert_eq!(task["status"], "completed", "{task}\n{}", stack.log());
    assert!(stack.client.download(task["result"]["files"][0].as_str().unwrap()).await.starts_with(b"\x89PNG"));
    assert_eq!(stack.client.download(kept["url"].as_str().unwrap()).await, [7; 1_000]);
    let listed = stack.client.get("/api/files").await;
    assert_eq!((&listed["total"], objects(&s3).len()), (&json!(2), 2), "failed uploads leave nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn orphan_objects_in_a_bucket_are_collected() {
    let s3 = S3::start().await;
    let mut stack = Stack::start_with_files(0, s3.variables()).await;
    let kept = stack.client.upload("a.bin", b"kept".to_vec()).await;
    let (lost, young) = (shuzhiren::task::FileId::new().to_string(), shuzhiren::task::FileId::new().to_string());
    for (id, age) in [(lost.as_str(), OLD), (&young, Duration::ZERO), (kept["fileId"].as_str().unwrap(), OLD)] {
        let path = s3.folder(PREFIX).join(&id[..2]).join(id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::SystemTime::now() - age)
            .unwrap();
    }
    stack.add_dispatcher();
    eventually("the orphan is deleted", WAIT_MAX, async || {
        (!objects(&s3).iter().any(|path| path.ends_with(&lost))).then_some(())
    })
    .await;
    eventually("the whole bucket was scanned", WAIT_MAX, async || stack.log().contains("count=1").then_some(())).await;
    assert_eq!(objects(&s3).len(), 2);
    assert_eq!(stack.client.download(kept["url"].as_str().unwrap()).await, b"kept");
    assert!(s3.folder(PREFIX).join("installation").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_are_redirected_to_the_bucket_if_configured_and_links_are_signed() {
    let s3 = S3::start().await;
    let mut variables = s3.variables();
    variables.push(("SHUZHIREN_REDIRECT_DOWNLOADS".into(), "true".into()));
    variables.push(("SHUZHIREN_LINK_TTL".into(), "10m".into()));
    let stack = Stack::start_with_files(1, variables).await;
    let file = stack.client.upload("a b.png", png()).await;
    let link = file["url"].as_str().unwrap();
    let http = browser();
    assert_eq!(http.get(link.split('?').next().unwrap()).send().await.unwrap().status(), 401, "no signature");
    let answer = http.get(link).header("range", "bytes=0-3").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()), (302, "no-store"));
    let address = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(address.contains("response-content-type=image%2Fpng") && address.contains("a%20b.png"), "{address}");
    let part = http.get(&address).header("range", "bytes=0-3").send().await.unwrap();
    assert_eq!((part.status().as_u16(), &*part.bytes().await.unwrap()), (206, &b"\x89PNG"[..]));
    assert_eq!(http.head(link).send().await.unwrap().status(), 200, "HEAD is answered by the api");
    let id = stack.client.submit(json!({"workflow": workflow::quick(5)})).await;
    let task = stack.client.wait_ended(&id).await;
    let bytes = stack.client.download(task["result"]["files"][0].as_str().unwrap()).await;
    assert!(bytes.starts_with(b"\x89PNG"), "the redirect is transparent to clients");
}

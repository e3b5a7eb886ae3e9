//! The clients of README.md and of the WebSocket guide, run as written there (except for address and password) against a whole
//! system.

use crate::support::stack::{PASSWORD, Stack, WAIT_MAX};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::Output,
};
use tokio::process::Command;

/// The text-to-image graph into which the clients put a text and a seed. The seed here is above 2^53. A stand-in runs it for
/// 1.5 s, so that a client that polls twice a second sees it running.
fn workflow() -> serde_json::Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": 18_446_744_073_709_551_615_u64, "steps": 150, "cfg": 8.0, "sampler_name": "euler",
              "scheduler": "normal", "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a picture", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "lighthouse", "images": ["8", 0]}}
    })
}

/// Returns the first fenced block of a language.
fn block(file: &str, language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let begun = text.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("{file} has no {language}")).1;
    begun.split_once("```").unwrap().0.to_owned()
}

/// Finds a program on PATH. Without it the test is skipped: `.ci/run` forbids that, `bin/test` reports it at its end.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    let required = std::env::var("CLIENT_TESTS").is_ok_and(|value| value == "required");
    assert!(found.is_some() || !required, "{name} is needed to run the client of README.md");
    found
}

async fn run(mut command: Command, folder: &Path) -> Output {
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command.current_dir(folder).kill_on_drop(true).output();
    tokio::time::timeout(WAIT_MAX, output).await.expect("the client ends in time").unwrap()
}

/// Saves the client of a language in `page` (`README`, checked against its Chinese version) as `file` and runs it with
/// `command`.
async fn drive(page: &str, language: &str, file: &str, program: &str, command: impl FnOnce(PathBuf) -> Command) {
    let code = block(&format!("{page}.md"), language);
    assert_eq!(code, block(&format!("{page}.zh-CN.md"), language), "both languages have the same client");
    let Some(program) = tool(program) else { return };
    let stack = Stack::start(1, 1).await;
    for word in ["http://127.0.0.1:3000", "admin123"] {
        assert_eq!(code.matches(word).count(), 1, "{word} in the {language} client");
    }
    let code = code.replace("http://127.0.0.1:3000", &stack.client.base).replace("admin123", PASSWORD);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), code).unwrap();
    std::fs::write(folder.path().join("workflow.json"), workflow().to_string()).unwrap();
    let output = run(command(program), folder.path()).await;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{language}: {said}");
    assert!(said.contains("running") || said.contains("pending"), "it reports progress: {said}");

    let page = stack.client.get("/api/tasks").await;
    assert_eq!((page["total"].as_u64(), page["items"][0]["status"].as_str()), (Some(1), Some("completed")), "{page}");
    let id = page["items"][0]["id"].as_str().unwrap();
    let graph = stack.client.get(&format!("/api/tasks/{id}/workflow")).await.to_string();
    assert!(graph.contains("a lighthouse") && !graph.contains("a picture"), "{graph}");
    let files = &stack.client.task(id).await["result"];
    let link = files["files"][0].as_str().unwrap();
    let name = files["outputs"][0]["filename"].as_str().unwrap();
    let saved = std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(saved, stack.client.download(link).await, "{language} saved what was made");
    // What it had is what was in the file: no number was rounded on the way.
    let original = stack.client.get(&format!("/api/tasks/{id}/workflow?form=original")).await.to_string();
    assert!(original.contains("18446744073709551615"), "{original}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_of_the_readme_works() {
    drive("README", "python", "client.py", "python3", |python| {
        let mut command = Command::new(python);
        command.arg("client.py");
        command
    })
    .await;
}

/// Node, with its WebSocket switched on where that is needed.
fn node_command(node: PathBuf) -> Command {
    let has_socket = std::process::Command::new(&node)
        .args(["-e", "process.exit(typeof WebSocket === 'undefined' ? 1 : 0)"])
        .status()
        .unwrap()
        .success();
    let mut command = Command::new(node);
    if !has_socket {
        command.arg("--experimental-websocket");
    }
    command.arg("client.mjs");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_of_the_readme_works() {
    drive("README", "js", "client.mjs", "node", node_command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_the_guide_of_the_websocket_works() {
    drive("src/api/guides/websocket", "js", "client.mjs", "node", node_command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_client_of_the_readme_works() {
    let cache = tempfile::tempdir().unwrap();
    drive("README", "go", "main.go", "go", |go| {
        let mut command = Command::new(go);
        command.args(["run", "main.go"]).env("GOCACHE", cache.path()).env("GO111MODULE", "off").env("GOFLAGS", "");
        command
    })
    .await;
}

//! Replays recorded sessions of a real ComfyUI 0.3.64 against the stand-in: every message must be the same.
//!
//! The fixtures are extracts of full transcripts: the posted bodies, each message as a line (`normal::line`), the
//! history.

use super::{
    client::{Socket, Stand, stand, stand_with},
    normal::{Names, by_node, line},
};
use serde_json::{Value, json};
use shuzhiren::sim::{Caching, SimOptions};

/// Divisor of the recorded seconds of work.
const SPEED: f64 = 20.0;

/// Graphs whose outputs a real server may run in another order after a restart.
const UNORDERED: [&str; 4] = ["run_two_outputs", "run_async_two", "cache_resubmit", "cache_resubmit_cache_lru10"];

fn fixtures(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// Returns the names of file outputs, in the order of the history.
fn history(entry: &Value) -> Value {
    let status = &entry["status"];
    let kinds: Vec<&Value> = status["messages"].as_array().unwrap().iter().map(|message| &message[0]).collect();
    let mut targets: Vec<&str> = entry["prompt"][4].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    targets.sort_unstable();
    let is_big = entry["outputs"].to_string().len() > 5_000;
    json!({
        "outputs": if is_big { json!("big") } else { entry["outputs"].clone() },
        "status": status["status_str"], "completed": status["completed"], "messages": kinds,
        "meta": entry["meta"], "targets": targets,
    })
}

/// Replays a step and compares the messages.
async fn play(stand: &Stand, socket: &mut Socket, name: &str, at: usize, step: &Value, names: &mut [Names; 2]) {
    let what = format!("{name}, step {at}");
    match step["action"].as_str() {
        Some("delete outputs") => {
            assert_eq!(stand.sim.delete_outputs(None), 1, "{what}");
            return;
        }
        Some(action) => {
            let (status, body) = stand.post(action.strip_prefix("POST ").unwrap(), &step["json"]).await;
            assert_eq!((status, body.as_str()), (200, ""), "{what}");
            return;
        }
        None => {}
    }
    let id = uuid::Uuid::new_v4().to_string();
    let mut body = step["body"].clone();
    body["client_id"] = json!(socket.sid);
    body["prompt_id"] = json!(id);
    let reply = stand.submit(&body).await;
    assert_eq!(reply["node_errors"], step["node_errors"], "{what}");
    let said: Vec<String> =
        socket.until_end(&id).await.iter().map(|message| names[0].canonical(&line(message))).collect();
    let expected: Vec<String> =
        step["frames"].as_array().unwrap().iter().map(|frame| names[1].canonical(frame.as_str().unwrap())).collect();
    if UNORDERED.contains(&name) {
        let is_cached = |lines: &[String]| lines.iter().find(|line| line.starts_with("execution_cached")).cloned();
        assert_eq!(is_cached(&said), is_cached(&expected), "{what}");
        assert_eq!(by_node(&said), by_node(&expected), "{what}");
        assert_eq!(said.len(), expected.len(), "{what}: {said:#?}");
    } else {
        assert_eq!(said, expected, "{what}");
    }
    let (status, text) = stand.get(&format!("/history/{id}")).await;
    assert_eq!(status, 200);
    let strict = text.replace("NaN", "\"\\u0000NaN\"").replace("Infinity", "\"\\u0000Infinity\"");
    let entry = serde_json::from_str::<Value>(&strict).unwrap()[&id].clone();
    let written = |value: &Value| serde_json::to_string(value).unwrap().replace("\":\"", "\": \"");
    let normal = |value: &Value, names: &mut Names| -> Value {
        serde_json::from_str(&names.canonical(&written(value))).unwrap()
    };
    assert_eq!(normal(&history(&entry), &mut names[0]), normal(&step["history"], &mut names[1]), "{what}");
}

/// Returns the picture `up.png` that a recorded graph loads.
async fn upload_up(stand: &Stand) {
    let picture = png_of(64);
    let part = reqwest::multipart::Part::bytes(picture).file_name("up.png");
    let form = reqwest::multipart::Form::new().part("image", part);
    let response = stand.http.post(stand.url("/upload/image")).multipart(form).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

pub fn png_of(side: u32) -> Vec<u8> {
    let mut out = vec![];
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![90; (side * side * 3) as usize]).unwrap();
    writer.finish().unwrap();
    out
}

#[tokio::test]
async fn all_recorded_runs_are_reproduced() {
    let stand = stand_with(SimOptions { speed: SPEED, ..SimOptions::default() }).await;
    upload_up(&stand).await;
    let runs = fixtures(include_str!("fixtures/runs.json"));
    assert!(runs.len() >= 30);
    let mut names = [Names::default(), Names::default()];
    for run in &runs {
        let name = run["name"].as_str().unwrap();
        let mut socket = Socket::open(&stand.sim, &uuid::Uuid::new_v4().to_string(), run["flags"].as_bool()).await;
        for (at, step) in run["steps"].as_array().unwrap().iter().enumerate() {
            Box::pin(play(&stand, &mut socket, name, at, step, &mut names)).await;
        }
        socket.close().await;
    }
}

#[tokio::test]
async fn all_recorded_cache_sessions_are_reproduced() {
    for session in fixtures(include_str!("fixtures/caches.json")) {
        let name = session["name"].as_str().unwrap();
        let caching = match name {
            "cache_none_drops_ui" => Caching::None,
            "cache_resubmit_cache_lru10" => Caching::Lru(10),
            _ => Caching::Classic,
        };
        let stand = stand_with(SimOptions { caching, speed: SPEED, ..SimOptions::default() }).await;
        let mut socket = Socket::open(&stand.sim, "me", session["flags"].as_bool()).await;
        let mut names = [Names::default(), Names::default()];
        for (at, step) in session["steps"].as_array().unwrap().iter().enumerate() {
            Box::pin(play(&stand, &mut socket, name, at, step, &mut names)).await;
        }
    }
}

/// Compares errors in any order, because a real server iterates over a node's inputs as a set.
fn sorted(mut reply: Value) -> Value {
    for (_, node) in reply["node_errors"].as_object_mut().into_iter().flatten() {
        let errors = node["errors"].as_array_mut().unwrap();
        for error in errors.iter_mut() {
            if let Some(traceback) = error["extra_info"].get_mut("traceback") {
                *traceback = json!([]);
            }
        }
        errors.sort_by_key(|error| error["details"].to_string());
    }
    reply
}

#[tokio::test]
async fn all_recorded_rejections_are_reproduced() {
    let stand = stand().await;
    let rejects = fixtures(include_str!("fixtures/rejects.json"));
    assert!(rejects.len() >= 15);
    for reject in rejects {
        let (status, text) = stand.post("/prompt", &reject["body"]).await;
        assert_eq!(u64::from(status), reject["status"].as_u64().unwrap(), "{}", reject["name"]);
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(sorted(reply), sorted(reject["reply"].clone()), "{}", reject["name"]);
    }
    assert_eq!(stand.get_json("/queue").await, json!({"queue_running": [], "queue_pending": []}));
    assert_eq!(stand.get_json("/prompt").await, json!({"exec_info": {"queue_remaining": 0}}));
}

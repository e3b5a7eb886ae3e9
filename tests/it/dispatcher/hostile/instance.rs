//! An instance whose replies and frames are scripted by a test: a minimal ComfyUI around them.

use axum::{
    body::{Body, Bytes},
    extract::{
        FromRequestParts as _, Request,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;

/// Reply to a request line (`GET /queue`) while this prompt is the latest one; `None` for the ordinary reply.
type Answer = Box<dyn Fn(&str, &str) -> Option<Response> + Send + Sync>;
/// Frames sent when this prompt was posted.
type Frames = Box<dyn Fn(&str) -> Vec<Message> + Send + Sync>;

/// Content of the ping behind the frames of a prompt.
const MARK: &[u8] = b"all read";

/// The scripted part of the instance.
pub struct Script {
    pub answer: Answer,
    pub frames: Frames,
}

/// A running instance; stops when dropped.
pub struct HostileInstance {
    pub port: u16,
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

struct State {
    script: Mutex<Arc<Script>>,
    /// The latest prompt, and whether it has ended.
    prompt: watch::Sender<(String, bool)>,
    requests: Mutex<HashMap<String, usize>>,
}

impl Default for Script {
    fn default() -> Self {
        Self { answer: Box::new(|_, _| None), frames: Box::new(|_| Vec::new()) }
    }
}

impl Script {
    /// Replaces the replies of requests whose line starts with `line`.
    pub fn reply(line: &'static str, body: impl Fn(&str) -> Response + Send + Sync + 'static) -> Self {
        let answer = move |asked: &str, prompt: &str| asked.starts_with(line).then(|| body(prompt));
        Self { answer: Box::new(answer), ..Self::default() }
    }

    /// Replaces the history entry of the latest prompt.
    pub fn history(body: impl Fn(&str) -> Response + Send + Sync + 'static) -> Self {
        let answer = move |asked: &str, prompt: &str| {
            let is_entry = asked == format!("GET /history/{prompt}");
            is_entry.then(|| body(prompt))
        };
        Self { answer: Box::new(answer), ..Self::default() }
    }

    /// Sends these frames once a prompt is posted.
    pub fn frames(frames: impl Fn(&str) -> Vec<Message> + Send + Sync + 'static) -> Self {
        Self { frames: Box::new(frames), ..Self::default() }
    }
}

impl HostileInstance {
    /// Starts an instance without a script.
    pub async fn start() -> Self {
        let state = Arc::new(State {
            script: Mutex::default(),
            prompt: watch::Sender::new((String::new(), true)),
            requests: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = state.clone();
        let router = axum::Router::new().fallback(move |request| answer(shared.clone(), request));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, state, _task: AbortOnDropHandle::new(task) }
    }

    /// Replaces the script.
    pub fn play(&self, script: Script) {
        *self.state.script.lock().unwrap() = Arc::new(script);
    }

    /// Number of requests so far with this method and path.
    pub fn requests(&self, line: &str) -> usize {
        let requests = self.state.requests.lock().unwrap();
        requests.iter().filter(|(asked, _)| asked.starts_with(line)).map(|(_, count)| count).sum()
    }
}

/// A 200 with this body.
pub fn ok(body: impl Into<Body>) -> Response {
    Response::new(body.into())
}

/// The history reply of a prompt that succeeded with these outputs, which are JSON text.
pub fn history(prompt: &str, outputs: &str) -> String {
    format!(
        r#"{{"{prompt}":{{"prompt":[1,"{prompt}",{{"1":{{}},"3":{{}}}},{{}},["3"]],"outputs":{outputs},
        "status":{{"status_str":"success","completed":true,"messages":[]}},"meta":{{}}}}}}"#
    )
}

async fn answer(state: Arc<State>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    *state.requests.lock().unwrap().entry(line.clone()).or_default() += 1;
    let (mut parts, body) = request.into_parts();
    if line.starts_with("GET /ws") {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.unwrap();
        return upgrade.on_upgrade(move |socket| serve(state, socket));
    }
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let script = state.script.lock().unwrap().clone();
    let (prompt, has_ended) = state.prompt.borrow().clone();
    if let Some(scripted) = (script.answer)(&line, &prompt) {
        return scripted;
    }
    ordinary(&state, &line, &body, &prompt, has_ended)
}

fn ordinary(state: &State, line: &str, body: &Bytes, prompt: &str, has_ended: bool) -> Response {
    let asked = line.split('?').next().unwrap();
    match asked {
        "POST /prompt" => {
            let posted: Value = serde_json::from_slice(body).unwrap();
            let id = posted["prompt_id"].as_str().unwrap().to_owned();
            state.prompt.send_replace((id.clone(), false));
            ok(json!({"prompt_id": id, "number": 1, "node_errors": {}}).to_string())
        }
        "GET /prompt" => ok(r#"{"exec_info":{"queue_remaining":0}}"#),
        "GET /queue" if has_ended => ok(r#"{"queue_running":[],"queue_pending":[]}"#),
        "GET /queue" => ok(json!({"queue_running": [[1, prompt, {}, {}, []]], "queue_pending": []}).to_string()),
        "GET /system_stats" => ok(r#"{"system":{"comfyui_version":"0.3.64"},"devices":[]}"#),
        "GET /features" | "GET /object_info" => ok("{}"),
        "GET /view" => ok("a file"),
        "POST /upload/image" => ok(r#"{"name":"a.png","subfolder":"","type":"input"}"#),
        "POST /history" | "POST /queue" | "POST /interrupt" | "POST /free" => ok(""),
        _ if asked == format!("GET /history/{prompt}") && has_ended => ok(history(prompt, "{}")),
        _ if asked.starts_with("GET /history/") => ok("{}"),
        _ => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

/// Sends these frames, and returns true once they have been read: the answer to the last one proves it.
async fn send_all(socket: &mut WebSocket, mut frames: Vec<Message>) -> bool {
    frames.push(Message::Ping(Bytes::from_static(MARK)));
    for frame in frames {
        if socket.send(frame).await.is_err() {
            return false;
        }
    }
    while let Some(Ok(received)) = socket.recv().await {
        if matches!(received, Message::Pong(mark) if mark == MARK) {
            return true;
        }
    }
    false
}

/// Sends the frames of every prompt; then the prompt has ended.
async fn serve(state: Arc<State>, mut socket: WebSocket) {
    let greeting = r#"{"type":"status","data":{"status":{"exec_info":{"queue_remaining":0}},"sid":"x"}}"#;
    if socket.send(Message::text(greeting)).await.is_err() {
        return;
    }
    let mut prompts = state.prompt.subscribe();
    loop {
        let (prompt, has_ended) = prompts.borrow_and_update().clone();
        if !has_ended {
            let script = state.script.lock().unwrap().clone();
            let is_open = send_all(&mut socket, (script.frames)(&prompt)).await;
            state.prompt.send_if_modified(|latest| {
                latest.1 |= latest.0 == prompt;
                false
            });
            let end = json!({"type": "execution_success", "data": {"prompt_id": prompt}});
            if !is_open || socket.send(Message::text(end.to_string())).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = prompts.changed() => if changed.is_err() { return },
            received = socket.recv() => if !matches!(received, Some(Ok(_))) { return },
        }
    }
}

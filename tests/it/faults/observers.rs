//! Observers of a whole scenario: a poller, four times a second, and WebSockets that receive everything.

use super::cluster::Cluster;
use crate::support::stack::ApiClient;
use futures_util::StreamExt as _;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_util::task::AbortOnDropHandle;

/// Poll interval.
const POLL_EVERY: Duration = Duration::from_millis(250);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// A WebSocket session.
#[derive(Debug, Default)]
pub struct Session {
    /// Task → statuses of its endings.
    pub endings: HashMap<String, Vec<String>>,
    versions: HashMap<String, u64>,
    /// Whether the session opened before the first task.
    from_start: bool,
    /// Whether it was closed or cut.
    pub is_broken: bool,
    pub close_code: Option<u16>,
}

#[derive(Default)]
struct Notes {
    /// Task → status at the last poll.
    polled: HashMap<String, String>,
    sessions: Vec<Session>,
    /// Tasks that went back to an earlier state.
    went_back: Vec<WentBack>,
}

struct WentBack {
    task: String,
    /// The ending that was seen before; `None` if only the version of a message was smaller.
    ending: Option<String>,
    what: String,
}

/// Observes from its start until it is dropped.
pub struct Observers {
    notes: Arc<Mutex<Notes>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Observers {
    /// Starts a poller and one socket per API. Returns when all sockets are open.
    pub async fn start(cluster: &Cluster) -> Self {
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let poller = poll(cluster.client.clone(), cluster.apis.iter().map(|api| api.port).collect(), notes.clone());
        let mut tasks = vec![AbortOnDropHandle::new(tokio::spawn(poller))];
        for api in &cluster.apis {
            let (opened, open) = tokio::sync::oneshot::channel();
            let listen = listen(api.port, cluster.client.token.clone(), notes.clone(), opened);
            tasks.push(AbortOnDropHandle::new(tokio::spawn(listen)));
            open.await.unwrap();
        }
        Self { notes, _tasks: tasks }
    }

    /// Violations that the observers saw (I2, I7, promises of the WebSocket), given how each task really ended.
    ///
    /// With `failovers`, a primary may have shown what it could not confirm and lost: a task may go back to an earlier
    /// state, but not to another ending, unless it was an unconfirmed cancel.
    pub fn violations(&self, ended: &HashMap<String, String>, failovers: bool) -> Vec<String> {
        let notes = self.notes.lock().unwrap();
        let is_harmless = |back: &WentBack| match &back.ending {
            None => true,
            Some(ending) => ending == "cancelled" || ended.get(&back.task) == Some(ending),
        };
        let wrong = notes.went_back.iter().filter(|back| !(failovers && is_harmless(back)));
        let mut violations: Vec<String> = wrong.map(|back| back.what.clone()).collect();
        for (id, seen) in &notes.polled {
            let end = ended.get(id).map_or("nothing", String::as_str);
            if is_terminal(seen) && seen != end {
                violations.push(format!("task {id} was seen {seen} and is {end}"));
            }
        }
        for (number, session) in notes.sessions.iter().enumerate() {
            for (id, received) in &session.endings {
                let end = ended.get(id).map_or("nothing", String::as_str);
                let is_repeated = received.len() != 1 && !failovers;
                if is_repeated || received.iter().any(|status| status != end) {
                    violations.push(format!("socket {number} received {received:?} for task {id}, which is {end}"));
                }
            }
        }
        violations
    }

    /// Endings that an unbroken session has not received yet.
    pub fn missing_endings(&self, ended: &HashMap<String, String>) -> Vec<String> {
        let notes = self.notes.lock().unwrap();
        let whole = notes.sessions.iter().enumerate().filter(|(_, session)| !session.is_broken && session.from_start);
        whole
            .flat_map(|(number, session)| {
                let missing = ended.keys().filter(|id| !session.endings.contains_key(*id));
                missing.map(move |id| format!("socket {number} has not received how {id} ended"))
            })
            .collect()
    }

    /// Codes with which servers closed.
    pub fn close_codes(&self) -> Vec<u16> {
        self.notes.lock().unwrap().sessions.iter().filter_map(|session| session.close_code).collect()
    }
}

fn is_terminal(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled")
}

async fn poll(client: ApiClient, ports: Vec<u16>, notes: Arc<Mutex<Notes>>) {
    for turn in 0_usize.. {
        tokio::time::sleep(POLL_EVERY).await;
        let client = client.at(ports[turn % ports.len()]);
        let Some((status, page)) = client.try_get("/api/tasks?limit=200").await else { continue };
        if status != 200 {
            continue;
        }
        let mut notes = notes.lock().unwrap();
        for task in page["data"]["items"].as_array().into_iter().flatten() {
            let (id, status) = (task["id"].as_str().unwrap(), task["status"].as_str().unwrap());
            let before = notes.polled.insert(id.to_owned(), status.to_owned());
            if let Some(before) = before
                && is_terminal(&before)
                && before != status
            {
                let what = format!("task {id} was seen {before} and then {status}");
                notes.went_back.push(WentBack { task: id.to_owned(), ending: Some(before), what });
            }
        }
    }
}

async fn listen(port: u16, token: String, notes: Arc<Mutex<Notes>>, opened: tokio::sync::oneshot::Sender<()>) {
    let mut opened = Some(opened);
    loop {
        let mut request = format!("ws://127.0.0.1:{port}/ws").into_client_request().unwrap();
        request.headers_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
        if let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await {
            // A session receives every event from its greeting on.
            let greeting = socket.next().await;
            let place = {
                let mut notes = notes.lock().unwrap();
                notes.sessions.push(Session { from_start: opened.is_some(), ..Session::default() });
                notes.sessions.len() - 1
            };
            if let (Some(Ok(_)), Some(opened)) = (greeting, opened.take()) {
                opened.send(()).unwrap();
            }
            let mut code = None;
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Text(text) => record(&mut notes.lock().unwrap(), place, &text),
                    Message::Close(close) => code = close.map(|close| close.code.into()),
                    _ => {}
                }
            }
            let mut notes = notes.lock().unwrap();
            notes.sessions[place].is_broken = true;
            notes.sessions[place].close_code = code;
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

fn record(notes: &mut Notes, place: usize, text: &str) {
    let message: Value = serde_json::from_str(text).unwrap();
    let (kind, data) = (message["type"].as_str().unwrap(), &message["data"]);
    if kind == "resync" {
        // The server itself says that it may have missed something.
        notes.sessions[place].is_broken = true;
    }
    let Some(id) = data["taskId"].as_str().map(str::to_owned) else { return };
    let version = data["version"].as_u64().unwrap_or(0);
    let session = &mut notes.sessions[place];
    let before = session.versions.insert(id.clone(), version).unwrap_or(0);
    if matches!(kind, "task_completed" | "task_failed") {
        let status = data["status"].as_str().unwrap().to_owned();
        session.endings.entry(id.clone()).or_default().push(status);
    }
    if version <= before {
        let what = format!("socket {place} received version {version} of {id} after {before}: {text}");
        notes.went_back.push(WentBack { task: id, ending: None, what });
    }
}

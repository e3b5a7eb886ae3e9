//! Observers of a whole scenario: a poller every quarter of a second, and WebSockets that hear everything.

use super::stage::Stage;
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

/// Between two polls.
const POLL_EVERY: Duration = Duration::from_millis(250);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// One WebSocket's life.
#[derive(Debug, Default)]
pub struct Session {
    /// Task → statuses of its endings.
    pub endings: HashMap<String, Vec<String>>,
    versions: HashMap<String, u64>,
    /// It was there before the first task.
    from_start: bool,
    /// It was closed or cut.
    pub is_broken: bool,
    pub close_code: Option<u16>,
}

#[derive(Default)]
struct Notes {
    /// Task → status when it was last polled.
    polled: HashMap<String, String>,
    sessions: Vec<Session>,
    wrongs: Vec<String>,
}

/// Observes from its start to its drop.
pub struct Watch {
    notes: Arc<Mutex<Notes>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Watch {
    /// A poller, and one socket at every API; returns when all sockets are open.
    pub async fn start(stage: &Stage) -> Self {
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let poller = poll(stage.client.clone(), stage.apis.iter().map(|api| api.port).collect(), notes.clone());
        let mut tasks = vec![AbortOnDropHandle::new(tokio::spawn(poller))];
        for api in &stage.apis {
            let (opened, open) = tokio::sync::oneshot::channel();
            let listen = listen(api.port, stage.client.token.clone(), notes.clone(), opened);
            tasks.push(AbortOnDropHandle::new(tokio::spawn(listen)));
            open.await.unwrap();
        }
        Self { notes, _tasks: tasks }
    }

    /// What no observer may see (I2, I7, the WebSocket's promises), given how each task really ended.
    pub fn wrongs(&self, ended: &HashMap<String, String>) -> Vec<String> {
        let notes = self.notes.lock().unwrap();
        let mut wrongs = notes.wrongs.clone();
        for (id, seen) in &notes.polled {
            let end = ended.get(id).map_or("nothing", String::as_str);
            if is_terminal(seen) && seen != end {
                wrongs.push(format!("task {id} was seen {seen} and is {end}"));
            }
        }
        for (number, session) in notes.sessions.iter().enumerate() {
            for (id, heard) in &session.endings {
                let end = ended.get(id).map_or("nothing", String::as_str);
                if heard.len() != 1 || heard[0] != end {
                    wrongs.push(format!("socket {number} heard {heard:?} of task {id}, which is {end}"));
                }
            }
        }
        wrongs
    }

    /// Endings that a socket which was there from the first to the last has not heard (yet).
    pub fn unheard(&self, ended: &HashMap<String, String>) -> Vec<String> {
        let notes = self.notes.lock().unwrap();
        let whole = notes.sessions.iter().enumerate().filter(|(_, session)| !session.is_broken && session.from_start);
        whole
            .flat_map(|(number, session)| {
                let missing = ended.keys().filter(|id| !session.endings.contains_key(*id));
                missing.map(move |id| format!("socket {number} has not heard how {id} ended"))
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
                notes.wrongs.push(format!("task {id} was seen {before} and then {status}"));
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
            // Only who has heard the greeting hears everything from then on.
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
                    Message::Text(text) => hear(&mut notes.lock().unwrap(), place, &text),
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

fn hear(notes: &mut Notes, place: usize, text: &str) {
    let message: Value = serde_json::from_str(text).unwrap();
    let (kind, data) = (message["type"].as_str().unwrap(), &message["data"]);
    if kind == "resync" {
        // The server says itself that it may have missed something.
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
        notes.wrongs.push(format!("socket {place} heard version {version} of {id} after {before}: {text}"));
    }
}

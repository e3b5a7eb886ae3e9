//! A client made of third-party crates only, so that the tests use no code of ours but the stand-in.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shuzhiren::sim::{Sim, SimOptions, start};
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, tungstenite::Message, tungstenite::protocol::WebSocketConfig,
};

/// Time limit of every wait in these tests.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// A running stand-in and an HTTP client.
pub struct Stand {
    pub sim: Sim,
    pub http: reqwest::Client,
}

pub async fn stand() -> Stand {
    stand_with(SimOptions::default()).await
}

pub async fn stand_with(options: SimOptions) -> Stand {
    let sim = start(options).await.unwrap();
    // One client for all, because the TLS set-up of a client costs more than the stand-in. It keeps no connections,
    // because faults drop them.
    static HTTP: std::sync::OnceLock<reqwest::Client> = std::sync::OnceLock::new();
    let client = || reqwest::Client::builder().no_proxy().timeout(WAIT_MAX).pool_max_idle_per_host(0).build().unwrap();
    Stand { sim, http: HTTP.get_or_init(client).clone() }
}

impl Stand {
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sim.url())
    }

    /// Returns status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn get_json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        self.post_text(path, &body.to_string()).await
    }

    pub async fn post_text(&self, path: &str, body: &str) -> (u16, String) {
        let response = self.http.post(self.url(path)).body(body.to_owned()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Submits and returns the reply, which must be a 200.
    pub async fn submit(&self, body: &Value) -> Value {
        let (status, text) = self.post("/prompt", body).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Submits `workflow` and waits for its history entry.
    pub async fn run(&self, workflow: &Value) -> Value {
        let id = self.submit(&json!({"prompt": workflow})).await["prompt_id"].as_str().unwrap().to_owned();
        self.ended(&id).await
    }

    /// Waits for the history entry.
    pub async fn ended(&self, id: &str) -> Value {
        let look = async {
            loop {
                let history = self.get_json(&format!("/history/{id}")).await;
                if let Some(entry) = history.get(id) {
                    return entry.clone();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(WAIT_MAX, look).await.unwrap_or_else(|_| panic!("{id} did not end"))
    }

    /// Waits until the queue lists it as running.
    pub async fn until_running(&self, id: &str) {
        let look = async {
            while self.get_json("/queue").await["queue_running"][0][1] != id {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(WAIT_MAX, look).await.unwrap_or_else(|_| panic!("{id} does not run"));
    }

    pub async fn socket(&self, client_id: &str) -> Socket {
        Socket::open(&self.sim, client_id, None).await
    }
}

/// A WebSocket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The `sid` of the first message.
    pub sid: String,
}

impl Socket {
    /// Opens a socket. With `flags` it sends feature flags (whether to get preview metadata) and waits for the answer.
    pub async fn open(sim: &Sim, client_id: &str, flags: Option<bool>) -> Self {
        let url = format!("ws://{}/ws?clientId={client_id}", sim.addr());
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (stream, _) = tokio_tungstenite::connect_async_with_config(url, Some(config), false).await.unwrap();
        let mut socket = Self { stream, sid: String::new() };
        let greeting = socket.next_json().await;
        assert_eq!(greeting["type"], "status");
        socket.sid = greeting["data"]["sid"].as_str().unwrap().to_owned();
        if let Some(flags) = flags {
            socket.say(&json!({"type": "feature_flags", "data": {"supports_preview_metadata": flags}})).await;
            assert_eq!(socket.next_json().await["type"], "feature_flags");
        }
        socket
    }

    pub async fn say(&mut self, message: &Value) {
        self.stream.send(Message::Text(message.to_string().into())).await.unwrap();
    }

    /// Returns the next message; `None` once the socket has closed.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match timeout(WAIT_MAX, self.stream.next()).await.expect("a message in time") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub async fn next_json(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("no text message: {other:?}"),
        }
    }

    /// Returns all messages up to and including `executing null` of this prompt.
    pub async fn until_end(&mut self, prompt_id: &str) -> Vec<Message> {
        let mut all = vec![];
        while let Some(message) = self.next().await {
            let is_last = matches!(&message, Message::Text(text)
                if text.starts_with("{\"type\": \"executing\", \"data\": {\"node\": null") && text.contains(prompt_id));
            all.push(message);
            if is_last {
                return all;
            }
        }
        panic!("the socket ended: {all:?}");
    }

    /// Returns all text messages up to and including one of type `last`.
    pub async fn until(&mut self, last: &str) -> Vec<Value> {
        let mut all = vec![];
        loop {
            match self.next().await {
                Some(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    let is_last = message["type"] == last;
                    all.push(message);
                    if is_last {
                        return all;
                    }
                }
                Some(Message::Binary(_)) => {}
                other => panic!("{other:?} before {last}: {all:?}"),
            }
        }
    }

    /// Whether no message arrives within `time`.
    pub async fn is_silent(&mut self, time: Duration) -> bool {
        timeout(time, self.stream.next()).await.is_err()
    }

    pub async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        while let Ok(Some(Ok(_))) = timeout(WAIT_MAX, self.stream.next()).await {}
    }
}

/// Returns a graph of a node with steps and a text output.
pub fn steps(steps: u32, seconds: f64, seed: u64) -> Value {
    json!({"1": {"class_type": "TestStepsText",
                 "inputs": {"steps": steps, "seconds": seconds, "text": "t", "seed": seed, "preview": false}}})
}

/// Returns a graph that saves a flat picture.
pub fn picture(side: u32, prefix: &str) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": side, "height": side, "batch_size": 1, "color": 3_368_601}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    })
}

/// Returns the default text-to-image graph.
pub fn text_to_image(text: &str, seed: u64, width: u32, height: u32) -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {
            "seed": seed, "steps": 4, "cfg": 8, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": width, "height": height, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    })
}

/// Returns the body of a prompt that ends at once, with this id.
pub fn prompt(id: &str) -> Value {
    json!({"prompt": steps(1, 0.0, 1), "prompt_id": id})
}

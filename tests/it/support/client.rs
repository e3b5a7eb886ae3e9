//! Client of the REST API.

use super::{
    eventually,
    stack::{PASSWORD, WAIT_MAX},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// A logged-in user of the API.
#[derive(Clone)]
pub struct ApiClient {
    http: Client,
    pub base: String,
    pub token: String,
}

impl ApiClient {
    /// Waits for the api at `port` and logs in.
    pub async fn new(port: u16) -> Self {
        Self::with_login(port, "admin", PASSWORD).await
    }

    pub async fn with_login(port: u16, username: &str, password: &str) -> Self {
        let base = format!("http://127.0.0.1:{port}");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        eventually("the api answers", WAIT_MAX, || async {
            http.get(format!("{base}/api/health")).send().await.ok().filter(|answer| answer.status() == 200)
        })
        .await;
        let login = json!({"username": username, "password": password});
        let answer: Value =
            http.post(format!("{base}/api/auth/login")).json(&login).send().await.unwrap().json().await.unwrap();
        let token = answer["data"]["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
        Self { http, base, token }
    }

    /// Sends a request and returns status and envelope.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Returns a client of another API process of the same system, with the same login.
    pub fn at(&self, port: u16) -> Self {
        Self { base: format!("http://127.0.0.1:{port}"), ..self.clone() }
    }

    pub fn http(&self) -> &Client {
        &self.http
    }

    /// Returns status and envelope, or `None` if the API is unreachable.
    pub async fn try_get(&self, path: &str) -> Option<(StatusCode, Value)> {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    async fn data(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, mut envelope) = self.call(method.clone(), path, body).await;
        assert_eq!(status, 200, "{method} {path}: {envelope}");
        assert_eq!(envelope["code"], 200);
        envelope["data"].take()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.data(Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.data(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        self.data(Method::DELETE, path, None).await
    }

    /// Submits a task and returns its id.
    pub async fn submit(&self, body: Value) -> String {
        self.data(Method::POST, "/api/tasks", Some(body)).await["id"].as_str().unwrap().to_owned()
    }

    pub async fn task(&self, id: &str) -> Value {
        self.get(&format!("/api/tasks/{id}")).await
    }

    /// Waits for one of these statuses.
    pub async fn wait_for(&self, id: &str, statuses: &[&str]) -> Value {
        eventually(&format!("task {id} is {statuses:?}"), WAIT_MAX, || async {
            let task = self.task(id).await;
            statuses.contains(&task["status"].as_str()?).then_some(task)
        })
        .await
    }

    pub async fn wait_ended(&self, id: &str) -> Value {
        self.wait_for(id, &["completed", "failed", "cancelled"]).await
    }

    pub async fn upload(&self, filename: &str, bytes: Vec<u8>) -> Value {
        let part = reqwest::multipart::Part::bytes(bytes).file_name(filename.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let request =
            self.http.post(format!("{}/api/files/upload", self.base)).bearer_auth(&self.token).multipart(form);
        let mut envelope: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(envelope["code"], 200, "{envelope}");
        envelope["data"].take()
    }

    /// Downloads the file behind a link.
    pub async fn download(&self, link: &str) -> Vec<u8> {
        let answer = self.http.get(link).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{link}");
        answer.bytes().await.unwrap().to_vec()
    }
}

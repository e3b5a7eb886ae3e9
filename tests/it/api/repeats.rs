//! A repeated request makes one task: through two processes, and after a lost answer.

use crate::support::{
    lossy::{LossyLink, Upstream},
    stack::{ApiClient, Stack, WAIT_MAX, workflow},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(WAIT_MAX).build().unwrap()
}

/// Status, envelope, and whether it was a repetition; `None` = no answer came.
async fn submit(http: &reqwest::Client, client: &ApiClient, key: &str, body: &Value) -> Option<(u16, Value, bool)> {
    let request = http.post(format!("{}/api/tasks", client.base)).bearer_auth(&client.token);
    let answer = request.header("idempotency-key", key).json(body).send().await.ok()?;
    let (status, is_replay) = (answer.status().as_u16(), answer.headers().contains_key("idempotency-replayed"));
    Some((status, answer.json().await.ok()?, is_replay))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_one_key_over_two_processes_makes_one_task() {
    let (stack, http) = (Stack::start(1, 0).await, http());
    let second = stack.add_api();
    let clients = [stack.client.clone(), ApiClient::new(second.port).await];
    for storm in 0..3 {
        let (key, body) = (format!("storm-{storm}"), json!({"workflow": workflow::quick(storm)}));
        let asked = (0..200).map(|number| submit(&http, &clients[number % 2], &key, &body));
        let answers = futures_util::future::join_all(asked).await;
        let answers: Vec<(u16, Value, bool)> = answers.into_iter().map(Option::unwrap).collect();
        assert!(answers.iter().all(|(status, ..)| *status == 200), "{answers:?}");
        let ids: BTreeSet<&str> = answers.iter().map(|(_, body, _)| body["data"]["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(answers.iter().filter(|(.., is_replay)| !is_replay).count(), 1, "one of them made it");
        assert_eq!(stack.client.get("/api/tasks").await["total"], storm + 1);
    }
    let (status, body, _) =
        submit(&http, &clients[1], "storm-0", &json!({"workflow": workflow::quick(99)})).await.unwrap();
    assert_eq!((status, &body["error"]["type"]), (422, &json!("idempotency_key_reused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_answer_was_lost_gets_the_same_task() {
    let (stack, http) = (Stack::start(1, 0).await, http());
    let link = LossyLink::start(Upstream::Tcp(stack.api.port)).await;
    let mut client = stack.client.clone();
    client.base = format!("http://127.0.0.1:{}", link.port);
    for turn in 0..5 {
        let (key, body) = (format!("k-{turn}"), json!({"workflow": workflow::quick(turn)}));
        link.lose_answers(true);
        assert!(submit(&http, &client, &key, &body).await.is_none(), "its answer is lost");
        link.lose_answers(false);
        let (status, first, is_replay) = submit(&http, &client, &key, &body).await.unwrap();
        assert_eq!((status, is_replay), (200, true), "it was accepted the first time: {first}");
        let (_, again, _) = submit(&http, &stack.client, &key, &body).await.unwrap();
        assert_eq!(first["data"]["id"], again["data"]["id"]);
        assert_eq!(stack.client.get("/api/tasks").await["total"], turn + 1);
    }
}

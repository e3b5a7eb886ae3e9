//! Delivery of WebSocket messages: routing, takeover, reconnecting, previews, cancelling.

use super::client::{Socket, WAIT_MAX, picture, stand, stand_with, steps};
use serde_json::{Value, json};
use shuzhiren::sim::{LogEvent, SimOptions};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

fn kinds(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| match message {
            Message::Text(text) => serde_json::from_str::<Value>(text).unwrap()["type"].as_str().unwrap().to_owned(),
            _ => "binary".to_owned(),
        })
        .collect()
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|other| *other == kind).count()
}

#[tokio::test]
async fn other_clients_get_only_the_status_of_a_prompt_with_a_client() {
    let stand = stand().await;
    let mut mine = stand.socket("mine").await;
    let mut others = stand.socket("others").await;
    stand.submit(&json!({"prompt": steps(4, 0.05, 1), "client_id": "mine", "prompt_id": "p"})).await;
    let said = kinds(&mine.until_end("p").await);
    assert_eq!(count(&said, "status"), 3);
    assert_eq!((count(&said, "progress"), count(&said, "progress_state")), (4, 6));
    for _ in 0..3 {
        assert_eq!(others.next_json().await["type"], "status");
    }
    assert!(others.is_silent(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn messages_of_a_prompt_without_a_client_are_partly_broadcast() {
    let stand = stand().await;
    let mut one = stand.socket("").await;
    assert_eq!(one.sid.len(), 32, "the server assigns an id");
    stand.submit(&json!({"prompt": steps(2, 0.02, 1), "prompt_id": "p"})).await;
    let mut said = vec![];
    while said.last().is_none_or(|last: &Value| last["data"]["status"]["exec_info"]["queue_remaining"] != 0) {
        said.push(one.next_json().await);
    }
    let kinds: Vec<&str> = said.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"progress") && kinds.contains(&"progress_state"), "{kinds:?}");
    for private in ["execution_start", "execution_cached", "executing", "executed", "execution_success"] {
        assert!(!kinds.contains(&private), "{private} in {kinds:?}");
    }
}

#[tokio::test]
async fn an_interrupt_of_a_prompt_without_a_client_is_broadcast() {
    let stand = stand().await;
    let mut one = stand.socket("one").await;
    stand.submit(&json!({"prompt": steps(100, 10.0, 1), "prompt_id": "p"})).await;
    stand.until_running("p").await;
    one.until("progress_state").await;
    stand.post("/interrupt", &json!({"prompt_id": "p"})).await;
    let last = one.until("execution_interrupted").await.pop().unwrap();
    assert_eq!(last["data"]["node_id"], "1");
}

#[tokio::test]
async fn a_reconnecting_client_gets_the_current_node_but_no_missed_messages() {
    let stand = stand().await;
    let mut first = stand.socket("me").await;
    stand.submit(&json!({"prompt": steps(20, 1.0, 1), "client_id": "me", "prompt_id": "p"})).await;
    first.until("progress").await;
    first.close().await;
    let mut again = stand.socket("me").await;
    assert_eq!(again.next_json().await, json!({"type": "executing", "data": {"node": "1"}}));
    let said = kinds(&again.until_end("p").await);
    assert_eq!(count(&said, "execution_start"), 0);
    assert!(count(&said, "progress") > 5, "{said:?}");
    again.close().await;
    let mut late = stand.socket("me").await;
    assert!(late.is_silent(Duration::from_millis(50)).await, "the current node must not be sent after the end");
}

#[tokio::test]
async fn a_newer_socket_takes_over_and_is_dropped_when_the_older_one_closes() {
    let stand = stand().await;
    let mut older = stand.socket("same").await;
    let mut newer = stand.socket("same").await;
    stand.submit(&json!({"prompt": steps(1, 0.0, 1), "client_id": "same", "prompt_id": "p"})).await;
    newer.until_end("p").await;
    assert!(older.is_silent(Duration::from_millis(30)).await);
    older.close().await;
    stand.submit(&json!({"prompt": steps(1, 0.0, 2), "client_id": "same", "prompt_id": "q"})).await;
    stand.ended("q").await;
    assert!(newer.is_silent(Duration::from_millis(50)).await, "it must not even get broadcasts");

    // Without the bug it keeps getting messages.
    stand.sim.set(|faults| faults.stale_pop = false);
    let older = stand.socket("fixed").await;
    let mut newer = stand.socket("fixed").await;
    older.close().await;
    stand.submit(&json!({"prompt": steps(1, 0.0, 3), "client_id": "fixed", "prompt_id": "r"})).await;
    newer.until_end("r").await;
}

#[tokio::test]
async fn previews_have_the_form_requested_by_the_first_frame() {
    let stand = stand().await;
    let graph = json!({"1": {"class_type": "TestStepsText", "inputs": {"steps": 2, "seconds": 0.0, "text": "t"}}});
    for (at, (first, event)) in [
        (json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}}), 4),
        (json!({"type": "feature_flags", "data": {"supports_preview_metadata": 1}}), 1),
        (json!({"type": "hello"}), 1),
        (json!([1, 2]), 4),
    ]
    .into_iter()
    .enumerate()
    {
        let mut socket = stand.socket(&format!("client{at}")).await;
        socket.say(&first).await;
        socket.say(&json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}})).await;
        if first["type"] != "hello" {
            socket.until("feature_flags").await;
        }
        let mut graph = graph.clone();
        graph["1"]["inputs"]["seed"] = json!(at);
        let id = format!("p{at}");
        stand.submit(&json!({"prompt": graph, "client_id": socket.sid, "prompt_id": id})).await;
        let all = socket.until_end(&id).await;
        let events: Vec<u8> = all
            .iter()
            .filter_map(|message| if let Message::Binary(bytes) = message { Some(bytes[3]) } else { None })
            .collect();
        assert_eq!(events, [event; 2], "after {first}");
    }
}

#[tokio::test]
async fn the_history_follows_the_success_message_after_the_gap() {
    let gap = Duration::from_millis(300);
    let stand = stand_with(SimOptions { success_gap: gap, ..SimOptions::default() }).await;
    let mut socket = stand.socket("me").await;
    stand.submit(&json!({"prompt": steps(1, 0.0, 1), "client_id": "me", "prompt_id": "p"})).await;
    socket.until("execution_success").await;
    assert_eq!(stand.get_json("/history/p").await, json!({}));
    assert_eq!(
        stand.get_json("/queue").await["queue_running"][0][1],
        "p",
        "it must be in the queue until it is in the history"
    );
    assert_eq!(socket.until("executing").await.last().unwrap()["data"]["node"], Value::Null);
    assert_eq!(stand.get_json("/history/p").await["p"]["status"]["status_str"], "success");
}

#[tokio::test]
async fn interrupts_behave_as_recorded() {
    let stand = stand().await;
    let mut socket = stand.socket("me").await;
    // (body, whether it interrupts the prompt)
    for (at, (body, stops)) in [
        ("", true),
        ("{}", true),
        ("{\"prompt_id\":\"MINE\"}", true),
        ("{\"prompt_id\":\"nope\"}", false),
        ("{x", true),
        ("{\"prompt_id\":null}", true),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("p{at}");
        stand.submit(&json!({"prompt": steps(20, 0.4, at as u64), "client_id": "me", "prompt_id": id})).await;
        socket.until("progress").await;
        assert_eq!(stand.post_text("/interrupt", &body.replace("MINE", &id)).await, (200, String::new()));
        let said = kinds(&socket.until_end(&id).await);
        assert_eq!(count(&said, "execution_interrupted") == 1, stops, "{body}");
        let entry = stand.ended(&id).await;
        let expected = if stops { "error" } else { "success" };
        assert_eq!(entry["status"]["status_str"], expected, "{body}");
    }
    assert_eq!(stand.post_text("/interrupt", "[1]").await.0, 500);
    // No effect while idle, or on a pending prompt.
    stand.post_text("/interrupt", "").await;
    stand.submit(&json!({"prompt": steps(10, 0.2, 50), "client_id": "me", "prompt_id": "a"})).await;
    stand.submit(&json!({"prompt": steps(1, 0.0, 51), "client_id": "me", "prompt_id": "b"})).await;
    stand.post("/interrupt", &json!({"prompt_id": "b"})).await;
    for id in ["a", "b"] {
        assert_eq!(stand.ended(id).await["status"]["status_str"], "success");
    }
}

#[tokio::test]
async fn a_node_that_ignores_interrupts_runs_to_its_end() {
    let stand = stand().await;
    let sleep = json!({"1": {"class_type": "TestSleep", "inputs": {"seconds": 0.3, "seed": 1}}});
    stand.submit(&json!({"prompt": sleep, "prompt_id": "last"})).await;
    stand.until_running("last").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    stand.post("/interrupt", &json!({"prompt_id": "last"})).await;
    assert_eq!(stand.ended("last").await["status"]["status_str"], "success");
    let mut then = picture(8, "x");
    then["1"] = json!({"class_type": "TestSleep", "inputs": {"seconds": 0.3, "seed": 2}});
    stand.submit(&json!({"prompt": then, "prompt_id": "not last"})).await;
    stand.until_running("not last").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    stand.post("/interrupt", &json!({"prompt_id": "not last"})).await;
    let entry = stand.ended("not last").await;
    assert_eq!(entry["status"]["messages"][2][0], "execution_interrupted");
    assert_eq!(entry["status"]["messages"][2][1]["node_id"], "2");
    assert_eq!(entry["outputs"]["1"]["text"], json!(["slept 0.3"]));
}

#[tokio::test]
async fn the_log_lists_what_was_executed() {
    let stand = stand().await;
    stand.submit(&json!({"prompt": picture(8, "task-7/out"), "prompt_id": "p"})).await;
    stand.ended("p").await;
    let log = stand.sim.log();
    let submitted = log.iter().find(|entry| entry.event == LogEvent::Submitted).unwrap();
    assert_eq!((submitted.prompt_id.as_str(), submitted.prefixes.as_slice()), ("p", &["task-7/out".to_owned()][..]));
    assert_eq!(stand.sim.executions("p"), 1);
    let told = stand.get_json("/sim/log").await;
    let events: Vec<&str> =
        told["entries"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["up", "submitted", "started", "succeeded"]);
}

#[tokio::test]
async fn a_hundred_instances_run_side_by_side() {
    let mut stands = vec![];
    for _ in 0..100 {
        stands.push(stand().await);
    }
    for stand in &stands {
        stand.submit(&json!({"prompt": steps(2, 0.01, 1), "prompt_id": "p"})).await;
    }
    for stand in &stands {
        assert_eq!(stand.ended("p").await["status"]["completed"], true);
    }
}

#[tokio::test]
async fn a_socket_that_does_not_read_stalls_all_others_but_not_http() {
    let stand = stand().await;
    let stuck = Socket::open(&stand.sim, "stuck", None).await;
    let big = json!({"1": {"class_type": "TestUi", "inputs": {"kind": "big", "seed": 1}}});
    let mut other = stand.socket("other").await;
    // Unread 8 MB frames fill all buffers.
    for at in 0..4 {
        let mut big = big.clone();
        big["1"]["inputs"]["seed"] = json!(at);
        stand.submit(&json!({"prompt": big, "client_id": "stuck"})).await;
    }
    stand.submit(&json!({"prompt": steps(1, 0.0, 1), "client_id": "other", "prompt_id": "p"})).await;
    assert_eq!(stand.ended("p").await["status"]["completed"], true);
    while !other.is_silent(Duration::from_millis(300)).await {}
    drop(stuck);
    let late = tokio::time::timeout(WAIT_MAX, other.until_end("p")).await.unwrap();
    assert!(count(&kinds(&late), "execution_success") == 1);
}

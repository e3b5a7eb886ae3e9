//! Effects of every fault switch on a running instance, seen from outside.

use super::client::{Socket, Stand, WAIT_MAX, picture, prompt, stand, steps};
use serde_json::{Value, json};
use shuzhiren::sim::{Faults, Times};
use std::time::{Duration, Instant};

/// Returns true if the request ended without a reply.
async fn is_cut(stand: &Stand, path: &str, body: &Value) -> bool {
    stand.http.post(stand.url(path)).body(body.to_string()).send().await.is_err()
}

#[tokio::test]
async fn submits_fail_with_and_without_being_queued() {
    let stand = stand().await;
    stand.sim.set(|faults| faults.prompt_500 = Times::Next(2));
    for _ in 0..2 {
        assert_eq!(stand.post("/prompt", &prompt("never")).await.0, 500);
    }
    stand.sim.set(|faults| faults.prompt_500_queued = Times::Next(1));
    assert_eq!(stand.post("/prompt", &prompt("queued")).await.0, 500);
    stand.sim.set(|faults| faults.prompt_drop = Times::Next(1));
    assert!(is_cut(&stand, "/prompt", &prompt("never")).await);
    stand.sim.set(|faults| faults.prompt_drop_queued = Times::Next(1));
    assert!(is_cut(&stand, "/prompt", &prompt("dropped")).await);
    for id in ["queued", "dropped"] {
        assert_eq!(stand.ended(id).await["status"]["completed"], true);
        assert_eq!(stand.sim.executions(id), 1);
    }
    assert_eq!(stand.sim.executions("never"), 0);
    stand.sim.set(|faults| faults.prompt_delay_ms = 200);
    let begun = Instant::now();
    stand.submit(&prompt("slow")).await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    stand.sim.set(|faults| {
        faults.prompt_delay_ms = 0;
        faults.prompt_partial = Times::Next(1);
    });
    let partial = stand.submit(&prompt("partial")).await;
    assert_eq!(partial["node_errors"]["1"]["errors"][0]["type"], "value_not_in_list");
    assert_eq!(stand.submit(&prompt("whole")).await["node_errors"], json!({}));
    stand.sim.set(|faults| faults.prompt_500 = Times::Always);
    for _ in 0..5 {
        assert_eq!(stand.post("/prompt", &prompt("never")).await.0, 500);
    }
}

#[tokio::test]
async fn any_route_fails_on_request() {
    let stand = stand().await;
    stand.post("/sim/faults", &json!({"http_500": 1, "http_garbage": 1, "http_drop": 1})).await;
    assert!(stand.http.get(stand.url("/queue")).send().await.is_err(), "the first request must be dropped");
    assert_eq!(stand.get("/queue").await.0, 500);
    let (status, text) = stand.get("/queue").await;
    assert!(status == 200 && serde_json::from_str::<Value>(&text).is_err(), "{text}");
    assert_eq!(stand.get("/queue").await.1, "{\"queue_running\": [], \"queue_pending\": []}");
    stand.sim.set(|faults| faults.upload_500 = Times::Next(1));
    assert_eq!(stand.post_text("/upload/image", "").await.0, 500);
    assert_eq!(stand.post_text("/upload/image", "").await.0, 400);
}

#[tokio::test]
async fn faults_can_be_read_and_unknown_ones_are_refused() {
    let stand = stand().await;
    let (status, text) = stand.post("/sim/faults", &json!({"view_4o4": 1})).await;
    assert!(status == 400 && text.contains("view_4o4"), "{text}");
    assert_eq!(stand.post("/sim/faults", &json!({"view_404": "often"})).await.0, 400);
    assert_eq!(stand.sim.faults(), Faults::default());
    stand.post("/sim/faults", &json!({"view_404": true, "prompt_500": 3})).await;
    let told = stand.get_json("/sim/faults").await;
    assert_eq!((&told["view_404"], &told["prompt_500"], &told["hang"]), (&json!(true), &json!(3), &json!(false)));
    stand.http.delete(stand.url("/sim/faults")).send().await.unwrap();
    assert_eq!(stand.sim.faults(), Faults::default());
}

#[tokio::test]
async fn history_can_be_late_missing_or_hidden() {
    let stand = stand().await;
    stand.sim.set(|faults| faults.history_late_ms = 300);
    let mut socket = stand.socket("me").await;
    let with_client = |id: &str| json!({"prompt": steps(1, 0.0, 1), "prompt_id": id, "client_id": "me"});
    stand.submit(&with_client("late")).await;
    socket.until_end("late").await;
    assert_eq!(stand.get("/queue").await.1, "{\"queue_running\": [], \"queue_pending\": []}");
    assert_eq!(stand.get_json("/history/late").await, json!({}), "it must be in neither queue nor history");
    stand.ended("late").await;
    stand.sim.set(|faults| {
        faults.history_late_ms = 0;
        faults.history_forget = Times::Next(1);
        faults.history_hide = Times::Next(2);
    });
    stand.submit(&with_client("forgotten")).await;
    socket.until_end("forgotten").await;
    stand.submit(&with_client("hidden")).await;
    socket.until_end("hidden").await;
    assert_eq!(stand.get_json("/history/forgotten").await, json!({}));
    for expected in [false, false, true] {
        assert_eq!(stand.get_json("/history/hidden").await.get("hidden").is_some(), expected);
    }
}

#[tokio::test]
async fn files_can_be_missing_or_truncated() {
    let stand = stand().await;
    stand.run(&picture(64, "f")).await;
    let url = stand.url("/view?filename=f_00001_.png");
    let get = async || stand.http.get(&url).send().await.unwrap();
    stand.sim.set(|faults| {
        faults.view_404 = Times::Next(1);
        faults.view_500 = Times::Next(1);
        faults.view_truncate = Times::Next(1);
    });
    assert_eq!(get().await.status(), 404);
    assert_eq!(get().await.status(), 500);
    let short = get().await;
    assert_eq!(short.status(), 200);
    let announced = short.content_length().unwrap();
    assert!(short.bytes().await.is_err(), "the body must end early");
    let whole = get().await.bytes().await.unwrap();
    assert_eq!(whole.len() as u64, announced);
}

#[tokio::test]
async fn sockets_can_be_refused_dropped_stalled_lossy_and_noisy() {
    let stand = stand().await;
    stand.sim.set(|faults| faults.ws_refuse = Times::Next(1));
    let url = format!("ws://{}/ws?clientId=me", stand.sim.addr());
    assert!(tokio_tungstenite::connect_async(&url).await.is_err());
    let mut socket = stand.socket("me").await;
    stand.sim.drop_sockets();
    assert!(socket.next().await.is_none(), "1006: no close frame");
    let wait = async {
        while stand.sim.sockets() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, wait).await.unwrap();

    let mut socket = stand.socket("me").await;
    let with_client = |id: &str, seed| json!({"prompt": steps(1, 0.0, seed), "prompt_id": id, "client_id": "me"});
    stand.sim.set(|faults| faults.ws_stall = true);
    stand.submit(&with_client("stalled", 1)).await;
    stand.ended("stalled").await;
    assert!(socket.is_silent(Duration::from_millis(100)).await);
    stand.sim.set(|faults| faults.ws_stall = false);
    socket.until_end("stalled").await;

    stand.sim.set(|faults| faults.ws_lose = vec!["execution_success".to_owned(), "executed".to_owned()]);
    stand.submit(&with_client("lossy", 2)).await;
    let said = format!("{:?}", socket.until_end("lossy").await);
    assert!(said.contains("execution_start") && !said.contains("execution_success") && !said.contains("executed\\\""));

    stand.sim.set(|faults| {
        faults.ws_lose.clear();
        faults.ws_garbage = Times::Next(1);
        faults.ws_big = Times::Next(1);
    });
    stand.submit(&with_client("noisy", 3)).await;
    let all = socket.until_end("noisy").await;
    let texts: Vec<&str> = all.iter().filter_map(|message| message.to_text().ok()).collect();
    assert!(texts.iter().any(|text| serde_json::from_str::<Value>(text).is_err()), "no garbage frame was received");
    assert!(texts.iter().any(|text| text.len() > 8_000_000), "no 8 MB frame");

    stand.sim.set(|faults| {
        faults.ws_flood = Times::Next(1);
        faults.ws_double = true;
    });
    stand.submit(&with_client("flood", 4)).await;
    let all = socket.until_end("flood").await;
    let texts: Vec<&str> = all.iter().filter_map(|message| message.to_text().ok()).collect();
    let floods: Vec<&&str> = texts.iter().filter(|text| text.len() > 7_000_000).collect();
    assert_eq!(floods.len(), 1);
    let flood: Value = serde_json::from_str(floods[0]).unwrap();
    assert_eq!(
        (&flood["type"], flood["data"]["nodes"]["29999"]["state"].as_str()),
        (&json!("progress_state"), Some("finished"))
    );
    assert_eq!(
        texts.iter().filter(|text| text.contains("execution_start")).count(),
        2,
        "every message must be sent twice"
    );
}

/// The file arrives byte by byte but complete, and `/free` is in the log.
#[tokio::test]
async fn a_download_can_trickle_and_free_is_logged() {
    let stand = stand().await;
    stand.run(&picture(1, "tiny")).await;
    let path = "/view?filename=tiny_00001_.png&type=output";
    let whole = stand.get(path).await.1;
    stand.sim.set(|faults| faults.view_trickle_ms = 1);
    let begun = Instant::now();
    assert_eq!(stand.get(path).await.1, whole);
    assert!(begun.elapsed() >= Duration::from_millis(u64::try_from(whole.len()).unwrap() / 4));
    assert_eq!(stand.post("/free", &json!({"free_memory": true})).await.0, 200);
    assert!(stand.sim.log().iter().any(|entry| entry.event == shuzhiren::sim::LogEvent::FreeAsked));
}

#[tokio::test]
async fn interrupts_can_be_lost_or_ignored() {
    let stand = stand().await;
    stand.sim.set(|faults| faults.interrupt_lost = Times::Next(1));
    stand.submit(&json!({"prompt": steps(100, 30.0, 1), "prompt_id": "lost"})).await;
    stand.until_running("lost").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(stand.post("/interrupt", &json!({"prompt_id": "lost"})).await, (200, String::new()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    stand.until_running("lost").await;
    stand.post("/interrupt", &json!({"prompt_id": "lost"})).await;
    assert_eq!(stand.ended("lost").await["status"]["messages"][2][0], "execution_interrupted");
    stand.sim.set(|faults| faults.interrupt_ignored = true);
    stand.submit(&json!({"prompt": steps(4, 0.3, 2), "prompt_id": "deaf"})).await;
    stand.until_running("deaf").await;
    stand.post("/interrupt", &json!({"prompt_id": "deaf"})).await;
    assert_eq!(stand.ended("deaf").await["status"]["status_str"], "success");
}

#[tokio::test]
async fn prompts_fail_by_fault_and_by_node() {
    let stand = stand().await;
    let last = async |id: &str| {
        let entry = stand.ended(id).await;
        let messages = entry["status"]["messages"].as_array().unwrap();
        messages.last().unwrap().clone()
    };
    stand.sim.set(|faults| faults.execution_oom = Times::Next(1));
    stand.submit(&prompt("oom")).await;
    let oom = last("oom").await;
    assert_eq!(oom[1]["exception_type"], "torch.OutOfMemoryError");
    assert!(oom[1]["exception_message"].as_str().unwrap().contains("TIPS: If the workflow worked before"));
    stand.sim.set(|faults| faults.execution_error = Times::Next(1));
    stand.submit(&prompt("error")).await;
    assert_eq!(last("error").await[1]["exception_type"], "RuntimeError");
    stand.submit(&prompt("good")).await;
    assert_eq!(last("good").await[0], "execution_success");

    stand.sim.set(|faults| faults.execution_blocked = Times::Next(1));
    let mut socket = Socket::open(&stand.sim, "me", None).await;
    let mut body = prompt("blocked");
    body["client_id"] = json!("me");
    stand.submit(&body).await;
    let error = socket.until("execution_error").await.pop().unwrap();
    assert_eq!(error["data"]["exception_type"], "ExecutionBlocked");
    socket.until("execution_success").await;
    assert_eq!(last("blocked").await[0], "execution_success");

    let node = |more: Value| {
        let mut graph = steps(4, 0.0, 1);
        graph["1"]["inputs"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"prompt": graph, "prompt_id": more.to_string()})
    };
    for (more, class) in
        [(json!({"fail_at": 2}), "RuntimeError"), (json!({"fail_at": 2, "oom": true}), "torch.OutOfMemoryError")]
    {
        stand.submit(&node(more.clone())).await;
        let looked = stand.get_json("/history").await;
        drop(looked);
        let entry = loop {
            let all = stand.get_json("/history").await;
            if let Some(entry) = all.get(more.to_string()) {
                break entry.clone();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(entry["status"]["messages"][2][1]["exception_type"], class);
    }
}

#[tokio::test]
async fn nan_is_written_as_python_does() {
    let stand = stand().await;
    let mut socket = stand.socket("me").await;
    let graph = json!({"1": {"class_type": "TestUi", "inputs": {"kind": "nan"}}});
    stand.submit(&json!({"prompt": graph, "prompt_id": "p", "client_id": "me"})).await;
    let said = socket.until_end("p").await;
    assert!(
        said.iter().any(|message| message.to_text().is_ok_and(|text| text.contains("{\"value\": [NaN, Infinity]}")))
    );
    assert!(stand.get("/history/p").await.1.contains("{\"value\": [NaN, Infinity]}"));
}

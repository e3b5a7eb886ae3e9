//! Previews of a running prompt are kept only while a client asks for them.

use crate::support::{
    eventually,
    raw::RawRedis,
    stack::{Stack, WAIT_MAX, workflow},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_preview_is_kept_only_while_a_client_asks_for_it() {
    let stack = Stack::start(1, 1).await;
    let body = json!({"workflow": workflow::steps(200, 10.0)});
    let id = stack.client.submit(body).await;
    let path = format!("/api/tasks/{id}/preview");
    eventually("it is well under way", WAIT_MAX, || async {
        (stack.client.task(&id).await["progress"].as_u64() >= Some(40)).then_some(())
    })
    .await;
    let mut redis = RawRedis::connect(&stack.redis.socket());
    let key = format!("{{shuzhiren}}:preview:{id}");
    assert_eq!(redis.run(&["EXISTS", &key]).number(), 0, "no client asks: nothing is kept");

    let (status, envelope) = stack.client.call(Method::GET, &path, None).await;
    assert_eq!((status, &envelope["error"]["type"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{envelope}");
    let url = format!("{}{path}", stack.client.base);
    let get = || stack.client.http().get(&url).bearer_auth(&stack.client.token).send();
    let answer = eventually("a preview", WAIT_MAX, || async {
        get().await.ok().filter(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    for (name, value) in
        [("content-type", "image/jpeg"), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
    {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    assert!(answer.bytes().await.unwrap().starts_with(b"\xff\xd8\xff"));
    let left_ms = redis.run(&["PTTL", &key]).number();
    assert!((1..=10_000).contains(&left_ms), "it expires by itself: {left_ms}");
    let anonymous = stack.client.http().get(&url).send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);

    stack.client.delete(&format!("/api/tasks/{id}")).await;
    assert_eq!(get().await.unwrap().status(), StatusCode::NOT_FOUND, "the task has ended");
    assert_eq!(stack.client.call(Method::GET, &format!("{path}?x=1"), None).await.0, StatusCode::BAD_REQUEST);
}

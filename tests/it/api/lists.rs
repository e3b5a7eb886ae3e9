//! Lists and ids (safety.md §2.3).

use super::{
    openapi::filled,
    server::{Api, assert_refused, data, workflow},
};
use crate::support::contract::operations;
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_newest_first_in_pages() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(api.submit().await);
    }
    all.reverse();
    api.delete(&format!("/api/tasks/{}", all[3])).await;
    let page = data(&api.get("/api/tasks").await);
    assert_eq!((&page["total"], ids(&page)), (&json!(7), all.clone()));
    assert_eq!(page["nextCursor"], Value::Null);
    for name in ["id", "instanceId", "status", "progress", "createdAt", "updatedAt"] {
        assert!(page["items"][0].get(name).is_some(), "{name}");
    }
    let page = data(&api.get("/api/tasks?limit=2&offset=3").await);
    assert_eq!((&page["total"], ids(&page)), (&json!(7), all[3..5].to_vec()));
    let page = data(&api.get("/api/tasks?status=cancelled").await);
    assert_eq!((&page["total"], ids(&page)), (&json!(1), all[3..4].to_vec()));
    let page = data(&api.get("/api/tasks?status=pending,cancelled&limit=200").await);
    assert_eq!((&page["total"], ids(&page)), (&json!(7), all.clone()));
    assert_eq!(data(&api.get("/api/tasks?status=running").await), json!({"total": 0, "items": [], "nextCursor": null}));

    let (mut seen, mut path) = (Vec::new(), "/api/tasks?limit=3".to_owned());
    loop {
        let page = data(&api.get(&path).await);
        seen.extend(ids(&page));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/api/tasks?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pages_are_400_and_far_ones_empty() {
    let api = Api::start().await;
    api.submit().await;
    for query in [
        "limit=-1",
        "limit=0",
        "limit=1.5",
        "limit=abc",
        "limit=",
        "limit=%00",
        "limit=%D9%A1",
        "limit=1&limit=2",
        "limit=18446744073709551616",
        "offset=-1",
        "offset=x",
        "offset=1e3",
        "offset=99999999999999999999999",
        "status=",
        "status=PENDING",
        "status=unknown",
        "status=pending&status=running",
        "status=pending%00",
        "status=pending,",
        "statsu=failed",
        "Limit=1",
        "page=2",
        "limit=1&x",
        "cursor=",
        "cursor=x",
        "cursor=1-x",
        "cursor=1-00000000-0000-0000-0000-000000000000&offset=0",
    ] {
        assert_refused(&api.get(&format!("/api/tasks?{query}")).await, 400, "invalid_query", query);
    }
    for query in ["limit=-1", "limit=0", "offset=-1", "kind=", "kind=Upload", "kind=upload&kind=output"] {
        assert_refused(&api.get(&format!("/api/files?{query}")).await, 400, "invalid_query", query);
    }
    let told = api.get("/api/tasks?statsu=failed&page=2").await.json()["message"].as_str().unwrap().to_owned();
    assert!(told.contains("did you mean `status`?") && told.contains("`page`"), "{told}");
    for path in ["/api/files?limi=1", &format!("/api/tasks/{}?includes=workflow", api.submit().await)] {
        assert_refused(&api.get(path).await, 400, "invalid_query", path);
    }
    for query in ["limit=1000000000", "limit=9223372036854775807", "limit=18446744073709551615"] {
        assert_eq!(ids(&data(&api.get(&format!("/api/tasks?{query}")).await)).len(), 2, "{query}");
    }
    for offset in ["2", "1000000", "9223372036854775807", "18446744073709551615"] {
        for list in ["tasks", "files"] {
            let page = data(&api.get(&format!("/api/{list}?offset={offset}")).await);
            assert_eq!(page["items"], json!([]), "{list} {offset}");
        }
        assert_eq!(data(&api.get(&format!("/api/tasks?offset={offset}")).await)["total"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_none_of_ours_are_404_and_touch_nothing() {
    let api = Api::with_instance().await;
    let task = api.submit().await;
    let before = api.snapshot();
    let (upper, braces, long) = (task.to_uppercase(), format!("%7B{task}%7D"), "a".repeat(7_000));
    for id in [
        "00000000-0000-0000-0000-000000000000",
        "x",
        "%00",
        "%0d%0a",
        "..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "a%2fb",
        "*",
        "%5Ba-z%5D",
        "%3F",
        "%7Bx%7D",
        "pending",
        "completed",
        "stream",
        "tasks",
        "%ff%fe",
        "%zz",
        "%",
        "null",
        "1",
        &upper,
        &braces,
        &long,
        &format!("{task}%00"),
        &format!("{task}%20"),
    ] {
        for (method, room) in
            [("GET", "tasks"), ("DELETE", "tasks"), ("GET", "instances"), ("PUT", "instances"), ("DELETE", "files")]
        {
            let path = format!("/api/{room}/{id}");
            let body: &[u8] = if method == "PUT" { b"{\"enabled\":false}" } else { b"" };
            let answer = api.json(method, &path, &[], body).await;
            assert_refused(&answer, 404, "not_found", &format!("{method} {path}"));
        }
        let answer = api.send("GET", &format!("/upload/file/{id}"), &[], b"").await;
        assert_refused(&answer, 404, "not_found", &format!("link {id}"));
    }
    assert_eq!(api.snapshot(), before);
}

/// An ignored `dryRun` or guard would do what it should prevent.
#[tokio::test(flavor = "multi_thread")]
async fn no_operation_takes_a_query_that_it_does_not_read() {
    let api = Api::start().await;
    let workflow = json!({"workflow": workflow()});
    assert_eq!(api.put("/api/workflows/portrait", &workflow).await.status, 200);
    let before = api.snapshot();
    for (template, method, _) in operations() {
        let path = format!("{}?dryRunn=1", filled(template).replace("text-to-image", "portrait"));
        let answer = api.json(&method.to_uppercase(), &path, &[], workflow.to_string().as_bytes()).await;
        let about = format!("{method} {path}");
        // What is not there is said first where the path alone says so.
        if answer.status != 404 && answer.status != 401 {
            assert_refused(&answer, 400, "invalid_query", &about);
        }
        if ["put", "delete", "post"].contains(&method) {
            assert_refused(&answer, 400, "invalid_query", &about);
        }
    }
    for query in ["dryRun=true", "version=1"] {
        let path = format!("/api/workflows/portrait?{query}");
        assert_refused(&api.put(&path, &workflow).await, 400, "invalid_query", &path);
        assert_refused(&api.delete(&path).await, 400, "invalid_query", &path);
    }
    assert_eq!(api.snapshot(), before);
}

//! Memory and time of a dispatcher whose instance sends as much, and as many small values, as it can.

use super::{
    super::put_fleet,
    instance::{HostileInstance, Script, history, ok},
};
use crate::support::stack::{Stack, workflow};
use axum::{body::Body, extract::ws::Message, http::HeaderMap, response::Response};
use futures_util::stream;
use serde_json::{Value, json};
use std::{fs, io, time::Duration};

/// Memory of a dispatcher with one instance, hostile or not.
const PEAK_KIB_MAX: u64 = 256 << 10;
/// CPU time of one row. The quadratic ones took minutes.
const CPU_MAX: Duration = Duration::from_secs(30);
const MIB: usize = 1 << 20;

/// A dispatcher with one hostile instance, and what its rows cost.
struct Trial {
    stack: Stack,
    instance: HostileInstance,
    faults: Vec<String>,
    rows: u64,
}

impl Trial {
    async fn start() -> Self {
        // The instance makes its bytes in this process, slowly on a busy machine.
        let mut stack = Stack::start_with(1, 0, &[("SHUZHIREN_HTTP_TIMEOUT", "10s")]).await;
        let instance = HostileInstance::start().await;
        put_fleet(&stack, &[instance.port]).await;
        stack.add_dispatcher();
        stack.wait_instances_up(1).await;
        Self { stack, instance, faults: Vec::new(), rows: 0 }
    }

    /// Runs a task while the script is played, and measures the dispatcher meanwhile. The task ends with this status.
    async fn row(&mut self, name: &str, status: &str, script: Script) -> Value {
        self.row_with(name, status, script, json!({})).await
    }

    async fn row_with(&mut self, name: &str, status: &str, script: Script, more: Value) -> Value {
        self.rows += 1;
        let pid = self.stack.dispatchers[0].pid();
        // Resets the peak.
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        let cpu = cpu_time(pid);
        self.instance.play(script);
        let mut body = json!({"workflow": workflow::quick(self.rows), "maxAttempts": 1});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = self.stack.client.submit(body).await;
        let task = self.stack.client.wait_ended(&id).await;
        self.instance.play(Script::default());
        let (peak_kib, cpu) = (peak_kib(pid), cpu_time(pid) - cpu);
        let what =
            format!("{name}: {} MiB, {cpu:?} of CPU, {} {}", peak_kib >> 10, task["status"], task["error"]["message"]);
        eprintln!("{what}");
        if peak_kib >= PEAK_KIB_MAX || cpu >= CPU_MAX || task["status"] != status {
            // Later rows show more than the first.
            self.faults.push(what);
        }
        task
    }

    /// The instance works again, and nothing was exceeded.
    async fn end(mut self) {
        self.row("afterwards", "completed", Script::default()).await;
        assert!(!self.stack.log().contains("panicked"), "{}", self.stack.log());
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
    }
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time of a process so far; the kernel counts in hundredths of a second.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// `part` again and again, separated by commas, up to about `bytes`.
fn many(part: &str, bytes: usize) -> String {
    let mut all = format!("{part},").repeat(bytes / (part.len() + 1));
    all.pop();
    all
}

fn error_history(prompt: &str, messages: &str) -> String {
    history(prompt, "{}").replace("success", "error").replace("\"messages\":[]", &format!("\"messages\":[{messages}]"))
}

fn endless() -> Body {
    Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(bytes::Bytes::from(vec![b'['; MIB]))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_history_costs_little_and_ends_its_task() {
    let mut trial = Trial::start().await;
    let nameless = |bytes: usize| reply_history(move |id| history(id, &files("{}", bytes)));
    let task = trial.row("16 MB of files without a name", "failed", nameless(16 * MIB)).await;
    let reason = task["error"]["message"].as_str().unwrap_or_default().to_owned();
    trial.row("7 MB of files without a name", "completed", nameless(7 * MIB)).await;
    let nodes = format!("{{{}}}", many(r#""a":{"b":0}"#, 4 * MIB));
    trial.row("4 MB of nodes", "completed", reply_history(move |id| history(id, &nodes))).await;
    let ids: Vec<String> = (0..10_000).map(|n| format!(r#""{n}{}":{{"text":["x"]}}"#, ".1".repeat(150))).collect();
    let nodes = format!("{{{}}}", ids.join(","));
    trial.row("many long node ids", "completed", reply_history(move |id| history(id, &nodes))).await;
    let deep = |id: &str| history(id, &format!(r#"{{"3":{}"#, "[".repeat(7 * MIB)));
    trial.row("deep", "failed", reply_history(deep)).await;
    trial.row("no text", "failed", Script::history(|_| ok(vec![0xFF; 7 * MIB]))).await;
    trial.row("endless", "failed", Script::history(|_| ok(endless()))).await;
    trial.row("messages", "failed", reply_history(|id| error_history(id, &many("[]", 2 * MIB)))).await;
    let frames = format!(r#"["execution_error",{{"traceback":[{}]}}]"#, many("\"\"", 2 * MIB));
    trial.row("traceback", "failed", reply_history(move |id| error_history(id, &frames))).await;
    let graph = many(r#""a":0"#, 2 * MIB);
    let graph = move |id: &str| history(id, "{}").replace(r#""1":{}"#, &graph);
    trial.row("graph", "completed", reply_history(graph)).await;
    for bytes in [200_000, 7 * MIB] {
        let nodes = format!(r#"{{"{}":{{"text":["x"]}}}}"#, "a.".repeat(bytes / 2));
        trial.row("a long node id", "completed", reply_history(move |id| history(id, &nodes))).await;
    }
    trial.end().await;
    assert!(reason.contains("history entry"), "{reason}");
}

fn files(file: &str, bytes: usize) -> String {
    format!(r#"{{"3":{{"images":[{}]}}}}"#, many(file, bytes))
}

fn reply_history(body: impl Fn(&str) -> String + Send + Sync + 'static) -> Script {
    Script::history(move |prompt| ok(body(prompt)))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_replies_cost_little() {
    let mut trial = Trial::start().await;
    let queue = format!(r#"{{"queue_running":[],"queue_pending":[{}]}}"#, many("[0,0]", 34 * MIB));
    trial.row("34 MB of queue", "failed", Script::reply("GET /queue", move |_| ok(queue.clone()))).await;
    let stats =
        format!(r#"{{"system":{{"comfyui_version":"{}"}},"devices":[{}]}}"#, "9".repeat(400_000), many("0", 600_000));
    trial.row("1 MB of devices", "completed", Script::reply("GET /system_stats", move |_| ok(stats.clone()))).await;
    trial.row("endless features", "completed", Script::reply("GET /features", |_| ok(endless()))).await;
    let refusals = [
        format!(r#"{{"{}":{{"errors":[{{"message":"{}"}}]}}}}"#, "a.".repeat(MIB), "/x/y ".repeat(MIB)),
        format!("{{{}}}", many(r#""a":{"errors":[{},{}]}"#, 6 * MIB)),
    ];
    for errors in refusals {
        let refused = move |_: &str| {
            let body = format!(r#"{{"error":{{"type":"x"}},"node_errors":{errors}}}"#);
            Response::builder().status(400).body(body.into()).unwrap()
        };
        let task = trial.row("6 MB of refusal", "failed", Script::reply("POST /prompt", refused)).await;
        assert_eq!(task["error"]["type"], "invalid_workflow", "{task}");
    }
    let picture = trial.stack.client.upload("a.png", b"\x89PNG\r\n\x1a\nnot really".to_vec()).await;
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    });
    let with_picture = json!({"workflow": graph, "params": {"1.image": {"$file": picture["fileId"]}}});
    let names = format!(r#"{{"name":"a.png","x":[{}]}}"#, many("[]", MIB - 100));
    let script = Script::reply("POST /upload/image", move |_| ok(names.clone()));
    trial.row_with("1 MB of upload reply", "completed", script, with_picture).await;
    let head = |_: &str| {
        let mut response = ok("a file");
        let headers: &mut HeaderMap = response.headers_mut();
        for n in 0..90 {
            let name: axum::http::HeaderName = format!("x-{n}").parse().unwrap();
            headers.insert(name, "x".repeat(4_000).parse().unwrap());
        }
        response
    };
    let mut viewed = reply_history(|id| history(id, r#"{"3":{"images":[{"filename":"a.png"}]}}"#));
    let listed = std::mem::replace(&mut viewed.answer, Box::new(|_, _| None));
    viewed.answer = Box::new(move |line, prompt| match line.starts_with("GET /view") {
        true => Some(head(prompt)),
        false => listed(line, prompt),
    });
    trial.row("the head of a file", "failed", viewed).await;
    let error = |_: &str| Response::builder().status(500).body(endless()).unwrap();
    trial.row("an endless error", "failed", Script::history(error)).await;
    trial.end().await;
}

/// The catalog is read when the socket connects.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_catalog_costs_little() {
    let catalogs = [
        format!("{{{}}}", many(r#""a":{}"#, 16 * MIB)),
        format!(r#"{{"A":{{"input":{{"required":{{{}}}}}}}}}"#, distinct(14 * MIB)),
        format!(r#"{{"A":{{"input":{{"required":{{"x":[[{}]]}}}}}}}}"#, distinct_texts(16 * MIB)),
        format!(r#"{{"A":{{"output":[{}]}}}}"#, many("\"\"", 16 * MIB)),
    ];
    for (row, catalog) in catalogs.into_iter().enumerate() {
        let mut stack = Stack::start(1, 0).await;
        let instance = HostileInstance::start().await;
        instance.play(Script::reply("GET /object_info", move |_| ok(catalog.clone())));
        put_fleet(&stack, &[instance.port]).await;
        stack.add_dispatcher();
        stack.wait_instances_up(1).await;
        let id = stack.client.submit(json!({"workflow": workflow::quick(1)})).await;
        assert_eq!(stack.client.wait_ended(&id).await["status"], "completed");
        let read = || stack.log().contains("catalog not read") || has_catalog(&stack);
        super::super::eventually_or_log(&stack, "the catalog is read", read).await;
        let peak_kib = peak_kib(stack.dispatchers[0].pid());
        eprintln!("catalog {row}: {} MiB", peak_kib >> 10);
        assert!(peak_kib < PEAK_KIB_MAX, "catalog {row}: {} MiB", peak_kib >> 10);
    }
}

fn has_catalog(stack: &Stack) -> bool {
    let mut redis = crate::support::raw::RawRedis::connect(&stack.redis.socket());
    !redis.run(&["KEYS", "*:catalog:*"]).texts().is_empty()
}

fn distinct(bytes: usize) -> String {
    let inputs: Vec<String> = (0..bytes / 12).map(|n| format!(r#""{n:07x}":0"#)).collect();
    inputs.join(",")
}

fn distinct_texts(bytes: usize) -> String {
    let texts: Vec<String> = (0..bytes / 10).map(|n| format!(r#""{n:07x}""#)).collect();
    texts.join(",")
}

/// The prompt "ends" first, so that its attempt polls the instance for two seconds while the flood arrives.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_cost_little() {
    let mut trial = Trial::start().await;
    let executed = |prompt: &str, output: &str| {
        let data = format!(r#"{{"node":"3","display_node":"3","output":{output},"prompt_id":"{prompt}"}}"#);
        Message::text(format!(r#"{{"type": "executed", "data": {data}}}"#))
    };
    let ended =
        |prompt: &str| Message::text(json!({"type": "execution_success", "data": {"prompt_id": prompt}}).to_string());
    let images = |bytes: usize| format!(r#"{{"images":[{}]}}"#, many("{}", bytes));
    trial.row("a frame of 20 MB", "completed", Script::frames(move |id| vec![executed(id, &images(20 * MIB))])).await;
    trial
        .row("two frames of 15 MB", "completed", Script::frames(move |id| vec![executed(id, &images(15 * MIB)); 2]))
        .await;
    let flood = move |id: &str| {
        let files: Vec<String> = (0..4_000).map(|n| format!(r#"{{"filename":"{n}"}}"#)).collect();
        let frame = executed(id, &format!(r#"{{"images":[{}]}}"#, files.join(",")));
        let mut frames = vec![ended(id)];
        frames.extend(vec![frame; 50]);
        frames
    };
    // A result that is too long ends the attempt without its outputs, of which there would be a thousand to fetch.
    let mut flood = Script::frames(flood);
    flood.answer = Script::history(|_| ok(endless())).answer;
    trial.row("50 frames of 4,000 files", "failed", flood).await;
    let cached = move |id: &str| {
        let nodes = many(&format!("\"{}\"", "x".repeat(200)), 2 * MIB);
        let data = format!(r#"{{"nodes":[{nodes}],"prompt_id":"{id}"}}"#);
        let mut frames = vec![ended(id)];
        frames.extend(vec![Message::text(format!(r#"{{"type":"execution_cached","data":{data}}}"#)); 40]);
        frames
    };
    trial.row("40 frames of 10,000 cached nodes", "completed", Script::frames(cached)).await;
    let texts = move |id: &str| {
        let texts = vec![format!("\"{}\"", "x".repeat(64_000)); 4].join(",");
        (0..250).map(|_| executed(id, &format!(r#"{{"text":[{texts}]}}"#))).collect()
    };
    trial.row("250 frames of texts", "completed", Script::frames(texts)).await;
    let preview = move |id: &str| {
        let metadata = format!(r#"{{"prompt_id":"{id}","image_type":"image/png","x":[{}]}}"#, many("0", 8 * MIB));
        let length = u32::try_from(metadata.len()).unwrap().to_be_bytes();
        let frame = [&[0, 0, 0, 4][..], &length, metadata.as_bytes(), b"\x89PNG"].concat();
        vec![Message::binary(frame); 3]
    };
    trial.row("previews with 8 MB of metadata", "completed", Script::frames(preview)).await;
    let small = |id: &str| {
        let frame = |n: usize| json!({"type": "executing", "data": {"node": n.to_string(), "prompt_id": id}});
        (0..20_000).map(|n| Message::text(frame(n).to_string())).collect()
    };
    trial.row("20,000 small frames", "completed", Script::frames(small)).await;
    let states = |id: &str| {
        let state = json!({"type": "progress_state", "data": {"prompt_id": id, "nodes": "x".repeat(8 * MIB)}});
        vec![Message::text(state.to_string()); 5]
    };
    trial.row("five states of 8 MB", "completed", Script::frames(states)).await;
    trial.end().await;
}

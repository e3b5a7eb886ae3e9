//! `GET /api/tasks` with a million tasks.

use super::{
    http::{Connection, get},
    ours,
    program::{Program, Times, token},
    redis::TestRedis,
    resp::{Redis, words},
};
use serde_json::Value;
use std::time::{Duration, Instant};

const TASKS: u64 = 1_000_000;
const PER_CALL: u64 = 5_000;
const SAMPLES: usize = 300;

/// Finds the keys of a task: its hashes, and every sorted set that contains it, with the score. The bench needs no key
/// names.
const FIND: &str = "
local found = { hashes = {}, sets = {} }
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' and key:find(ARGV[1], 1, true) then table.insert(found.hashes, key) end
  local score = kind == 'zset' and redis.call('ZSCORE', key, ARGV[1])
  if score then table.insert(found.sets, { key, score }) end
end
return cjson.encode(found)";
/// Copies the task under new ids, each older than the previous one.
const MULTIPLY: &str = "
local sample, found, first, count = ARGV[1], cjson.decode(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
for n = first, first + count - 1 do
  local id = string.format('00000000-0000-7000-8000-%012x', n)
  for _, key in ipairs(found.hashes) do
    local at = key:find(sample, 1, true)
    redis.call('COPY', key, key:sub(1, at - 1) .. id .. key:sub(at + #sample))
  end
  for _, set in ipairs(found.sets) do redis.call('ZADD', set[1], tonumber(set[2]) - n, id) end
end
return 'OK'";

pub async fn run() {
    println!("list: GET /api/tasks at {TASKS} tasks");
    let (redis, folder) = (TestRedis::start_with(&["--appendonly", "no"]), tempfile::tempdir().unwrap());
    let our = Program::start("api", &ours::environment(&redis, folder.path()));
    let token = token().await;
    let mut connection = Connection::open(our.address).await;
    let body = r#"{"workflow":{"9":{"class_type":"SaveImage","inputs":{"filename_prefix":"x","images":["8",0]}},"8":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0}}},"params":{}}"#;
    let (status, answer) = connection.ask(&super::http::post("/api/tasks", &token, body)).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let sample = answer["data"]["id"].as_str().unwrap();
    let (begun, mut seeder) = (Instant::now(), Redis::connect(&redis.socket()));
    let found = seeder.ask(&[words(&["EVAL", FIND, "0", sample])]);
    for first in (1..TASKS).step_by(PER_CALL as usize) {
        let (first, count) = (first.to_string(), PER_CALL.min(TASKS - first).to_string());
        seeder.ask(&[words(&["EVAL", MULTIPLY, "0", sample, &found, &first, &count])]);
    }
    println!("  seeded in {:.0} s", begun.elapsed().as_secs_f64());
    // The first connection was idle for too long.
    let mut connection = Connection::open(our.address).await;
    for query in ["", "&status=pending", "&status=completed", "&status=pending,running"] {
        for offset in [0, 1_000, 500_000, TASKS - 50] {
            let request = get(&format!("/api/tasks?limit=50&offset={offset}{query}"), &token);
            let mut times = Vec::new();
            let mut seen = Value::Null;
            let give_up = Instant::now() + Duration::from_secs(2);
            while times.len() < SAMPLES && Instant::now() < give_up {
                let begun = Instant::now();
                let (status, answer) = connection.ask(&request).await;
                times.push(begun.elapsed());
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
                if seen.is_null() {
                    seen = serde_json::from_slice(answer).unwrap();
                }
            }
            let times = Times::new(times);
            let items = seen["data"]["items"].as_array().unwrap().len();
            println!(
                "  offset {offset:>7}{query}: p50 {:.2} ms, p99 {:.2} ms (total {}, {items} items; wanted: p99 below 5)",
                times.percentile(50.0),
                times.percentile(99.0),
                seen["data"]["total"]
            );
        }
    }
}

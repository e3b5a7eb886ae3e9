//! Cost of a whole task in Redis: CPU time of the server, script calls and inner calls, bytes sent.

use super::{gap::put_config, http::Connection, ours, program::Program, program::token, redis::TestRedis};
use crate::raw::RawRedis;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

const INSTANCES: usize = 5;
const CONNECTIONS: usize = 8;
/// Unmeasured tasks, so that every script is loaded.
const WARM_UP: usize = 40;
/// Tasks without delay, and with 20 progress messages.
const TASKS: usize = 2_000;
const TASKS_WITH_PROGRESS: usize = 200;
const PROGRESS_MESSAGES: usize = 20;
/// Clock ticks per second in `/proc/<pid>/stat`: 100 on all current Linux systems.
const MS_PER_TICK: f64 = 10.0;

pub async fn run() {
    println!("task-cost: whole tasks on {INSTANCES} stand-ins; CPU time of the Redis process, all its work included");
    measure("prompts of 0 ms", TASKS, 1, |number| {
        json!({
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": number}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bench"}},
        })
    })
    .await;
    measure("20 progress messages", TASKS_WITH_PROGRESS, 220, |number| {
        json!({
            "3": {"class_type": "KSampler", "inputs": {"seed": number, "steps": PROGRESS_MESSAGES, "cfg": 8.0,
                "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "model": ["4", 0],
                "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0]}},
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly.safetensors"}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "x", "clip": ["4", 1]}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "bench", "images": ["8", 0]}},
        })
    })
    .await;
}

/// Runs `tasks` tasks on stand-ins that take `step_ms` a step, and prints what each cost.
async fn measure(name: &str, tasks: usize, step_ms: u64, workflow: impl Fn(usize) -> Value) {
    let (redis, folder) = (TestRedis::start(), tempfile::tempdir().unwrap());
    let environment = ours::environment(&redis, folder.path());
    let options = [("SHUZHIREN_SIM_STEP", step_ms.to_string()), ("SHUZHIREN_SIM_SUCCESS_GAP", "0".to_owned())];
    let sims: Vec<Program> = (0..INSTANCES).map(|_| Program::start("sim", &options)).collect();
    let addresses: Vec<SocketAddr> = sims.iter().map(|sim| sim.address).collect();
    let queue = ours::queue(&redis.url()).await;
    put_config(&queue, &addresses).await;
    let api = Program::start("api", &environment);
    let _dispatcher = Program::background("dispatcher", &environment);
    let token = token().await;
    let submit = async |numbers: std::ops::Range<usize>| {
        let mut connection = Connection::open(api.address).await;
        for number in numbers {
            let body = json!({ "workflow": workflow(number), "params": {} }).to_string();
            let (status, answer) = connection.ask(&super::http::post("/api/tasks", &token, &body)).await;
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
        }
    };
    // Counted with a plain command, so that the waiting does not cost a script.
    let index = format!("{{{}}}:index:completed", ours::NAMESPACE);
    let mut raw = RawRedis::connect(&redis.socket());
    let until_done = async |raw: &mut RawRedis, count: usize| {
        let give_up = Instant::now() + Duration::from_secs(600);
        while (raw.run(&["ZCARD", &index]).number() as usize) < count {
            assert!(Instant::now() < give_up, "not done in time");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    submit(0..WARM_UP).await;
    until_done(&mut raw, WARM_UP).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, cpu, sent) = (calls(&mut raw), cpu_ms(redis.pid()), sent_bytes(&mut raw));
    let share = tasks / CONNECTIONS;
    let all = (0..CONNECTIONS).map(|n| submit(WARM_UP + n * share..WARM_UP + (n + 1) * share));
    futures_util::future::join_all(all).await;
    until_done(&mut raw, WARM_UP + tasks).await;
    let per_task = |total: f64| total / tasks as f64;
    let cpu = per_task(cpu_ms(redis.pid()) - cpu);
    let sent = per_task((sent_bytes(&mut raw) - sent) as f64);
    let mut table: Vec<(f64, String)> = calls(&mut raw)
        .into_iter()
        .map(|(command, count)| (per_task((count - before.get(&command).unwrap_or(&0)) as f64), command))
        .filter(|(count, _)| *count >= 0.05)
        .collect();
    table.sort_by(|a, b| b.0.total_cmp(&a.0));
    let scripts = table.iter().find(|(_, command)| command == "evalsha").map_or(0.0, |(count, _)| *count);
    let inner: f64 = table.iter().filter(|(_, command)| command != "evalsha").map(|(count, _)| count).sum();
    println!("  {name}: {cpu:.3} ms of Redis CPU, {scripts:.1} scripts, {inner:.1} calls, {sent:.0} bytes sent a task");
    let words: Vec<String> = table.iter().map(|(count, command)| format!("{command} {count:.2}")).collect();
    println!("    {}", words.join(", "));
}

/// Returns the number of calls by command, scripts and the calls inside them alike.
fn calls(raw: &mut RawRedis) -> BTreeMap<String, u64> {
    let text = raw.run(&["INFO", "commandstats"]).text();
    text.lines()
        .filter_map(|line| {
            let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((command.to_owned(), rest.split(',').next()?.parse().ok()?))
        })
        .collect()
}

fn sent_bytes(raw: &mut RawRedis) -> u64 {
    let text = raw.run(&["INFO", "stats"]).text();
    let line = text.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap();
    line.trim().parse().unwrap()
}

/// Returns the CPU time of a process, user and system.
fn cpu_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum::<f64>() * MS_PER_TICK
}

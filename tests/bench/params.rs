//! Inserting params into a graph of 300 nodes, in this process without network or Redis.

use serde_json::{json, value::RawValue};
use shuzhiren::{
    graph::{Catalog, FleetCatalog, GraphLimits, Member, Options, Workflow, resolve},
    task::InstanceId,
};
use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

const NODES: usize = 300;
const ROUNDS: usize = 2_000;
const LIMITS: GraphLimits = GraphLimits { nodes_max: 2_000, depth_max: 500 };

pub fn run() {
    println!("params: 60 of them, names and seeds included, into {NODES} nodes, judged against two kinds of instances");
    let graph = raw(&graph().to_string());
    let workflow = Workflow::parse(&graph, LIMITS).unwrap();
    let (params, pool) = (raw(&params().to_string()), pool());
    for (what, pool) in [("unchecked", None), ("checked", Some(&pool))] {
        let options = Options { pool, randomizes_seeds: true, ..Options::default() };
        measure(what, "wanted: below 1000", || drop(resolve(black_box(&workflow), &params, &options).unwrap()));
    }
    let options = Options { pool: Some(&pool), randomizes_seeds: true, ..Options::default() };
    measure("read, checked, named by its hash, written", "all of a submit but the network", || {
        let (workflow, _) = Workflow::read(black_box(&graph), LIMITS, &pool).unwrap();
        let resolved = resolve(&workflow, &params, &options).unwrap().workflow;
        drop((resolved.hash(&pool), resolved.to_json()));
    });
    measure("hash alone", "", || drop(workflow.hash(black_box(&pool))));
}

fn measure(what: &str, wanted: &str, work: impl Fn()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6;
    println!("  {what}: p50 {:.0} µs, p99 {:.0} µs ({wanted})", at(50), at(99));
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// Returns a graph of alternating loaders, prompts and samplers, each of which continues the last one's image.
fn graph() -> serde_json::Value {
    let mut graph = serde_json::Map::new();
    for id in 0..NODES {
        let node = match id % 3 {
            0 => {
                json!({"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly.safetensors"}})
            }
            1 => json!({"class_type": "CLIPTextEncode", "_meta": {"title": format!("Prompt {id}")},
                "inputs": {"text": format!("a {{{{animal:cat}}}} number {id}, beautiful scenery"), "clip": [(id - 1).to_string(), 1]}}),
            _ => {
                let latent = if id == 2 { NODES.to_string() } else { (id - 3).to_string() };
                json!({"class_type": "KSampler", "inputs": {"seed": id, "steps": 20, "cfg": 8.0, "sampler_name": "euler",
                    "scheduler": "normal", "denoise": 1.0, "model": [(id - 2).to_string(), 0], "latent_image": [latent, 0],
                    "positive": [(id - 1).to_string(), 0], "negative": [(id - 1).to_string(), 0]}})
            }
        };
        graph.insert(id.to_string(), node);
    }
    let ends = [
        json!({"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}),
        json!({"class_type": "VAEDecode", "inputs": {"samples": [(NODES - 1).to_string(), 0], "vae": ["0", 2]}}),
        json!({"class_type": "SaveImage", "inputs": {"images": [(NODES + 1).to_string(), 0], "filename_prefix": "bench"}}),
    ];
    graph.extend(ends.into_iter().zip(NODES..).map(|(node, id)| (id.to_string(), node)));
    graph.into()
}

fn params() -> serde_json::Value {
    let mut params = serde_json::Map::new();
    params.insert("animal".to_owned(), json!("dog"));
    for id in (2..NODES).step_by(3).take(20) {
        params.insert(format!("{id}.steps"), json!("30"));
        params.insert(format!("{id}:KSampler.cfg"), json!(7.5));
        params.insert(id.to_string(), json!({"sampler_name": "ddim", "seed": -1}));
    }
    params.into()
}

fn pool() -> FleetCatalog {
    let listed = include_str!("../../src/sim/nodes/classes.json");
    let catalogs = [listed.to_owned(), listed.replace("\"ddim\",", "")];
    let member = |(number, json): (usize, &String)| Member {
        instance: InstanceId::new(format!("10.0.0.1:{number}")),
        is_alive: true,
        catalog: Catalog::parse(&json.replace("$checkpoints", "v1-5-pruned-emaonly.safetensors")).map(Arc::new),
    };
    FleetCatalog::new(catalogs.iter().enumerate().map(member))
}

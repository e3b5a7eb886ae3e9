//! Graphs of the stand-in's (and the test nodes') classes.

use serde_json::{Value, json};

/// Steps, then a picture.
pub fn steps(steps: u32, seconds: f64) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 3_368_601}},
        "2": {"class_type": "TestSteps", "inputs": {"steps": steps, "seconds": seconds, "image": ["1", 0], "seed": 1}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "steps"}}
    })
}

/// A picture at once; `seed` keeps it out of the cache.
pub fn quick(seed: u64) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": seed % 16_777_216}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "quick"}}
    })
}

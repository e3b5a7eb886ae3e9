//! Workflows made of classes of the stand-in and of the test nodes.

use serde_json::{Value, json};

/// A node with a progress bar, then a saved picture.
pub fn steps(steps: u32, seconds: f64) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 3_368_601}},
        "2": {"class_type": "TestSteps", "inputs": {"steps": steps, "seconds": seconds, "image": ["1", 0], "seed": 1}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "steps"}}
    })
}

/// A saved picture without delay; a different `seed` prevents a cache hit.
pub fn quick(seed: u64) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": seed % 16_777_216}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "quick"}}
    })
}

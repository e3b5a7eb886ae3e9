//! Hash of a graph without the parts that change from run to run: runs with the same hash take about the same time.

use super::{FleetCatalog, Workflow, catalog::Kind, params::is_seed_name, workflow::Node};
use crate::json::raw_value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Input that sets the file names of save nodes.
const PREFIX: &str = "filename_prefix";
/// Number of digest bytes in the hash.
const DIGITS: usize = 32;

impl Workflow {
    /// Returns the hash in lowercase hex. It is the same for graphs that differ only in the order of nodes and inputs,
    /// titles, the spelling of numbers and texts, seeds, file name prefixes, and (if `pool` declares them) names of
    /// uploaded files and free texts.
    pub fn hash(&self, pool: &FleetCatalog) -> String {
        let mut nodes: Vec<&Node> = self.nodes().collect();
        nodes.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let mut hasher = Sha256::new();
        for node in nodes {
            // Each text is preceded by its length, so that texts cannot run into one another.
            let mut put = |text: &str| {
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text);
            };
            put(&node.id);
            put(&node.class);
            let declared = pool.declarations(&node.class).next();
            let mut inputs: Vec<&(String, Box<RawValue>)> = node.inputs.iter().collect();
            inputs.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            for (name, value) in inputs {
                let declared = declared.and_then(|class| class.input(name));
                let is_free = name == PREFIX
                    || is_seed_name(name)
                    || declared
                        .is_some_and(|input| input.is_seed || input.is_upload || matches!(input.kind, Kind::Text));
                put(name);
                if !is_free || raw_value::is_array(value) {
                    put(&canonical(value));
                }
            }
        }
        format!("{:.DIGITS$x}", hasher.finalize())
    }
}

/// Returns the same text for equal values.
fn canonical(value: &RawValue) -> Cow<'_, str> {
    let json = value.get();
    let is_plain = match json.as_bytes().first() {
        Some(b'"') => !json.contains('\\'),
        Some(b'1'..=b'9') => json.bytes().all(|byte| byte.is_ascii_digit()),
        // Links in their usual form.
        Some(b'[') => {
            !json.bytes().any(|byte| matches!(byte, b'\\' | b'.' | b'e' | b'E' | b'-') || byte.is_ascii_whitespace())
        }
        _ => false,
    };
    if is_plain {
        return Cow::Borrowed(json);
    }
    Cow::Owned(raw_value::canonical(value).unwrap_or_else(|| {
        let value: Option<serde_json::Value> = serde_json::from_str(json).ok();
        value.map(|value| value.to_string()).unwrap_or_default()
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use crate::{
        graph::{Catalog, FleetCatalog, Member, Workflow},
        task::InstanceId,
    };
    use std::sync::Arc;

    const INFO: &str = r#"{"A":{"input":{"required":{"text":["STRING"],"steps":["INT"],"any":["INT",{"control_after_generate":true}],"image":[["a.png"],{"image_upload":true}]}}}}"#;

    fn hash(inputs: &str, pool: &FleetCatalog) -> String {
        let json = format!(r#"{{"1":{{"class_type":"A","inputs":{{{inputs}}}}}}}"#);
        Workflow::from_stored(serde_json::from_str(&json).unwrap()).unwrap().hash(pool)
    }

    #[test]
    fn only_inputs_that_change_the_run_time_change_the_hash() {
        let catalog = Some(Arc::new(Catalog::parse(INFO).unwrap()));
        let known = FleetCatalog::new([Member { instance: InstanceId::new("a:1"), is_alive: true, catalog }]);
        let plain = r#""steps":20,"seed":1,"any":1,"text":"a cat","image":"x.png","filename_prefix":"a","l":[1, 2]"#;
        for same in [
            r#""steps":20.0,"seed":2,"any":7,"text":"a dog","image":"y.png","filename_prefix":"b","l":[1,2]"#,
            r#""l":[1,2],"filename_prefix":"a","image":null,"text":"","any":1,"seed":1,"steps":2e1"#,
        ] {
            assert_eq!(hash(plain, &known), hash(same, &known), "{same}");
        }
        for other in [
            plain.replace("20", "21"),
            plain.replace(r#""seed":1"#, r#""seed":["2",0]"#),
            plain.replace("[1, 2]", "[1, 3]"),
            plain.replace(r#""text":"a cat","#, ""),
            plain.replace(r#""steps""#, r#""step""#),
        ] {
            assert_ne!(hash(plain, &known), hash(&other, &known), "{other}");
        }
        let unknown = FleetCatalog::default();
        assert_ne!(hash(plain, &unknown), hash(&plain.replace("cat", "dog"), &unknown), "undeclared inputs count");
        assert_eq!(hash(plain, &unknown), hash(&plain.replace(r#""seed":1"#, r#""seed":2"#), &unknown));
        assert!(hash(plain, &known).len() == 32 && hash(plain, &known).bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn titles_and_the_order_of_nodes_do_not_count() {
        let read = |json: &str| {
            Workflow::from_stored(serde_json::from_str(json).unwrap()).unwrap().hash(&FleetCatalog::default())
        };
        let one = read(r#"{"1":{"class_type":"A","inputs":{}},"2":{"class_type":"B","inputs":{"a":["1",0]}}}"#);
        let other = r#"{"2":{"inputs":{"a":["1",0]},"class_type":"B","_meta":{"title":"x"}},"1":{"class_type":"A","inputs":{}}}"#;
        assert_eq!(one, read(other));
        assert_ne!(one, read(r#"{"1":{"class_type":"A","inputs":{}},"2":{"class_type":"C","inputs":{"a":["1",0]}}}"#));
    }
}

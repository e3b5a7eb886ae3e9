//! Checks `deploy/` against the program: names of settings, flags, metrics and probes; and that its backups can be restored.

mod backup;
mod kubernetes;
mod prometheus;
mod promql;
mod systemd;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// (path below `deploy/`, text) of every file.
fn all_files() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let found = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("deploy/{path}: {error}"));
    assert!(!found.is_empty(), "deploy/{path} is empty");
    found.iter().map(json).collect()
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Real(text) | Yaml::String(text) => text.as_str().into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Boolean(truth) => (*truth).into(),
        Yaml::Array(items) => items.iter().map(json).collect(),
        Yaml::Hash(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), json(value))).collect())
        }
        Yaml::Null => Value::Null,
        Yaml::Alias(_) | Yaml::BadValue => panic!("not read by this test: {yaml:?}"),
    }
}

/// Every value of this member, at any depth.
fn members<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key == name {
                    found.push(value);
                }
                found.extend(members(value, name));
            }
        }
        Value::Array(items) => found.extend(items.iter().flat_map(|item| members(item, name))),
        _ => {}
    }
    found
}

/// The program takes this command line: everything before `--help` is checked by it.
fn takes(args: &[&str]) -> Result<(), String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_shuzhiren")).args(args).arg("--help").stdin(Stdio::null()).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(format!("shuzhiren {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// `10s` and the like.
fn seconds(text: &str) -> u64 {
    shuzhiren::settings::duration(text).unwrap().as_secs()
}

#[test]
fn a_wrong_flag_is_noticed() {
    assert_eq!(takes(&["api", "--listen", "0.0.0.0:1"]), Ok(()));
    assert!(takes(&["api", "--lissen", "0.0.0.0:1"]).is_err());
}

/// Checks the names of settings, as the tidy test does for compose.yaml.
#[test]
fn only_settings_that_exist_are_named() {
    let settings = crate::tidy::settings();
    let mut faults = Vec::new();
    for (path, text) in all_files() {
        let named: BTreeSet<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| {
                (word.starts_with("SHUZHIREN_") && word.len() > 10) || matches!(*word, "REDIS_URL" | "REDIS_URL_FILE")
            })
            .collect();
        faults.extend(named.into_iter().filter(|&name| !settings.contains(name)).map(|name| format!("{path}: {name}")));
    }
    assert!(faults.is_empty(), "variables that nothing reads: {faults:?}");
}

#[test]
fn the_readmes_name_every_file_and_each_other() {
    let english = read("README.md");
    let chinese = read("README.zh-CN.md");
    for folder in ["systemd/", "prometheus/alerts.yaml", "grafana/shuzhiren.json", "kubernetes/", "backup", "restore"] {
        assert!(english.contains(folder) && chinese.contains(folder), "{folder}");
    }
}

//! The manifests fit one another and the program.

use super::{documents, members, root, seconds, takes};
use serde_json::Value;
use shuzhiren::fleet::{FleetConfig, parse_config};
use std::collections::BTreeSet;

const FOLDERS: [&str; 3] = ["base", "demo", "extras"];

fn yaml_files(folder: &str) -> BTreeSet<String> {
    std::fs::read_dir(root().join("kubernetes").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn manifests(folder: &str) -> Vec<Value> {
    let files = yaml_files(folder).into_iter().filter(|file| file != "kustomization.yaml");
    files.flat_map(|file| documents(&format!("kubernetes/{folder}/{file}"))).collect()
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> Vec<&'a Value> {
    manifests.iter().filter(|manifest| manifest["kind"] == kind).collect()
}

fn name(manifest: &Value) -> &str {
    manifest["metadata"]["name"].as_str().unwrap()
}

/// Pods of Deployments and StatefulSets: (name, template's labels, spec).
fn pods(manifests: &[Value]) -> Vec<(&str, &Value, &Value)> {
    let owners = manifests.iter().filter(|manifest| manifest["spec"]["template"].is_object());
    owners
        .map(|owner| {
            let template = &owner["spec"]["template"];
            assert_eq!(owner["spec"]["selector"]["matchLabels"], template["metadata"]["labels"], "{}", name(owner));
            (name(owner), &template["metadata"]["labels"], &template["spec"])
        })
        .collect()
}

#[test]
fn every_manifest_is_applied_and_is_one() {
    for folder in FOLDERS {
        let list = &documents(&format!("kubernetes/{folder}/kustomization.yaml"))[0]["resources"];
        let mut applied: BTreeSet<String> = serde_json::from_value(list.clone()).unwrap();
        applied.remove("../base");
        let mut there = yaml_files(folder);
        there.remove("kustomization.yaml");
        there.remove("secret.example.yaml");
        assert_eq!(applied, there, "{folder}");
        for manifest in manifests(folder) {
            assert!(manifest["apiVersion"].is_string() && manifest["kind"].is_string(), "{manifest}");
            assert!(!name(&manifest).is_empty());
        }
    }
}

#[test]
fn services_budgets_and_monitors_select_pods_that_exist() {
    for folder in ["base", "demo"] {
        let manifests = manifests(folder);
        let pods = pods(&manifests);
        for service in of_kind(&manifests, "Service") {
            let selected = pods.iter().find(|(_, labels, _)| **labels == service["spec"]["selector"]);
            let (_, _, spec) = selected.unwrap_or_else(|| panic!("{} selects nothing", name(service)));
            let ports = members(spec, "containerPort");
            let named: Vec<&Value> = members(spec, "ports").iter().flat_map(|ports| members(ports, "name")).collect();
            for port in service["spec"]["ports"].as_array().unwrap() {
                assert!(named.contains(&&port["targetPort"]) && ports.contains(&&port["port"]), "{}", name(service));
            }
        }
        for budget in of_kind(&manifests, "PodDisruptionBudget") {
            let labels = &budget["spec"]["selector"]["matchLabels"];
            assert!(pods.iter().any(|(_, found, _)| *found == labels), "{}", name(budget));
        }
    }
    let base = manifests("base");
    assert_eq!(of_kind(&base, "PodDisruptionBudget").len(), of_kind(&base, "Deployment").len());
    let extras = manifests("extras");
    let monitor = of_kind(&extras, "ServiceMonitor")[0];
    let wanted = monitor["spec"]["selector"]["matchExpressions"][0]["values"].as_array().unwrap();
    let label = "app.kubernetes.io/name";
    for service in of_kind(&base, "Service") {
        assert!(wanted.contains(&service["metadata"]["labels"][label]), "{} is scraped", name(service));
    }
    let scaled = &of_kind(&extras, "ScaledObject")[0]["spec"]["scaleTargetRef"];
    let demo = manifests("demo");
    assert!(demo.iter().any(|one| one["kind"] == scaled["kind"] && one["metadata"]["name"] == scaled["name"]));
}

#[test]
fn our_containers_have_flags_probes_and_rights_that_fit() {
    let mut seen = BTreeSet::new();
    for folder in ["base", "demo"] {
        for (owner, _, spec) in pods(&manifests(folder)) {
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{owner}");
            assert_eq!(spec["automountServiceAccountToken"], false, "{owner}");
            for container in spec["containers"].as_array().unwrap() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{owner}");
                assert_eq!(security["readOnlyRootFilesystem"], true, "{owner}");
                assert_eq!(security["capabilities"]["drop"][0], "ALL", "{owner}");
                assert!(container["resources"]["requests"]["memory"].is_string(), "{owner}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{owner}");
                if container["image"] != "shuzhiren-comfyui" {
                    continue;
                }
                let args: Vec<&str> =
                    container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
                assert_eq!(takes(&args), Ok(()), "{owner}");
                seen.insert(args[0].to_owned());
                if args[0] != "sim" {
                    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/livez", "{owner}");
                    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz", "{owner}");
                }
            }
        }
    }
    assert_eq!(seen, BTreeSet::from(["api", "dispatcher", "sim"].map(str::to_owned)));
}

#[test]
fn what_is_mounted_and_read_exists() {
    let mut manifests = manifests("base");
    let names = |kind: &str| -> BTreeSet<String> {
        of_kind(&manifests, kind).into_iter().map(|manifest| name(manifest).to_owned()).collect()
    };
    let (configs, secrets, claims) = (names("ConfigMap"), names("Secret"), names("PersistentVolumeClaim"));
    manifests.retain(|manifest| manifest["kind"] == "Deployment");
    let example = documents("kubernetes/base/secret.example.yaml").remove(0);
    for (owner, _, spec) in pods(&manifests) {
        for (member, field, known) in [
            ("configMap", "name", &configs),
            ("configMapRef", "name", &configs),
            ("secret", "secretName", &secrets),
            ("persistentVolumeClaim", "claimName", &claims),
        ] {
            for reference in members(spec, member) {
                assert!(known.contains(reference[field].as_str().unwrap()), "{owner}: {reference}");
            }
        }
        let mounts: BTreeSet<&str> = members(spec, "volumeMounts")
            .iter()
            .flat_map(|list| members(list, "name"))
            .filter_map(Value::as_str)
            .collect();
        let volumes: BTreeSet<&str> =
            spec["volumes"].as_array().unwrap().iter().filter_map(|volume| volume["name"].as_str()).collect();
        assert_eq!(mounts, volumes, "{owner}");
        for file in
            members(spec, "env").iter().flat_map(|list| members(list, "value")).filter_map(|value| value.as_str())
        {
            let key = file.strip_prefix("/run/secrets/shuzhiren/").unwrap();
            assert!(example["stringData"].get(key).is_some(), "{owner}: {key}");
        }
    }
}

#[test]
fn pods_get_the_time_a_stop_needs() {
    let manifests = manifests("base");
    let settings = of_kind(&manifests, "ConfigMap")[0];
    let drain = seconds(settings["data"]["SHUZHIREN_DRAIN_TIMEOUT"].as_str().unwrap());
    for (owner, _, spec) in pods(&manifests) {
        let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
        let before: u64 = members(spec, "preStop")
            .iter()
            .map(|hook| hook["exec"]["command"][1].as_str().unwrap().parse::<u64>().unwrap())
            .sum();
        assert!(grace > before + 2 * drain, "{owner}: {grace} s for {before} s and two drains of {drain} s");
    }
}

#[test]
fn every_fleet_is_a_config_that_is_taken() {
    let mut fleets: Vec<String> = Vec::new();
    for manifest in manifests("base") {
        fleets.extend(manifest["data"]["fleet.json"].as_str().map(str::to_owned));
    }
    let patches = documents("kubernetes/demo/kustomization.yaml").remove(0);
    for patch in patches["patches"].as_array().unwrap() {
        let patch = yaml_rust2::YamlLoader::load_from_str(patch["patch"].as_str().unwrap()).unwrap();
        fleets.extend(super::json(&patch[0])["data"]["fleet.json"].as_str().map(str::to_owned));
    }
    assert_eq!(fleets.len(), 2);
    for fleet in fleets {
        let body: Value = serde_json::from_str(&fleet).unwrap();
        parse_config(&body, &FleetConfig::default()).unwrap_or_else(|problems| panic!("{problems:?} in {fleet}"));
    }
}

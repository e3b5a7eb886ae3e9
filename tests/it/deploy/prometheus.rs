//! Alerts and the dashboard ask for metrics and labels that the program has, and say what to do.

use super::{documents, members, promql::faults, read};
use serde_json::Value;
use std::collections::BTreeSet;

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

fn alerts() -> Vec<Value> {
    let file = documents("prometheus/alerts.yaml").remove(0);
    file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/shuzhiren.json")).unwrap()
}

#[test]
fn every_query_asks_for_what_exists() {
    let (alerts, dashboard) = (alerts(), dashboard());
    let scaled = documents("kubernetes/extras/keda.yaml").remove(0);
    let queries =
        alerts.iter().map(|alert| &alert["expr"]).chain(members(&dashboard, "expr")).chain(members(&scaled, "query"));
    let queries: Vec<&str> = queries.filter_map(Value::as_str).filter(|query| *query != "prometheus").collect();
    assert!(queries.len() > 60, "{}", queries.len());
    let found: Vec<String> = queries
        .into_iter()
        .flat_map(|query| faults(query).into_iter().map(move |fault| format!("{fault}: {query}")))
        .collect();
    none(&found);
}

#[test]
fn every_alert_says_what_to_do() {
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap().to_owned();
        assert!(name.starts_with("Shuzhiren"), "{name}");
        assert!(matches!(alert["labels"]["severity"].as_str(), Some("page" | "ticket")), "{name}");
        assert!(alert["annotations"]["summary"].as_str().is_some_and(|text| text.len() > 10), "{name}");
        assert!(alert["annotations"]["description"].as_str().is_some_and(|text| text.len() > 60), "{name}");
        assert!(names.insert(name));
    }
    // What promtool runs names alerts that exist.
    let tests = documents("prometheus/alerts.test.yaml").remove(0);
    for tested in members(&tests, "alertname") {
        assert!(names.contains(tested.as_str().unwrap()), "{tested}");
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is taken");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for y in place("y")..place("y") + place("h") {
            for x in place("x")..place("x") + place("w") {
                assert!(cells.insert((x, y)), "{title} lies over another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        assert!(members(panel, "uid").iter().all(|uid| *uid == "${datasource}"), "{title}");
    }
    assert!(panels.len() > 30);
}

/// compose.yaml hands the same alerts to its Prometheus.
#[test]
fn compose_watches_with_these_alerts() {
    let compose = std::fs::read_to_string(super::root().join("../compose.yaml")).unwrap();
    assert!(compose.contains("file: deploy/prometheus/alerts.yaml"));
    assert!(compose.contains("rule_files: [/etc/prometheus/alerts.yaml]"));
    assert!(compose.contains("{ source: alerts, target: /etc/prometheus/alerts.yaml }"));
}

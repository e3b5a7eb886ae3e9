//! Bad configs of the catalogue (safety.md §2.4), and valid ones.

use super::{MASKED, masked, parse_config};
use crate::{
    fleet::{FleetConfig, HealthCheck, Scheme, Server},
    problem::PROBLEMS_MAX,
};
use serde_json::{Value, json};

fn current() -> FleetConfig {
    FleetConfig {
        servers: vec![Server {
            id: "server-1".to_owned(),
            name: "主服务器".to_owned(),
            ip: "127.0.0.1".to_owned(),
            ports: vec![8001],
            enabled: false,
            scheme: Scheme::Https,
            base_path: "/comfy".to_owned(),
            headers: [("X-Key".to_owned(), "secret".to_owned())].into(),
            extra_data: [("api_key_comfy_org".to_owned(), "encrypted:v1:stored".to_owned())].into(),
        }],
        health_check: HealthCheck::default(),
        version: 7,
    }
}

fn server_with(name: &str, value: Value) -> Value {
    let mut server = json!({"id": "a", "name": "A", "ip": "10.0.0.1", "ports": [8001]});
    server[name] = value;
    json!({"servers": [server]})
}

/// Returns (pointer, code, is_shape) of the only problem.
fn only_problem(body: &Value) -> (String, String, bool) {
    let problems = parse_config(body, &current()).unwrap_err();
    assert_eq!(problems.len(), 1, "{body}: {problems:?}");
    (problems[0].pointer.clone(), problems[0].code.clone(), problems[0].is_shape)
}

#[test]
fn a_complete_document_is_accepted() {
    let body = json!({"servers": [{"id": "s", "name": "主", "ip": "Comfy.Local", "ports": [1, 65535], "enabled": false,
        "scheme": "https", "basePath": "/a/b/", "headers": {"X-Key": "v"}}],
        "healthCheck": {"interval": 200, "timeout": 100, "failuresToDown": 1}, "version": 7});
    let config = parse_config(&body, &current()).unwrap();
    let server = &config.servers[0];
    assert_eq!((server.id.as_str(), server.name.as_str(), server.ip.as_str()), ("s", "主", "comfy.local"));
    assert_eq!((server.ports.as_slice(), server.enabled, server.scheme), ([1, 65535].as_slice(), false, Scheme::Https));
    assert_eq!((server.base_path.as_str(), server.headers["X-Key"].as_str()), ("/a/b", "v"));
    assert_eq!(config.health_check, HealthCheck { interval: 200, timeout: 100, failures_to_down: 1 });
}

#[test]
fn omitted_members_are_kept() {
    let config = parse_config(&json!({"healthCheck": {"interval": 500}}), &current()).unwrap();
    assert_eq!(config.servers, current().servers);
    assert_eq!(config.health_check, HealthCheck { interval: 500, ..HealthCheck::default() });
    let body = json!({"servers": [{"id": "server-1", "ip": "127.0.0.1", "ports": [8001, 8002]}]});
    let config = parse_config(&body, &current()).unwrap();
    assert_eq!(config.servers[0], Server { ports: vec![8001, 8002], ..current().servers[0].clone() });
    assert_eq!(config.health_check, HealthCheck::default());
}

#[test]
fn secrets_are_masked_and_the_mask_keeps_them() {
    let shown = masked(&current());
    assert_eq!(shown.servers[0].headers["X-Key"], MASKED);
    let body = serde_json::to_value(&shown).unwrap();
    assert_eq!(parse_config(&body, &current()).unwrap(), current());
    let other_case =
        json!({"servers": [{"id": "server-1", "ip": "127.0.0.1", "ports": [8001], "headers": {"x-key": MASKED}}]});
    assert_eq!(parse_config(&other_case, &current()).unwrap().servers[0].headers["x-key"], "secret");
    let dropped = json!({"servers": [{"id": "server-1", "ip": "127.0.0.1", "ports": [8001], "headers": {}}]});
    assert!(parse_config(&dropped, &current()).unwrap().servers[0].headers.is_empty());
    let elsewhere = server_with("headers", json!({"X-Key": MASKED}));
    assert_eq!(only_problem(&elsewhere), ("/servers/0/headers/X-Key".into(), "no_stored_value".into(), false));
}

#[test]
fn dangerous_hosts_are_refused() {
    for ip in [
        "http://10.0.0.1",
        "file:///etc/passwd",
        "gopher://x",
        "user@host",
        "host/path",
        "host#f",
        "host?q",
        "host:80",
        "10.0.0.1:80",
        "a\r\nb",
        "a\0b",
        "%31",
        "*",
        "*.local",
        "",
        " ",
        "10.0.0.1 ",
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "ff02::1",
        "[::1]",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "192.0.0.192",
        "fec0::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.0.0.1",
        "-a.b",
        "a-.b",
        "a..b",
        ".",
        "a.",
        "a_b",
        "主机",
        &"a".repeat(64),
        &"a.".repeat(127),
    ] {
        assert_eq!(
            only_problem(&server_with("ip", json!(ip))),
            ("/servers/0/ip".into(), "invalid_ip".into(), false),
            "{ip}"
        );
    }
}

#[test]
fn private_and_public_hosts_are_accepted() {
    for (ip, kept) in [
        ("127.0.0.1", "127.0.0.1"),
        ("10.1.2.3", "10.1.2.3"),
        ("192.168.1.1", "192.168.1.1"),
        ("172.16.0.1", "172.16.0.1"),
        ("8.8.8.8", "8.8.8.8"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("FD00::1", "fd00::1"),
        ("localhost", "localhost"),
        ("GPU-01.lan", "gpu-01.lan"),
        ("3com.example", "3com.example"),
        ("comfy1", "comfy1"),
    ] {
        assert_eq!(parse_config(&server_with("ip", json!(ip)), &current()).unwrap().servers[0].ip, kept, "{ip}");
    }
}

#[test]
fn every_member_is_checked() {
    for (name, value, pointer, code, is_shape) in [
        ("id", json!(""), "id", "invalid_id", false),
        ("id", json!("a b"), "id", "invalid_id", false),
        ("id", json!("x".repeat(65)), "id", "invalid_id", false),
        ("id", json!(1), "id", "not_a_text", true),
        ("name", json!(""), "name", "invalid_name", false),
        ("name", json!("a\nb"), "name", "invalid_name", false),
        ("name", json!(null), "name", "not_a_text", true),
        ("ip", json!(null), "ip", "not_a_text", true),
        ("ports", json!([]), "ports", "invalid_ports", false),
        ("ports", json!(8001), "ports", "not_a_list", true),
        ("ports", json!([0]), "ports/0", "out_of_range", false),
        ("ports", json!([-1]), "ports/0", "out_of_range", false),
        ("ports", json!([1, 65536]), "ports/1", "out_of_range", false),
        ("ports", json!([1.5]), "ports/0", "not_an_integer", true),
        ("ports", json!(["8001"]), "ports/0", "not_an_integer", true),
        ("ports", json!([null]), "ports/0", "not_an_integer", true),
        ("ports", json!([1, 1]), "ports/1", "duplicate_instance", false),
        ("enabled", json!("true"), "enabled", "not_a_boolean", true),
        ("enabled", json!(1), "enabled", "not_a_boolean", true),
        ("enabled", json!(null), "enabled", "not_a_boolean", true),
        ("scheme", json!("ftp"), "scheme", "invalid_scheme", false),
        ("basePath", json!("comfy"), "basePath", "invalid_base_path", false),
        ("basePath", json!("/a/../b"), "basePath", "invalid_base_path", false),
        ("basePath", json!("/a?b"), "basePath", "invalid_base_path", false),
        ("basePath", json!("//evil.example"), "basePath", "invalid_base_path", false),
        ("headers", json!([]), "headers", "not_an_object", true),
        ("headers", json!({"X": 1}), "headers/X", "not_a_text", true),
        ("headers", json!({"X": "a\r\nb"}), "headers/X", "invalid_header", false),
        ("headers", json!({"X Y": "a"}), "headers/X Y", "invalid_header", false),
        ("headers", json!({"Host": "a"}), "headers/Host", "invalid_header", false),
        ("headers", json!({"Sec-WebSocket-Key": "a"}), "headers/Sec-WebSocket-Key", "invalid_header", false),
        ("headers", json!({"a": "1", "A": "2"}), "headers/A", "duplicate_header", false),
        ("port", json!(8001), "port", "unknown_field", true),
    ] {
        let expected = (format!("/servers/0/{pointer}"), code.to_owned(), is_shape);
        assert_eq!(only_problem(&server_with(name, value.clone())), expected, "{name} {value}");
    }
}

#[test]
fn intervals_are_integers_in_their_range() {
    for (value, code, is_shape) in [
        (json!(0), "out_of_range", false),
        (json!(-1), "out_of_range", false),
        (json!(199), "out_of_range", false),
        (json!(3_600_001), "out_of_range", false),
        (json!(1.5), "not_an_integer", true),
        (json!(1e18), "not_an_integer", true),
        (json!(1e30), "not_an_integer", true),
        (json!("30000"), "not_an_integer", true),
        (json!(null), "not_an_integer", true),
    ] {
        let expected = ("/healthCheck/interval".to_owned(), code.to_owned(), is_shape);
        assert_eq!(only_problem(&json!({"healthCheck": {"interval": value}})), expected, "{value}");
    }
    assert!(parse_config(&json!({"healthCheck": {"interval": 3_600_000}}), &current()).is_ok());
}

#[test]
fn malformed_documents_are_refused() {
    for (body, code) in [
        (json!([]), "not_an_object"),
        (json!(null), "not_an_object"),
        (json!({}), "nothing_to_change"),
        (json!({"version": 7}), "nothing_to_change"),
        (json!({"servers": {}}), "not_a_list"),
        (json!({"servers": null}), "not_a_list"),
        (json!({"servers": [null]}), "not_an_object"),
        (json!({"servers": [{"ip": "a", "ports": [1]}]}), "missing"),
        (json!({"servers": [{"id": "a", "ports": [1]}]}), "missing"),
        (json!({"servers": [{"id": "a", "ip": "a"}]}), "not_a_list"),
        (json!({"servers": [], "Servers": []}), "unknown_field"),
        (json!({"servers": [], "version": "7"}), "not_an_integer"),
        (json!({"healthCheck": []}), "not_an_object"),
        (json!({"healthCheck": {"Interval": 1}}), "unknown_field"),
    ] {
        let (_, got, is_shape) = only_problem(&body);
        assert_eq!((got.as_str(), is_shape), (code, true), "{body}");
    }
}

#[test]
fn every_problem_is_listed_up_to_a_limit() {
    let body = json!({"servers": [{"id": "", "ip": "http://x", "ports": [0, 65536]}], "healthCheck": {"interval": 1}});
    let pointers: Vec<_> = parse_config(&body, &current()).unwrap_err().into_iter().map(|one| one.pointer).collect();
    let all = ["/servers/0/id", "/servers/0/ip", "/servers/0/ports/0", "/servers/0/ports/1", "/healthCheck/interval"];
    assert_eq!(pointers, all);
    let holes = json!({"servers": vec![Value::Null; 500]});
    assert_eq!(parse_config(&holes, &current()).unwrap_err().len(), PROBLEMS_MAX);
    assert_eq!(only_problem(&json!({"servers": vec![Value::Null; 20_000]})).1, "too_many");
}

#[test]
fn ids_and_instances_are_unique_and_counted() {
    let server = |id: &str, ip: &str, ports: Vec<u64>| json!({"id": id, "ip": ip, "ports": ports});
    let same_id = json!({"servers": [server("a", "h", vec![1]), server("a", "h", vec![2])]});
    assert_eq!(only_problem(&same_id), ("/servers/1/id".into(), "duplicate_id".into(), false));
    let same_instance = json!({"servers": [server("a", "H", vec![1]), server("b", "h", vec![1])]});
    assert_eq!(only_problem(&same_instance), ("/servers/1/ports/0".into(), "duplicate_instance".into(), false));
    let many = json!({"servers": [server("a", "h", (1..=1_500).collect()), server("b", "g", (1..=501).collect())]});
    assert_eq!(only_problem(&many), ("/servers".into(), "too_many".into(), false));
}

#[test]
fn a_stored_key_stays_with_its_machine() {
    let server = |ip: &str, extra: Value| json!({"servers": [{"id": "server-1", "ip": ip, "ports": [8001], "extraData": extra}]});
    let keys = |body: &Value| parse_config(body, &current()).map(|config| config.servers[0].extra_data.clone());
    let stored = current().servers[0].extra_data.clone();
    assert_eq!(
        keys(&json!({"servers": [{"id": "server-1", "ip": "127.0.0.1", "ports": [8001, 8002]}]})),
        Ok(stored.clone())
    );
    assert_eq!(keys(&server("127.0.0.1", json!({"api_key_comfy_org": "***"}))), Ok(stored));
    assert_eq!(keys(&server("127.0.0.2", json!({}))), Ok([].into()));
    let new: std::collections::BTreeMap<_, _> = [("api_key_comfy_org".to_owned(), "new".to_owned())].into();
    assert_eq!(keys(&server("127.0.0.2", json!({"api_key_comfy_org": "new"}))), Ok(new));
    for (body, code) in [
        (server("127.0.0.2", json!({"api_key_comfy_org": "***"})), "no_stored_value"),
        (json!({"servers": [{"id": "server-1", "ip": "127.0.0.2", "ports": [8001]}]}), "no_stored_value"),
        (server("127.0.0.1", json!({"auth_token_comfy_org": "***"})), "no_stored_value"),
        (server("127.0.0.1", json!({"api_key": "x"})), "unknown_field"),
        (server("127.0.0.1", json!({"api_key_comfy_org": 5})), "not_a_text"),
        (server("127.0.0.1", json!({"api_key_comfy_org": "encrypted:v1:AAAA"})), "invalid_key"),
        (server("127.0.0.1", json!([])), "not_an_object"),
    ] {
        assert_eq!(only_problem(&body).1, code, "{body}");
    }
    assert_eq!(masked(&current()).servers[0].extra_data["api_key_comfy_org"], "***");
}

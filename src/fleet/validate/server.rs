//! Validation of one entry of `servers`.

use super::{MASKED, address, unknown_members};
use crate::{
    fleet::{FleetConfig, Scheme, Server},
    json::child_pointer,
    problem::{Problems, clip},
    secrets::{KEY_NAMES, check_key},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const KNOWN: [&str; 9] = ["id", "name", "ip", "ports", "enabled", "scheme", "basePath", "headers", "extraData"];
/// Maximum number of headers of a server.
const HEADERS_MAX: usize = 32;
/// Longest value of a header, bytes.
const HEADER_BYTES_MAX: usize = 8_192;
/// Headers of the connection, which cannot be configured.
const CONNECTION_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Parses one server; `None` if it has no valid id, address or ports (the problems are then recorded).
pub(super) fn parse(pointer: &str, value: &Value, current: &FleetConfig, problems: &mut Problems) -> Option<Server> {
    let Some(members) = value.as_object() else {
        problems.shape(pointer, "not_an_object", "a server must be an object");
        return None;
    };
    unknown_members(pointer, members, &KNOWN, problems);
    let mut reader = Reader { pointer, members, problems };
    let id = reader.id();
    let known = id.as_ref().and_then(|id| current.servers.iter().find(|server| &server.id == id));
    let name = reader.name();
    let ip = reader.ip();
    let ports = reader.ports();
    let enabled = reader.enabled();
    let scheme = reader.scheme();
    let base_path = reader.base_path();
    let headers = reader.headers(known);
    // A stored key must not reach another machine than the one it was given for.
    let is_same_machine =
        |known: &&Server| ip.as_ref() == Some(&known.ip) && scheme.unwrap_or(known.scheme) == known.scheme;
    let extra_data = reader.extra_data(known, known.is_some_and(|known| is_same_machine(&known)));
    let id = id?;
    Some(Server {
        name: name.or_else(|| known.map(|known| known.name.clone())).unwrap_or_else(|| id.clone()),
        ip: ip?,
        ports: ports?,
        enabled: enabled.or(known.map(|known| known.enabled)).unwrap_or(true),
        scheme: scheme.or(known.map(|known| known.scheme)).unwrap_or_default(),
        base_path: base_path.or_else(|| known.map(|known| known.base_path.clone())).unwrap_or_default(),
        headers: headers.or_else(|| known.map(|known| known.headers.clone())).unwrap_or_default(),
        extra_data,
        id,
    })
}

struct Reader<'a> {
    pointer: &'a str,
    members: &'a Map<String, Value>,
    problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    fn id(&mut self) -> Option<String> {
        let id = self.required_text("id")?;
        let is_word = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_word || !(1..=64).contains(&id.len()) {
            self.unfit("id", "invalid_id", "`id` must be 1 to 64 of A-Z, a-z, 0-9, dot, underscore and hyphen");
            return None;
        }
        Some(id.to_owned())
    }

    fn name(&mut self) -> Option<String> {
        let name = self.text("name")?;
        if !(1..=128).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            self.unfit("name", "invalid_name", "`name` must be 1 to 128 characters without control characters");
            return None;
        }
        Some(name.to_owned())
    }

    fn ip(&mut self) -> Option<String> {
        let ip = self.required_text("ip")?;
        match address::host(ip) {
            Ok(host) => Some(host),
            Err(message) => {
                self.unfit("ip", "invalid_ip", message);
                None
            }
        }
    }

    fn ports(&mut self) -> Option<Vec<u16>> {
        let Some(items) = self.members.get("ports").and_then(Value::as_array) else {
            self.shape("ports", "not_a_list", "`ports` must be a list of port numbers");
            return None;
        };
        if items.is_empty() || items.len() > super::INSTANCES_MAX {
            let message = format!("`ports` must have 1 to {} entries", super::INSTANCES_MAX);
            self.unfit("ports", "invalid_ports", &message);
            return None;
        }
        let ports: Vec<u16> = items.iter().enumerate().filter_map(|(at, item)| self.port(at, item)).collect();
        (ports.len() == items.len()).then_some(ports)
    }

    fn port(&mut self, at: usize, item: &Value) -> Option<u16> {
        let port = item.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        if port.is_none() {
            let member = format!("ports/{at}");
            if item.is_u64() || item.is_i64() {
                self.unfit(&member, "out_of_range", "a port must be from 1 to 65535");
            } else {
                self.shape(&member, "not_an_integer", "a port must be an integer from 1 to 65535");
            }
        }
        port
    }

    fn enabled(&mut self) -> Option<bool> {
        let value = self.members.get("enabled")?;
        if value.as_bool().is_none() {
            self.shape("enabled", "not_a_boolean", "`enabled` must be true or false");
        }
        value.as_bool()
    }

    fn scheme(&mut self) -> Option<Scheme> {
        match self.text("scheme")? {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => {
                self.unfit("scheme", "invalid_scheme", "`scheme` must be http or https");
                None
            }
        }
    }

    fn base_path(&mut self) -> Option<String> {
        let path = self.text("basePath")?;
        let trimmed = path.trim_end_matches('/');
        let is_plain = trimmed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-/".contains(&byte));
        let has_odd_segment = trimmed.split('/').skip(1).any(|segment| matches!(segment, "" | "." | ".."));
        if !trimmed.is_empty() && (!trimmed.starts_with('/') || !is_plain || has_odd_segment || trimmed.len() > 256) {
            self.unfit("basePath", "invalid_base_path", "`basePath` must be empty or a plain path such as /comfy");
            return None;
        }
        Some(trimmed.to_owned())
    }

    fn headers(&mut self, known: Option<&Server>) -> Option<BTreeMap<String, String>> {
        let value = self.members.get("headers")?;
        let Some(members) = value.as_object() else {
            self.shape("headers", "not_an_object", "`headers` must be an object of texts");
            return None;
        };
        if members.len() > HEADERS_MAX {
            self.unfit("headers", "too_many", &format!("more than {HEADERS_MAX} headers"));
            return None;
        }
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in members {
            let Some(value) = self.header(name, value, known) else { continue };
            if headers.keys().any(|other| other.eq_ignore_ascii_case(name)) {
                self.header_unfit(name, "duplicate_header", "duplicate header, in another spelling");
            }
            headers.insert(name.clone(), value);
        }
        Some(headers)
    }

    fn header(&mut self, name: &str, value: &Value, known: Option<&Server>) -> Option<String> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !(1..=128).contains(&name.len()) || !name.bytes().all(is_token) {
            self.header_unfit(name, "invalid_header", "invalid header name (RFC 9110)");
            return None;
        }
        let lower = name.to_ascii_lowercase();
        if CONNECTION_HEADERS.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            self.header_unfit(name, "invalid_header", "this header belongs to the connection and cannot be set");
            return None;
        }
        let Some(text) = value.as_str() else {
            self.shape(&child_pointer("headers", name), "not_a_text", "a header's value must be a text");
            return None;
        };
        if text == MASKED {
            return self.stored_header(name, known);
        }
        let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        if !is_printable || text.len() > HEADER_BYTES_MAX {
            self.header_unfit(name, "invalid_header", "a header's value must be at most 8192 bytes of printable ASCII");
            return None;
        }
        Some(text.to_owned())
    }

    /// Returns the keys for API nodes: those given, or the stored ones.
    fn extra_data(&mut self, known: Option<&Server>, is_same_machine: bool) -> BTreeMap<String, String> {
        let stored = known.map(|known| &known.extra_data);
        let Some(value) = self.members.get("extraData") else {
            let stored = stored.cloned().unwrap_or_default();
            if !stored.is_empty() && !is_same_machine {
                let message = "the stored keys belong to another address: give `extraData` again, or {} for none";
                self.unfit("extraData", "no_stored_value", message);
            }
            return stored;
        };
        let Some(members) = value.as_object() else {
            self.shape("extraData", "not_an_object", "`extraData` must be an object of texts");
            return BTreeMap::new();
        };
        let mut keys = BTreeMap::new();
        for (name, value) in members {
            let pointer = child_pointer("extraData", name);
            let stored = stored.and_then(|stored| stored.get(name)).filter(|_| is_same_machine);
            match (value.as_str(), stored) {
                _ if !KEY_NAMES.contains(&name.as_str()) => {
                    let message = format!("`{}` is not known here; known are {}", clip(name), KEY_NAMES.join(", "));
                    self.unfit(&pointer, "unknown_field", &message);
                }
                (None, _) => self.shape(&pointer, "not_a_text", "a key must be a text"),
                (Some(MASKED), Some(stored)) => {
                    keys.insert(name.clone(), stored.clone());
                }
                (Some(MASKED), None) => {
                    let message =
                        format!("`{MASKED}` stands for a stored key, and this server at this address has none");
                    self.unfit(&pointer, "no_stored_value", &message);
                }
                (Some(key), _) => match check_key(name, key) {
                    Ok(()) => {
                        keys.insert(name.clone(), key.to_owned());
                    }
                    Err(why) => self.unfit(&pointer, "invalid_key", &why),
                },
            }
        }
        keys
    }

    /// Returns the stored value of a header that was sent masked.
    fn stored_header(&mut self, name: &str, known: Option<&Server>) -> Option<String> {
        let stored = known.and_then(|known| {
            known.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        });
        if stored.is_none() {
            let message = format!("`{MASKED}` stands for a stored value, and this server has none for this header");
            self.header_unfit(name, "no_stored_value", &message);
        }
        stored
    }

    fn required_text(&mut self, name: &str) -> Option<&'a str> {
        if !self.members.contains_key(name) {
            self.shape(name, "missing", &format!("a server needs `{name}`"));
            return None;
        }
        self.text(name)
    }

    fn text(&mut self, name: &str) -> Option<&'a str> {
        let text = self.members.get(name)?.as_str();
        if text.is_none() {
            self.shape(name, "not_a_text", &format!("`{name}` must be a text"));
        }
        text
    }

    fn shape(&mut self, member: &str, code: &str, message: &str) {
        self.problems.shape(&format!("{}/{member}", self.pointer), code, message);
    }

    fn unfit(&mut self, member: &str, code: &str, message: &str) {
        self.problems.unfit(&format!("{}/{member}", self.pointer), code, message);
    }

    fn header_unfit(&mut self, name: &str, code: &str, message: &str) {
        self.unfit(&child_pointer("headers", name), code, message);
    }
}

//! Validates the body of `PUT /api/config`: reports every problem at once and applies the body only as a whole.
//!
//! Members of the body replace stored ones, others are kept: a server with a known `id` keeps optional members that the
//! body omits, and a masked header value keeps the stored secret. Start with [`parse_config`].

mod address;
mod server;

pub use address::is_allowed_address;

use super::{FleetConfig, HealthCheck};
use crate::{
    json::child_pointer,
    problem::{Problem, Problems, clip},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Replaces the values of headers and keys when the config is shown; in a request it keeps the stored value.
pub const MASKED: &str = "***";
/// Maximum number of servers.
pub const SERVERS_MAX: usize = 1_000;
/// Maximum number of instances.
pub const INSTANCES_MAX: usize = 2_000;

const KNOWN: [&str; 3] = ["servers", "healthCheck", "version"];
const KNOWN_HEALTH: [&str; 3] = ["interval", "timeout", "failuresToDown"];

/// Returns the config for display: the values of headers and keys are [`MASKED`].
pub fn masked(config: &FleetConfig) -> FleetConfig {
    let mut shown = config.clone();
    for server in &mut shown.servers {
        let secrets = server.headers.values_mut().chain(server.extra_data.values_mut());
        secrets.for_each(|value| MASKED.clone_into(value));
    }
    shown
}

/// Applies `body` to `current`: its members replace stored ones, others are kept.
///
/// # Errors
/// Every problem of the document (at most [`crate::problem::PROBLEMS_MAX`]); `current` is untouched.
pub fn parse_config(body: &Value, current: &FleetConfig) -> Result<FleetConfig, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut next = current.clone();
    let Some(members) = body.as_object() else {
        problems.shape("", "not_an_object", "the config must be a JSON object");
        return Err(problems.into_vec());
    };
    unknown_members("", members, &KNOWN, &mut problems);
    if !members.contains_key("servers") && !members.contains_key("healthCheck") {
        problems.shape("", "nothing_to_change", "name `servers`, `healthCheck` or both");
    }
    if members.get("version").is_some_and(|version| version.as_u64().is_none()) {
        problems.shape("/version", "not_an_integer", "`version` must be the number that GET /api/config gave");
    }
    if let Some(servers) = members.get("servers") {
        next.servers = servers_of(servers, current, &mut problems);
    }
    if let Some(health_check) = members.get("healthCheck") {
        next.health_check = health_check_of(health_check, current.health_check, &mut problems);
    }
    problems.check()?;
    Ok(next)
}

fn servers_of(value: &Value, current: &FleetConfig, problems: &mut Problems) -> Vec<super::Server> {
    let Some(items) = value.as_array() else {
        problems.shape("/servers", "not_a_list", "`servers` must be a list");
        return Vec::new();
    };
    if items.len() > SERVERS_MAX {
        problems.unfit("/servers", "too_many", &format!("{} servers are more than {SERVERS_MAX}", items.len()));
        return Vec::new();
    }
    let servers: Vec<super::Server> = items
        .iter()
        .enumerate()
        .filter_map(|(at, item)| server::parse(&format!("/servers/{at}"), item, current, problems))
        .collect();
    refuse_duplicates(items, problems);
    let instances: usize = servers.iter().map(|server| server.ports.len()).sum();
    if instances > INSTANCES_MAX {
        problems.unfit("/servers", "too_many", &format!("{instances} instances are more than {INSTANCES_MAX}"));
    }
    servers
}

/// Refuses duplicate ids and instances. Checks the raw items, so that an item with another problem counts too.
fn refuse_duplicates(items: &[Value], problems: &mut Problems) {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut instances: BTreeMap<(String, u64), String> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        let id = item.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        if let Some(id) = id
            && let Some(first) = ids.insert(id, at)
        {
            let message = format!("duplicate id `{id}`: already used by /servers/{first}");
            problems.unfit(&format!("/servers/{at}/id"), "duplicate_id", &message);
        }
        let ip = item.get("ip").and_then(Value::as_str).and_then(|ip| address::host(ip).ok());
        let ports = item.get("ports").and_then(Value::as_array);
        let (Some(ip), Some(ports)) = (ip, ports) else { continue };
        for (index, port) in ports.iter().enumerate() {
            let Some(port) = port.as_u64() else { continue };
            let pointer = format!("/servers/{at}/ports/{index}");
            if let Some(first) = instances.insert((ip.clone(), port), pointer.clone()) {
                problems.unfit(
                    &pointer,
                    "duplicate_instance",
                    &format!("duplicate instance {ip}:{port}: already listed in {first}"),
                );
            }
        }
    }
}

fn health_check_of(value: &Value, current: HealthCheck, problems: &mut Problems) -> HealthCheck {
    let Some(members) = value.as_object() else {
        problems.shape("/healthCheck", "not_an_object", "`healthCheck` must be an object");
        return current;
    };
    unknown_members("/healthCheck", members, &KNOWN_HEALTH, problems);
    let mut number = |name: &str, low: u64, high: u64, current: u64| {
        integer(members, "/healthCheck", name, (low, high), problems).unwrap_or(current)
    };
    let failures = number("failuresToDown", 1, 100, u64::from(current.failures_to_down));
    HealthCheck {
        interval: number("interval", 200, 3_600_000, current.interval),
        timeout: number("timeout", 100, 120_000, current.timeout),
        failures_to_down: u32::try_from(failures).unwrap_or(current.failures_to_down),
    }
}

/// Refuses unknown members: a misspelt name must not look as if it had been applied.
fn unknown_members(pointer: &str, members: &Map<String, Value>, known: &[&str], problems: &mut Problems) {
    for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
        let message = format!("`{}` is not known here; known are {}", clip(name), known.join(", "));
        problems.shape(&child_pointer(pointer, name), "unknown_field", &message);
    }
}

fn integer(
    members: &Map<String, Value>,
    pointer: &str,
    name: &str,
    (low, high): (u64, u64),
    problems: &mut Problems,
) -> Option<u64> {
    let value = members.get(name)?;
    let pointer = format!("{pointer}/{name}");
    if let Some(number) = value.as_u64()
        && (low..=high).contains(&number)
    {
        return Some(number);
    }
    if value.is_u64() || value.is_i64() {
        problems.unfit(&pointer, "out_of_range", &format!("`{name}` must be from {low} to {high}"));
    } else {
        problems.shape(&pointer, "not_an_integer", &format!("`{name}` must be an integer from {low} to {high}"));
    }
    None
}

#[cfg(test)]
mod tests;

//! `shuzhiren instances`, `enable`, `disable`, `release`.

use super::for_each_id::each;
use crate::{
    cli::{
        client::{
            common_args::Common,
            rest::{Api, Repeat},
        },
        error::Error,
        term::{
            format::{age, bytes, text},
            output::{self, Color},
            table::Table,
        },
    },
    clock,
};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

/// Settings of `instances`.
#[derive(Debug, Args)]
pub struct InstancesArgs {
    /// Show only this instance, with its health history
    id: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Settings of `enable`, `disable` and `release`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// Instances, as `ip:port`
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Lists instances.
pub(crate) async fn instances(args: InstancesArgs) -> Result<(), Error> {
    let api = args.common.connection.logged_in()?;
    let answer = match &args.id {
        Some(id) => api.get(&path_of(id)).await.map_err(|error| error.about(id))?,
        None => api.get("/api/instances").await?,
    };
    if args.common.json {
        return output::print_line(answer.raw.get());
    }
    let one = std::slice::from_ref(&answer.value);
    let list = answer.value.as_array().map_or(one, Vec::as_slice);
    let mut table =
        Table::new(&["INSTANCE", "SERVER", "PHASE", "WORK", "QUEUE", "VRAM FREE", "COMFYUI", "SEEN", "ERROR"]);
    let now = clock::unix_ms();
    list.iter().for_each(|instance| row(instance, &mut table, now));
    table.print(true)?;
    let history = answer.value["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    history.iter().try_for_each(|change| {
        let why = change["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        output::print_line(&output::sanitize(&format!("  {} {}{why}", text(change, "at"), text(change, "phase"))))
    })
}

fn row(instance: &Value, table: &mut Table, now_ms: u64) {
    let phase = text(instance, "phase");
    let shown = if instance["enabled"] == true { phase.to_owned() } else { format!("{phase}, disabled") };
    let plain = |text: String| (text, Color::Plain);
    table.push([
        plain(text(instance, "id").to_owned()),
        plain(text(instance, "serverName").to_owned()),
        (shown, Color::of(phase)),
        plain(if instance["busy"] == true { "busy".to_owned() } else { "idle".to_owned() }),
        plain(instance["queueDepth"].to_string()),
        plain(vram(&instance["device"])),
        plain(text(instance, "version").to_owned()),
        plain(age(&instance["lastHeartbeat"], now_ms)),
        plain(text(instance, "lastError").to_owned()),
    ]);
}

/// Free GPU memory: `12.0 GiB of 24.0 GiB`, empty without a GPU.
pub(crate) fn vram(device: &Value) -> String {
    match (device["vramFree"].as_u64(), device["vramTotal"].as_u64()) {
        (Some(free), Some(total)) if total > 0 => format!("{} of {}", bytes(free), bytes(total)),
        _ => String::new(),
    }
}

/// Enables instances.
pub(crate) async fn enable(args: SwitchArgs) -> Result<(), Error> {
    switch(args, true).await
}

/// Disables instances: they finish what they run and take no new tasks.
pub(crate) async fn disable(args: SwitchArgs) -> Result<(), Error> {
    switch(args, false).await
}

/// Ends the quarantine of instances.
pub(crate) async fn release(args: SwitchArgs) -> Result<(), Error> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    let release = async |id: &str| {
        let path = format!("{}/release", path_of(id));
        let answer = api.call(Repeat::Safe, async || Ok(api.request(Method::POST, &path))).await?;
        if json {
            return output::print_line(answer.raw.get());
        }
        output::print_line(&format!("{} is not in quarantine", answer.text("id")))
    };
    each(&args.ids, async |id| release(id).await.map_err(|error| error.about(id))).await
}

async fn switch(args: SwitchArgs, enabled: bool) -> Result<(), Error> {
    let (api, json) = (args.common.connection.logged_in()?, args.common.json);
    each(&args.ids, async |id| switch_one(&api, id, enabled, json).await.map_err(|error| error.about(id))).await
}

async fn switch_one(api: &Api, id: &str, enabled: bool, json: bool) -> Result<(), Error> {
    let (path, body) = (path_of(id), json!({ "enabled": enabled }));
    let answer = api.call(Repeat::Safe, async || Ok(api.request(Method::PUT, &path).json(&body))).await?;
    if json {
        return output::print_line(answer.raw.get());
    }
    let what = match (answer.value["enabled"] == true, answer.value["busy"] == true) {
        (true, _) => "enabled",
        (false, true) if !enabled => "disabled; it finishes what it runs",
        (false, _) if !enabled => "disabled",
        // The instance is enabled, its server is not.
        (false, _) => "enabled, but its server is disabled in the config",
    };
    output::print_line(&format!("{} {what}", answer.text("id")))
}

/// Path of an instance. The id is typed by people, so it is escaped to stay one path segment.
fn path_of(id: &str) -> String {
    let id: String = id
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b':' => char::from(byte).to_string(),
            // `.` and `..` alone would be path segments.
            b'.' if id.bytes().any(|byte| byte != b'.') => ".".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("/api/instances/{id}")
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn an_id_stays_one_path_segment() {
        assert_eq!(path_of("127.0.0.1:8001"), "/api/instances/127.0.0.1:8001");
        assert_eq!(path_of("[::1]:8001"), "/api/instances/%5B::1%5D:8001");
        assert_eq!(path_of("../tasks?x#y"), "/api/instances/..%2Ftasks%3Fx%23y");
    }
}

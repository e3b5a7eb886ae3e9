//! Reads what an instance is (version, device, features) and whether it answers.

use super::{Client, Error, Probe, limits, python_json};
use crate::{fleet::Device, json::Members, text::truncated};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{sync::atomic::Ordering, time::Duration};

/// `{"system":{"comfyui_version",…},"devices":[{"name","vram_total","vram_free",…}]}`
#[derive(Deserialize)]
struct Stats<'a> {
    #[serde(borrow)]
    system: &'a RawValue,
    #[serde(borrow, default)]
    devices: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SystemStats<'a> {
    #[serde(borrow, default)]
    comfyui_version: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DeviceStats<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    vram_total: Option<&'a RawValue>,
    #[serde(borrow, default)]
    vram_free: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Features<'a> {
    #[serde(borrow, default)]
    max_upload_size: Option<&'a RawValue>,
}

/// `{"exec_info":{"queue_remaining":n}}`
#[derive(Deserialize)]
struct ExecInfo<'a> {
    #[serde(borrow)]
    exec_info: &'a RawValue,
}

#[derive(Deserialize)]
struct Remaining<'a> {
    #[serde(borrow)]
    queue_remaining: &'a RawValue,
}

impl Client {
    /// Reads /system_stats, /features and /api/jobs. Remembers whether to use /api/jobs.
    ///
    /// # Errors
    /// The instance does not answer within `timeout`, or is not a ComfyUI.
    pub async fn probe(&self, timeout: Duration) -> Result<Probe, Error> {
        let http = self.http.with_timeout(timeout);
        let stats = http.send_known(http.get("/system_stats"), limits::REPLY_BYTES_MAX).await?;
        let stats = python_json::tidy(&stats);
        let stats: Option<Stats<'_>> = python_json::object(&stats);
        let system = stats.as_ref().and_then(|stats| python_json::object::<SystemStats<'_>>(stats.system.get()));
        let (Some(stats), Some(system)) = (stats, system) else {
            return Err(Error::Broken("/system_stats is not ComfyUI's".to_owned()));
        };
        let version = system.comfyui_version.and_then(python_json::text).unwrap_or_else(|| "unknown".to_owned());
        let features = match http.send(http.get("/features"), limits::REPLY_BYTES_MAX).await {
            Ok(reply) => reply.accepted().unwrap_or_default(),
            Err(error @ Error::Unreachable(_)) => return Err(error),
            Err(_) => bytes::Bytes::new(),
        };
        let features = python_json::tidy(&features);
        let upload_bytes_max = python_json::object::<Features<'_>>(&features)
            .and_then(|features| features.max_upload_size)
            .and_then(python_json::count);
        let has_jobs = match http.send(http.get("/api/jobs?limit=1"), limits::LEDGER_BYTES_MAX).await {
            Ok(reply) => reply.accepted().is_ok_and(|body| {
                python_json::read::<Members<'_>>(&python_json::tidy(&body))
                    .is_some_and(|members| members.0.iter().any(|(key, _)| key == "jobs"))
            }),
            Err(error @ Error::Unreachable(_)) => return Err(error),
            Err(_) => false,
        };
        self.has_jobs.store(has_jobs, Ordering::Relaxed);
        Ok(Probe { version: displayable(version), device: device(stats.devices), upload_bytes_max, has_jobs })
    }

    /// Reads GET /object_info, every class with its inputs, as strict JSON. It blocks the instance for up to 0.1 s
    /// (protocol §1), so it is read once per start.
    ///
    /// # Errors
    /// The instance does not answer within `timeout`.
    pub async fn object_info(&self, timeout: Duration) -> Result<String, Error> {
        let http = self.http.with_timeout(timeout);
        let body = http.send_known(http.get("/object_info"), limits::OBJECT_INFO_BYTES_MAX).await?;
        Ok(python_json::tidy(&body).into_owned())
    }

    /// Returns the number of prompts pending and running (GET /prompt). The cheapest check.
    ///
    /// # Errors
    /// The instance does not answer within `timeout`, or is not a ComfyUI.
    pub async fn queue_remaining(&self, timeout: Duration) -> Result<u32, Error> {
        let http = self.http.with_timeout(timeout);
        let body = http.send_known(http.get("/prompt"), limits::REPLY_BYTES_MAX).await?;
        python_json::object::<ExecInfo<'_>>(&python_json::tidy(&body))
            .and_then(|info| python_json::object::<Remaining<'_>>(info.exec_info.get()))
            .and_then(|info| python_json::count(info.queue_remaining))
            .map(|remaining| u32::try_from(remaining).unwrap_or(u32::MAX))
            .ok_or_else(|| Error::Broken("/prompt is not ComfyUI's".to_owned()))
    }
}

fn device(devices: Option<&RawValue>) -> Option<Device> {
    let devices: Vec<&RawValue> = python_json::read(devices?.get())?;
    let device: DeviceStats<'_> = python_json::object(devices.first()?.get())?;
    Some(Device {
        name: displayable(device.name.and_then(python_json::text).unwrap_or_default()),
        vram_total: device.vram_total.and_then(python_json::count).unwrap_or(0),
        vram_free: device.vram_free.and_then(python_json::count).unwrap_or(0),
    })
}

/// Makes a string from the instance displayable: no control characters, and short.
fn displayable(text: String) -> String {
    truncated(text.chars().filter(|c| !c.is_control()).collect(), limits::WORD_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::device;
    use crate::comfy::python_json;

    #[test]
    fn a_device_with_odd_numbers_is_read() {
        let raw = python_json::read(
            r#"[{"name":"cuda:0 \u0000NVIDIA","vram_total":25276063744.0,"vram_free":-5,"index":null}]"#,
        );
        let device = device(raw).unwrap();
        assert_eq!((device.name.as_str(), device.vram_total, device.vram_free), ("cuda:0 NVIDIA", 25_276_063_744, 0));
    }
}

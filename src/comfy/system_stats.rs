//! Reads what an instance is (version, device, features) and whether it answers.

use super::{Client, Error, Probe, error_text::displayable, limits, python_json};
use crate::{fleet::Device, json::first_elements};
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
    #[serde(borrow, default)]
    node_replacements: Option<&'a RawValue>,
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
        let reply = http.send_known(http.get("/system_stats"), limits::REPLY_BYTES_MAX).await?;
        let (version, device) = reply
            .parse(version_and_device)
            .await?
            .ok_or_else(|| Error::Broken("/system_stats is not ComfyUI's".to_owned()))?;
        let upload_bytes_max = match http.send(http.get("/features"), limits::REPLY_BYTES_MAX).await {
            Ok(reply) => match reply.accepted() {
                Ok(reply) => reply.parse(upload_bytes_max).await?,
                Err(_) => None,
            },
            Err(error @ Error::Unreachable(_)) => return Err(error),
            Err(_) => None,
        };
        let has_jobs = Self { http, ..self.clone() }.knows_jobs().await?;
        self.has_jobs.store(has_jobs, Ordering::Relaxed);
        Ok(Probe { version, device, upload_bytes_max, has_jobs })
    }

    /// Returns the limit of a request body (`--max-upload-size`), bytes; `None` if the instance does not answer.
    pub(super) async fn body_bytes_max(&self) -> Option<u64> {
        let reply = self.http.send(self.http.get("/features"), limits::REPLY_BYTES_MAX).await.ok()?;
        reply.accepted().ok()?.parse(upload_bytes_max).await.ok()?
    }

    /// Returns the refusal of a body that is too large, with the limit of this instance and the option that raises it.
    pub(super) async fn too_large(&self) -> Error {
        let limit = match self.body_bytes_max().await {
            Some(bytes) => format!(" (its limit is {bytes} bytes)"),
            None => String::new(),
        };
        Error::Refused(format!(
            "413: larger than this ComfyUI accepts{limit}: start it with a larger --max-upload-size (in MB)"
        ))
    }

    /// Reads GET /object_info, every class with its inputs, as strict JSON. It blocks the instance for up to 0.1 s
    /// (protocol §1), so it is read once per start.
    ///
    /// # Errors
    /// The instance does not answer within `timeout`.
    pub async fn object_info(&self, timeout: Duration) -> Result<String, Error> {
        let http = self.http.with_timeout(timeout);
        http.send_known(http.get("/object_info"), limits::OBJECT_INFO_BYTES_MAX).await?.into_json().await
    }

    /// Reads GET /node_replacements, as strict JSON: classes that the instance replaces by others. `None` unless
    /// /features says that it does (protocol §18).
    ///
    /// # Errors
    /// The instance does not answer within `timeout`.
    pub async fn node_replacements(&self, timeout: Duration) -> Result<Option<String>, Error> {
        let http = self.http.with_timeout(timeout);
        let features = http.send(http.get("/features"), limits::REPLY_BYTES_MAX).await?.accepted();
        let replaces = match features {
            Ok(features) => features.parse(has_node_replacements).await?,
            Err(_) => false,
        };
        if !replaces {
            return Ok(None);
        }
        let reply = http.send_known(http.get("/node_replacements"), limits::REPLY_BYTES_MAX).await?;
        reply.into_json().await.map(Some)
    }

    /// Returns the number of prompts pending and running (GET /prompt). The cheapest check.
    ///
    /// # Errors
    /// The instance does not answer within `timeout`, or is not a ComfyUI.
    pub async fn queue_remaining(&self, timeout: Duration) -> Result<u32, Error> {
        let http = self.http.with_timeout(timeout);
        let reply = http.send_known(http.get("/prompt"), limits::REPLY_BYTES_MAX).await?;
        let remaining = reply.parse(|json| {
            let info = python_json::object::<ExecInfo<'_>>(json)?;
            let info = python_json::object::<Remaining<'_>>(info.exec_info.get())?;
            python_json::count(info.queue_remaining)
        });
        let remaining = remaining.await?.ok_or_else(|| Error::Broken("/prompt is not ComfyUI's".to_owned()))?;
        Ok(u32::try_from(remaining).unwrap_or(u32::MAX))
    }
}

fn version_and_device(json: &str) -> Option<(String, Option<Device>)> {
    let stats: Stats<'_> = python_json::object(json)?;
    let system: SystemStats<'_> = python_json::object(stats.system.get())?;
    let version = system.comfyui_version.and_then(word).unwrap_or_else(|| "unknown".to_owned());
    Some((version, device(stats.devices)))
}

fn upload_bytes_max(json: &str) -> Option<u64> {
    python_json::object::<Features<'_>>(json)?.max_upload_size.and_then(python_json::count)
}

fn has_node_replacements(json: &str) -> bool {
    let features: Option<Features<'_>> = python_json::object(json);
    features.and_then(|features| features.node_replacements).is_some_and(|flag| flag.get() == "true")
}

fn device(devices: Option<&RawValue>) -> Option<Device> {
    let [first] = first_elements(devices?.get())?;
    let device: DeviceStats<'_> = python_json::object(first.get())?;
    Some(Device {
        name: device.name.and_then(word).unwrap_or_default(),
        vram_total: device.vram_total.and_then(python_json::count).unwrap_or(0),
        vram_free: device.vram_free.and_then(python_json::count).unwrap_or(0),
    })
}

fn word(raw: &RawValue) -> Option<String> {
    python_json::text(raw, limits::NAME_BYTES_MAX).map(|text| displayable(&text))
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

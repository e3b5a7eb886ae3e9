//! What a node may do while it runs: tell its progress, sleep, look whether it is interrupted, save a file.

use super::{Failed, Inputs};
use crate::sim::{
    engine::{
        incarnation::Life,
        progress::{Ids, Progress},
        prompt_heap::Item,
    },
    files::Slot,
    lock, python,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// What a node may use.
#[derive(Debug)]
pub(in crate::sim) struct Context {
    pub life: Arc<Life>,
    pub item: Item,
    pub client: Option<String>,
    pub progress: Mutex<Progress>,
}

impl Context {
    /// To the prompt's client; to nobody without one.
    pub(in crate::sim) fn tell(&self, kind: &str, data: &Value) {
        if self.client.is_some() {
            self.life.hub.send(self.client.as_deref(), kind, data);
        }
    }

    /// To the prompt's client; to all without one.
    pub(in crate::sim) fn tell_or_all(&self, kind: &str, data: &Value) {
        self.life.hub.send(self.client.as_deref(), kind, data);
    }

    fn tell_state(&self, progress: &Progress) {
        self.life.hub.send_text(self.client.as_deref(), "progress_state", &progress.json(&self.item.id));
    }

    pub(in crate::sim) fn start(&self, ids: &Ids) {
        let mut progress = lock(&self.progress);
        progress.start(&self.item.id, ids);
        self.tell_state(&progress);
    }

    pub(in crate::sim) fn finish(&self, ids: &Ids) {
        let mut progress = lock(&self.progress);
        progress.finish(&self.item.id, ids);
        self.tell_state(&progress);
    }

    /// A step of a node's bar, with a preview (format 1 JPEG, 2 PNG) or without.
    pub(super) fn step(&self, ids: &Ids, value: u64, max: u64, preview: Option<(u32, &[u8])>) -> Result<(), Failed> {
        self.look()?;
        {
            let mut progress = lock(&self.progress);
            progress.update(&self.item.id, ids, value, max);
            self.tell_state(&progress);
        }
        let with_metadata = self.life.hub.wants_metadata(self.client.as_deref());
        if let (Some((format, bytes)), true) = (preview, with_metadata) {
            let about = json!({
                "node_id": ids.node,
                "prompt_id": self.item.id,
                "display_node_id": ids.display,
                "parent_node_id": ids.parent,
                "real_node_id": ids.display,
                "image_type": if format == 2 { "image/png" } else { "image/jpeg" },
            });
            let about = python::dumps(&about);
            let length = u32::try_from(about.len()).unwrap_or(0).to_be_bytes();
            self.life.hub.send_binary(self.client.as_deref(), 4, &[&length, about.as_bytes(), bytes].concat());
        }
        self.tell_or_all("progress", &json!({"value": value, "max": max, "prompt_id": self.item.id, "node": ids.node}));
        if let (Some((format, bytes)), false) = (preview, with_metadata) {
            self.life.hub.send_binary(self.client.as_deref(), 1, &[&format.to_be_bytes(), bytes].concat());
        }
        Ok(())
    }

    /// Looks at the interrupt flag, and takes it down.
    pub(in crate::sim) fn look(&self) -> Result<(), Failed> {
        if lock(&self.life.shared.faults).interrupt_ignored || !*self.life.interrupt.borrow() {
            return Ok(());
        }
        self.life.interrupt.send_replace(false);
        Err(Failed::Interrupted)
    }

    /// Sleeps and looks.
    pub(super) async fn wait(&self, seconds: f64) -> Result<(), Failed> {
        self.look()?;
        let seconds = (seconds / self.life.shared.options.speed).clamp(0.0, 1e6);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut flag = self.life.interrupt.subscribe();
        let is_interrupted = tokio::select! {
            () = tokio::time::sleep_until(end), if seconds > 0.0 => false,
            _ = flag.wait_for(|raised| *raised), if seconds > 0.0 => true,
            else => false,
        };
        if is_interrupted && lock(&self.life.shared.faults).interrupt_ignored {
            tokio::time::sleep_until(end).await;
        }
        self.go_on().await;
        self.look()
    }

    /// Sleeps and never looks.
    pub(super) async fn sleep(&self, seconds: f64) {
        self.life.pause(seconds).await;
        self.go_on().await;
    }

    /// A frozen instance stands still here, and so does one whose worker is dead.
    pub(super) async fn go_on(&self) {
        self.life.gate.pass().await;
        if self.life.zombie.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn slot(
        &self,
        inputs: &Inputs,
        kind: &'static str,
        prefix: &str,
        size: (u32, u32),
    ) -> Result<Slot, Failed> {
        let prefix = if kind == "temp" { prefix.to_owned() } else { inputs.text("filename_prefix", prefix) };
        self.life.shared.files.slot(&prefix, kind, size.0, size.1).map_err(|why| Failed::error("Exception", why))
    }

    /// Writes `NAME_00001_.EXT` and gives its `{filename,subfolder,type}`.
    pub(super) fn save(
        &self,
        slot: &Slot,
        at: u32,
        kind: &'static str,
        extension: &str,
        content: Vec<u8>,
    ) -> Result<Value, Failed> {
        let counter = slot.counter.saturating_add(u64::from(at));
        let name = slot.name.replace("%batch_num%", &at.to_string());
        let filename = format!("{name}_{counter:05}_.{extension}");
        let key = (kind, slot.subfolder.clone(), filename.clone());
        self.life.shared.files.put(key, content.into()).map_err(|error| Failed::error("OSError", error.to_string()))?;
        Ok(json!({"filename": filename, "subfolder": slot.subfolder, "type": kind}))
    }
}

//! Logs: text or one JSON object a line, on standard error, with the fields of `tracing` (task, attempt, instance, …).
//!
//! Invariant: no secret and no body is ever a field; a panic is a log line and a metric, not loose text between JSON lines.

use crate::{
    metrics,
    settings::{LogFormat, LogSettings},
};
use std::{io::IsTerminal, panic, sync::Once};
use tracing_subscriber::EnvFilter;

/// Crates that say at `info` what only their authors need; a filter that names them wins.
const QUIETER: &str = "fred=warn,rustls=warn,hyper=warn,object_store=warn";

/// Starts logging; called once.
///
/// # Errors
/// A sentence: the filter cannot be read, or logging was started before.
pub fn init_logs(settings: &LogSettings) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", settings.filter)).map_err(|error| {
        format!("--log `{}` is no filter ({error}); write it like info or shuzhiren=debug,info", settings.filter)
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    }
    .map_err(|error| format!("cannot start logging: {error}"))?;
    install_panic_hook();
    Ok(())
}

/// Counts every panic of the process, whichever thread or task it is in, and logs it once logging runs.
pub(super) fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            metrics::panicked();
            if tracing::dispatcher::has_been_set() {
                tracing::error!("panicked at {info}");
            } else {
                before(info);
            }
        }));
    });
}

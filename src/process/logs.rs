//! Logs on standard error: text or one JSON object per line, with the fields of `tracing` (task, attempt, instance, …).
//!
//! Invariants: no field holds a secret or a body; a panic is a log line and a metric, never plain text among JSON lines;
//! a line that cannot be written (full disk, closed pipe, a reader that has stopped) is lost and counted, and neither
//! ends nor blocks the process.

mod lossy_stderr;

use crate::{
    metrics,
    settings::{LogFormat, LogSettings},
};
use lossy_stderr::LossyStderr;
use std::{io::IsTerminal, panic, sync::Once};
use tracing_subscriber::EnvFilter;

/// Filter for crates that are noisy at `info`; a filter of the user that names them takes precedence.
const QUIETER: &str = "fred=warn,rustls=warn,hyper=warn,object_store=warn";

/// Starts logging; called once.
///
/// # Errors
/// A message: the filter is invalid, or logging was already started.
pub fn init_logs(settings: &LogSettings) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", settings.filter)).map_err(|error| {
        format!("--log `{}` is not a filter ({error}); write it like info or shuzhiren=debug,info", settings.filter)
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LossyStderr)
        // Its own errors would be printed on standard error too, by a macro that panics if that fails.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    }
    .map_err(|error| format!("cannot start logging: {error}"))?;
    install_panic_hook();
    Ok(())
}

/// Counts every panic of the process, in any thread or task, and logs it once logging has started. Must not panic itself,
/// which would abort the process: [`LossyStderr`] has no errors, and the hook of the standard library ignores them.
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

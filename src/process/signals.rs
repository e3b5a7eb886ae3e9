//! Handling of SIGINT and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled at the first SIGINT or SIGTERM; a second one exits at once with 130 or 143.
///
/// Call it inside the runtime, before anything slow: from then on, no signal is lost.
pub fn stop_on_signals() -> CancellationToken {
    let stop = CancellationToken::new();
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => {
            tokio::spawn(watch(interrupt, terminate, stop.clone()));
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "installing signal handlers failed: signals end this process without a drain");
        }
    }
    stop
}

async fn watch(mut interrupt: Signal, mut terminate: Signal, stop: CancellationToken) {
    loop {
        let (name, code) = tokio::select! {
            _ = interrupt.recv() => ("SIGINT", 130),
            _ = terminate.recv() => ("SIGTERM", 143),
        };
        if stop.is_cancelled() {
            tracing::warn!("second signal ({name}): exiting at once");
            std::process::exit(code);
        }
        tracing::info!("{name}: stopping; send it again to exit at once");
        stop.cancel();
    }
}

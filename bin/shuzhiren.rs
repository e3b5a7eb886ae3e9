//! The program: parses the flags, runs one role and returns its exit code.

mod roles;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use shuzhiren::{cli, process, settings::LogSettings, trace};
use std::process::ExitCode;

/// Halves the time that a request spends on memory allocation, which is a fifth of its total with the system allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// REST + WebSocket service in front of a fleet of ComfyUI instances.
///
/// Every setting is a flag and an environment variable; durations have a unit (500ms, 15s, 2m, 24h).
#[derive(Debug, Parser)]
#[command(name = "shuzhiren", version, about, propagate_version = true, max_term_width = 110, after_help = cli::EXIT_CODES)]
struct Program {
    #[command(flatten)]
    log: LogSettings,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Run everything in one process with its own Redis, and stand-in instances if no fleet is configured
    #[command(after_help = trace::HELP)]
    Up(Box<roles::up::UpArgs>),
    /// Run the REST API (and the WebSocket, unless --no-ws)
    #[command(after_help = trace::HELP)]
    Api(Box<roles::api::ApiArgs>),
    /// Run only the WebSocket
    Ws(Box<roles::ws::WsArgs>),
    /// Run a dispatcher, which drives the instances; any number may run
    #[command(after_help = trace::HELP)]
    Dispatcher(Box<roles::dispatcher::DispatcherArgs>),
    /// Check settings, Redis, store and instances, and print advice; changes nothing
    Doctor(Box<roles::doctor::DoctorArgs>),
    /// Run a stand-in ComfyUI, to try things without a GPU
    Sim(Box<shuzhiren::sim::SimSettings>),
    #[command(flatten)]
    Client(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut command = cli::grouped(Program::command());
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|matches| Program::from_arg_matches(&matches));
    let program = match parsed.map_err(|error| error.format(&mut command)) {
        Ok(program) => program,
        Err(error) => return print_usage(&error),
    };
    match Box::pin(run(program)).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            use std::io::Write as _;
            // A closed standard error is no reason to panic.
            let _unread = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Exit code if standard output takes no help, as of the client commands.
const NOT_WRITTEN: u8 = 7;

/// Prints the help, the version, or an error of the arguments.
fn print_usage(error: &clap::Error) -> ExitCode {
    use std::io::{ErrorKind, Write as _};
    match error.print().and_then(|()| std::io::stdout().flush()) {
        Err(failed) if failed.kind() != ErrorKind::BrokenPipe && !error.use_stderr() => ExitCode::from(NOT_WRITTEN),
        Ok(()) | Err(_) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
    }
}

/// Runs the role. Returns 0, or the exit code of a client command.
async fn run(program: Program) -> Result<u8, String> {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return Err("TLS provider already installed".to_owned());
    }
    process::init_logs(&program.log)?;
    match program.role {
        Role::Up(args) => traced("up", Box::pin(roles::up::run(*args))).await?,
        Role::Api(args) => traced("api", Box::pin(roles::api::run(*args))).await?,
        Role::Ws(args) => Box::pin(roles::ws::run(*args)).await?,
        Role::Dispatcher(args) => traced("dispatcher", Box::pin(roles::dispatcher::run(*args))).await?,
        Role::Doctor(args) => Box::pin(roles::doctor::run(*args)).await?,
        Role::Sim(settings) => shuzhiren::sim::run(*settings, process::stop_on_signals()).await?,
        Role::Client(command) => return Ok(cli::run(command, Program::command()).await),
    }
    Ok(0)
}

/// Runs a role with tracing, and exports the remaining spans at its end.
async fn traced(role: &'static str, run: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let traces = trace::start(role);
    let ended = run.await;
    traces.end().await;
    ended
}

//! Client commands: `shuzhiren submit`, `watch`, `tasks`, `top`, …. They use the public API only.
//!
//! `commands` has a file or a folder per command; `client` speaks REST and WebSocket (address and login, retries, errors by
//! exit code); `watch` follows tasks until they end; `term` reads and writes the terminal. Start at [`Command`].
//!
//! Invariants: standard output holds the result and nothing else; hints, progress bars and waiting are on standard
//! error. A token is sent only to the address that issued it. Text from a server is never trusted as a file name, a
//! path or a terminal command.

mod client;
mod commands;
mod error;
mod examples;
mod help;
mod term;
mod watch;

pub use error::EXIT_CODES;
pub use help::grouped;

use clap::Subcommand;
use commands::sample::SampleArgs;
use error::Error;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit a workflow, once or many times, and optionally watch it
    #[command(after_help = examples::SUBMIT)]
    Submit(Box<commands::submit::SubmitArgs>),
    /// Watch tasks until they end, or everything that happens
    ///
    /// Restarts of the server and lost connections are survived without missing an ending. Ctrl-C leaves the tasks
    /// running and prints the command to watch them again.
    Watch(commands::watch::WatchArgs),
    /// List tasks
    #[command(after_help = examples::TASKS)]
    Tasks(Box<commands::tasks::TasksArgs>),
    /// Show a task in full
    Show(commands::tasks::ShowArgs),
    /// Explain in plain words what happened to a task, or what it waits for
    Explain(commands::explain::ExplainArgs),
    /// Cancel tasks
    Cancel(commands::tasks::TaskIdsArgs),
    /// Retry failed or cancelled tasks
    Retry(commands::tasks::RetryArgs),
    /// Show or cancel batches: the tasks of one submit with --count or --sweep
    #[command(after_help = examples::BATCHES)]
    Batches(commands::batches::BatchesArgs),
    /// List, read, publish or delete published workflows
    #[command(after_help = examples::WORKFLOWS)]
    Workflows(Box<commands::workflows::WorkflowsArgs>),
    /// Upload files
    Upload(commands::files::UploadArgs),
    /// List files
    Files(commands::files::FilesArgs),
    /// Download files, or all outputs of a task
    Download(commands::files::DownloadArgs),
    /// Delete files
    Rm(commands::files::RmArgs),
    /// List the ComfyUI instances
    Instances(commands::instances::InstancesArgs),
    /// Enable instances: they take tasks again
    Enable(commands::instances::SwitchArgs),
    /// Disable instances: they finish what they run and take no new tasks
    Disable(commands::instances::SwitchArgs),
    /// End the quarantine of instances whose machine was repaired
    Release(commands::instances::SwitchArgs),
    /// Read or change the config of the fleet
    #[command(after_help = examples::CONFIG)]
    Config(commands::config::ConfigArgs),
    /// Show the fleet live
    Top(commands::top::TopArgs),
    /// Log in; the other commands use the saved token
    ///
    /// The token is saved on this machine, readable by this user only (0600), and sent to no other address. The
    /// password is read from the terminal, from --password-stdin, or from the variable SHUZHIREN_PASSWORD.
    Login(commands::login::LoginArgs),
    /// Log out: delete the saved token
    Logout(commands::login::LogoutArgs),
    /// Show who is logged in, and where
    Whoami(commands::login::LogoutArgs),
    /// Submit a sample task and save its picture
    Sample(Box<SampleArgs>),
    /// Measure throughput and latency with many small tasks
    #[command(after_help = examples::BENCH)]
    Bench(Box<commands::bench::BenchArgs>),
    /// Print shell completions
    #[command(after_help = examples::COMPLETIONS)]
    Completions(commands::completions::CompletionsArgs),
}

/// Runs a command and returns its exit code ([`EXIT_CODES`]). Prints errors on standard error. `program` is the whole
/// command line, for `completions`.
pub async fn run(command: Command, program: clap::Command) -> u8 {
    match Box::pin(done(command, program)).await {
        Ok(()) => 0,
        Err(error @ Error::ReaderGone) => error.exit_code(),
        Err(error @ Error::Interrupted(_)) => {
            term::output::hint(&error.to_string());
            error.exit_code()
        }
        Err(error) => {
            term::output::hint(&format!("error: {error}"));
            error.exit_code()
        }
    }
}

async fn done(command: Command, program: clap::Command) -> Result<(), Error> {
    match command {
        Command::Submit(args) => commands::submit::submit(*args).await,
        Command::Watch(args) => commands::watch::watch(args).await,
        Command::Tasks(args) => commands::tasks::tasks(*args).await,
        Command::Show(args) => commands::tasks::show(args).await,
        Command::Explain(args) => commands::explain::explain(args).await,
        Command::Cancel(args) => commands::tasks::cancel(args).await,
        Command::Retry(args) => commands::tasks::retry(args).await,
        Command::Batches(args) => commands::batches::batches(args).await,
        Command::Workflows(args) => commands::workflows::workflows(*args).await,
        Command::Upload(args) => commands::files::upload(args).await,
        Command::Files(args) => commands::files::files(args).await,
        Command::Download(args) => commands::files::download(args).await,
        Command::Rm(args) => commands::files::rm(args).await,
        Command::Instances(args) => commands::instances::instances(args).await,
        Command::Enable(args) => commands::instances::enable(args).await,
        Command::Disable(args) => commands::instances::disable(args).await,
        Command::Release(args) => commands::instances::release(args).await,
        Command::Config(args) => commands::config::config(args).await,
        Command::Top(args) => commands::top::top(args).await,
        Command::Login(args) => commands::login::login(args).await,
        Command::Logout(args) => commands::login::logout(args),
        Command::Whoami(args) => commands::login::whoami(args).await,
        Command::Sample(args) => commands::sample::sample(*args).await,
        Command::Bench(args) => commands::bench::bench(*args).await,
        Command::Completions(args) => commands::completions::completions(args, program),
    }
}

//! Client commands: `shuzhiren submit`, `watch`, `tasks`, `top`, …. They use the public API only.
//!
//! A command's way: `connection` (where, as whom; `kept` = the login kept between commands) → `api` (REST: waits for a busy
//! server, repeats what may be repeated, makes a [`Fault`] of the rest) and `live` (the WebSocket) → `out`.
//! `follow` is how tasks are watched to their endings. Look at [`Command`] first.
//!
//! Invariants: standard output holds what was asked for and nothing else; hints, bars and waiting are on standard error. A token
//! goes only to the address that gave it. What a server says is never trusted as a file's name, a path or a terminal's command.

mod client;
mod commands;
mod examples;
mod help;
mod term;
mod watch;

pub use client::error::EXIT_CODES;
pub use help::grouped;

use clap::Subcommand;
use client::error::Fault;
use commands::sample::SampleArgs;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit a workflow, once or many times, and watch it if asked to
    #[command(after_help = examples::SUBMIT)]
    Submit(Box<commands::submit::SubmitArgs>),
    /// Watch tasks to their endings, or everything that happens
    ///
    /// It outlives restarts of the server and lost connections without missing an ending. Ctrl-C leaves the tasks running, and says how
    /// to watch them again.
    Watch(commands::watch::WatchArgs),
    /// List tasks
    #[command(after_help = examples::TASKS)]
    Tasks(Box<commands::tasks::TasksArgs>),
    /// Show everything that is known of a task
    Show(commands::tasks::ShowArgs),
    /// Say in plain words what happened to a task, or what it waits for
    Explain(commands::explain::ExplainArgs),
    /// Cancel tasks
    Cancel(commands::tasks::TaskIdsArgs),
    /// Give failed or cancelled tasks another try
    Retry(commands::tasks::TaskIdsArgs),
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
    /// Download files, or everything a task made
    Download(commands::files::DownloadArgs),
    /// Delete files
    Rm(commands::files::RmArgs),
    /// List the ComfyUI instances
    Instances(commands::instances::InstancesArgs),
    /// Let instances take tasks again
    Enable(commands::instances::SwitchArgs),
    /// Let instances end what they run and take nothing new
    Disable(commands::instances::SwitchArgs),
    /// Read or change the config of the fleet
    #[command(after_help = examples::CONFIG)]
    Config(commands::config::ConfigArgs),
    /// The fleet as it is now, live
    Top(commands::top::TopArgs),
    /// Log in; the token is kept for the other commands
    ///
    /// It is kept on this machine, for this user only (0600), and sent to no other address. The password is asked for, or taken from
    /// --password-stdin or the variable SHUZHIREN_PASSWORD.
    Login(commands::login::LoginArgs),
    /// Forget the token
    Logout(commands::login::LogoutArgs),
    /// Say who is logged in, and where
    Whoami(commands::login::LogoutArgs),
    /// Submit a sample task and fetch its picture
    Sample(Box<SampleArgs>),
    /// Measure throughput and latency with many small tasks
    #[command(after_help = examples::BENCH)]
    Bench(commands::bench::BenchArgs),
    /// Print the completions of a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(commands::completions::CompletionsArgs),
}

/// Does a command; `program` is all of the command line, for its completions. Gives the exit code ([`EXIT_CODES`]), with what
/// went wrong told on standard error.
pub async fn run(command: Command, program: clap::Command) -> u8 {
    match Box::pin(done(command, program)).await {
        Ok(()) => 0,
        Err(fault @ Fault::ReaderGone) => fault.exit_code(),
        Err(fault @ Fault::Interrupted(_)) => {
            term::output::hint(&fault.to_string());
            fault.exit_code()
        }
        Err(fault) => {
            term::output::hint(&format!("error: {fault}"));
            fault.exit_code()
        }
    }
}

async fn done(command: Command, program: clap::Command) -> Result<(), Fault> {
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
        Command::Config(args) => commands::config::config(args).await,
        Command::Top(args) => commands::top::top(args).await,
        Command::Login(args) => commands::login::login(args).await,
        Command::Logout(args) => commands::login::logout(args),
        Command::Whoami(args) => commands::login::whoami(args).await,
        Command::Sample(args) => commands::sample::sample(*args).await,
        Command::Bench(args) => commands::bench::bench(args).await,
        Command::Completions(args) => commands::completions::completions(args, program),
    }
}

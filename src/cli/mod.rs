//! Client commands: `shuzhiren submit`, `watch`, `tasks`, `top`, …. They use the public API only.
//!
//! A command's way: `connection` (where, as whom; `kept` = the login kept between commands) → `api` (REST: waits for a busy
//! server, repeats what may be repeated, makes a [`Fault`] of the rest) and `live` (the WebSocket) → `out`.
//! `follow` is how tasks are watched to their endings. Look at [`Command`] first.
//!
//! Invariants: standard output holds what was asked for and nothing else; hints, bars and waiting are on standard error. A token
//! goes only to the address that gave it. What a server says is never trusted as a file's name, a path or a terminal's command.

mod answer;
mod api;
mod batches;
mod bench;
mod completions;
mod config;
mod connection;
mod diff;
mod endings;
mod everything;
mod examples;
mod explain;
mod fault;
mod fetch;
mod figures;
mod files;
mod flow_facts;
mod flow_ref;
mod flows;
mod follow;
mod help;
mod instances;
mod kept;
mod layout;
mod live;
mod login;
mod order;
mod out;
mod pages;
mod params;
mod place;
mod prompt;
mod publish;
mod rehearsal;
mod sample;
mod scene;
mod screen;
mod submit;
mod sweep;
mod table;
mod task_id;
mod tasks;
mod teller;
mod top;
mod upload;
mod watch;
mod watched;
mod whole;
mod words;

pub use fault::EXIT_CODES;
pub use help::grouped;

use clap::Subcommand;
use fault::Fault;
use sample::SampleArgs;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit a workflow, once or many times, and watch it if asked to
    #[command(after_help = examples::SUBMIT)]
    Submit(Box<submit::SubmitArgs>),
    /// Watch tasks to their endings, or everything that happens
    ///
    /// It outlives restarts of the server and lost connections without missing an ending. Ctrl-C leaves the tasks running, and says how
    /// to watch them again.
    Watch(watch::WatchArgs),
    /// List tasks
    #[command(after_help = examples::TASKS)]
    Tasks(Box<tasks::TasksArgs>),
    /// Show everything that is known of a task
    Show(tasks::ShowArgs),
    /// Say in plain words what happened to a task, or what it waits for
    Explain(explain::ExplainArgs),
    /// Cancel tasks
    Cancel(tasks::TaskIdsArgs),
    /// Give failed or cancelled tasks another try
    Retry(tasks::TaskIdsArgs),
    /// Show or cancel batches: the tasks of one submit with --count or --sweep
    #[command(after_help = examples::BATCHES)]
    Batches(batches::BatchesArgs),
    /// List, read, publish or delete published workflows
    #[command(after_help = examples::WORKFLOWS)]
    Workflows(Box<flows::WorkflowsArgs>),
    /// Upload files
    Upload(files::UploadArgs),
    /// List files
    Files(files::FilesArgs),
    /// Download files, or everything a task made
    Download(files::DownloadArgs),
    /// Delete files
    Rm(files::RmArgs),
    /// List the ComfyUI instances
    Instances(instances::InstancesArgs),
    /// Let instances take tasks again
    Enable(instances::SwitchArgs),
    /// Let instances end what they run and take nothing new
    Disable(instances::SwitchArgs),
    /// Read or change the config of the fleet
    #[command(after_help = examples::CONFIG)]
    Config(config::ConfigArgs),
    /// The fleet as it is now, live
    Top(top::TopArgs),
    /// Log in; the token is kept for the other commands
    ///
    /// It is kept on this machine, for this user only (0600), and sent to no other address. The password is asked for, or taken from
    /// --password-stdin or the variable SHUZHIREN_PASSWORD.
    Login(login::LoginArgs),
    /// Forget the token
    Logout(login::LogoutArgs),
    /// Say who is logged in, and where
    Whoami(login::LogoutArgs),
    /// Submit a sample task and fetch its picture
    Sample(Box<SampleArgs>),
    /// Measure throughput and latency with many small tasks
    #[command(after_help = examples::BENCH)]
    Bench(bench::BenchArgs),
    /// Print the completions of a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::CompletionsArgs),
}

/// Does a command; `program` is all of the command line, for its completions. Gives the exit code ([`EXIT_CODES`]), with what
/// went wrong told on standard error.
pub async fn run(command: Command, program: clap::Command) -> u8 {
    match Box::pin(done(command, program)).await {
        Ok(()) => 0,
        Err(fault @ Fault::ReaderGone) => fault.exit_code(),
        Err(fault @ Fault::Interrupted(_)) => {
            out::hint(&fault.to_string());
            fault.exit_code()
        }
        Err(fault) => {
            out::hint(&format!("error: {fault}"));
            fault.exit_code()
        }
    }
}

async fn done(command: Command, program: clap::Command) -> Result<(), Fault> {
    match command {
        Command::Submit(args) => submit::submit(*args).await,
        Command::Watch(args) => watch::watch(args).await,
        Command::Tasks(args) => tasks::tasks(*args).await,
        Command::Show(args) => tasks::show(args).await,
        Command::Explain(args) => explain::explain(args).await,
        Command::Cancel(args) => tasks::cancel(args).await,
        Command::Retry(args) => tasks::retry(args).await,
        Command::Batches(args) => batches::batches(args).await,
        Command::Workflows(args) => flows::workflows(*args).await,
        Command::Upload(args) => files::upload(args).await,
        Command::Files(args) => files::files(args).await,
        Command::Download(args) => files::download(args).await,
        Command::Rm(args) => files::rm(args).await,
        Command::Instances(args) => instances::instances(args).await,
        Command::Enable(args) => instances::enable(args).await,
        Command::Disable(args) => instances::disable(args).await,
        Command::Config(args) => config::config(args).await,
        Command::Top(args) => top::top(args).await,
        Command::Login(args) => login::login(args).await,
        Command::Logout(args) => login::logout(args),
        Command::Whoami(args) => login::whoami(args).await,
        Command::Sample(args) => sample::sample(*args).await,
        Command::Bench(args) => bench::bench(args).await,
        Command::Completions(args) => completions::completions(args, program),
    }
}

//! `shuzhiren doctor`: takes the settings of every role, checks them and starts nothing.

use super::{dispatcher::validate, initial_config, shared::store_keys};
use clap::Args;
use shuzhiren::{
    auth::{self, Profile},
    doctor::{self, Finding, Level, Plan, Report},
    settings::{AuthSettings, DispatcherSettings, QueueSettings, RedisSettings, StorageSettings},
};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Settings of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON: {"ok", "findings": [{"check", "level", "found", "advice"}]}
    #[arg(long)]
    json: bool,
    /// Address of a running system to check as well, e.g. https://comfy.example.com
    #[arg(long, env = "SHUZHIREN_URL")]
    url: Option<String>,
    /// Data folder of a running `up` whose Redis and files to check, e.g. data
    #[arg(long, env = "SHUZHIREN_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Initial config of the fleet to check, e.g. fleet.json
    #[arg(long, env = "SHUZHIREN_CONFIG_FILE", value_name = "FILE")]
    config_file: Option<PathBuf>,
    #[command(flatten)]
    redis: RedisSettings,
    #[command(flatten)]
    queue: QueueSettings,
    #[command(flatten)]
    storage: StorageSettings,
    #[command(flatten)]
    auth: AuthSettings,
    #[command(flatten)]
    dispatcher: DispatcherSettings,
}

/// Runs all checks and prints the findings. An error if a check failed.
pub(crate) async fn run(mut args: DoctorArgs) -> Result<(), String> {
    let mut settings = Report::default();
    let mut profile = Profile::Production;
    if let Some(folder) = args.data_dir.take() {
        of_up(&mut args, &folder)?;
        profile = Profile::Development;
    }
    settings.push(login(&args.auth, profile));
    settings.push(match validate(&args.dispatcher) {
        Ok(()) => Finding::ok("settings.dispatcher", "consistent"),
        Err(why) => Finding::fail("settings.dispatcher", why, "choose a longer time"),
    });
    let fleet = match args.config_file.as_deref().map(initial_config::read).transpose() {
        Ok(fleet) => fleet,
        Err(why) => {
            settings.push(Finding::fail("settings.config", why, "correct the file"));
            None
        }
    };
    let keys = store_keys(&args.storage).unwrap_or_else(|why| {
        settings.push(Finding::fail("settings.storage", why, "set both or neither"));
        None
    });
    let plan = Plan {
        redis: args.redis,
        keep_tasks: args.queue.keep_tasks(),
        storage: args.storage,
        keys,
        fleet,
        url: args.url,
    };
    let report = settings.and(Box::pin(doctor::examine(&plan)).await);
    let text = if args.json { report.to_json() + "\n" } else { report.to_string() };
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(format!("cannot write to standard output: {error}"));
        }
        Ok(()) | Err(_) => {}
    }
    match report.count(Level::Fail) {
        0 => Ok(()),
        1 => Err("1 check failed".to_owned()),
        count => Err(format!("{count} checks failed")),
    }
}

/// Sets what `up` takes from its data folder by default.
fn of_up(args: &mut DoctorArgs, folder: &Path) -> Result<(), String> {
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    if args.redis.redis_url.is_none() && args.redis.redis_url_file.is_none() {
        args.redis.redis_url_file = Some(folder.join("redis").join("url"));
    }
    if args.auth.jwt_secret.is_none() && args.auth.jwt_secret_file.is_none() {
        args.auth.jwt_secret_file = Some(folder.join("jwt-secret"));
    }
    args.queue.default_to_up();
    args.storage.storage_url.get_or_insert_with(|| format!("file://{}", folder.join("files").display()));
    Ok(())
}

fn login(auth: &AuthSettings, profile: Profile) -> Finding {
    const CHECK: &str = "settings.login";
    let is_unset = auth.admin_password.is_none()
        && auth.admin_password_file.is_none()
        && auth.jwt_secret.is_none()
        && auth.jwt_secret_file.is_none();
    if is_unset {
        return Finding::skip(CHECK, "neither password nor token key is set; only api and ws need them");
    }
    match auth::prepare(auth, profile) {
        Ok(_) => Finding::ok(CHECK, "password and token key are acceptable"),
        Err(why) => Finding::fail(CHECK, why, "api and ws do not start until this is changed"),
    }
}

//! `shuzhiren config get|set|edit`: the config of the fleet. Shows the changes, and never overwrites those of others.

use crate::cli::{
    client::{
        common_args::Common,
        envelope::Answer,
        rest::{Api, Repeat},
    },
    error::Error,
    term::{
        ask,
        line_diff::diff,
        output::{self, Color},
    },
};
use clap::{Args, Subcommand};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, IF_MATCH},
};
use serde_json::Value;
use std::{
    io::{IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

/// Settings of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the current config
    Get(GetArgs),
    /// Apply a file: `{"servers":[…],"healthCheck":{…}}`; members it does not name stay
    Set(SetArgs),
    /// Edit the config in $VISUAL or $EDITOR
    Edit(EditArgs),
}

#[derive(Debug, Args)]
struct GetArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// Config file, `-` = standard input. If it names a `version`, it is refused unless that is the current one
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct EditArgs {
    /// Apply the change without confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs a subcommand of `config`.
pub(crate) async fn config(args: ConfigArgs) -> Result<(), Error> {
    match args.action {
        Action::Get(args) => {
            let config = read(&args.common.connection.logged_in()?).await?;
            if args.common.json {
                output::print_line(config.raw.get())
            } else {
                output::print_line(&pretty(&config.value))
            }
        }
        Action::Set(args) => set(args).await,
        Action::Edit(args) => edit(args).await,
    }
}

async fn read(api: &Api) -> Result<Answer, Error> {
    api.get("/api/config").await
}

async fn set(args: SetArgs) -> Result<(), Error> {
    let text = if args.file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&args.file)
    };
    let text = text.map_err(|error| Error::Usage(format!("cannot read {}: {error}", args.file.display())))?;
    let named: Value = parse(&text).map_err(|error| error.about(&args.file.display().to_string()))?;
    let api = args.common.connection.logged_in()?;
    let before = read(&api).await?;
    // Without a version in the file, the version just read is the guard, so that the changes shown are the changes
    // made.
    let guard = if named["version"].is_u64() { None } else { before.etag.clone() };
    let after = write(&api, text, guard.as_deref()).await?;
    print_changes(&before, &after, args.common.json)
}

async fn edit(args: EditArgs) -> Result<(), Error> {
    let api = args.common.connection.logged_in()?;
    let before = read(&api).await?;
    let shown = pretty(&before.value);
    let draft = draft_of(&shown)?;
    ask::edit(draft.path()).await?;
    let text = std::fs::read_to_string(draft.path())
        .map_err(|error| Error::Local(format!("cannot read {}: {error}", draft.path().display())))?;
    if text == shown {
        output::hint("no changes");
        return Ok(());
    }
    if let Err(error) = parse(&text) {
        return Err(keep_draft(draft, &error.to_string()));
    }
    changes(&shown, &text).iter().for_each(|line| output::hint(line));
    if !args.yes && std::io::stdin().is_terminal() && !ask::confirm("Apply these changes?").await? {
        return Err(keep_draft(draft, "not applied"));
    }
    match write(&api, text, before.etag.as_deref()).await {
        Ok(after) if args.common.json => output::print_line(after.raw.get()),
        Ok(after) => output::print_line(&format!("version {} is active", after.value["version"])),
        Err(Error::Refused(why) | Error::Unreachable(why)) => Err(keep_draft(draft, &why)),
        Err(error) => Err(error),
    }
}

/// Writes the text to a temporary file that only its owner can read: the config may hold secrets.
fn draft_of(text: &str) -> Result<tempfile::NamedTempFile, Error> {
    let draft = tempfile::Builder::new().prefix("shuzhiren-config-").suffix(".json").tempfile();
    let draft = draft.and_then(|draft| std::fs::write(draft.path(), text).map(|()| draft));
    draft.map_err(|error| Error::Local(format!("cannot write a file to edit: {error}")))
}

/// Keeps the edited file after an error, so that no work is lost.
fn keep_draft(draft: tempfile::NamedTempFile, why: &str) -> Error {
    match draft.keep() {
        Ok((_, path)) => Error::Refused(format!(
            "{why}\nyour changes are saved in {0}\nafter correcting them: shuzhiren config set {0}",
            path.display()
        )),
        Err(error) => Error::Refused(format!("{why}\nyour changes could not be saved: {error}")),
    }
}

fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|error| Error::Usage(format!("not JSON: {error}")))
}

async fn write(api: &Api, text: String, guard: Option<&str>) -> Result<Answer, Error> {
    api.call(Repeat::IfUnsent, async || {
        let request =
            api.request(Method::PUT, "/api/config").header(CONTENT_TYPE, "application/json").body(text.clone());
        Ok(match guard {
            Some(etag) => request.header(IF_MATCH, etag),
            None => request,
        })
    })
    .await
}

fn print_changes(before: &Answer, after: &Answer, json: bool) -> Result<(), Error> {
    if json {
        return output::print_line(after.raw.get());
    }
    let lines = changes(&pretty(&before.value), &pretty(&after.value));
    lines.iter().try_for_each(|line| output::print_line(line))?;
    output::print_line(&format!("version {} is active", after.value["version"]))
}

fn changes(before: &str, after: &str) -> Vec<String> {
    let paint = |line: String| {
        let color = match line.chars().next() {
            Some('-') => Color::Bad,
            Some('+') => Color::Good,
            _ => Color::Plain,
        };
        color.paint(&output::sanitize(&line), output::has_colors())
    };
    diff(before, after).into_iter().map(paint).collect()
}

fn pretty(config: &Value) -> String {
    format!("{config:#}")
}

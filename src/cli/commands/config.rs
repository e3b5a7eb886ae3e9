//! `shuzhiren config get|set|edit`: the config of the fleet. Shows the changes, and never overwrites those of others.

use crate::cli::{
    client::{
        connection::Common,
        envelope::Answer,
        error::Fault,
        rest::{Api, Repeat},
    },
    term::{
        ask,
        line_diff::diff,
        output::{self, Ink},
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
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
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
pub(crate) async fn config(args: ConfigArgs) -> Result<(), Fault> {
    match args.what {
        What::Get(args) => {
            let config = read(&args.common.connection.logged_in()?).await?;
            if args.common.json { output::say(config.raw.get()) } else { output::say(&pretty(&config.value)) }
        }
        What::Set(args) => set(args).await,
        What::Edit(args) => edit(args).await,
    }
}

async fn read(api: &Api) -> Result<Answer, Fault> {
    api.get("/api/config").await
}

async fn set(args: SetArgs) -> Result<(), Fault> {
    let text = if args.file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&args.file)
    };
    let text = text.map_err(|error| Fault::Usage(format!("cannot read {}: {error}", args.file.display())))?;
    let named: Value = parse(&text).map_err(|error| error.about(&args.file.display().to_string()))?;
    let api = args.common.connection.logged_in()?;
    let before = read(&api).await?;
    // Without a version in the file, the version just read is the guard, so that the changes shown are the changes made.
    let guard = if named["version"].is_u64() { None } else { before.etag.clone() };
    let after = write(&api, text, guard.as_deref()).await?;
    told(&before, &after, args.common.json)
}

async fn edit(args: EditArgs) -> Result<(), Fault> {
    let api = args.common.connection.logged_in()?;
    let before = read(&api).await?;
    let shown = pretty(&before.value);
    let draft = draft_of(&shown)?;
    ask::edit(draft.path()).await?;
    let text = std::fs::read_to_string(draft.path())
        .map_err(|error| Fault::Local(format!("cannot read {}: {error}", draft.path().display())))?;
    if text == shown {
        output::hint("no changes");
        return Ok(());
    }
    if let Err(fault) = parse(&text) {
        return Err(keeping(draft, &fault.to_string()));
    }
    changes(&shown, &text).iter().for_each(|line| output::hint(line));
    if !args.yes && std::io::stdin().is_terminal() && !ask::confirm("Apply these changes?").await? {
        return Err(keeping(draft, "not applied"));
    }
    match write(&api, text, before.etag.as_deref()).await {
        Ok(after) if args.common.json => output::say(after.raw.get()),
        Ok(after) => output::say(&format!("version {} is active", after.value["version"])),
        Err(Fault::Refused(why) | Fault::Unreachable(why)) => Err(keeping(draft, &why)),
        Err(fault) => Err(fault),
    }
}

/// Writes the text to a temporary file that only its owner can read: the config may hold secrets.
fn draft_of(text: &str) -> Result<tempfile::NamedTempFile, Fault> {
    let draft = tempfile::Builder::new().prefix("shuzhiren-config-").suffix(".json").tempfile();
    let draft = draft.and_then(|draft| std::fs::write(draft.path(), text).map(|()| draft));
    draft.map_err(|error| Fault::Local(format!("cannot write a file to edit: {error}")))
}

/// Keeps the edited file after an error, so that no work is lost.
fn keeping(draft: tempfile::NamedTempFile, why: &str) -> Fault {
    match draft.keep() {
        Ok((_, path)) => Fault::Refused(format!(
            "{why}\nyour changes are saved in {0}\nafter correcting them: shuzhiren config set {0}",
            path.display()
        )),
        Err(error) => Fault::Refused(format!("{why}\nyour changes could not be saved: {error}")),
    }
}

fn parse(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Usage(format!("not JSON: {error}")))
}

async fn write(api: &Api, text: String, guard: Option<&str>) -> Result<Answer, Fault> {
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

fn told(before: &Answer, after: &Answer, json: bool) -> Result<(), Fault> {
    if json {
        return output::say(after.raw.get());
    }
    let lines = changes(&pretty(&before.value), &pretty(&after.value));
    lines.iter().try_for_each(|line| output::say(line))?;
    output::say(&format!("version {} is active", after.value["version"]))
}

fn changes(before: &str, after: &str) -> Vec<String> {
    let paint = |line: String| {
        let ink = match line.chars().next() {
            Some('-') => Ink::Bad,
            Some('+') => Ink::Good,
            _ => Ink::Plain,
        };
        ink.paint(&output::clean(&line), output::has_colours())
    };
    diff(before, after).into_iter().map(paint).collect()
}

fn pretty(config: &Value) -> String {
    format!("{config:#}")
}

//! `shuzhiren config get|set|edit`: the fleet. A change says what it changes, and never overwrites somebody else's.

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
    /// Print the config in force
    Get(GetArgs),
    /// Put a file in force: `{"servers":[…],"healthCheck":{…}}`; what it does not name stays
    Set(SetArgs),
    /// Change the config in $VISUAL or $EDITOR
    Edit(EditArgs),
}

#[derive(Debug, Args)]
struct GetArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The config, `-` = standard input. A `version` in it is a guard: another one in force refuses it
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct EditArgs {
    /// Do not ask before the change is put in force
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// Reads or changes.
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
    // Without a guard of its own it is guarded by what was read a moment ago: the difference shown is the one made.
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
        output::hint("nothing was changed");
        return Ok(());
    }
    if let Err(fault) = parse(&text) {
        return Err(keeping(draft, &fault.to_string()));
    }
    changes(&shown, &text).iter().for_each(|line| output::hint(line));
    if !args.yes && std::io::stdin().is_terminal() && !ask::confirm("Put this in force?").await? {
        return Err(keeping(draft, "not put in force"));
    }
    match write(&api, text, before.etag.as_deref()).await {
        Ok(after) if args.common.json => output::say(after.raw.get()),
        Ok(after) => output::say(&format!("version {} is in force", after.value["version"])),
        Err(Fault::Refused(why) | Fault::Unreachable(why)) => Err(keeping(draft, &why)),
        Err(fault) => Err(fault),
    }
}

/// For its owner's eyes: the config may hold secrets.
fn draft_of(text: &str) -> Result<tempfile::NamedTempFile, Fault> {
    let draft = tempfile::Builder::new().prefix("shuzhiren-config-").suffix(".json").tempfile();
    let draft = draft.and_then(|draft| std::fs::write(draft.path(), text).map(|()| draft));
    draft.map_err(|error| Fault::Local(format!("cannot write a file to edit: {error}")))
}

/// Work is not lost.
fn keeping(draft: tempfile::NamedTempFile, why: &str) -> Fault {
    match draft.keep() {
        Ok((_, path)) => Fault::Refused(format!(
            "{why}\nwhat you wrote is kept: {0}\nonce it is right: shuzhiren config set {0}",
            path.display()
        )),
        Err(error) => Fault::Refused(format!("{why}\nwhat you wrote could not be kept: {error}")),
    }
}

fn parse(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Usage(format!("no JSON: {error}")))
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
    output::say(&format!("version {} is in force", after.value["version"]))
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

//! `shuzhiren workflows set`: publishes a graph as the next version. Shows the changes, and never overwrites those of others.

use super::workflow_ref::{path_of, whole_name};
use crate::{
    cli::{
        client::{
            common_args::Common,
            envelope::Answer,
            rest::{Api, Repeat},
        },
        commands::submit::submit_request::read_json,
        error::Error,
        term::{
            line_diff::diff,
            output::{self, Color},
        },
    },
    json::pretty,
    task::WorkflowName,
};
use clap::Args;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Members that the server adds and does not accept.
const OF_THE_SERVER: [&str; 6] = ["name", "latestVersion", "versions", "createdAt", "updatedAt", "warnings"];
/// Members that keep their value unless another is given.
const KEPT: [&str; 2] = ["description", "params"];

/// Settings of `workflows set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Name: 1 to 64 of A-Z a-z 0-9 . _ -
    #[arg(value_parser = whole_name)]
    name: WorkflowName,
    /// The graph (ComfyUI's "Export (API)"), or a document {"workflow":{…},"params":{…},"description":"…"}; `-` =
    /// standard input. A `version` in it works like --if-version, unless the document has another `name`: a copy is a
    /// new workflow
    file: PathBuf,
    /// JSON file that declares its params, {"prompt":{"target":"6.text","type":"string"},…}: target (an address or a
    /// list of addresses), type (string, integer, number, boolean, enum, image, video, audio, file), default, min, max,
    /// enum, required, description
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Publish only if this is the latest version; 0 = not published yet
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[command(flatten)]
    common: Common,
}

type Members = BTreeMap<String, Box<RawValue>>;

/// Publishes a workflow.
pub(crate) async fn set(args: SetArgs) -> Result<(), Error> {
    let mut body = read(&args)?;
    let api = args.common.connection.logged_in()?;
    let path = path_of(&args.name);
    let before = match api.get(&path).await {
        Ok(before) => Some(before),
        Err(Error::NotFound(_)) => {
            first(&args, &body)?;
            None
        }
        Err(error) => return Err(error),
    };
    complete(&mut body, before.as_ref())?;
    let after = write(&api, &path, &body).await?;
    if args.common.json {
        return output::print_line(after.raw.get());
    }
    print_changes(&args.name, before.as_ref(), &after)
}

/// Builds the body from the arguments.
fn read(args: &SetArgs) -> Result<Members, Error> {
    let stdin = Path::new("-");
    if args.file == stdin && args.params.as_deref() == Some(stdin) {
        return Err(Error::Usage("only one of FILE and --params can be standard input".to_owned()));
    }
    let mut body = body_of(read_json(&args.file)?, &args.name);
    if let Some(path) = &args.params {
        body.insert("params".to_owned(), read_json(path)?);
    }
    if let Some(text) = &args.description {
        body.insert("description".to_owned(), raw(text));
    }
    if let Some(version) = args.if_version {
        body.insert("version".to_owned(), raw(&version));
    }
    Ok(body)
}

/// Refuses a version guard for a workflow that does not exist yet. The server could not say which of the guards to
/// remove.
fn first(args: &SetArgs, body: &Members) -> Result<(), Error> {
    let version = body.get("version").and_then(|version| version.get().parse::<u64>().ok());
    if version.is_none_or(|version| version == 0) {
        return Ok(());
    }
    let guard = if args.if_version.is_some() { "--if-version out" } else { "`version` out of the file" };
    Err(Error::Refused(format!("workflow `{}` does not exist: leave {guard}", args.name)))
}

/// Reads a file that is the graph, or has it as its member `workflow`. A node of that name is recognized by its
/// `class_type`.
fn body_of(file: Box<RawValue>, name: &WorkflowName) -> Members {
    let members: Members = serde_json::from_str(file.get()).unwrap_or_default();
    let is_node = |graph: &RawValue| {
        let node: Value = serde_json::from_str(graph.get()).unwrap_or(Value::Null);
        node.get("class_type").is_some_and(Value::is_string)
    };
    match members.get("workflow") {
        Some(graph) if !is_node(graph) => {
            let named = members.get("name").and_then(|named| serde_json::from_str::<String>(named.get()).ok());
            let is_other = named.is_some_and(|named| named != name.as_str());
            let is_left_out = |member: &str| OF_THE_SERVER.contains(&member) || is_other && member == "version";
            members.into_iter().filter(|(member, _)| !is_left_out(member)).collect()
        }
        _ => Members::from([("workflow".to_owned(), file)]),
    }
}

/// Adds the members that stay, and the version guard: so the changes shown are the changes made.
fn complete(body: &mut Members, before: Option<&Answer>) -> Result<(), Error> {
    let known = members(before)?;
    for name in KEPT {
        if let Some(value) = known.get(name).filter(|_| !body.contains_key(name)) {
            body.insert(name.to_owned(), value.clone());
        }
    }
    let version = known.get("version").map_or_else(|| raw(&0), Clone::clone);
    body.entry("version".to_owned()).or_insert(version);
    Ok(())
}

fn members(answer: Option<&Answer>) -> Result<Members, Error> {
    let text = answer.map_or("{}", |answer| answer.raw.get());
    serde_json::from_str(text)
        .map_err(|error| Error::Unreachable(format!("the answer is not a published workflow: {error}")))
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("a text or a number can be written as JSON")
}

async fn write(api: &Api, path: &str, body: &Members) -> Result<Answer, Error> {
    let body = serde_json::to_string(body).map_err(|error| Error::Usage(format!("cannot write it: {error}")))?;
    // Idempotent: a repeated request finds its own version.
    api.call(Repeat::Safe, async || {
        Ok(api.request(Method::PUT, path).header(CONTENT_TYPE, "application/json").body(body.clone()))
    })
    .await
}

fn print_changes(name: &WorkflowName, before: Option<&Answer>, after: &Answer) -> Result<(), Error> {
    let version = &after.value["version"];
    if before.is_some_and(|before| before.value["version"] == *version) {
        return output::print_line(&format!("{name}@{version} is unchanged"));
    }
    if before.is_some() {
        for line in diff(&shown(before)?, &shown(Some(after))?) {
            let color = match line.chars().next() {
                Some('-') => Color::Bad,
                Some('+') => Color::Good,
                _ => Color::Plain,
            };
            output::print_line(&color.paint(&line, output::has_colors()))?;
        }
    }
    output::print_line(&format!("{name}@{version} is published"))?;
    if output::is_terminal() {
        output::hint(&format!(
            "run it: shuzhiren submit --workflow {name}; its params: shuzhiren workflows show {name}"
        ));
    }
    Ok(())
}

/// Pretty-prints the members that make a version, without control characters.
fn shown(answer: Option<&Answer>) -> Result<String, Error> {
    let mut members = members(answer)?;
    members.retain(|name, _| name == "workflow" || KEPT.contains(&name.as_str()));
    let text = serde_json::to_string(&members).map_err(|error| Error::Local(error.to_string()))?;
    Ok(pretty(&text, output::is_control))
}

#[cfg(test)]
mod tests {
    use super::{Members, body_of, complete};
    use crate::cli::client::envelope::Answer;
    use serde_json::value::RawValue;

    fn body(file: &str) -> Members {
        body_of(RawValue::from_string(file.to_owned()).unwrap(), &"a".parse().unwrap())
    }

    fn names(body: &Members) -> Vec<&str> {
        body.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_file_is_a_graph_or_a_document() {
        let graph = r#"{"3":{"class_type":"KSampler","inputs":{"cfg":1e-7}}}"#;
        assert_eq!(body(graph)["workflow"].get(), graph);
        let node = r#"{"workflow":{"class_type":"X","inputs":{}}}"#;
        assert_eq!(body(node)["workflow"].get(), node, "a node may be called that");
        let all =
            format!(r#"{{"name":"a","version":3,"latestVersion":3,"versions":[3],"workflow":{graph},"paramz":{{}}}}"#);
        // Unknown members are refused by the server.
        assert_eq!(names(&body(&all)), ["paramz", "version", "workflow"]);
        assert_eq!(body(&all)["workflow"].get(), graph);
        let others = all.replace(r#""name":"a""#, r#""name":"b""#);
        assert_eq!(names(&body(&others)), ["paramz", "workflow"], "the version of another workflow is no guard");
        assert_eq!(body("[1]")["workflow"].get(), "[1]", "the server reports what is wrong with it");
    }

    #[test]
    fn missing_members_stay_and_the_version_read_is_the_guard() {
        let text = r#"{"name":"a","version":3,"params":{"x":{"default":20.00}},"description":"d"}"#;
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        let before = Answer { value: serde_json::from_str(text).unwrap(), raw, etag: None };
        let mut plain = body(r#"{"3":{}}"#);
        complete(&mut plain, Some(&before)).unwrap();
        assert_eq!(names(&plain), ["description", "params", "version", "workflow"]);
        assert_eq!((plain["params"].get(), plain["version"].get()), (r#"{"x":{"default":20.00}}"#, "3"));
        let mut own = body(r#"{"workflow":{},"params":{},"version":1}"#);
        complete(&mut own, Some(&before)).unwrap();
        assert_eq!((own["params"].get(), own["version"].get(), own["description"].get()), ("{}", "1", "\"d\""));
        let mut first = body("{}");
        complete(&mut first, None).unwrap();
        assert_eq!(first["version"].get(), "0");
    }
}

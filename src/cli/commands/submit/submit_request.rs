//! The request of `submit`: the body of `POST /api/tasks`, and the files to upload first.
//!
//! Invariant: numbers in workflow and params are sent as they were written.

use super::{
    params::{Param, ParamValue},
    sweep::Sweep,
};
use crate::{
    cli::{
        client::rest::{Api, Repeat},
        commands::files::upload,
        error::Error,
        term::output,
    },
    json::{self, raw_value},
};
use reqwest::Method;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Body of `POST /api/tasks`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubmitRequest {
    /// A graph, or the name of a published workflow.
    pub(crate) workflow: Box<RawValue>,
    #[serde(skip_serializing_if = "Members::is_empty")]
    pub(crate) params: Members<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    #[serde(skip_serializing_if = "Members::is_empty")]
    pub(crate) sweep: Members<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra_data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) randomize_seeds: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) auto_map: bool,
}

/// Members of an object in their order, which decides the list of a sweep that changes fastest.
pub(crate) struct Members<T>(Vec<(String, T)>);

impl<T> Members<T> {
    /// Creates an object without members.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Members<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Splits a file that is a whole body, `{"workflow": …, "params": …}`, into both. Any other file is the workflow.
pub(crate) fn split_body(file: Box<RawValue>) -> Result<(Box<RawValue>, Members<Box<RawValue>>), Error> {
    let none = |file| Ok((file, Members::new()));
    let Some(members) = raw_value::members(&file) else { return none(file) };
    let Some((_, workflow)) = members.iter().find(|(name, _)| name == "workflow") else { return none(file) };
    // A node may have this id.
    if raw_value::members(workflow).is_some_and(|node| node.iter().any(|(name, _)| name == "class_type")) {
        return none(file);
    }
    if let Some((name, _)) = members.iter().find(|(name, _)| name != "workflow" && name != "params") {
        return Err(Error::Usage(format!("the file is a whole body with `{name}`: give that as a flag")));
    }
    let params = members.iter().find(|(name, _)| name == "params").map_or(Some(Vec::new()), |(_, params)| {
        Some(raw_value::members(params)?.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
    });
    match params {
        Some(params) => Ok(((*workflow).to_owned(), Members(params))),
        None => Err(Error::Usage("the `params` in the file must be an object".to_owned())),
    }
}

/// Whether any value is a file to upload.
pub(crate) fn has_files(params: &[Param], sweeps: &[Sweep]) -> bool {
    let values = params.iter().map(|param| &param.value).chain(sweeps.iter().flat_map(|sweep| &sweep.values));
    values.into_iter().any(|value| matches!(value, ParamValue::File(_)))
}

/// Files uploaded for a request, each once.
#[derive(Default)]
pub(crate) struct Uploads(BTreeMap<PathBuf, String>);

impl Uploads {
    /// Puts params and sweeps into the request, and uploads the files among them.
    pub(crate) async fn fill(
        &mut self,
        api: &Api,
        request: &mut SubmitRequest,
        params: Vec<Param>,
        sweeps: Vec<Sweep>,
    ) -> Result<(), Error> {
        for Param { key, value } in params {
            // A flag wins over the file.
            request.params.0.retain(|(other, _)| *other != key);
            request.params.0.push((key, self.value(api, value).await?));
        }
        for Sweep { key, values: given } in sweeps {
            let mut values = Vec::with_capacity(given.len());
            for value in given {
                values.push(self.value(api, value).await?);
            }
            request.sweep.0.push((key, values));
        }
        Ok(())
    }

    async fn value(&mut self, api: &Api, value: ParamValue) -> Result<Box<RawValue>, Error> {
        let path = match value {
            ParamValue::Json(value) => return Ok(value),
            ParamValue::File(path) => path,
        };
        if !self.0.contains_key(&path) {
            let file = upload::upload(api, &path).await?;
            self.0.insert(path.clone(), file.text("fileId").to_owned());
        }
        let directive = serde_json::json!({ "$file": self.0[&path] });
        Ok(to_raw_value(&directive).expect("an object with a text can be written as JSON"))
    }

    /// Deletes the uploads after a request that created no task.
    pub(crate) async fn delete_all(&self, api: &Api) {
        for id in self.0.values() {
            let path = format!("/api/files/{id}");
            if let Err(error) = api.call(Repeat::IfUnsent, async || Ok(api.request(Method::DELETE, &path))).await {
                output::hint(&format!("cannot delete the upload {id}: {error}"));
            }
        }
    }
}

/// Reads a JSON file, `-` = standard input. Its content is validated by the server.
pub(crate) fn read_json(path: &Path) -> Result<Box<RawValue>, Error> {
    let unusable = |why: &dyn std::fmt::Display| Error::Usage(format!("cannot use {}: {why}", path.display()));
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| unusable(&error))?;
    // An editor on Windows may have written a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map_err(|error| unusable(&format!("not JSON: {}", json::explain(text, &error))))
}

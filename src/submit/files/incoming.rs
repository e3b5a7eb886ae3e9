//! Files that come with a submission. Each distinct file gets its id before any of them is fetched or stored, so that the
//! tasks are complete, and every other problem is known, before something has to be undone.

use super::{
    base64::{self, DecodedFile},
    url::{self, CheckedUrl, UrlFile},
};
use crate::{
    fetch::Fetcher,
    graph::{InlineFile, RemoteFile},
    problem::Problem,
    submit::{Error, Result},
    task::{FileId, FileInput, Warning},
};
use ::url::Url;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Distinct files of all tasks of a submission.
#[derive(Debug, Default)]
pub(in crate::submit) struct IncomingFiles {
    inline: Vec<(FileId, InlineFile)>,
    inline_ids: HashMap<String, FileId>,
    urls: Vec<UrlFile>,
    url_places: HashMap<String, usize>,
}

/// Incoming files that passed every check that needs no network.
#[derive(Debug, Default)]
pub(in crate::submit) struct CheckedFiles {
    pub(super) decoded: Vec<DecodedFile>,
    pub(super) urls: Vec<CheckedUrl>,
}

impl IncomingFiles {
    /// Adds the files at URLs of one task. Returns the inputs that use them.
    pub(in crate::submit) fn add_urls(
        &mut self,
        files: Vec<RemoteFile>,
        pointer: impl Fn(&str) -> String,
    ) -> Vec<FileInput> {
        let mut inputs = Vec::with_capacity(files.len());
        for mut file in files {
            file.pointer = pointer(&file.pointer);
            let address = Url::parse(&file.url).map_or_else(|_| file.url.clone(), String::from);
            let place = *self.url_places.entry(address).or_insert_with(|| {
                self.urls.push(UrlFile::new());
                self.urls.len() - 1
            });
            let url = &mut self.urls[place];
            inputs.push(input(&file.node_id, &file.input, url.id));
            url.add_use(file);
        }
        inputs
    }

    /// Adds the files inside one task's params. Returns the inputs that use them, and replaces each `$base64` directive in
    /// `params` by `{"$file":…}`: what is kept with a task is small, and can be submitted again.
    pub(in crate::submit) fn add_inline(
        &mut self,
        files: Vec<InlineFile>,
        params: &mut Box<RawValue>,
        pointer: impl Fn(&str) -> String,
    ) -> Vec<FileInput> {
        let mut inputs = Vec::with_capacity(files.len());
        for mut file in files {
            let id = *self.inline_ids.entry(file.directive.clone()).or_insert_with(|| {
                let id = FileId::new();
                file.pointer = pointer(&file.pointer);
                self.inline.push((id, file.clone()));
                id
            });
            inputs.push(input(&file.node_id, &file.input, id));
            // Inside a string its quotes would be escaped, so the directive is found nowhere else.
            let named = params.get().replace(&file.directive, &format!("{{\"$file\":\"{id}\"}}"));
            if let Ok(named) = RawValue::from_string(named) {
                *params = named;
            }
        }
        inputs
    }

    /// Decodes the inline files and checks the URLs, without any request.
    ///
    /// # Errors
    /// Every problem of the inline files; else every problem of the URLs.
    pub(in crate::submit) fn check(self, fetcher: &Fetcher, bytes_max: u64) -> Result<CheckedFiles> {
        let decoded = base64::decode(&self.inline, bytes_max).map_err(Error::InvalidParams)?;
        let urls = url::check(fetcher, self.urls)?;
        Ok(CheckedFiles { decoded, urls })
    }
}

impl CheckedFiles {
    pub(in crate::submit) fn is_empty(&self) -> bool {
        self.decoded.is_empty() && self.urls.is_empty()
    }

    /// Returns the warnings of a dry run, which fetches nothing.
    pub(in crate::submit) fn not_fetched(&self) -> impl Iterator<Item = Warning> {
        self.urls.iter().flat_map(CheckedUrl::not_fetched)
    }
}

/// Checks the URLs of a workflow that is being published: they are fetched for each task, so those that never would be
/// are refused now.
///
/// # Errors
/// Every problem.
pub(in crate::submit) fn check_urls(fetcher: &Fetcher, files: Vec<RemoteFile>) -> Result<(), Vec<Problem>> {
    let mut incoming = IncomingFiles::default();
    incoming.add_urls(files, str::to_owned);
    url::check(fetcher, incoming.urls).map(drop)
}

fn input(node_id: &str, input: &str, file_id: FileId) -> FileInput {
    FileInput { node_id: node_id.to_owned(), input: input.to_owned(), file_id }
}

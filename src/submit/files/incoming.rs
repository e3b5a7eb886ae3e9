//! Files that come with a submission. Each distinct file gets its id before any of them is fetched or stored, so that the
//! tasks are complete, and every other problem is known, before something has to be undone.

use super::{
    base64::{self, DecodedFile},
    url::{self, CheckedUrl, UrlFile},
};
use crate::{
    fetch::Fetcher,
    graph::{InlineFile, RemoteFile},
    json::string_end,
    problem::Problem,
    submit::{Error, Result},
    task::{FileId, FileInput, Warning},
};
use ::url::Url;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

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

    /// Adds the files inside one task's params or graph. Returns the inputs that use them, and replaces each of them in
    /// `texts` by `{"$file":…}`: what is kept with a task is small, and can be submitted again.
    pub(in crate::submit) fn add_inline<'t>(
        &mut self,
        files: Vec<InlineFile>,
        texts: impl IntoIterator<Item = &'t mut Box<RawValue>>,
        pointer: impl Fn(&str) -> String,
    ) -> Vec<FileInput> {
        let mut inputs = Vec::with_capacity(files.len());
        let mut ids = HashMap::with_capacity(files.len());
        for mut file in files {
            let id = *self.inline_ids.entry(file.directive.clone()).or_insert_with(|| {
                let id = FileId::new();
                file.pointer = pointer(&file.pointer);
                self.inline.push((id, file.clone()));
                id
            });
            inputs.push(input(&file.node_id, &file.input, id));
            ids.insert(file.directive, id);
        }
        if !ids.is_empty() {
            for text in texts {
                if let Ok(named) = RawValue::from_string(with_file_ids(text.get(), &ids)) {
                    *text = named;
                }
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

/// Returns `json` with each object or text that is one of the directives replaced by `{"$file":"<id>"}`, in one pass over the text.
fn with_file_ids(json: &str, ids: &HashMap<String, FileId>) -> String {
    let lengths: HashSet<usize> = ids.keys().map(String::len).collect();
    let bytes = json.as_bytes();
    let (mut named, mut copied) = (String::new(), 0);
    let mut opened = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at);
                let text = &json[at..end];
                if lengths.contains(&text.len())
                    && let Some(id) = ids.get(text)
                {
                    named.push_str(&json[copied..at]);
                    named.push_str(&format!("{{\"$file\":\"{id}\"}}"));
                    copied = end;
                }
                at = end;
                continue;
            }
            b'{' => opened.push(at),
            b'}' => {
                let object = opened.pop().map_or("", |start| &json[start..=at]);
                if lengths.contains(&object.len())
                    && let Some(id) = ids.get(object)
                {
                    let start = at + 1 - object.len();
                    named.push_str(&json[copied..start]);
                    named.push_str(&format!("{{\"$file\":\"{id}\"}}"));
                    copied = at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    named.push_str(&json[copied..]);
    named
}

fn input(node_id: &str, input: &str, file_id: FileId) -> FileInput {
    FileInput { node_id: node_id.to_owned(), input: input.to_owned(), file_id }
}

#[cfg(test)]
mod tests {
    use super::{FileId, HashMap, with_file_ids};

    #[test]
    fn every_directive_is_replaced_where_it_is_a_value_and_nowhere_else() {
        let (first, second) = (FileId::new(), FileId::new());
        let directive = |data: &str| format!("{{\"$base64\": \"{data}\"}}");
        let ids = HashMap::from([(directive("AA}A"), first), (directive("é"), second)]);
        let [a, b] = [directive("AA}A"), directive("é")];
        let quoted = a.replace('"', "\\\"");
        let json = format!("{{\"1.image\":{a},\"2\":{{\"x\":[{b},{a}],\"text\":\"{quoted}\"}},\"3\":{{}}}}");
        let expected = format!(
            "{{\"1.image\":{{\"$file\":\"{first}\"}},\"2\":{{\"x\":[{{\"$file\":\"{second}\"}},{{\"$file\":\"{first}\"}}],\"text\":\"{quoted}\"}},\"3\":{{}}}}"
        );
        assert_eq!(with_file_ids(&json, &ids), expected);
        assert_eq!(with_file_ids("{}}{\"", &ids), "{}}{\"");
    }
}

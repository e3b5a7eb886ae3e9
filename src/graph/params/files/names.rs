//! Files that stand in an input as people write them: the name of an upload, an object with the id of a file, and the
//! names of files on the instances, which only some of them may have.

use super::{
    super::{
        apply::Writer,
        options::WARNINGS_MAX,
        value::{Remote, ValueError, member},
    },
    PlainFile,
    upload_names::Upload,
};
use crate::{
    graph::{
        FleetCatalog,
        catalog::{Eligibility, Issue, Offer, plain_name},
    },
    json::raw_value,
    problem::clip,
    task::{FileId, InstanceId, Warning},
};
use serde_json::value::RawValue;

/// Code of the problem, and in a publication of the warning, about a file that no instance has.
pub(in crate::graph::params) const UNKNOWN_FILE: &str = "input_file_unknown";
/// Code of the warning about a file that no list shows.
const UNVERIFIED: &str = "input_file_unverified";
/// Code of the warning about a name that means several files.
const AMBIGUOUS: &str = "input_file_ambiguous";
/// Members of an object that hold the id of a file, in the answers of this service and of others.
const ID_MEMBERS: [&str; 3] = ["fileId", "file_id", "id"];
/// Members of an object that hold the name of a file, in the answers of this service and of ComfyUI.
const NAME_MEMBERS: [&str; 2] = ["name", "filename"];
const HOW_TO_UPLOAD: &str = "upload it with POST /api/upload, and give its name or {\"$file\": \"<fileId>\"}";

/// A file named in the graph, with what the instances say of it.
pub(in crate::graph::params) struct NamedFile {
    pub(in crate::graph::params) place: usize,
    pub(super) input: String,
    pub(super) verdict: FileVerdict,
}

/// Verdict of the instances on a file.
pub(in crate::graph::params) enum FileVerdict {
    /// Only these have it.
    At(Vec<InstanceId>),
    /// No list shows it.
    Unverified,
    /// It is certain to fail.
    Refused(Issue),
}

impl Writer<'_> {
    /// Returns the upload of the caller that a text names. Its warning says if the name means several files.
    pub(super) fn named_upload(&self, place: usize, input: &str, text: &str) -> Option<PlainFile> {
        let name = plain_name(text.trim())?;
        let (id, count) = match self.upload(place, input, name) {
            Upload::Found(files) => (*files.first()?, files.len()),
            Upload::Pending => return Some(PlainFile::Pending),
            Upload::None => return None,
        };
        let offer = self.eligibility.as_ref().map(|known| known.pool().offer(&self.workflow.node(place).class, name));
        let is_offered = matches!(offer, Some(Offer::At(_) | Offer::Everywhere));
        if count > 1 || is_offered {
            let param = format!("{}.{}", self.workflow.node(place).id, clip(input));
            let which = if count > 1 {
                format!("the latest of your {count} uploads of that name")
            } else {
                "your upload".to_owned()
            };
            let other = if is_offered { "; an instance has a file of that name, too" } else { "" };
            let message = format!(
                "`{param}` {:?} is {which}, {id}{other}: to name one file write {{\"$file\": \"<fileId>\"}}",
                clip(name)
            );
            self.notes.borrow_mut().push(Warning { code: AMBIGUOUS.to_owned(), message, param: Some(param) });
        }
        Some(PlainFile::Stored(id))
    }

    /// Searches for an upload of the caller. Names in a published graph are those of its publisher.
    fn upload(&self, place: usize, input: &str, name: &str) -> Upload<'_> {
        let is_callers = !self.is_published || self.set.contains_key(&(place, input));
        self.uploads.filter(|_| is_callers).map_or(Upload::None, |uploads| uploads.find(name))
    }

    /// Returns the file that `{"$file": "<name>"}` names: an upload of the caller, else a file that an instance lists.
    pub(in crate::graph::params) fn file_of_name(
        &self,
        place: usize,
        input: &str,
        name: &str,
    ) -> Result<PlainFile, ValueError> {
        if let Some(file) = self.named_upload(place, input, name) {
            return Ok(file);
        }
        let class = &self.workflow.node(place).class;
        let eligibility = self.eligibility.as_ref().filter(|eligibility| eligibility.takes_files(class, input));
        let offer = plain_name(name).and_then(|name| Some(eligibility?.pool().offer(class, name)));
        if matches!(offer, Some(Offer::At(_) | Offer::Everywhere)) {
            return Ok(PlainFile::OnInstance(name.to_owned()));
        }
        let message = format!(
            "`$file` takes the fileId or the name of an upload of yours, e.g. {{\"$file\":\"3f0c…\"}}; there is none named {:?}: upload \
             it with POST /api/upload",
            clip(name)
        );
        Err(ValueError::bad(message))
    }

    /// Returns the file that an object stands for: the answer to an upload, of this service or of ComfyUI, or a part of it.
    pub(super) fn object_file(&self, place: usize, input: &str, value: &RawValue) -> Option<PlainFile> {
        let members = raw_value::members(value)?;
        let text = |name: &&str| member(&members, name).and_then(raw_value::text);
        if let Some(id) = ID_MEMBERS.iter().filter_map(text).find_map(|id| FileId::from_spelling(&id)) {
            return Some(PlainFile::Stored(id));
        }
        if let Some(url) = text(&"url") {
            let own = self.own.and_then(|own| own.file_at(&url));
            return Some(
                own.map_or(PlainFile::Remote(Remote { url, sha256: None, filename: None }), PlainFile::Stored),
            );
        }
        let name = NAME_MEMBERS.iter().find_map(text)?;
        let is_elsewhere = text(&"subfolder").is_some_and(|folder| !folder.is_empty())
            || text(&"type").is_some_and(|kind| kind != "input");
        if is_elsewhere {
            return None;
        }
        self.named_upload(place, input, &name).or(Some(PlainFile::OnInstance(name)))
    }

    /// Returns the files that a node names and that not every instance is known to have.
    pub(in crate::graph::params) fn judge_files(&self, pool: &FleetCatalog, place: usize) -> Vec<NamedFile> {
        let node = self.workflow.node(place);
        if !pool.has_file_inputs(&node.class) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (input, value) in &node.inputs {
            let mut declared = pool.declarations(&node.class).filter_map(|class| class.input(input));
            let lists_files = declared.any(|input| input.lists_files());
            if !lists_files || raw_value::is_array(value) || value.get() == "null" {
                continue;
            }
            if let Some(verdict) = self.judge_file(pool, (place, input), value) {
                found.push(NamedFile { place, input: input.clone(), verdict });
            }
        }
        found
    }

    /// Takes out the files that are certain to fail. Those that do not count, and those of a publication, stay.
    pub(in crate::graph::params) fn refused_files(&self, files: &mut Vec<NamedFile>) -> Vec<(usize, Issue)> {
        let (mut refused, mut others) = (Vec::new(), Vec::new());
        for file in files.drain(..) {
            match file.verdict {
                FileVerdict::Refused(issue) if self.is_spared(file.place, &issue) => {}
                FileVerdict::Refused(issue) if !self.is_publishing => refused.push((file.place, issue)),
                verdict => others.push(NamedFile { verdict, ..file }),
            }
        }
        *files = others;
        refused
    }

    /// Narrows to the instances that have the files, and warns of those that no list shows.
    pub(in crate::graph::params) fn require_files<'f>(
        &self,
        eligibility: &mut Eligibility<'_>,
        files: impl Iterator<Item = &'f NamedFile>,
        warnings: &mut Vec<Warning>,
    ) {
        for file in files {
            if let FileVerdict::At(instances) = &file.verdict {
                let node = self.workflow.node(file.place);
                let value = node.input(&file.input).map_or("", RawValue::get);
                eligibility
                    .require_instances(instances, || format!("{}.{} {}", node.id, clip(&file.input), clip(value)));
            } else if warnings.len() < WARNINGS_MAX {
                warnings.push(self.unverified(file));
            }
        }
    }

    fn judge_file(&self, pool: &FleetCatalog, (place, input): (usize, &str), value: &RawValue) -> Option<FileVerdict> {
        let class = &self.workflow.node(place).class;
        let refused = |message: String| {
            FileVerdict::Refused(Issue {
                input: input.to_owned(),
                code: UNKNOWN_FILE,
                message,
                cure: "",
                expected: None,
                is_choice: false,
            })
        };
        let wrapped = raw_value::is_object(value).then(|| crate::json::member(value.get(), "__value__")).flatten();
        let Some(text) = raw_value::text(wrapped.unwrap_or(value)) else {
            let is_known = !matches!(pool.offer(class, ""), Offer::Unchecked | Offer::Unknown);
            // A directive is refused where it is read.
            let is_plain = |(name, _): &(String, _)| !name.starts_with(['$', '_']);
            let is_object = raw_value::members(value).is_some_and(|members| members.iter().all(is_plain));
            let message = || format!("is {}, and takes the name of a file: {HOW_TO_UPLOAD}", clip(value.get()));
            return (is_object && is_known).then(|| refused(message()));
        };
        let Some(name) = plain_name(&text) else {
            let is_listed = !matches!(pool.offer(class, &text), Offer::Unknown | Offer::Nowhere);
            return (!is_listed).then_some(FileVerdict::Unverified);
        };
        if matches!(self.upload(place, input, name.trim()), Upload::Pending) {
            return None;
        }
        match pool.offer(class, name) {
            Offer::Everywhere | Offer::Unchecked => None,
            Offer::At(instances) => Some(FileVerdict::At(instances)),
            Offer::Unknown => Some(FileVerdict::Unverified),
            Offer::Nowhere if name.trim().is_empty() => {
                Some(refused(format!("is empty, and takes a file: {HOW_TO_UPLOAD}")))
            }
            Offer::Nowhere => {
                let upload = if self.uploads.is_some() { ", and no upload of yours has that name" } else { "" };
                Some(refused(format!(
                    "is {:?}: no such input file on any instance{upload}: {HOW_TO_UPLOAD}",
                    clip(name)
                )))
            }
        }
    }

    /// Returns the warning about a file that no list shows, or that a publication names and no instance has.
    fn unverified(&self, file: &NamedFile) -> Warning {
        let node = self.workflow.node(file.place);
        let param = format!("{}.{}", node.id, clip(&file.input));
        let value = clip(node.input(&file.input).map_or("", RawValue::get));
        let (code, why) = match &file.verdict {
            FileVerdict::Refused(_) => (UNKNOWN_FILE, "no instance has it, and a task that does not set it fails"),
            FileVerdict::At(_) | FileVerdict::Unverified => {
                (UNVERIFIED, "no list of an instance shows it, only the instance can tell")
            }
        };
        let message = format!("`{param}` is the file {value}: {why}; {HOW_TO_UPLOAD}");
        Warning { code: code.to_owned(), message, param: Some(param) }
    }
}

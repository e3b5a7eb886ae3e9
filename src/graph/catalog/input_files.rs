//! Names of the files in the input folder of one instance, as its inputs that take files list them. Kept apart from the
//! catalog: every instance has other files, and they change with each upload.

use super::{
    Catalog, Class, FleetCatalog, Input,
    read::{elements, member, members},
};
use crate::{
    graph::Workflow,
    json::{each_member, raw_value},
    task::InstanceId,
};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

/// Most names kept of one instance; with more, its files count as unknown.
const NAMES_MAX: usize = 20_000;
/// Text of the names kept of one instance, bytes; with more, its files count as unknown.
const BYTES_MAX: usize = 512 * 1024;
/// Part of the declaration of every input that takes files.
const UPLOAD: &str = "_upload\"";

/// Names of the files of one instance, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFiles(Vec<String>);

/// Instances that list a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::graph) enum Offer {
    /// Every instance that has the class.
    Everywhere,
    /// These.
    At(Vec<InstanceId>),
    /// No known one; the files of others are unknown.
    Unknown,
    /// None.
    Nowhere,
    /// No instance was asked for its files.
    Unchecked,
}

impl InputFiles {
    /// Reads the names from `/object_info`. `None` if there are more than are kept.
    pub fn parse(object_info: &str) -> Option<Self> {
        let mut names = BTreeSet::new();
        each_member(object_info, |_, class| {
            if class.get().contains(UPLOAD) {
                add_of_class(class, &mut names);
            }
            if names.len() <= NAMES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let bytes: usize = names.iter().map(String::len).sum();
        (names.len() <= NAMES_MAX && bytes <= BYTES_MAX).then(|| Self(names.into_iter().collect()))
    }

    /// Reads the output of [`Self::to_json`].
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }

    /// Returns the names as JSON; equal names give equal texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("a list of strings is JSON")
    }

    /// Whether the instance lists the file.
    pub(in crate::graph) fn has(&self, name: &str) -> bool {
        self.0.binary_search_by(|one| one.as_str().cmp(name)).is_ok()
    }
}

impl FleetCatalog {
    /// Adds the files of the instances that respond; `None` = not known.
    #[must_use]
    pub fn with_input_files(self, files: HashMap<InstanceId, Option<Arc<InputFiles>>>) -> Self {
        Self { files, ..self }
    }

    /// Whether a class has an input that takes files.
    pub(in crate::graph) fn has_file_inputs(&self, class: &str) -> bool {
        self.file_classes.contains(class)
    }

    /// Returns which instances that have the class list the file.
    pub(in crate::graph) fn offer(&self, class: &str, name: &str) -> Offer {
        if self.files.is_empty() {
            return Offer::Unchecked;
        }
        let groups = self.groups.iter().filter(|group| group.catalog.has_class(class));
        let (mut with, mut lacks, mut has_unknown) = (Vec::new(), false, self.has_unknown());
        for instance in groups.flat_map(|group| &group.instances) {
            match self.files.get(instance) {
                Some(Some(files)) if files.has(name) => with.push(instance.clone()),
                Some(None) => has_unknown = true,
                Some(Some(_)) | None => lacks = true,
            }
        }
        match with.is_empty() {
            true if has_unknown => Offer::Unknown,
            true => Offer::Nowhere,
            false if lacks || has_unknown => Offer::At(with),
            false => Offer::Everywhere,
        }
    }

    /// Returns the names that all instances list, with repetitions.
    pub(in crate::graph) fn file_names(&self) -> impl Iterator<Item = &String> {
        self.files.values().flatten().flat_map(|files| &files.0)
    }
}

impl Workflow {
    /// Whether an instance with this catalog has every file of its input folder that the graph names.
    pub fn has_files(&self, catalog: &Catalog, files: &InputFiles) -> bool {
        let has = |class: &Class, (input, value): &(String, Box<RawValue>)| {
            let lists_files = class.input(input).is_some_and(Input::lists_files);
            let text = raw_value::text(value).filter(|_| lists_files);
            text.as_deref().and_then(plain_name).is_none_or(|name| files.has(name))
        };
        self.nodes().all(|node| {
            let class = catalog.class(&node.class).filter(|class| class.inputs.values().any(Input::has_file_input));
            class.is_none_or(|class| node.inputs.iter().all(|one| has(class, one)))
        })
    }
}

/// Returns the name of a file in the input folder itself: without the folder type that ComfyUI takes behind a name
/// (`a.png [input]`). `None` if it names another folder, which no list shows.
pub(in crate::graph) fn plain_name(text: &str) -> Option<&str> {
    let name = text.strip_suffix(" [input]").unwrap_or(text);
    let is_elsewhere = name.contains(['/', '\\']) || name.ends_with(" [output]") || name.ends_with(" [temp]");
    (!is_elsewhere).then_some(name)
}

fn add_of_class(class: &RawValue, names: &mut BTreeSet<String>) {
    let facts = members(class).unwrap_or_default();
    let sections = member(&facts, "input").and_then(members).unwrap_or_default();
    for section in ["required", "optional"] {
        let inputs = member(&sections, section).and_then(members).unwrap_or_default();
        for (_, spec) in inputs.iter().filter(|(_, spec)| spec.get().contains(UPLOAD)) {
            let parts = elements(spec).unwrap_or_default();
            let list = parts.first().filter(|list| raw_value::is_array(list)).copied();
            let options = parts.get(1).and_then(|options| members(options)).unwrap_or_default();
            let list = list.or_else(|| member(&options, "options")).and_then(elements).unwrap_or_default();
            names.extend(list.into_iter().filter_map(raw_value::text).take(NAMES_MAX + 1));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{InputFiles, NAMES_MAX, plain_name};

    #[test]
    fn the_names_of_all_file_inputs_are_read_once() {
        let json = r#"{"A":{"input":{"required":{"image":[["b.png","a b.png"],{"image_upload":true}],"mode":[["x"]]},
            "optional":{"clip":["COMBO",{"options":["c.mp4","b.png"],"video_upload":true}]}}},"B":{"input":{"required":{"mode":[["y"]]}}}}"#;
        let files = InputFiles::parse(json).unwrap();
        assert_eq!(files.to_json(), r#"["a b.png","b.png","c.mp4"]"#);
        assert!(files.has("a b.png") && !files.has("x") && !files.has("y"));
        assert_eq!(InputFiles::from_json(&files.to_json()), Some(files));
        assert_eq!(InputFiles::parse(r#"{"A":{}}"#).unwrap().to_json(), "[]", "known to have none");
        let many: Vec<String> = (0..=NAMES_MAX).map(|name| format!("{name}")).collect();
        let json = serde_json::json!({"A": {"input": {"required": {"image": [many, {"image_upload": true}]}}}});
        assert!(InputFiles::parse(&json.to_string()).is_none() && InputFiles::parse("[]").is_none());
    }

    #[test]
    fn a_name_in_another_folder_is_not_plain() {
        assert_eq!(plain_name("a b.png [input]"), Some("a b.png"));
        assert_eq!(plain_name("a [1].png"), Some("a [1].png"));
        for other in ["a/b.png", "a\\b.png", "a.png [output]", "a.png [temp]"] {
            assert_eq!(plain_name(other), None, "{other}");
        }
    }
}

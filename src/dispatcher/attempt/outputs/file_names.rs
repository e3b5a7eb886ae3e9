//! Names of a task's output files: `<prefix or workflow>_<end of the task's id>_<number>.<extension>`.
//!
//! Invariant: unique in the task by the number, between tasks by the end of the id (16 digits; the tasks of a batch differ
//! in the last 4 only). A file that is fetched again keeps its name.

use crate::{
    store,
    task::{Output, TaskId, WorkflowName},
};
use std::collections::HashMap;

/// Begins the stems that ComfyUI chooses if the user chose none.
const DEFAULT_STEM: &str = "ComfyUI";

/// The names given to the output files of one task.
#[derive(Debug)]
pub(crate) struct FileNames {
    id_end: String,
    workflow: Option<WorkflowName>,
    /// The last number given.
    last: u64,
    /// Names by source.
    given: HashMap<String, String>,
}

impl FileNames {
    /// Names for a task; `recorded` are the outputs that it has already.
    pub(crate) fn new(task: TaskId, workflow: Option<WorkflowName>, recorded: &[Output]) -> Self {
        let known = recorded.iter().filter_map(|output| Some((output.source.clone()?, output.filename.clone()?)));
        let numbers = recorded.iter().filter_map(|output| number_of(output.filename.as_deref()?));
        let id = task.to_string().replace('-', "");
        Self {
            id_end: id[id.len() - 16..].to_owned(),
            workflow,
            last: numbers.max().unwrap_or(0),
            given: known.collect(),
        }
    }

    /// Returns the name of the file of this source, which is called `original` on the instance.
    pub(crate) fn name(&mut self, source: &str, original: &str) -> String {
        if let Some(name) = self.given.get(source) {
            return name.clone();
        }
        let (stem, extension) = store::portable_parts(original);
        let stem = self.prefix(&stem);
        self.last += 1;
        let name = format!("{stem}_{}_{:05}{extension}", self.id_end, self.last);
        self.given.insert(source.to_owned(), name.clone());
        name
    }

    /// The prefix that the user chose, or else the name of the workflow.
    fn prefix(&self, stem: &str) -> String {
        let prefix = without_counter(stem);
        let is_default = prefix.is_empty() || prefix == DEFAULT_STEM || prefix.starts_with("ComfyUI_temp_");
        match &self.workflow {
            Some(workflow) if is_default => workflow.as_str().replace('.', "_"),
            _ if prefix.is_empty() || is_default => DEFAULT_STEM.to_owned(),
            _ => prefix.to_owned(),
        }
    }
}

/// `img_00001_` → `img`: the counter of ComfyUI, which says nothing once each task has a folder of its own.
fn without_counter(stem: &str) -> &str {
    let head = stem.trim_end_matches('_');
    let is_counter = |text: &str| text.len() >= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    match head.rsplit_once('_') {
        Some((prefix, counter)) if is_counter(counter) => prefix,
        None if is_counter(head) && head.len() < stem.len() => "",
        _ => head,
    }
}

fn number_of(filename: &str) -> Option<u64> {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    stem.rsplit_once('_')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::FileNames;
    use crate::task::{Output, TaskId};
    use std::collections::HashSet;

    fn task(end: u8) -> TaskId {
        format!("0198f3c1-7a00-7b21-8f00-5d1c0a2b00{end:02x}").parse().unwrap()
    }

    /// Bug report 11: two saving nodes with the same last part of their prefix, in two runs.
    #[test]
    fn names_differ_within_a_task_and_between_tasks() {
        let mut all = HashSet::new();
        for end in [1, 2] {
            let mut names = FileNames::new(task(end), None, &[]);
            for source in ["output/front/img_00001_.png", "output/back/img_00001_.png", "output/front/IMG_00001_.PNG"] {
                all.insert(names.name(source, source.rsplit('/').next().unwrap()).to_lowercase());
            }
            assert_eq!(
                names.name("output/front/img_00001_.png", "img_00001_.png"),
                format!("img_8f005d1c0a2b00{end:02x}_00001.png")
            );
        }
        assert_eq!(all.len(), 6, "{all:?}");
    }

    #[test]
    fn a_dispatcher_that_takes_over_goes_on_with_the_names() {
        let mut names = FileNames::new(task(1), None, &[]);
        let given = ["a", "b"].map(|source| (source, names.name(source, "x_00001_.png")));
        let recorded: Vec<Output> = given
            .iter()
            .map(|(source, name)| Output {
                source: Some((*source).to_owned()),
                filename: Some(name.clone()),
                ..Output::default()
            })
            .collect();
        let mut names = FileNames::new(task(1), None, &recorded);
        assert_eq!(names.name("b", "x_00001_.png"), given[1].1);
        assert_eq!(names.name("c", "x_00001_.png"), "x_8f005d1c0a2b0001_00003.png");
    }

    #[test]
    fn a_file_without_a_prefix_of_the_user_is_called_as_its_workflow() {
        let mut named = FileNames::new(task(1), Some("portrait".parse().unwrap()), &[]);
        let mut unnamed = FileNames::new(task(1), None, &[]);
        for (original, with_workflow, without) in [
            ("ComfyUI_00001_.png", "portrait", "ComfyUI"),
            ("ComfyUI_temp_abcde_00002_.png", "portrait", "ComfyUI"),
            ("_00001_.png", "portrait", "ComfyUI"),
            ("face_00001_.png", "face", "face"),
            ("v2_12.png", "v2_12", "v2_12"),
            ("clip_00001-audio.mp4", "clip_00001-audio", "clip_00001-audio"),
        ] {
            assert!(named.name(original, original).starts_with(&format!("{with_workflow}_8f")), "{original}");
            assert!(unnamed.name(original, original).starts_with(&format!("{without}_8f")), "{original}");
        }
    }
}

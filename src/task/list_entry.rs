//! Entries of lists: views of tasks cut to some KiB, so that a page of them stays small. The task itself has everything.

use super::{Failure, Links, Output, Task, TaskView};
use crate::text::truncated;

/// Longest text of an entry, bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Outputs of an entry, bytes of JSON (about 40 pictures).
const OUTPUTS_BYTES_MAX: usize = 16 * 1024;
/// Outputs of an event or a snapshot, bytes of JSON (about 180 pictures).
const EVENT_OUTPUTS_BYTES_MAX: usize = 64 * 1024;
/// Entries of each other list of an entry: seeds, mapped params, eligible instances.
const NAMES_MAX: usize = 50;
/// Warnings of an entry.
const WARNINGS_MAX: usize = 10;
/// Bytes of an output's JSON besides its texts.
const OUTPUT_FACTS_BYTES: usize = 320;

impl Output {
    /// Returns roughly the bytes of its JSON.
    fn size(&self) -> usize {
        let texts = [&self.filename, &self.original_name, &self.subfolder, &self.key, &self.text, &self.source];
        let texts = texts.into_iter().flatten().map(String::len);
        OUTPUT_FACTS_BYTES + self.node_id.len() + texts.sum::<usize>()
    }

    /// Returns roughly the bytes of the JSON of these outputs.
    fn size_of(outputs: &[Self]) -> usize {
        outputs.iter().map(Self::size).sum()
    }

    /// Whether [`Output::cut_for_list`] would change these outputs.
    fn needs_cut(outputs: &[Self]) -> bool {
        let is_long = |text: &String| text.len() > TEXT_BYTES_MAX;
        Self::size_of(outputs) > OUTPUTS_BYTES_MAX
            || outputs.iter().any(|output| output.text.as_ref().is_some_and(is_long))
    }

    /// Cuts outputs for an entry of a list: each text to 1 KiB, all together to 16 KiB. Returns the number of outputs
    /// dropped at the end.
    pub(crate) fn cut_for_list(outputs: &mut Vec<Self>) -> usize {
        Self::cut(outputs, OUTPUTS_BYTES_MAX)
    }

    /// Cuts outputs for an event or a snapshot, if all together have more than 64 KiB. Returns the number of outputs
    /// dropped at the end.
    pub(crate) fn cut_for_event(outputs: &mut Vec<Self>) -> usize {
        if Self::size_of(outputs) <= EVENT_OUTPUTS_BYTES_MAX { 0 } else { Self::cut(outputs, EVENT_OUTPUTS_BYTES_MAX) }
    }

    fn cut(outputs: &mut Vec<Self>, bytes_max: usize) -> usize {
        let mut bytes = 0;
        let mut kept = 0;
        for output in outputs.iter_mut() {
            if let Some(text) = output.text.take_if(|text| text.len() > TEXT_BYTES_MAX) {
                output.text = Some(truncated(text, TEXT_BYTES_MAX));
                output.truncated = true;
            }
            bytes += output.size();
            if bytes > bytes_max {
                break;
            }
            kept += 1;
        }
        let dropped = outputs.len() - kept;
        outputs.truncate(kept);
        dropped
    }
}

impl Task {
    /// Returns roughly the bytes of its view's long parts: outputs, failure, metadata and lists.
    pub(crate) fn size(&self) -> usize {
        let failure = self
            .failure
            .as_ref()
            .map_or(0, |failure| failure.message.len() + failure.traceback.iter().map(String::len).sum::<usize>());
        let facts = &self.facts;
        let names = facts.seeds.iter().map(|(name, _)| name.len() + 24).sum::<usize>() + 24 * facts.eligible.len();
        let attempts =
            self.attempts.iter().map(|record| 200 + record.error.as_ref().map_or(0, |error| error.message.len()));
        let metadata = facts.metadata.as_ref().map_or(0, |metadata| metadata.get().len());
        let warnings = facts.warnings.iter().map(|warning| 60 + warning.message.len());
        let warnings = warnings.chain(self.output_warnings.iter().map(|warning| 100 + warning.message.len()));
        Output::size_of(&self.outputs) + failure + names + metadata + attempts.sum::<usize>() + warnings.sum::<usize>()
    }
}

impl TaskView {
    /// Makes the view of a task in a list. `truncated` says that something was cut.
    pub fn entry(task: &Task, links: &Links) -> Self {
        let mut view = if Output::needs_cut(&task.outputs) {
            let mut short = task.clone();
            short.outputs_dropped += Output::cut_for_list(&mut short.outputs);
            Self::new(&short, links)
        } else {
            Self::new(task, links)
        };
        let result = view.result.as_ref();
        let mut is_cut =
            result.is_some_and(|result| result.truncated || result.outputs.iter().any(|view| view.output.truncated));
        if let Some(failure) = &mut view.error {
            is_cut |= cut_failure(failure);
        }
        is_cut |= cut_list(&mut view.eligible_instances, NAMES_MAX) | cut_list(&mut view.warnings, WARNINGS_MAX);
        for warning in &mut view.warnings {
            is_cut |= cut_text(&mut warning.message);
        }
        if let Some(resolved) = &mut view.resolved {
            is_cut |= resolved.cut(NAMES_MAX);
        }
        view.truncated = is_cut;
        view
    }
}

/// Cuts the message, and the traceback to its last lines.
fn cut_failure(failure: &mut Failure) -> bool {
    let mut bytes = 0;
    let kept = failure.traceback.iter().rev().take_while(|line| {
        bytes += line.len();
        bytes <= TEXT_BYTES_MAX
    });
    let dropped = failure.traceback.len() - kept.count();
    failure.traceback.drain(..dropped);
    cut_text(&mut failure.message) | (dropped > 0)
}

fn cut_text(text: &mut String) -> bool {
    let is_long = text.len() > TEXT_BYTES_MAX;
    if is_long {
        *text = truncated(std::mem::take(text), TEXT_BYTES_MAX);
    }
    is_long
}

fn cut_list<T>(list: &mut Vec<T>, length_max: usize) -> bool {
    let is_long = list.len() > length_max;
    list.truncate(length_max);
    is_long
}

#[cfg(test)]
mod tests {
    use super::{OUTPUTS_BYTES_MAX, Output, TEXT_BYTES_MAX, cut_failure};
    use crate::task::{Failure, FailureKind};

    fn text(length: usize) -> Output {
        Output { node_id: "3".to_owned(), text: Some("图".repeat(length / 3)), ..Output::default() }
    }

    #[test]
    fn outputs_are_cut_to_short_texts_and_some_kib() {
        let mut outputs = vec![text(300), text(60_000)];
        assert_eq!(Output::cut_for_list(&mut outputs), 0);
        assert_eq!((outputs[0].truncated, outputs[0].text.as_ref().unwrap().len()), (false, 300));
        assert_eq!((outputs[1].truncated, outputs[1].text.as_ref().unwrap().len()), (true, TEXT_BYTES_MAX / 3 * 3));
        let mut outputs = vec![text(60_000); 4_096];
        let dropped = Output::cut_for_list(&mut outputs);
        assert_eq!(outputs.len() + dropped, 4_096);
        assert!(outputs.len() >= 10 && Output::size_of(&outputs) <= OUTPUTS_BYTES_MAX, "{}", outputs.len());
        assert!(serde_json::to_string(&outputs).unwrap().len() <= OUTPUTS_BYTES_MAX, "the estimate is not below");
        let mut outputs = vec![text(60_000)];
        assert_eq!((Output::cut_for_event(&mut outputs), outputs[0].truncated), (0, false), "an event keeps it");
        let mut outputs = vec![text(60_000); 2];
        assert_eq!((Output::cut_for_event(&mut outputs), outputs[0].truncated), (0, true));
    }

    #[test]
    fn a_failure_keeps_the_last_lines_of_its_traceback() {
        let mut failure = Failure::new(FailureKind::NodeError, "x".repeat(2_000));
        failure.traceback = (0..32).map(|line| format!("{line} {}", "y".repeat(400))).collect();
        assert!(cut_failure(&mut failure));
        assert_eq!((failure.message.len(), failure.traceback.len()), (TEXT_BYTES_MAX, 2));
        assert!(failure.traceback[1].starts_with("31 "), "{:?}", failure.traceback);
        assert!(!cut_failure(&mut Failure::new(FailureKind::NodeError, "short")));
    }
}

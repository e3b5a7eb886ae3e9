//! Parses the `params` of a publication into [`Declared`] and reports every problem at once.

use super::{Bound, Declared, Kind, Param};
use crate::{
    graph::{json_faults::scan, params::options::BASE},
    json::{child_pointer, raw_value},
    problem::{Problem, Problems, clip},
    task::FileId,
};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Maximum number of parameters of a workflow.
const PARAMS_MAX: usize = 100;
/// Longest name, characters.
const NAME_CHARS_MAX: usize = 64;
/// Maximum number of inputs that one parameter sets.
const TARGETS_MAX: usize = 100;
/// Maximum number of values of an `enum`.
const CHOICES_MAX: usize = 1_000;
/// Longest description, characters.
const DESCRIPTION_CHARS_MAX: usize = 1_000;
const MEMBERS: [&str; 8] = ["target", "type", "default", "min", "max", "enum", "description", "required"];
const BAD: &str = "param_bad_declaration";

impl Declared {
    /// Parses declarations. [`super::publish`] checks whether they fit a graph.
    ///
    /// # Errors
    /// Every problem found, at most 100, with pointers that begin with `/params`.
    pub fn read(params: &RawValue) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        scan(params.get(), BASE, &mut problems);
        let mut problems = problems.check()?;
        let Some(members) = raw_value::members(params) else {
            let message = "params must be an object: name → {\"target\",\"type\",…}";
            return Err(vec![Problem::shape(BASE.to_owned(), "params_not_object", message)]);
        };
        if members.len() > PARAMS_MAX {
            let message = format!("{} parameters are declared, at most {PARAMS_MAX} are allowed", members.len());
            return Err(vec![Problem::unfit(BASE.to_owned(), "params_too_many", message)]);
        }
        let mut declared = Self::default();
        for (name, value) in members {
            let here = child_pointer(BASE, &name);
            if !is_name(&name) {
                let message = format!(
                    "invalid name `{}`: 1 to {NAME_CHARS_MAX} letters, digits, `_`, `-`, not beginning with a digit or `-`",
                    clip(&name)
                );
                problems.push(Problem::unfit(here, "param_bad_name", message).of_param(&name));
                continue;
            }
            declared.params.extend(Entry { name: &name, here, problems: &mut problems }.read(value));
        }
        problems.check()?;
        Ok(declared)
    }
}

/// Whether it is a valid name, one that cannot be an address or a node id of ComfyUI.
fn is_name(name: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    name.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && name.chars().all(is_part)
        && name.chars().count() <= NAME_CHARS_MAX
}

/// A declaration being parsed.
struct Entry<'a> {
    name: &'a str,
    here: String,
    problems: &'a mut Problems,
}

impl Entry<'_> {
    fn refuse(&mut self, member: &str, message: &str) {
        let message = format!("`{}`: {message}", clip(self.name));
        self.problems.push(Problem::unfit(child_pointer(&self.here, member), BAD, message).of_param(self.name));
    }

    fn read(mut self, value: &RawValue) -> Option<Param> {
        let Some(members) = raw_value::members(value) else {
            let message =
                format!("`{}` must be an object such as {{\"target\":\"6.text\",\"type\":\"string\"}}", self.name);
            self.problems.push(Problem::shape(self.here.clone(), BAD, message).of_param(self.name));
            return None;
        };
        for (member, _) in members.iter().filter(|(member, _)| !MEMBERS.contains(&member.as_str())) {
            if self.problems.is_full() {
                break;
            }
            self.refuse(member, &format!("unknown member `{}`; the members are {}", clip(member), MEMBERS.join(", ")));
        }
        let get = |name: &str| members.iter().find(|(member, _)| member == name).map(|&(_, value)| value);
        let Some(kind) = get("type").and_then(raw_value::text).and_then(|word| kind_of(&word)) else {
            let words: Vec<&str> = Kind::ALL.iter().map(|(word, _)| *word).collect();
            self.refuse("type", &format!("`type` must be one of {}", words.join(", ")));
            return None;
        };
        let choices = self.choices(kind, get("enum"));
        let param = Param {
            name: self.name.to_owned(),
            targets: self.targets(get("target")),
            kind,
            default: get("default").map(ToOwned::to_owned),
            min: self.bound("min", kind, get("min")),
            max: self.bound("max", kind, get("max")),
            canonical_choices: choices.iter().filter_map(|choice| raw_value::canonical(choice)).collect(),
            choices,
            description: self.description(get("description")),
            is_required: self.required(get("required")) && get("default").is_none(),
        };
        if kind.is_file() && param.default.as_deref().is_some_and(|default| !is_stored_file(default)) {
            self.refuse("default", "the default of a file is the fileId of an upload");
        }
        let open = Param { choices: Vec::new(), canonical_choices: HashSet::new(), ..param.clone() };
        if let Some(choice) = param.choices.iter().find(|choice| open.validate(choice, false).is_err()) {
            self.refuse("enum", &format!("{} is not {}", clip(choice.get()), open.expected()));
        }
        if let (Some(min), Some(max)) = (&param.min, &param.max)
            && min.value > max.value
        {
            self.refuse("min", "`min` is above `max`");
        }
        Some(param)
    }

    fn targets(&mut self, value: Option<&RawValue>) -> Vec<String> {
        let Some(value) = value else { return Vec::new() };
        let texts = match raw_value::elements(value) {
            Some(elements) => elements.into_iter().map(raw_value::text).collect::<Option<Vec<String>>>(),
            None => raw_value::text(value).map(|text| vec![text]),
        };
        match texts {
            Some(texts) if (1..=TARGETS_MAX).contains(&texts.len()) => texts,
            _ => {
                let message =
                    format!("`target` must be an address such as \"6.text\", or a list of 1 to {TARGETS_MAX}");
                self.refuse("target", &message);
                Vec::new()
            }
        }
    }

    fn bound(&mut self, member: &str, kind: Kind, value: Option<&RawValue>) -> Option<Bound> {
        let value = value?;
        let is_whole = kind != Kind::Number;
        if !matches!(kind, Kind::Integer | Kind::Number | Kind::String) {
            self.refuse(member, &format!("`{member}` applies to numbers and to the length of a string"));
            return None;
        }
        let text = value.get();
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let whole = text.parse::<i128>().ok();
        match number {
            Some(number) if (whole.is_some() || !is_whole) && (kind != Kind::String || number >= 0.0) => {
                Some(Bound { text: text.to_owned(), value: number, whole })
            }
            _ => {
                let what = if is_whole { "a whole number" } else { "a number" };
                self.refuse(member, &format!("`{member}` must be {what}"));
                None
            }
        }
    }

    fn choices(&mut self, kind: Kind, value: Option<&RawValue>) -> Vec<Box<RawValue>> {
        let Some(value) = value else { return Vec::new() };
        if kind.is_file() || kind == Kind::Boolean {
            self.refuse("enum", &format!("`enum` is not allowed with the type {}", kind.word()));
            return Vec::new();
        }
        let choices = raw_value::elements(value).unwrap_or_default();
        let are_plain = choices.iter().all(|choice| raw_value::canonical(choice).is_some());
        if !are_plain || !(1..=CHOICES_MAX).contains(&choices.len()) {
            self.refuse("enum", &format!("`enum` must be a list of 1 to {CHOICES_MAX} texts, numbers or booleans"));
            return Vec::new();
        }
        choices.into_iter().map(ToOwned::to_owned).collect()
    }

    fn description(&mut self, value: Option<&RawValue>) -> Option<String> {
        let text = raw_value::text(value?).filter(|text| text.chars().count() <= DESCRIPTION_CHARS_MAX);
        if text.is_none() {
            self.refuse(
                "description",
                &format!("`description` must be a text of at most {DESCRIPTION_CHARS_MAX} characters"),
            );
        }
        text
    }

    fn required(&mut self, value: Option<&RawValue>) -> bool {
        match value.map(RawValue::get) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.refuse("required", "`required` must be true or false");
                false
            }
        }
    }
}

/// Whether a default is a stored file: only those can be used repeatedly.
fn is_stored_file(default: &RawValue) -> bool {
    let is_id = |value: &RawValue| raw_value::text(value).is_some_and(|text| text.parse::<FileId>().is_ok());
    let members = raw_value::members(default).unwrap_or_default();
    is_id(default) || matches!(members.as_slice(), [(key, id)] if key == "$file" && is_id(id))
}

fn kind_of(word: &str) -> Option<Kind> {
    Kind::ALL.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
}

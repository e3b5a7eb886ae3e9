//! Validates a value against its declaration. [`super::schema()`] expresses the same rules as JSON Schema: keep both in
//! step.

use super::{Bound, Kind, Param};
use crate::{
    graph::params::{files::is_base64, seeds::SeedRequest, value::ValueError},
    json::raw_value,
    problem::{clip, suggest},
    task::FileId,
};
use serde_json::value::RawValue;

/// Directives for files; their content is validated when they are read.
const FILE_DIRECTIVES: [&str; 3] = ["$file", "$url", "$base64"];
/// Values that request a drawn seed.
pub(super) const SEED_REQUESTS: [&str; 2] = ["-1", "\"random\""];

impl Param {
    /// Validates a value; returns its replacement if it must be written differently. `is_seed`: all targets are seeds.
    pub(super) fn validate(&self, value: &RawValue, is_seed: bool) -> Result<Option<Box<RawValue>>, ValueError> {
        if self.kind.is_file() {
            return self.validate_file(value);
        }
        if self.kind == Kind::Integer && is_seed && SeedRequest::read(value).is_some() {
            return Ok(None);
        }
        match self.kind {
            Kind::String => {
                let text = raw_value::text(value).ok_or_else(|| self.mismatch("param_type", value))?;
                let length = i128::try_from(text.chars().count()).unwrap_or(i128::MAX);
                self.within(value, |bound| bound.compare_whole(length))?;
            }
            Kind::Integer => {
                let number = whole(value).ok_or_else(|| self.mismatch("param_type", value))?;
                self.within(value, |bound| bound.compare_whole(number))?;
            }
            Kind::Number => {
                let number = float(value).ok_or_else(|| self.mismatch("param_type", value))?;
                self.within(value, |bound| number.total_cmp(&bound.value))?;
            }
            Kind::Boolean if !matches!(value.get(), "true" | "false") => return Err(self.mismatch("param_type", value)),
            Kind::Enum if raw_value::canonical(value).is_none() => return Err(self.mismatch("param_type", value)),
            Kind::Boolean | Kind::Enum | Kind::Image | Kind::Video | Kind::Audio | Kind::File => {}
        }
        self.among_choices(value).map(|()| None)
    }

    /// Validates a file id, a URL, base64, the name of an upload, or a directive.
    fn validate_file(&self, value: &RawValue) -> Result<Option<Box<RawValue>>, ValueError> {
        if let Some(text) = raw_value::text(value) {
            let directive = match FileId::from_spelling(&text) {
                None if text.trim().is_empty() => return Err(self.mismatch("param_type", value)),
                None if is_link(&text) => "$url",
                None if is_base64(&text) => "$base64",
                // A file id, or the name of an upload.
                Some(_) | None => "$file",
            };
            let object = std::collections::BTreeMap::from([(directive, text)]);
            return Ok(serde_json::value::to_raw_value(&object).ok());
        }
        let is_directive = raw_value::members(value)
            .is_some_and(|members| members.iter().any(|(key, _)| FILE_DIRECTIVES.contains(&key.as_str())));
        if is_directive { Ok(None) } else { Err(self.mismatch("param_type", value)) }
    }

    fn within(&self, value: &RawValue, compare: impl Fn(&Bound) -> std::cmp::Ordering) -> Result<(), ValueError> {
        let is_below = self.min.as_ref().is_some_and(|min| compare(min).is_lt());
        let is_above = self.max.as_ref().is_some_and(|max| compare(max).is_gt());
        if is_below || is_above { Err(self.mismatch("param_out_of_range", value)) } else { Ok(()) }
    }

    fn among_choices(&self, value: &RawValue) -> Result<(), ValueError> {
        if self.choices.is_empty() {
            return Ok(());
        }
        if raw_value::canonical(value).is_some_and(|wanted| self.canonical_choices.contains(&wanted)) {
            return Ok(());
        }
        Err(ValueError { has_options: true, ..self.mismatch("param_not_an_option", value) })
    }

    /// Returns the choices most similar to a value that is none of them.
    pub(super) fn near_choices(&self, value: &RawValue) -> Vec<String> {
        let plain = |value: &RawValue| raw_value::text(value).unwrap_or_else(|| value.get().to_owned());
        suggest(&plain(value), self.choices.iter().map(|choice| plain(choice)))
    }

    fn mismatch(&self, code: &'static str, value: &RawValue) -> ValueError {
        let (expected, got) = (self.expected(), clip(value.get()));
        let message = format!("`{}` takes {expected}, not {got}", self.name);
        ValueError { expected: Some((expected, got)), ..ValueError::new(code, message) }
    }

    /// Describes valid values: `a whole number from 1 to 100`.
    pub(super) fn expected(&self) -> String {
        let range = match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!(" from {} to {}", min.text, max.text),
            (Some(min), None) => format!(" of at least {}", min.text),
            (None, Some(max)) => format!(" of at most {}", max.text),
            (None, None) => String::new(),
        };
        let of_length = if range.is_empty() { String::new() } else { format!("{range} characters") };
        match self.kind {
            _ if !self.choices.is_empty() => format!("one of {} values", self.choices.len()),
            Kind::String => format!("a text{of_length}"),
            Kind::Integer => format!("a whole number{range}"),
            Kind::Number => format!("a number{range}"),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Enum => "a text, a number or a boolean".to_owned(),
            Kind::Image | Kind::Video | Kind::Audio | Kind::File => {
                let article = if matches!(self.kind, Kind::Image | Kind::Audio) { "an" } else { "a" };
                format!(
                    "{article} {}: a file id, the name of an upload, {{\"$file\":…}}, {{\"$url\":…}} or {{\"$base64\":…}}",
                    self.kind.word()
                )
            }
        }
    }
}

impl Bound {
    fn compare_whole(&self, number: i128) -> std::cmp::Ordering {
        self.whole.map_or(std::cmp::Ordering::Equal, |bound| number.cmp(&bound))
    }
}

/// Reads an integer as JSON Schema defines it: `20` and `20.0`, not `"20"`.
#[allow(clippy::cast_possible_truncation, reason = "`as` saturates")]
fn whole(value: &RawValue) -> Option<i128> {
    let token = value.get();
    token.parse().ok().or_else(|| float(value).filter(|number| number.fract() == 0.0).map(|number| number as i128))
}

fn float(value: &RawValue) -> Option<f64> {
    value.get().parse().ok().filter(|number: &f64| number.is_finite())
}

pub(super) fn is_link(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

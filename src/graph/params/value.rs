//! Values of parameters: plain JSON, or a directive (an object with one `$` member).

use super::{files, seeds::is_seed_name};
use crate::{
    graph::{
        catalog::{Mismatch, cure},
        links,
    },
    json::raw_value,
    problem::{clip, suggest},
    task::FileId,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Largest drawn seed, as in ComfyUI's own page: fits nodes that take less than 64 bits, and JavaScript numbers (2^53).
pub(super) const SEED_MAX: u64 = (1 << 50) - 1;
/// All directives.
const KNOWN: [&str; 8] = ["$file", "$url", "$base64", "$random", "$link", "$unset", "$literal", "$force"];
/// Members allowed beside a directive.
const BESIDE: [(&str, &str); 3] = [("$base64", "filename"), ("$url", "filename"), ("$url", "sha256")];

/// A parsed value.
#[derive(Debug)]
pub(super) enum Value<'p> {
    /// Plain JSON; an array with the form of a link is a [`Value::Link`].
    Plain(&'p RawValue),
    /// JSON to be taken literally.
    Literal(&'p RawValue),
    /// A stored file.
    File(FileId),
    /// An upload by its name.
    Named(String),
    /// A file inside the request, in base64 or as a data URI.
    Inline { directive: &'p RawValue, base64: String, filename: Option<String> },
    /// A file at a URL.
    Remote(Remote),
    /// A number to draw; the bounds default to those of the input.
    Random { min: Option<u64>, max: Option<u64> },
    /// A link `[node id, slot]`.
    Link { link: &'p RawValue, target: String },
    /// Removes the input.
    Unset,
    /// Replaces even a link, and adds the input if it is missing.
    Forced(Box<Value<'p>>),
}

/// A file at a URL, as given.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) url: String,
    /// Expected SHA-256, lowercase hex.
    pub(super) sha256: Option<String>,
    pub(super) filename: Option<String>,
}

/// The reason a value is refused: code, message, similar names.
#[derive(Debug)]
pub(super) struct ValueError {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) candidates: Vec<String>,
    /// Expected and actual value.
    pub(super) expected: Option<(String, String)>,
    /// Whether the value is not among the options of a list, of which similar ones can be named.
    pub(super) has_options: bool,
}

impl ValueError {
    pub(super) fn new(code: &'static str, message: String) -> Self {
        Self { code, message, candidates: Vec::new(), expected: None, has_options: false }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new("param_bad_directive", message.into())
    }

    /// Makes the error for a value that no instance accepts for this input.
    pub(super) fn of(mismatch: Mismatch, address: &str, value: &RawValue) -> Self {
        let Mismatch { code, expected, is_choice } = mismatch;
        let got = clip(value.get());
        let message = if is_choice {
            format!("no instance offers {got} for `{address}`")
        } else {
            format!("`{address}` takes {expected}, not {got}")
        };
        let input = address.rsplit('.').next().unwrap_or(address);
        let message = message + cure(value, is_seed_name(input));
        Self { code, message, candidates: Vec::new(), expected: Some((expected, got)), has_options: is_choice }
    }

    pub(super) fn unsupported(message: String) -> Self {
        Self::new("param_unsupported_directive", message)
    }

    fn unknown(name: &str) -> Self {
        let candidates = suggest(name, KNOWN.iter().map(|&known| known.to_owned()));
        let message = format!("unknown directive `{}`; to pass the object itself write {{\"$literal\":…}}", clip(name));
        Self { candidates, ..Self::unsupported(message) }
    }
}

impl<'p> Value<'p> {
    /// Parses a value.
    pub(super) fn read(raw: &'p RawValue) -> Result<Self, ValueError> {
        let Some(members) = raw_value::members(raw) else {
            let target = links::link_target(raw);
            return Ok(target.map_or(Self::Plain(raw), |target| Self::Link { link: raw, target }));
        };
        let Some((name, argument)) = members.iter().find(|(key, _)| key.starts_with('$') || key == "__type") else {
            return Ok(Self::Plain(raw));
        };
        if name == files::TYPE {
            return files::asset(&members);
        }
        if !KNOWN.contains(&name.as_str()) {
            return Err(ValueError::unknown(name));
        }
        let may_stand = |other: &str| other == name || BESIDE.contains(&(name.as_str(), other));
        if let Some((other, _)) = members.iter().find(|(other, _)| !may_stand(other)) {
            return Err(ValueError::bad(format!("`{}` is not allowed beside `{name}`", clip(other))));
        }
        match name.as_str() {
            "$file" => files::stored(argument),
            "$url" => files::remote(&members).map(Self::Remote),
            "$base64" => inline(raw, argument, member(&members, "filename")),
            "$random" => random(argument),
            "$link" => link(argument),
            "$unset" if argument.get() == "true" => Ok(Self::Unset),
            "$unset" => Err(ValueError::bad("write {\"$unset\":true}")),
            "$literal" => Ok(Self::Literal(argument)),
            _ => forced(argument),
        }
    }
}

pub(super) fn member<'p>(members: &[(String, &'p RawValue)], name: &str) -> Option<&'p RawValue> {
    members.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
}

fn inline<'p>(
    directive: &'p RawValue,
    argument: &RawValue,
    filename: Option<&RawValue>,
) -> Result<Value<'p>, ValueError> {
    let filename = filename.map(raw_value::text);
    match (raw_value::text(argument), filename) {
        (_, Some(None)) | (None, _) => {
            Err(ValueError::bad("`$base64` takes a text, e.g. {\"$base64\":\"iVBORw0…\",\"filename\":\"a.png\"}"))
        }
        (Some(base64), filename) => Ok(Value::Inline { directive, base64, filename: filename.flatten() }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    #[serde(default)]
    min: Option<u64>,
    #[serde(default)]
    max: Option<u64>,
}

fn random<'p>(argument: &RawValue) -> Result<Value<'p>, ValueError> {
    let bounds = raw_value::is_object(argument).then(|| serde_json::from_str::<Bounds>(argument.get()).ok()).flatten();
    match bounds {
        Some(Bounds { min, max }) if min.unwrap_or(0) <= max.unwrap_or(u64::MAX) => Ok(Value::Random { min, max }),
        _ => Err(ValueError::bad("`$random` takes {\"min\"?,\"max\"?}: integers from 0, min not above max")),
    }
}

fn link(argument: &RawValue) -> Result<Value<'_>, ValueError> {
    let elements = raw_value::elements(argument).unwrap_or_default();
    let is_slot = elements.get(1).is_some_and(|slot| slot.get().parse::<u16>().is_ok());
    match links::link_target(argument).filter(|_| is_slot) {
        Some(target) => Ok(Value::Link { link: argument, target }),
        None => Err(ValueError::bad("`$link` takes [\"<node id>\", <output slot>]")),
    }
}

fn forced(argument: &RawValue) -> Result<Value<'_>, ValueError> {
    match Value::read(argument)? {
        Value::Forced(_) => Err(ValueError::bad("`$force` holds a value or another directive, not itself")),
        value => Ok(Value::Forced(Box::new(value))),
    }
}

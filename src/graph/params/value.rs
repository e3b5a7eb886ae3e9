//! What a parameter's value means: JSON as it is, or a directive (an object with one `$` member).

use super::near::near;
use crate::graph::{problem::clip, raw};
use crate::task::FileId;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Drawn seeds lie below this, as those of ComfyUI's own page: fits nodes that take less than 64 bits, and a page's
/// numbers (2^53).
const SEED_MAX: u64 = (1 << 50) - 1;
/// Directives that exist.
const KNOWN: [&str; 6] = ["$file", "$random", "$link", "$unset", "$literal", "$force"];
/// Directives that are foreseen (params.md) and not built yet.
const LATER: [&str; 2] = ["$url", "$base64"];

/// A value as read.
#[derive(Debug)]
pub(super) enum Value<'p> {
    /// JSON; a link-shaped array is a [`Value::Link`].
    Plain(&'p RawValue),
    /// JSON that is meant literally, whatever it looks like.
    Literal(&'p RawValue),
    /// A stored file.
    File(FileId),
    /// A number to draw.
    Random { min: u64, max: u64 },
    /// `[node id, slot]`.
    Link { link: &'p RawValue, target: String },
    /// The input goes away.
    Unset,
    /// Also over a link, also where there is no such input yet.
    Forced(Box<Value<'p>>),
}

/// Why a value cannot be taken: code, message, near names.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) candidates: Vec<String>,
}

impl Unfit {
    fn bad(message: impl Into<String>) -> Self {
        Self { code: "param_bad_directive", message: message.into(), candidates: Vec::new() }
    }

    fn unsupported(name: &str) -> Self {
        let candidates = near(name, KNOWN.iter().map(|&known| known.to_owned()));
        let message = if LATER.contains(&name) || name == "__type" {
            format!("`{name}` is not supported yet; upload the file and write {{\"$file\":\"<fileId>\"}}")
        } else {
            format!("`{}` is no directive; to pass the object itself write {{\"$literal\":…}}", clip(name))
        };
        Self { code: "param_unsupported_directive", message, candidates }
    }
}

impl<'p> Value<'p> {
    /// The range of seeds when nothing says otherwise.
    pub(super) const ANY_SEED: Self = Self::Random { min: 0, max: SEED_MAX };

    /// Reads a value.
    pub(super) fn read(raw: &'p RawValue) -> Result<Self, Unfit> {
        let Some(members) = raw::members(raw) else {
            let target = raw::link_target(raw);
            return Ok(target.map_or(Self::Plain(raw), |target| Self::Link { link: raw, target }));
        };
        let Some((name, argument)) = members.iter().find(|(key, _)| key.starts_with('$') || key == "__type") else {
            return Ok(Self::Plain(raw));
        };
        if !KNOWN.contains(&name.as_str()) {
            return Err(Unfit::unsupported(name));
        }
        if members.len() > 1 {
            return Err(Unfit::bad(format!("`{name}` must be the only member of its object")));
        }
        match name.as_str() {
            "$file" => file(argument).map(Self::File),
            "$random" => random(argument),
            "$link" => link(argument),
            "$unset" if argument.get() == "true" => Ok(Self::Unset),
            "$unset" => Err(Unfit::bad("write {\"$unset\":true}")),
            "$literal" => Ok(Self::Literal(argument)),
            _ => forced(argument),
        }
    }
}

fn file(argument: &RawValue) -> Result<FileId, Unfit> {
    let id = raw::text(argument).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Unfit::bad("`$file` takes the fileId of an upload, e.g. {\"$file\":\"3f0c…\"}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    #[serde(default)]
    min: u64,
    #[serde(default = "seed_max")]
    max: u64,
}

fn seed_max() -> u64 {
    SEED_MAX
}

fn random<'p>(argument: &RawValue) -> Result<Value<'p>, Unfit> {
    let bounds = raw::is_object(argument).then(|| serde_json::from_str::<Bounds>(argument.get()).ok()).flatten();
    match bounds {
        Some(Bounds { min, max }) if min <= max => Ok(Value::Random { min, max }),
        _ => Err(Unfit::bad("`$random` takes {\"min\"?,\"max\"?}: integers from 0, min not above max")),
    }
}

fn link(argument: &RawValue) -> Result<Value<'_>, Unfit> {
    let elements = raw::elements(argument).unwrap_or_default();
    let is_slot = elements.get(1).is_some_and(|slot| slot.get().parse::<u16>().is_ok());
    match raw::link_target(argument).filter(|_| is_slot) {
        Some(target) => Ok(Value::Link { link: argument, target }),
        None => Err(Unfit::bad("`$link` takes [\"<node id>\", <output slot>]")),
    }
}

fn forced(argument: &RawValue) -> Result<Value<'_>, Unfit> {
    match Value::read(argument)? {
        Value::Forced(_) => Err(Unfit::bad("`$force` holds a value or another directive, not itself")),
        value => Ok(Value::Forced(Box::new(value))),
    }
}

//! Values that the fleet as a whole accepts for an input, for JSON Schemas.

use super::{FleetCatalog, Input, Kind};
use crate::json::raw_value;
use std::collections::BTreeSet;

/// Bounds of a number, as JSON; `None` = unbounded.
pub(in crate::graph) struct Range {
    pub(in crate::graph) min: Option<String>,
    pub(in crate::graph) max: Option<String>,
}

impl FleetCatalog {
    /// Returns the widest bounds of a number; `None` if no instance is known, or one declares another type.
    pub(in crate::graph) fn range(&self, class: &str, input: &str) -> Option<Range> {
        let inputs = self.inputs(class, input)?;
        let all: Option<Vec<_>> = inputs.into_iter().map(bounds).collect();
        let widest = all?.into_iter().reduce(|(min, max), (other_min, other_max)| {
            (lower(min, other_min, f64::lt), lower(max, other_max, f64::gt))
        });
        let (min, max) = widest?;
        Some(Range { min: min.map(|(text, _)| text), max: max.map(|(text, _)| text) })
    }

    /// Returns the values of a combo that any instance offers, as canonical JSON; `None` unless the values of every
    /// instance are known.
    pub(in crate::graph) fn choices(&self, class: &str, input: &str) -> Option<BTreeSet<String>> {
        if self.has_unknown() {
            return None;
        }
        let mut all = BTreeSet::new();
        for declared in self.inputs(class, input)? {
            match &declared.kind {
                Kind::Choice(choices) => all.extend(choices.iter().cloned()),
                Kind::Dynamic(variants) => {
                    all.extend(variants.iter().map(|variant| raw_value::quote(&variant.key).get().to_owned()));
                }
                Kind::Int { .. } | Kind::Float { .. } | Kind::Boolean | Kind::Text => return None,
                Kind::Growing(_) | Kind::Open => return None,
            }
        }
        Some(all)
    }

    /// Returns the declarations of the input by all instances that have the class; `None` if one of them lacks the
    /// input, or no instance has the class.
    fn inputs(&self, class: &str, input: &str) -> Option<Vec<&Input>> {
        let inputs: Option<Vec<&Input>> = self.declarations(class).map(|class| class.input(input)).collect();
        inputs.filter(|inputs| !inputs.is_empty())
    }
}

type Bound = Option<(String, f64)>;

#[allow(clippy::cast_precision_loss, reason = "only compared, to find the wider one")]
fn bounds(input: &Input) -> Option<(Bound, Bound)> {
    match &input.kind {
        Kind::Int { min, max } => {
            let bound = |bound: &Option<i128>| bound.map(|bound| (bound.to_string(), bound as f64));
            Some((bound(min), bound(max)))
        }
        Kind::Float { min, max } => {
            let bound = |bound: &Option<f64>| bound.map(|bound| (bound.to_string(), bound));
            Some((bound(min), bound(max)))
        }
        Kind::Boolean | Kind::Text | Kind::Choice(_) | Kind::Dynamic(_) | Kind::Growing(_) | Kind::Open => None,
    }
}

/// Returns the wider of two bounds; `None` is the widest.
fn lower(one: Bound, other: Bound, is_wider: fn(&f64, &f64) -> bool) -> Bound {
    let ((text, value), (other_text, other_value)) = (one?, other?);
    Some(if is_wider(&value, &other_value) { (text, value) } else { (other_text, other_value) })
}

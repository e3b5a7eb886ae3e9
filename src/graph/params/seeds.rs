//! Seeds: recognises seed inputs, finds their range and draws them (params.md, Seeds).

use super::{
    apply::{Draw, Writer, number},
    options::WARNINGS_MAX,
    value::{SEED_MAX, ValueError},
};
use crate::{graph::catalog::Kind, problem::clip, task::Warning};
use serde_json::value::RawValue;

/// Inputs for which `-1` and `"random"` request a drawn seed.
pub(super) const SEED_INPUTS: [&str; 3] = ["seed", "noise_seed", "rand_seed"];

/// Whether an input of this name is a seed, regardless of its declaration.
pub(in crate::graph) fn is_seed_name(input: &str) -> bool {
    SEED_INPUTS.contains(&input)
}

impl Writer<'_> {
    /// Returns the range to draw from if `value` requests any seed for a seed input. `-1` is an ordinary value if the
    /// input's declaration allows it.
    pub(super) fn requested_seed_range(&self, place: usize, input: &str, value: &RawValue) -> Option<(u64, u64)> {
        let is_minus = match value.get() {
            "-1" | "\"-1\"" => true,
            "\"random\"" => false,
            _ => return None,
        };
        self.seed_range(place, input).filter(|_| !is_minus || !self.takes_negative(place, input))
    }

    /// Draws a seed for every seed input that holds a number and that no param set.
    pub(super) fn draw_all(&mut self, draw: &mut Draw<'_>) {
        let mut found = Vec::new();
        for (place, node) in self.workflow.nodes().enumerate() {
            if !self.budget.spend(1 + node.inputs.len()) {
                return;
            }
            for (input, value) in &node.inputs {
                let is_number = matches!(value.get().as_bytes().first(), Some(b'-' | b'0'..=b'9'));
                if is_number
                    && !self.set.contains_key(&(place, input.as_str()))
                    && let Some((min, max)) = self.seed_range(place, input)
                {
                    found.push((place, input.clone(), min, max));
                }
            }
        }
        for (place, input, min, max) in found {
            self.draw(place, &input, min, max, draw);
        }
    }

    /// Draws every seed that is `-1` in the graph although its declaration takes none below 0: exported graphs mean a
    /// random one by that.
    pub(super) fn draw_negative(&mut self, draw: &mut Draw<'_>, warnings: &mut Vec<Warning>) {
        if self.eligibility.is_none() {
            return;
        }
        let mut found = Vec::new();
        for (place, node) in self.workflow.nodes().enumerate() {
            for (input, value) in &node.inputs {
                if value.get() == "-1"
                    && !self.set.contains_key(&(place, input.as_str()))
                    && let Some((min, max)) = self.requested_seed_range(place, input, value)
                {
                    found.push((place, input.clone(), min, max));
                }
            }
        }
        for (place, input, min, max) in found {
            self.draw(place, &input, min, max, draw);
            if warnings.len() < WARNINGS_MAX {
                let param = format!("{}.{}", self.workflow.node(place).id, clip(&input));
                let message = format!("`{param}` was -1, which no instance takes: a random seed was drawn");
                warnings.push(Warning { code: "seed_drawn".to_owned(), message, param: Some(param) });
            }
        }
    }

    /// Returns the bounds of `$random`: its own, otherwise those of the input.
    pub(super) fn random_range(
        &self,
        place: usize,
        input: &str,
        min: Option<u64>,
        max: Option<u64>,
    ) -> Result<(u64, u64), ValueError> {
        let (least, most) = self.declared_range(place, input).unwrap_or((0, SEED_MAX));
        let low = min.unwrap_or_else(|| least.min(max.unwrap_or(least)));
        let high = max.unwrap_or_else(|| most.max(low));
        if low > high {
            return Err(ValueError::bad(format!("`$random` has no number from {low} to {high}")));
        }
        Ok((low, high))
    }

    pub(super) fn draw(&mut self, place: usize, input: &str, min: u64, max: u64, draw: &mut Draw<'_>) {
        self.budget.spend(4);
        let seed = draw(min, max);
        let address = format!("{}.{input}", self.workflow.node(place).id);
        self.workflow.put(place, input, number(seed));
        self.seeds.push((address, seed));
    }

    /// Returns the range of a seed input; `None` for any other input.
    fn seed_range(&self, place: usize, input: &str) -> Option<(u64, u64)> {
        let has_name = SEED_INPUTS.contains(&input);
        let Some(eligibility) = self.eligibility.as_ref() else { return has_name.then_some((0, SEED_MAX)) };
        match eligibility.input(&self.workflow.node(place).class, input) {
            None => has_name.then_some((0, SEED_MAX)),
            Some(declared) if has_name || declared.is_seed => match declared.kind {
                Kind::Int { .. } => self.declared_range(place, input),
                Kind::Open => Some((0, SEED_MAX)),
                Kind::Float { .. } | Kind::Boolean | Kind::Text | Kind::Choice(_) => None,
                Kind::Dynamic(_) | Kind::Growing(_) => None,
            },
            Some(_) => None,
        }
    }

    /// Returns the bounds of an `INT`, limited to what JavaScript numbers hold.
    fn declared_range(&self, place: usize, input: &str) -> Option<(u64, u64)> {
        let declared = self.eligibility.as_ref()?.input(&self.workflow.node(place).class, input)?;
        let Kind::Int { min, max } = declared.kind else { return None };
        let least = u64::try_from(min.unwrap_or(0).max(0)).ok()?;
        let most = u64::try_from(max.unwrap_or(u64::MAX.into()).min(u64::MAX.into())).ok()?;
        let most = most.min(SEED_MAX.max(least));
        (least <= most).then_some((least, most))
    }

    fn takes_negative(&self, place: usize, input: &str) -> bool {
        let declared = self
            .eligibility
            .as_ref()
            .and_then(|eligibility| eligibility.input(&self.workflow.node(place).class, input));
        declared.is_some_and(|declared| matches!(declared.kind, Kind::Int { min, .. } if min.is_none_or(|min| min < 0)))
    }
}

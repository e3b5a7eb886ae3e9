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

/// Longest JSON of a value that requests a drawn seed, bytes.
const REQUEST_BYTES_MAX: usize = 16;

/// Whether an input of this name is a seed, regardless of its declaration.
pub(in crate::graph) fn is_seed_name(input: &str) -> bool {
    SEED_INPUTS.contains(&input)
}

/// A value that requests a drawn seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeedRequest {
    /// `-1`, also as `-1.0` or as a text.
    MinusOne,
    /// `"random"`.
    Word,
}

impl SeedRequest {
    /// Reads a value; `None` if it is an ordinary one.
    pub(super) fn read(value: &RawValue) -> Option<Self> {
        let json = value.get();
        let is_short = json.len() <= REQUEST_BYTES_MAX && json.starts_with(['-', '"']);
        let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
        match inner.trim() {
            _ if !is_short => None,
            "random" if inner.len() < json.len() => Some(Self::Word),
            number => (number.parse() == Ok(-1.0_f64)).then_some(Self::MinusOne),
        }
    }
}

impl Writer<'_> {
    /// Returns the range to draw from if `value` requests any seed for a seed input. `-1` is an ordinary value if the
    /// input's declaration allows it.
    pub(super) fn requested_seed_range(&self, place: usize, input: &str, value: &RawValue) -> Option<(u64, u64)> {
        let is_minus = match SeedRequest::read(value)? {
            SeedRequest::MinusOne => true,
            SeedRequest::Word => false,
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

    /// Draws every seed that is `-1` or `"random"` in the graph although its declaration takes none below 0: exported graphs
    /// mean a random one by that.
    pub(super) fn draw_negative(&mut self, draw: &mut Draw<'_>, warnings: &mut Vec<Warning>) {
        if self.eligibility.is_none() {
            return;
        }
        let mut found = Vec::new();
        for (place, node) in self.workflow.nodes().enumerate() {
            for (input, value) in &node.inputs {
                if SeedRequest::read(value).is_some()
                    && !self.set.contains_key(&(place, input.as_str()))
                    && let Some((min, max)) = self.requested_seed_range(place, input, value)
                {
                    found.push((place, input.clone(), min, max, clip(value.get())));
                }
            }
        }
        for (place, input, min, max, was) in found {
            self.draw(place, &input, min, max, draw);
            if warnings.len() < WARNINGS_MAX {
                let param = format!("{}.{}", self.workflow.node(place).id, clip(&input));
                let message = format!("`{param}` was {was}, which no instance takes: a random seed was drawn");
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

#[cfg(test)]
mod tests {
    use super::SeedRequest;
    use serde_json::value::RawValue;

    /// Bug report 20.
    #[test]
    fn every_spelling_of_minus_one_requests_a_seed() {
        let read = |json: &str| SeedRequest::read(serde_json::from_str::<&RawValue>(json).unwrap());
        for json in ["-1", "-1.0", "-1e0", r#""-1""#, r#"" -1 ""#, r#""-1.0""#] {
            assert_eq!(read(json), Some(SeedRequest::MinusOne), "{json}");
        }
        assert_eq!(read(r#""random""#), Some(SeedRequest::Word));
        for json in ["1", "-2", "-1.5", "0", r#""""#, r#""-""#, r#""randomly""#, "null", "true", r#"["3",0]"#] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}

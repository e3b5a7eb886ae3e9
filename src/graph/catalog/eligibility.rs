//! Search for the instances that can run a task, narrowed class by class and value by value.

use super::{Chosen, FleetCatalog, Given, Input, Mismatch, fleet_catalog::Group};
use crate::{
    graph::{Budget, links::is_url},
    task::InstanceId,
};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// A requirement that not every instance meets.
#[derive(Debug, Clone)]
pub(in crate::graph) struct Need {
    /// `class KSampler`, `4.ckpt_name "a.safetensors"`.
    pub(in crate::graph) what: String,
    /// Some instances that meet it.
    pub(in crate::graph) at: Vec<InstanceId>,
}

/// Number of needs listed in a message.
const NEEDS_MAX: usize = 5;
/// Number of instances listed for each need.
const INSTANCES_SHOWN: usize = 3;

/// The groups of a fleet that can still run one task.
#[derive(Debug)]
pub(in crate::graph) struct Eligibility<'p> {
    pool: &'p FleetCatalog,
    fits: Vec<bool>,
    needs: Vec<Need>,
    /// Instances that have the files it names; `None` = all.
    only: Option<HashSet<InstanceId>>,
    budget: &'p Budget,
}

/// Whether the fleet has a class.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::graph) enum ClassPresence {
    /// At least one instance has it.
    Present,
    /// No instance has it, and all catalogs are known.
    Absent,
    /// No known instance has it.
    Unknown,
}

impl<'p> Eligibility<'p> {
    pub(in crate::graph) fn new(pool: &'p FleetCatalog, budget: &'p Budget) -> Self {
        Self { pool, fits: vec![true; pool.groups.len()], needs: Vec::new(), only: None, budget }
    }

    pub(in crate::graph) fn pool(&self) -> &'p FleetCatalog {
        self.pool
    }

    pub(super) fn spend(&self, steps: usize) {
        self.budget.spend(steps);
    }

    pub(in crate::graph) fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Narrows to the instances that have the class.
    pub(in crate::graph) fn require_class(&mut self, class: &str) -> ClassPresence {
        self.budget.spend(1 + self.pool.groups.len());
        let has: Vec<bool> = self.pool.groups.iter().map(|group| group.catalog.has_class(class)).collect();
        if has.iter().any(|&has| has) {
            self.narrow(&has, || format!("class {class}"));
            ClassPresence::Present
        } else if self.pool.unknown.is_empty() && !self.pool.is_empty() {
            ClassPresence::Absent
        } else {
            self.fits.fill(false);
            ClassPresence::Unknown
        }
    }

    /// Returns the declaration of an input by the first instance that has it.
    pub(in crate::graph) fn input(&self, class: &str, input: &str) -> Option<&'p Input> {
        self.pool.groups.iter().find_map(|group| group.catalog.class(class)?.input(input))
    }

    /// Does the same as [`Self::input`] for a node whose combos have the values that `chosen` returns.
    pub(in crate::graph) fn input_beside(&self, class: &str, input: &str, chosen: Chosen<'_>) -> Option<&'p Input> {
        self.pool.groups.iter().find_map(|group| group.catalog.class(class)?.input_beside(input, chosen))
    }

    /// Whether `text` is a URL of a file for this input: the input takes files, and no instance lists the URL as a
    /// value.
    pub(in crate::graph) fn takes_file_at(&self, class: &str, input: &str, text: &str) -> bool {
        let declared = |group: &'p Group| group.catalog.class(class)?.input(input);
        let mut declared = self.pool.groups.iter().filter_map(declared).peekable();
        is_url(text)
            && declared.peek().is_some_and(|input| input.is_upload)
            && declared.all(|input| input.urls.binary_search_by(|url| url.as_str().cmp(text)).is_err())
    }

    /// Whether an input is known to take the names of files.
    pub(in crate::graph) fn takes_files(&self, class: &str, input: &str) -> bool {
        self.input(class, input).is_some_and(|input| input.is_upload)
    }

    /// Whether an instance is known to have the class.
    pub(in crate::graph) fn has_class(&self, class: &str) -> bool {
        self.pool.groups.iter().any(|group| group.catalog.has_class(class))
    }

    /// Whether a class is known to make outputs.
    pub(in crate::graph) fn is_output(&self, class: &str) -> bool {
        self.pool.groups.iter().any(|group| group.catalog.is_output(class))
    }

    /// Narrows to the instances that accept the value in a node whose combos have the values that `chosen` returns.
    /// Returns its replacement if it must be written differently.
    ///
    /// # Errors
    /// No instance accepts it.
    pub(in crate::graph) fn require_value(
        &mut self,
        (class, input): (&str, &str),
        chosen: Chosen<'_>,
        value: &RawValue,
        what: impl FnOnce() -> String,
    ) -> Result<Option<Box<RawValue>>, Mismatch> {
        self.budget.spend(1 + self.pool.groups.len() + value.get().len() / 64);
        let given = Given::new(value);
        let mut takes = vec![true; self.fits.len()];
        let (mut written, mut mismatch, mut is_taken) = (None, None, false);
        for (takes, group) in takes.iter_mut().zip(&self.pool.groups) {
            // Groups without the class are out already; an undeclared input is left to the instance.
            let Some(class) = group.catalog.class(class) else { continue };
            match class.input_beside(input, chosen).map_or(Ok(None), |declared| declared.validate(&given)) {
                Ok(instead) => {
                    is_taken = true;
                    written = written.or(instead);
                }
                Err(why) => {
                    *takes = false;
                    mismatch = mismatch.or(Some(why));
                }
            }
        }
        match mismatch {
            None => Ok(written),
            Some(mismatch) if !is_taken && (!mismatch.is_choice || self.pool.unknown.is_empty()) => Err(mismatch),
            Some(_) => {
                self.narrow(&takes, what);
                Ok(written)
            }
        }
    }

    /// Returns similar values of a combo: those of the first instance that has the class.
    pub(in crate::graph) fn near_choices(
        &self,
        (class, input): (&str, &str),
        chosen: Chosen<'_>,
        value: &RawValue,
    ) -> Vec<String> {
        self.input_beside(class, input, chosen).map_or_else(Vec::new, |declared| declared.near_choices(value))
    }

    /// Returns the value that a literal of another type means, if no instance takes it as it is.
    pub(in crate::graph) fn meant(
        &self,
        (class, input): (&str, &str),
        chosen: Chosen<'_>,
        value: &RawValue,
    ) -> Option<Box<RawValue>> {
        let mut meant = None;
        for declared in self.pool.declarations(class).filter_map(|class| class.input_beside(input, chosen)) {
            declared.refuses(value)?;
            meant = meant.or_else(|| declared.meant(value));
        }
        meant
    }

    /// Returns the instances that can run the task; `None` = all.
    ///
    /// # Errors
    /// The needs, if no instance meets all of them.
    pub(in crate::graph) fn finish(self) -> Result<Option<Vec<InstanceId>>, Vec<Need>> {
        if self.fits.iter().all(|&fits| fits) && self.only.is_none() {
            return Ok(None);
        }
        let fitting = self.pool.groups.iter().zip(&self.fits).filter(|(_, fits)| **fits);
        let has_files = |instance: &&InstanceId| self.only.as_ref().is_none_or(|only| only.contains(*instance));
        let fitting = fitting.flat_map(|(group, _)| group.instances.iter().filter(has_files));
        let fitting: Vec<InstanceId> = fitting.cloned().collect();
        match (fitting.is_empty(), self.pool.unknown.is_empty()) {
            (false, _) => Ok(Some(fitting)),
            (true, false) => Ok(Some(self.pool.unknown.clone())),
            (true, true) => Err(self.needs),
        }
    }

    /// Narrows to these instances, which have a file.
    pub(in crate::graph) fn require_instances(&mut self, instances: &[InstanceId], what: impl FnOnce() -> String) {
        self.budget.spend(1 + instances.len());
        match &mut self.only {
            Some(only) => only.retain(|one| instances.contains(one)),
            None => self.only = Some(instances.iter().cloned().collect()),
        }
        if self.needs.len() < NEEDS_MAX {
            let at = instances.iter().take(INSTANCES_SHOWN).cloned().collect();
            self.needs.push(Need { what: what(), at });
        }
    }

    pub(super) fn narrow(&mut self, has: &[bool], what: impl FnOnce() -> String) {
        if has.iter().all(|&has| has) {
            return;
        }
        self.fits.iter_mut().zip(has).for_each(|(fits, has)| *fits &= has);
        if self.needs.len() < NEEDS_MAX {
            let at = self.pool.groups.iter().zip(has).filter(|(_, has)| **has).flat_map(|(group, _)| &group.instances);
            self.needs.push(Need { what: what(), at: at.take(INSTANCES_SHOWN).cloned().collect() });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{ClassPresence, Eligibility, FleetCatalog};
    use crate::{
        graph::catalog::{Catalog, Member},
        task::InstanceId,
    };
    use serde_json::value::RawValue;
    use std::sync::Arc;

    fn catalog(models: &str, extra: &str) -> Arc<Catalog> {
        let json = format!(r#"{{"L":{{"input":{{"required":{{"m":[[{models}]],"n":["INT",{{"max":9}}]}}}}}}{extra}}}"#);
        Arc::new(Catalog::parse(&json).unwrap())
    }

    fn member(name: &str, is_alive: bool, catalog: Option<&Arc<Catalog>>) -> Member {
        Member { instance: InstanceId::new(name), is_alive, catalog: catalog.cloned() }
    }

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    fn names(ids: Option<Vec<InstanceId>>) -> Option<Vec<String>> {
        ids.map(|ids| ids.iter().map(ToString::to_string).collect())
    }

    fn three() -> FleetCatalog {
        let (small, large) = (catalog(r#""a""#, ""), catalog(r#""a","b""#, r#","X":{}"#));
        FleetCatalog::new([
            member("1", true, Some(&small)),
            member("2", false, Some(&large)),
            member("3", true, Some(&small)),
        ])
    }

    #[test]
    fn a_class_of_every_instance_narrows_nothing() {
        let pool = three();
        let mut eligibility = Eligibility::new(&pool, Default::default());
        assert_eq!(eligibility.require_class("L"), ClassPresence::Present);
        assert!(eligibility.require_value(("L", "m"), &|_| None, raw(r#""a""#), String::new).unwrap().is_none());
        assert!(eligibility.require_value(("L", "undeclared"), &|_| None, raw("5"), String::new).unwrap().is_none());
        assert_eq!(eligibility.finish().unwrap(), None);
    }

    #[test]
    fn a_value_on_one_of_three_narrows_to_it() {
        let pool = three();
        let mut eligibility = Eligibility::new(&pool, Default::default());
        eligibility.require_value(("L", "m"), &|_| None, raw(r#""b""#), String::new).unwrap();
        assert_eq!(names(eligibility.finish().unwrap()).unwrap(), ["2"]);
        let mut eligibility = Eligibility::new(&pool, Default::default());
        assert_eq!(eligibility.require_class("X"), ClassPresence::Present);
        assert_eq!(names(eligibility.finish().unwrap()).unwrap(), ["2"]);
    }

    #[test]
    fn a_missing_class_is_refused_once_all_alive_instances_are_known() {
        let pool = three();
        let mut eligibility = Eligibility::new(&pool, Default::default());
        assert_eq!(eligibility.require_class("Y"), ClassPresence::Absent);
        assert_eq!(
            eligibility.require_value(("L", "m"), &|_| None, raw(r#""c""#), String::new).unwrap_err().code,
            "param_not_an_option"
        );
        assert_eq!(
            eligibility.require_value(("L", "n"), &|_| None, raw("10"), String::new).unwrap_err().code,
            "param_out_of_range"
        );
        let known = catalog(r#""a""#, "");
        let pool =
            FleetCatalog::new([member("1", true, Some(&known)), member("2", true, None), member("3", false, None)]);
        let mut eligibility = Eligibility::new(&pool, Default::default());
        assert!(eligibility.require_value(("L", "m"), &|_| None, raw(r#""c""#), String::new).is_ok());
        assert_eq!(
            eligibility.require_value(("L", "n"), &|_| None, raw("10"), String::new).unwrap_err().code,
            "param_out_of_range"
        );
        assert_eq!(names(eligibility.finish().unwrap()).unwrap(), ["2"]);
        let mut eligibility = Eligibility::new(&pool, Default::default());
        assert_eq!(eligibility.require_class("Y"), ClassPresence::Unknown);
        assert_eq!(names(eligibility.finish().unwrap()).unwrap(), ["2"]);
        let pool = FleetCatalog::new([member("1", true, Some(&known)), member("3", false, None)]);
        assert_eq!(Eligibility::new(&pool, Default::default()).require_class("Y"), ClassPresence::Absent);
    }

    #[test]
    fn an_instance_must_meet_every_need() {
        let pool = FleetCatalog::new([
            member("1", true, Some(&catalog(r#""a""#, ""))),
            member("2", true, Some(&catalog(r#""b""#, ""))),
        ]);
        let mut eligibility = Eligibility::new(&pool, Default::default());
        eligibility.require_value(("L", "m"), &|_| None, raw(r#""a""#), || "the model a".to_owned()).unwrap();
        eligibility.require_value(("L", "m"), &|_| None, raw(r#""b""#), || "the model b".to_owned()).unwrap();
        let needs = eligibility.finish().unwrap_err();
        let found: Vec<_> = needs.iter().map(|need| (need.what.as_str(), need.at[0].as_str())).collect();
        assert_eq!(found, [("the model a", "1"), ("the model b", "2")]);
    }

    #[test]
    fn an_empty_fleet_catalog_checks_nothing() {
        let pool = FleetCatalog::new([member("1", true, None)]);
        let mut eligibility = Eligibility::new(&pool, Default::default());
        assert_eq!(eligibility.require_class("Y"), ClassPresence::Unknown);
        assert!(pool.is_empty() && eligibility.finish().unwrap().is_none());
    }
}

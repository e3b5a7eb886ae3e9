//! The catalogs of a fleet together: which instances can take a task, narrowed value by value.

use super::{Catalog, Class, Input, Misfit};
use crate::{graph::raw, task::InstanceId};
use serde_json::value::RawValue;
use std::sync::Arc;

/// What is known of one instance of the config.
#[derive(Debug, Clone)]
pub struct Member {
    /// Which.
    pub instance: InstanceId,
    /// It answers now.
    pub is_alive: bool,
    /// The same `Arc` for the same content; `None` = not known yet.
    pub catalog: Option<Arc<Catalog>>,
}

/// The fleet as far as it is known. Empty = nothing is known: nothing is checked, the instances judge.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    pub(super) groups: Vec<Group>,
    /// Alive, and not known yet.
    pub(super) unknown: Vec<InstanceId>,
}

/// Instances of one kind.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) catalog: Arc<Catalog>,
    pub(super) instances: Vec<InstanceId>,
}

impl Pool {
    /// Sorts the instances of the config, in its order, by kind.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut pool = Self::default();
        for Member { instance, is_alive, catalog } in members {
            let Some(catalog) = catalog else {
                if is_alive {
                    pool.unknown.push(instance);
                }
                continue;
            };
            match pool.groups.iter_mut().find(|group| Arc::ptr_eq(&group.catalog, &catalog)) {
                Some(group) => group.instances.push(instance),
                None => pool.groups.push(Group { catalog, instances: vec![instance] }),
            }
        }
        pool
    }

    /// Whether no catalog is known at all.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether somebody who is alive is not known yet.
    pub(in crate::graph) fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// What each kind of instance declares for a class.
    pub(in crate::graph) fn declarations(&self, class: &str) -> impl Iterator<Item = &Class> {
        self.groups.iter().filter_map(move |group| group.catalog.class(class))
    }

    /// Every class name, with repetitions.
    pub(in crate::graph) fn class_names(&self) -> impl Iterator<Item = &String> {
        self.groups.iter().flat_map(|group| group.catalog.class_names())
    }
}

/// Something that not every instance has.
#[derive(Debug, Clone)]
pub(in crate::graph) struct Need {
    /// `class KSampler`, `4.ckpt_name "a.safetensors"`.
    pub(in crate::graph) what: String,
    /// Some who have it.
    pub(in crate::graph) at: Vec<InstanceId>,
}

/// Needs told in a message.
const NEEDS_MAX: usize = 5;
/// Instances told of each.
const TOLD_MAX: usize = 3;

/// Which groups of a pool still fit one task.
#[derive(Debug)]
pub(in crate::graph) struct Fit<'p> {
    pool: &'p Pool,
    fits: Vec<bool>,
    needs: Vec<Need>,
}

/// Who has a class.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::graph) enum ClassAt {
    /// At least one.
    Somebody,
    /// Nobody, and everybody is known.
    Nobody,
    /// Nobody who is known.
    Perhaps,
}

impl<'p> Fit<'p> {
    pub(in crate::graph) fn new(pool: &'p Pool) -> Self {
        Self { pool, fits: vec![true; pool.groups.len()], needs: Vec::new() }
    }

    pub(in crate::graph) fn pool(&self) -> &'p Pool {
        self.pool
    }

    pub(in crate::graph) fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Narrows to who has the class.
    pub(in crate::graph) fn need_class(&mut self, class: &str) -> ClassAt {
        let has: Vec<bool> = self.pool.groups.iter().map(|group| group.catalog.class(class).is_some()).collect();
        if has.iter().any(|&has| has) {
            self.narrow(&has, || format!("class {class}"));
            ClassAt::Somebody
        } else if self.pool.unknown.is_empty() && !self.pool.is_empty() {
            ClassAt::Nobody
        } else {
            self.fits.fill(false);
            ClassAt::Perhaps
        }
    }

    /// The declaration of an input, as the first who knows it has it.
    pub(in crate::graph) fn input(&self, class: &str, input: &str) -> Option<&'p Input> {
        self.pool.groups.iter().find_map(|group| group.catalog.class(class)?.input(input))
    }

    /// Whether `text` is a link to a file for this input: the input takes files, and nobody lists the link as one of its values.
    pub(in crate::graph) fn takes_file_at(&self, class: &str, input: &str, text: &str) -> bool {
        let declared = |group: &'p Group| group.catalog.class(class)?.input(input);
        let mut declared = self.pool.groups.iter().filter_map(declared).peekable();
        raw::is_url(text)
            && declared.peek().is_some_and(|input| input.is_upload)
            && declared.all(|input| input.urls.iter().all(|url| url != text))
    }

    /// Whether an input takes the names of files, as far as is known.
    pub(in crate::graph) fn takes_files(&self, class: &str, input: &str) -> bool {
        self.input(class, input).is_some_and(|input| input.is_upload)
    }

    /// Whether a class is known to make outputs.
    pub(in crate::graph) fn is_output(&self, class: &str) -> bool {
        self.pool.groups.iter().any(|group| group.catalog.class(class).is_some_and(|class| class.is_output))
    }

    /// Narrows to who takes the value. Gives what to write in its place.
    ///
    /// # Errors
    /// Nobody takes it.
    pub(in crate::graph) fn need_value(
        &mut self,
        class: &str,
        input: &str,
        value: &RawValue,
        what: impl FnOnce() -> String,
    ) -> Result<Option<Box<RawValue>>, Misfit> {
        let mut takes = vec![true; self.fits.len()];
        let (mut written, mut misfit, mut is_taken) = (None, None, false);
        for (takes, group) in takes.iter_mut().zip(&self.pool.groups) {
            // Who has no such class is out already; an input that is not declared is the instance's to judge.
            let Some(class) = group.catalog.class(class) else { continue };
            match class.input(input).map_or(Ok(None), |declared| declared.judge(value)) {
                Ok(instead) => {
                    is_taken = true;
                    written = written.or(instead);
                }
                Err(why) => {
                    *takes = false;
                    misfit = misfit.or(Some(why));
                }
            }
        }
        match misfit {
            None => Ok(written),
            Some(misfit) if !is_taken && (!misfit.is_choice || self.pool.unknown.is_empty()) => Err(misfit),
            Some(_) => {
                self.narrow(&takes, what);
                Ok(written)
            }
        }
    }

    /// Who may run the task: `None` = everybody.
    ///
    /// # Errors
    /// Nobody has all of it; what was needed.
    pub(in crate::graph) fn finish(self) -> Result<Option<Vec<InstanceId>>, Vec<Need>> {
        if self.fits.iter().all(|&fits| fits) {
            return Ok(None);
        }
        let fitting = self.pool.groups.iter().zip(&self.fits).filter(|(_, fits)| **fits);
        let fitting: Vec<InstanceId> = fitting.flat_map(|(group, _)| group.instances.iter().cloned()).collect();
        match (fitting.is_empty(), self.pool.unknown.is_empty()) {
            (false, _) => Ok(Some(fitting)),
            (true, false) => Ok(Some(self.pool.unknown.clone())),
            (true, true) => Err(self.needs),
        }
    }

    fn narrow(&mut self, has: &[bool], what: impl FnOnce() -> String) {
        if has.iter().all(|&has| has) {
            return;
        }
        self.fits.iter_mut().zip(has).for_each(|(fits, has)| *fits &= has);
        if self.needs.len() < NEEDS_MAX {
            let at = self.pool.groups.iter().zip(has).filter(|(_, has)| **has).flat_map(|(group, _)| &group.instances);
            self.needs.push(Need { what: what(), at: at.take(TOLD_MAX).cloned().collect() });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{Catalog, ClassAt, Fit, Member, Pool};
    use crate::task::InstanceId;
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

    fn three() -> Pool {
        let (small, large) = (catalog(r#""a""#, ""), catalog(r#""a","b""#, r#","X":{}"#));
        Pool::new([member("1", true, Some(&small)), member("2", false, Some(&large)), member("3", true, Some(&small))])
    }

    #[test]
    fn what_everybody_has_narrows_nothing() {
        let pool = three();
        let mut fit = Fit::new(&pool);
        assert_eq!(fit.need_class("L"), ClassAt::Somebody);
        assert!(fit.need_value("L", "m", raw(r#""a""#), String::new).unwrap().is_none());
        assert!(fit.need_value("L", "undeclared", raw("5"), String::new).unwrap().is_none());
        assert_eq!(fit.finish().unwrap(), None);
    }

    #[test]
    fn a_value_on_one_of_three_narrows_to_it() {
        let pool = three();
        let mut fit = Fit::new(&pool);
        fit.need_value("L", "m", raw(r#""b""#), String::new).unwrap();
        assert_eq!(names(fit.finish().unwrap()).unwrap(), ["2"]);
        let mut fit = Fit::new(&pool);
        assert_eq!(fit.need_class("X"), ClassAt::Somebody);
        assert_eq!(names(fit.finish().unwrap()).unwrap(), ["2"]);
    }

    #[test]
    fn what_nobody_has_is_refused_once_everybody_alive_is_known() {
        let pool = three();
        let mut fit = Fit::new(&pool);
        assert_eq!(fit.need_class("Y"), ClassAt::Nobody);
        assert_eq!(fit.need_value("L", "m", raw(r#""c""#), String::new).unwrap_err().code, "param_not_an_option");
        assert_eq!(fit.need_value("L", "n", raw("10"), String::new).unwrap_err().code, "param_out_of_range");
        let known = catalog(r#""a""#, "");
        let pool = Pool::new([member("1", true, Some(&known)), member("2", true, None), member("3", false, None)]);
        let mut fit = Fit::new(&pool);
        assert!(fit.need_value("L", "m", raw(r#""c""#), String::new).is_ok());
        assert_eq!(fit.need_value("L", "n", raw("10"), String::new).unwrap_err().code, "param_out_of_range");
        assert_eq!(names(fit.finish().unwrap()).unwrap(), ["2"]);
        let mut fit = Fit::new(&pool);
        assert_eq!(fit.need_class("Y"), ClassAt::Perhaps);
        assert_eq!(names(fit.finish().unwrap()).unwrap(), ["2"]);
        let pool = Pool::new([member("1", true, Some(&known)), member("3", false, None)]);
        assert_eq!(Fit::new(&pool).need_class("Y"), ClassAt::Nobody);
    }

    #[test]
    fn who_has_one_thing_but_not_the_other_does_not_fit() {
        let pool = Pool::new([
            member("1", true, Some(&catalog(r#""a""#, ""))),
            member("2", true, Some(&catalog(r#""b""#, ""))),
        ]);
        let mut fit = Fit::new(&pool);
        fit.need_value("L", "m", raw(r#""a""#), || "the model a".to_owned()).unwrap();
        fit.need_value("L", "m", raw(r#""b""#), || "the model b".to_owned()).unwrap();
        let needs = fit.finish().unwrap_err();
        let told: Vec<_> = needs.iter().map(|need| (need.what.as_str(), need.at[0].as_str())).collect();
        assert_eq!(told, [("the model a", "1"), ("the model b", "2")]);
    }

    #[test]
    fn nothing_known_checks_nothing() {
        let pool = Pool::new([member("1", true, None)]);
        let mut fit = Fit::new(&pool);
        assert_eq!(fit.need_class("Y"), ClassAt::Perhaps);
        assert!(pool.is_empty() && fit.finish().unwrap().is_none());
    }
}

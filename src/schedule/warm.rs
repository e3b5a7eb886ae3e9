//! Models that an instance holds, learned from what ran there: a least-recently-used list whose capacity is learned, too.
//!
//! The list remembers more than the instance is believed to hold. A run that loaded nothing although its models lie beyond
//! the capacity shows that the capacity is larger; a run that loaded although all its models lie within it shows that it is
//! smaller. A restart, `/free`, an out-of-memory error or a foreign prompt clears the list; the capacity stays.

use std::sync::Arc;

/// Models that a list remembers.
pub const MODELS_MAX: usize = 32;

/// A model and its share of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// File name, as in the loader's input.
    pub name: Arc<str>,
    /// Memory relative to other models, at least 1: a base model 16, a LoRA 1.
    pub weight: u32,
}

/// Models of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarmSet {
    /// The most recent first.
    recent: Vec<Model>,
    /// Weight that is believed to fit. 0 until a run was seen: then it holds what ran last.
    capacity: u32,
}

impl WarmSet {
    /// Returns a list from what another dispatcher wrote: models, the most recent first, and the capacity.
    #[must_use]
    pub fn new(mut recent: Vec<Model>, capacity: u32) -> Self {
        recent.truncate(MODELS_MAX);
        Self { recent, capacity }
    }

    /// Returns the weight that is believed to fit.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Returns the models that the instance is believed to hold, the most recent first. The models of the last run always
    /// count: the instance had them all.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        let mut weight = 0;
        self.recent.iter().take_while(move |model| {
            weight = model.weight.saturating_add(weight);
            weight <= self.capacity
        })
    }

    /// Whether the instance is believed to hold the model.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.models().any(|model| &*model.name == name)
    }

    /// Notes that a task with these models starts. Returns the weight that the instance must hold to load nothing, for
    /// [`Self::learn`]; `None` if it must load.
    pub fn run(&mut self, models: &[Model]) -> Option<u32> {
        let depth = self.depth(models);
        self.capacity = self.capacity.max(models.iter().map(|model| model.weight).sum());
        self.recent.retain(|old| models.iter().all(|model| model.name != old.name));
        self.recent.splice(0..0, models.iter().cloned());
        self.recent.truncate(MODELS_MAX);
        depth
    }

    /// Learns the capacity from a run of these models: `depth` as returned by [`Self::run`], and whether it loaded a model.
    pub fn learn(&mut self, models: &[Model], depth: Option<u32>, has_loaded: bool) {
        let needed = models.iter().map(|model| model.weight).sum();
        match depth {
            Some(depth) if !has_loaded => self.capacity = self.capacity.max(depth),
            Some(depth) if depth <= self.capacity => self.capacity = (depth - 1).max(needed),
            _ => {}
        }
    }

    /// Forgets the models: the instance was restarted, freed its memory, or ran something unknown.
    pub fn clear(&mut self) {
        self.recent.clear();
    }

    /// Returns the weight of the list down to the last of these models; `None` if one is not in the list.
    fn depth(&self, models: &[Model]) -> Option<u32> {
        let place = |model: &Model| self.recent.iter().position(|old| old.name == model.name);
        let last = models.iter().map(place).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        Some(self.recent[..=last].iter().map(|model| model.weight).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::{MODELS_MAX, Model, WarmSet};

    fn model(name: &str) -> [Model; 1] {
        [Model { name: name.into(), weight: 16 }]
    }

    fn names(set: &WarmSet) -> Vec<&str> {
        set.models().map(|model| &*model.name).collect()
    }

    fn run(set: &mut WarmSet, name: &str, has_loaded: bool) {
        let depth = set.run(&model(name));
        set.learn(&model(name), depth, has_loaded);
    }

    #[test]
    fn a_new_instance_holds_what_ran_last() {
        let mut set = WarmSet::default();
        assert!(!set.holds("a"));
        run(&mut set, "a", true);
        run(&mut set, "b", true);
        assert_eq!(names(&set), ["b"]);
    }

    #[test]
    fn the_capacity_grows_with_a_run_that_loads_nothing_and_shrinks_with_one_that_loads() {
        let mut set = WarmSet::default();
        for name in ["a", "b", "c"] {
            run(&mut set, name, true);
        }
        run(&mut set, "b", false);
        assert_eq!(names(&set), ["b", "c"]);
        run(&mut set, "a", false);
        assert_eq!(names(&set), ["a", "b", "c"]);
        run(&mut set, "c", true);
        assert_eq!(names(&set), ["c", "a"], "three do not fit, two may");
    }

    #[test]
    fn small_models_take_little_room() {
        let mut set = WarmSet::new(Vec::new(), 18);
        let lora = |name: &str| Model { name: name.into(), weight: 1 };
        let base = model("base").to_vec();
        for name in ["x", "y", "z"] {
            set.run(&[base.clone(), vec![lora(name)]].concat());
        }
        assert_eq!(names(&set), ["base", "z", "y"]);
    }

    #[test]
    fn a_restart_forgets_models_but_not_the_capacity() {
        let mut set = WarmSet::default();
        run(&mut set, "a", true);
        run(&mut set, "b", true);
        run(&mut set, "a", false);
        set.clear();
        assert_eq!((names(&set), set.capacity()), (vec![], 32));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut set = WarmSet::new(Vec::new(), u32::MAX);
        for number in 0..2 * MODELS_MAX {
            run(&mut set, &number.to_string(), true);
        }
        assert_eq!(set.models().count(), MODELS_MAX);
    }
}

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
            weight += model.weight;
            weight <= self.capacity
        })
    }

    /// Whether the instance is believed to hold the model.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.models().any(|model| &*model.name == name)
    }

    /// Notes a run. `has_loaded` is whether it loaded a model from disk, `None` if that cannot be said.
    pub fn ran(&mut self, models: &[Model], has_loaded: Option<bool>) {
        let needed: u32 = models.iter().map(|model| model.weight).sum();
        if let Some(depth) = self.depth(models) {
            match has_loaded {
                Some(false) => self.capacity = self.capacity.max(depth),
                Some(true) if depth <= self.capacity => self.capacity = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.capacity = self.capacity.max(needed);
        self.recent.retain(|old| models.iter().all(|model| model.name != old.name));
        self.recent.splice(0..0, models.iter().cloned());
        self.recent.truncate(MODELS_MAX);
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

//! Instances of a simulation: what they really hold, and what the scheduler believes.

use super::{
    super::{
        policy::{Fleet, Place},
        predict::Means,
        warm::{Model, WarmSet},
    },
    Settings,
    trace::Request,
};
use std::collections::HashMap;

/// Predicted load time before any was observed.
const LOAD_MS_UNKNOWN: f64 = 20_000.0;
/// Keys of the tables of load and run times.
const KEYS_MAX: usize = 100_000;

#[derive(Default)]
struct Instance {
    /// Models that it really holds, the most recent first.
    held: Vec<usize>,
    believed: WarmSet,
    task: Option<Running>,
    used_ms: u64,
}

struct Running {
    task: usize,
    load_ms: u64,
    depth: Option<u32>,
    expected_end_ms: u64,
}

/// Key of a run time: a model's, or a shape's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum RunKey {
    Model(usize),
    Shape(usize),
}

/// All instances, and what was learned from their tasks.
pub(super) struct Instances<'a> {
    settings: &'a Settings,
    instances: Vec<Instance>,
    models: Vec<[Model; 1]>,
    run_ms: Means<RunKey>,
    load_ms: Means<usize>,
}

impl<'a> Instances<'a> {
    pub(super) fn new(requests: &[Request], settings: &'a Settings) -> Self {
        let models = requests.iter().map(|request| request.model + 1).max().unwrap_or(0);
        let model = |number: usize| [Model { name: number.to_string().into(), weight: 1 }];
        Self {
            settings,
            instances: (0..settings.instances).map(|_| Instance::default()).collect(),
            models: (0..models).map(model).collect(),
            run_ms: Means::new(KEYS_MAX),
            load_ms: Means::new(KEYS_MAX),
        }
    }

    pub(super) fn idle(&self) -> usize {
        self.instances.iter().filter(|instance| instance.task.is_none()).count()
    }

    fn predicted_load_ms(&self, model: usize) -> u64 {
        self.load_ms.predict([model]).unwrap_or(LOAD_MS_UNKNOWN) as u64
    }

    /// Returns the predicted run time, and the mean of all run times.
    pub(super) fn run_ms(&self, request: &Request) -> (Option<f64>, Option<f64>) {
        let keys = [RunKey::Model(request.model), RunKey::Shape(request.shape)];
        (self.run_ms.predict(keys), self.run_ms.mean())
    }

    pub(super) fn places(&self) -> Vec<Place> {
        let place = |instance: &Instance| Place {
            is_ours: true,
            free_slots: u32::from(instance.task.is_none()),
            busy_slots: u32::from(instance.task.is_some()),
            idle_ms: instance.task.as_ref().map_or(0, |running| running.expected_end_ms),
            used_ms: instance.used_ms,
        };
        self.instances.iter().map(place).collect()
    }

    /// Starts a task. Returns its load time.
    pub(super) fn start(&mut self, place: usize, task: usize, request: &Request, now_ms: u64) -> u64 {
        let predicted_load = self.predicted_load_ms(request.model);
        let run = self.run_ms(request).0.unwrap_or(0.0) as u64;
        let (models, instance) = (&self.models[request.model], &mut self.instances[place]);
        let is_held = instance.held.contains(&request.model);
        instance.held.retain(|&model| model != request.model);
        instance.held.insert(0, request.model);
        instance.held.truncate(self.settings.warm_models);
        let load_ms = if is_held { 0 } else { self.settings.load_ms };
        let is_believed = instance.believed.holds(&models[0].name);
        let expected_load = if is_believed { 0 } else { predicted_load };
        let depth = instance.believed.run(models);
        instance.task = Some(Running { task, load_ms, depth, expected_end_ms: now_ms + expected_load + run });
        load_ms
    }

    /// Ends the task of an instance and learns from it. Returns the number of its request.
    pub(super) fn end(&mut self, place: usize, requests: &[Request], now_ms: u64) {
        let instance = &mut self.instances[place];
        let Some(running) = instance.task.take() else { return };
        let request = &requests[running.task];
        instance.used_ms = now_ms;
        instance.believed.learn(&self.models[request.model], running.depth, running.load_ms > 0);
        if running.load_ms > 0 {
            self.load_ms.observe([request.model], running.load_ms as f64);
        }
        self.run_ms.observe([RunKey::Model(request.model), RunKey::Shape(request.shape)], request.run_ms as f64);
    }

    /// Returns the facts for a plan over heads of these groups.
    pub(super) fn view(&self, groups: Vec<usize>) -> View<'_> {
        let mut holders: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, instance) in self.instances.iter().enumerate() {
            for model in instance.believed.models() {
                holders.entry(&model.name).or_default().push(place);
            }
        }
        View { instances: self, groups, holders }
    }
}

/// Facts for a plan.
pub(super) struct View<'a> {
    instances: &'a Instances<'a>,
    groups: Vec<usize>,
    holders: HashMap<&'a str, Vec<usize>>,
}

impl Fleet for View<'_> {
    fn load_ms(&self, head: usize, place: usize) -> Option<u64> {
        let model = *self.groups.get(head)?;
        let is_held = self.holders(head).contains(&place);
        Some(if is_held { 0 } else { self.instances.predicted_load_ms(model) })
    }

    fn holders(&self, head: usize) -> &[usize] {
        let model = self.groups.get(head).and_then(|&model| self.instances.models.get(model));
        model.and_then(|model| self.holders.get(&*model[0].name)).map_or(&[], Vec::as_slice)
    }
}

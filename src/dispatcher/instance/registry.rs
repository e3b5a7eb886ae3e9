//! Registry of the instances that this process leases, for events about them.

use super::state::Instance;
use crate::{dispatcher::shared::lock, task::InstanceId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

/// Leased instances of this process, by id. An entry does not keep its instance alive.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<HashMap<InstanceId, Weak<Instance>>>);

impl Registry {
    /// Adds an instance whose actor starts.
    pub(crate) fn insert(&self, instance: &Arc<Instance>) {
        lock(&self.0).insert(instance.target.id.clone(), Arc::downgrade(instance));
    }

    /// Removes an instance whose actor has ended.
    pub(crate) fn remove(&self, id: &InstanceId) {
        lock(&self.0).remove(id);
    }

    /// Returns an instance that this process leases.
    pub(crate) fn get(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        lock(&self.0).get(id).and_then(Weak::upgrade)
    }

    /// Makes all instances read their catalogs again.
    pub(crate) fn want_catalogs(&self) {
        for instance in lock(&self.0).values().filter_map(Weak::upgrade) {
            instance.wake.catalog_wanted.notify_one();
        }
    }

    /// Wakes the renewal of every lease.
    pub(crate) fn renew_all(&self) {
        for instance in lock(&self.0).values().filter_map(Weak::upgrade) {
            instance.wake.renewal.notify_one();
        }
    }
}

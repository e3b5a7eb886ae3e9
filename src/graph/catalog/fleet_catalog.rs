//! The catalogs of all instances, grouped by content.

use super::{Catalog, Class, InputFiles};
use crate::task::InstanceId;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// An instance of the config, with its catalog if that is known.
#[derive(Debug, Clone)]
pub struct Member {
    /// Id of the instance.
    pub instance: InstanceId,
    /// Whether the instance responds.
    pub is_alive: bool,
    /// The same `Arc` for equal content; `None` = not known yet.
    pub catalog: Option<Arc<Catalog>>,
}

/// The known catalogs of the fleet. If it is empty, nothing is checked here and the instances validate.
#[derive(Debug, Clone, Default)]
pub struct FleetCatalog {
    pub(super) groups: Vec<Group>,
    /// Alive instances without a known catalog.
    pub(super) unknown: Vec<InstanceId>,
    /// Files in the input folders of the alive instances; `None` = not known. Empty = no instance was asked.
    pub(super) files: HashMap<InstanceId, Option<Arc<InputFiles>>>,
    /// Classes with an input that takes files.
    pub(super) file_classes: HashSet<String>,
}

/// Instances with the same catalog.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) catalog: Arc<Catalog>,
    pub(super) instances: Vec<InstanceId>,
}

impl FleetCatalog {
    /// Groups the instances of the config, in its order, by catalog.
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
                None => {
                    let takes_files = |class: &Class| class.inputs.values().any(super::Input::has_file_input);
                    let classes = catalog.classes().filter(|(_, class)| takes_files(class));
                    pool.file_classes.extend(classes.map(|(name, _)| name.clone()));
                    pool.groups.push(Group { catalog, instances: vec![instance] });
                }
            }
        }
        pool
    }

    /// Whether no catalog is known.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether the catalog of an alive instance is unknown.
    pub(in crate::graph) fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Returns the distinct declarations of a class.
    pub(in crate::graph) fn declarations(&self, class: &str) -> impl Iterator<Item = &Class> {
        self.groups.iter().filter_map(move |group| group.catalog.class(class))
    }

    /// Returns all class names, with repetitions.
    pub(in crate::graph) fn class_names(&self) -> impl Iterator<Item = &String> {
        self.groups.iter().flat_map(|group| group.catalog.class_names())
    }
}

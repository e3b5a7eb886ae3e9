//! Addresses by title: `@<title>.<input>`, `@<title>[*].<input>`, `@<title>`: {…} (params.md, form 3).

use super::{
    address::{Reader, plain_object},
    options::pointer,
};
use crate::{
    graph::{Budget, Workflow},
    problem::{Problem, clip, suggest},
};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Longest title that can be addressed, bytes.
const TITLE_BYTES_MAX: usize = 500;
/// Suffix of a title that selects every node with it.
const ALL: &str = "[*]";

/// Nodes by title.
pub(super) struct Titles<'w>(HashMap<&'w str, Vec<usize>>);

/// The nodes that an address selects.
struct Titled {
    places: Vec<usize>,
    is_all: bool,
}

impl<'w> Titles<'w> {
    pub(super) fn of(workflow: &'w Workflow) -> Self {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, node) in workflow.nodes().enumerate() {
            if let Some(title) = node.title.as_deref().filter(|title| title.len() <= TITLE_BYTES_MAX) {
                places.entry(title).or_default().push(place);
            }
        }
        Self(places)
    }

    fn get(&self, title: &str, budget: &Budget) -> Option<Titled> {
        budget.spend_text(2 * title.len());
        let titled = |places: &Vec<usize>, is_all| {
            budget.spend(places.len() / 16);
            Titled { places: places.clone(), is_all }
        };
        let exact = self.0.get(title).map(|places| titled(places, false));
        exact.or_else(|| Some(titled(self.0.get(title.strip_suffix(ALL)?)?, true)))
    }

    /// Splits `<title>.<input>` at the dot that leaves the longest existing title.
    fn split<'k>(&self, address: &'k str, budget: &Budget) -> Option<(Titled, &'k str)> {
        let bytes = address.as_bytes();
        (0..bytes.len().min(TITLE_BYTES_MAX + ALL.len() + 1))
            .rev()
            .filter(|&at| bytes[at] == b'.')
            .find_map(|at| Some((self.get(&address[..at], budget)?, &address[at + 1..])))
    }
}

impl Titles<'_> {
    /// Returns the inputs that `<title>.<input>` selects; none if several nodes have the title and `[*]` is missing.
    pub(super) fn places_at(&self, address: &str, budget: &Budget) -> Vec<(usize, String)> {
        let Some((titled, input)) = self.split(address, budget) else { return Vec::new() };
        if !budget.keep(titled.places.len() * (input.len() + size_of::<(usize, String)>())) {
            return Vec::new();
        }
        let places = titled.places.iter().map(|&place| (place, input.to_owned()));
        if titled.is_all || titled.places.len() == 1 { places.collect() } else { Vec::new() }
    }
}

impl<'p> Reader<'_, 'p> {
    /// Reads a param addressed by title; `address` is `key` without its `@`.
    pub(super) fn title(&mut self, key: &str, address: &str, value: &'p RawValue) {
        let whole = plain_object(value).and_then(|members| Some((self.titles.get(address, self.budget)?, members)));
        if let Some((titled, members)) = whole {
            for place in self.meant(key, titled) {
                let key_bytes: usize = members.iter().map(|(name, _)| name.len()).sum();
                if self.is_over() || !self.budget.keep(key_bytes) {
                    return;
                }
                self.node_object(place, &pointer(key), members.clone());
            }
        } else if let Some((titled, input)) = self.titles.split(address, self.budget) {
            for place in self.meant(key, titled) {
                self.assign(place, input, pointer(key), value);
            }
        } else {
            let near = self.near_titles(address);
            let message = format!("no node has the title of `{}`; titles must match exactly", clip(key));
            let problem = Problem::unfit(pointer(key), "param_no_such_node", message);
            self.problems.push(problem.of_param(key).with_candidates(near));
        }
    }

    /// Returns the selected nodes; reports a problem if several have the title and `[*]` is missing.
    fn meant(&mut self, key: &str, titled: Titled) -> Vec<usize> {
        if titled.is_all || titled.places.len() == 1 {
            return titled.places;
        }
        let ids = titled.places.iter().take(10).map(|&place| self.workflow.node(place).id.clone()).collect();
        let message = format!("several nodes have the title of `{}`; use a node id, or [*] for all", clip(key));
        let problem = Problem::unfit(pointer(key), "param_ambiguous", message);
        self.problems.push(problem.of_param(key).with_candidates(ids));
        Vec::new()
    }

    fn near_titles(&self, address: &str) -> Vec<String> {
        if !self.may_search() {
            return Vec::new();
        }
        let title = address.rsplit_once('.').map_or(address, |(title, _)| title);
        let near = suggest(title, self.workflow.nodes().filter_map(|node| node.title.clone()));
        near.iter().map(|title| format!("@{title}")).collect()
    }
}

//! List of named entries in their order, in which a name is found in the same time however many there are.

use std::collections::HashMap;

/// Entries that are searched one by one; more of them get an index.
const UNINDEXED_MAX: usize = 16;

/// Entries in their order. A name that occurs twice finds the first entry.
pub(super) struct NamedList<T> {
    entries: Vec<(String, T)>,
    index: Option<HashMap<String, usize>>,
}

impl<T> Default for NamedList<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: None }
    }
}

impl<T> NamedList<T> {
    pub(super) fn new(entries: Vec<(String, T)>) -> Self {
        let index = (entries.len() > UNINDEXED_MAX).then(|| {
            let mut index = HashMap::with_capacity(entries.len());
            for (place, (name, _)) in entries.iter().enumerate() {
                index.entry(name.clone()).or_insert(place);
            }
            index
        });
        Self { entries, index }
    }

    /// Finds the first entry of that name, with its place.
    pub(super) fn find(&self, name: &str) -> Option<(usize, &T)> {
        let place = match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.entries.iter().position(|(known, _)| known == name),
        };
        place.map(|place| (place, &self.entries[place].1))
    }

    /// Returns the name and value at a place.
    pub(super) fn get(&self, place: usize) -> Option<(&str, &T)> {
        self.entries.get(place).map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::NamedList;

    #[test]
    fn the_first_of_equal_names_is_found_in_short_and_long_lists() {
        for length in [3, 100] {
            let entries = (0..length).map(|number| (format!("n{}", number / 2), number)).collect();
            let list = NamedList::new(entries);
            assert_eq!((list.find("n1"), list.find("n2000"), list.len()), (Some((2, &2)), None, length));
        }
    }
}

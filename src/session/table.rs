//! `Table`: a map for the few flows that a session has.
//!
//! A session has two to eight flows and never more than its limit, so looking through a vector is faster than hashing,
//! and thousands of sessions keep no empty nodes.

/// Entries in the order in which they came.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: Copy + PartialEq, V> Table<K, V> {
    /// Adds an entry, in the place of the one with the same key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.get_mut(key) {
            Some(present) => *present = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let index = self.entries.iter().position(|(other, _)| *other == key)?;
        Some(self.entries.remove(index).1)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.entries.iter_mut().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    pub(super) fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (*key, value))
    }
}

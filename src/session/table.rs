//! `Table`: a map for the few flows that a session has.
//!
//! A session has two to eight flows and never more than its limit, so looking through a vector is faster than hashing,
//! and thousands of sessions keep no empty nodes.

/// Entries in the order in which they came. The keys lie together, so that looking for one does not touch the other entries'
/// values.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { keys: Vec::new(), values: Vec::new() }
    }
}

impl<K: Copy + PartialEq, V> Table<K, V> {
    /// Adds an entry, in the place of the one with the same key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.get_mut(key) {
            Some(present) => *present = value,
            None => {
                self.keys.push(key);
                self.values.push(value);
            }
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let index = self.index(key)?;
        self.keys.remove(index);
        Some(self.values.remove(index))
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let index = self.index(key)?;
        self.values.get_mut(index)
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.values.get(self.index(key)?)
    }

    pub(super) fn contains(&self, key: K) -> bool {
        self.index(key).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.keys.iter().copied().zip(&self.values)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.keys.iter().copied().zip(&mut self.values)
    }

    fn index(&self, key: K) -> Option<usize> {
        self.keys.iter().position(|other| *other == key)
    }
}

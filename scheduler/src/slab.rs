//! Rows in a vector, found by a small typed number.
//!
//! A number stays valid until its row is removed; then it is used again for another row. Whoever keeps a number drops it
//! in the same step.

use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// A typed row number.
pub(crate) trait Key: Copy {
    fn new(row: u32) -> Self;
    fn row(self) -> usize;
}

/// Names a row number's type.
macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub(crate) struct $name(u32);

        impl Key for $name {
            fn new(row: u32) -> Self {
                Self(row)
            }
            fn row(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

impl OperatorIx {
    /// Operators have no rows, only numbers.
    pub(crate) fn nth(n: usize) -> Self {
        Self(u32::try_from(n).unwrap_or(u32::MAX))
    }
}

keys!(NodeIx, OrderIx, LeaseIx, TenantIx, OperatorIx);

/// Rows of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slab<K, T> {
    rows: Vec<T>,
    free: Vec<u32>,
    key: PhantomData<K>,
}

impl<K: Key, T> Default for Slab<K, T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            key: PhantomData,
        }
    }
}

impl<K: Key, T> Slab<K, T> {
    pub(crate) fn insert(&mut self, row: T) -> K {
        if let Some(ix) = self.free.pop() {
            self.rows[ix as usize] = row;
            return K::new(ix);
        }
        self.rows.push(row);
        // Four thousand million rows do not fit in memory.
        K::new(u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX))
    }

    /// The row's value stays until the number is used again.
    pub(crate) fn remove(&mut self, key: K) {
        self.free.push(u32::try_from(key.row()).unwrap_or(u32::MAX));
    }
}

impl<K: Key, T> Index<K> for Slab<K, T> {
    type Output = T;
    fn index(&self, key: K) -> &T {
        &self.rows[key.row()]
    }
}

impl<K: Key, T> IndexMut<K> for Slab<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        &mut self.rows[key.row()]
    }
}

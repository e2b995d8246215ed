//! RFC 6962 Merkle trees over SHA-256: one signature, or one NSM call, for many leaves.
//!
//! Leaves are given as *leaf hashes*: SHA-256 of 0x00 and the leaf's data. Inner nodes are SHA-256 of 0x01, left, right
//! (RFC 6962 §2.1), so that no inner node can pass for a leaf.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash: a leaf, an inner node or a root.
pub type Hash = [u8; 32];

/// The most leaves one tree of ours holds (DESIGN §3.2).
pub const MAX_LEAVES: u32 = 1 << 16;

/// The longest inclusion path a tree of [`MAX_LEAVES`] has.
pub const MAX_PATH: usize = 16;

/// An inclusion path does not lead from its leaf to its root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InclusionError {
    /// The tree is empty or larger than [`MAX_LEAVES`].
    #[error("tree size {0} is outside 1..=65536")]
    TreeSize(u32),
    /// The leaf's index is not in the tree.
    #[error("leaf {index} is not in a tree of {size}")]
    LeafIndex {
        /// The index claimed.
        index: u32,
        /// The tree's size claimed.
        size: u32,
    },
    /// The path has another length than this leaf has in a tree of this size.
    #[error("the path has {got} hashes where this leaf has {expected}")]
    PathLength {
        /// Hashes that the leaf's path has.
        expected: usize,
        /// Hashes that came.
        got: usize,
    },
    /// The path leads to another root.
    #[error("the path leads to another root")]
    Root,
}

/// All leaves of one batch with every level above them, made once and asked for each leaf's path.
#[derive(Debug, Clone)]
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Builds the tree. `None` when there is no leaf, or more than [`MAX_LEAVES`].
    pub fn new(leaves: Vec<Hash>) -> Option<Self> {
        if leaves.is_empty() || leaves.len() > MAX_LEAVES as usize {
            return None;
        }
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            // A lone last node moves up unchanged: that is RFC 6962's split at the largest power of two.
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node(left, right),
                    [lone] => *lone,
                    _ => unreachable!("chunks(2) gives one or two"),
                })
                .collect();
            levels.push(above);
        }
        Some(Self { levels })
    }

    /// The root hash.
    pub fn root(&self) -> Hash {
        self.levels[self.levels.len() - 1][0]
    }

    /// The number of leaves.
    pub fn size(&self) -> u32 {
        self.levels[0].len() as u32
    }

    /// The hashes from this leaf's sibling up to the root. `None` for an index outside the tree.
    pub fn path(&self, index: u32) -> Option<Vec<Hash>> {
        let mut at = index as usize;
        if at >= self.levels[0].len() {
            return None;
        }
        let mut path = Vec::with_capacity(self.levels.len() - 1);
        for level in &self.levels[..self.levels.len() - 1] {
            path.extend(level.get(at ^ 1));
            at /= 2;
        }
        Some(path)
    }
}

/// Checks that `leaf` stands at `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u32,
    size: u32,
    path: &[Hash],
    root: &Hash,
) -> Result<(), InclusionError> {
    if root_from_path(leaf, index, size, path)? == *root {
        Ok(())
    } else {
        Err(InclusionError::Root)
    }
}

/// The root that a leaf and its path lead to. It proves nothing until something trusted names the same root.
pub fn root_from_path(
    leaf: &Hash,
    index: u32,
    size: u32,
    path: &[Hash],
) -> Result<Hash, InclusionError> {
    if size == 0 || size > MAX_LEAVES {
        return Err(InclusionError::TreeSize(size));
    }
    if index >= size {
        return Err(InclusionError::LeafIndex { index, size });
    }
    let expected = path_length(index, size);
    if path.len() != expected {
        let got = path.len();
        return Err(InclusionError::PathLength { expected, got });
    }
    let (mut at, mut last, mut hash, mut rest) = (index, size - 1, *leaf, path.iter());
    while last > 0 {
        if at % 2 == 1 {
            hash = rest.next().map_or(hash, |left| node(left, &hash));
        } else if at < last {
            hash = rest.next().map_or(hash, |right| node(&hash, right));
        }
        at /= 2;
        last /= 2;
    }
    Ok(hash)
}

/// SHA-256(0x00 ‖ parts…): a leaf's hash.
pub fn leaf_hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new_with_prefix([0x00]);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([0x01])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

fn path_length(index: u32, size: u32) -> usize {
    let (mut at, mut last, mut length) = (index, size - 1, 0);
    while last > 0 {
        length += usize::from(at % 2 == 1 || at < last);
        at /= 2;
        last /= 2;
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6962 §2.1, word for word: split at the largest power of two below n.
    fn reference_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [one] => *one,
            many => {
                let split = many.len().next_power_of_two() / 2;
                node(
                    &reference_root(&many[..split]),
                    &reference_root(&many[split..]),
                )
            }
        }
    }

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|i| leaf_hash(&[&i.to_be_bytes()])).collect()
    }

    #[test]
    fn agrees_with_certificate_transparency() {
        // The published root of CT's eight test leaves.
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let tree = Tree::new(inputs.iter().map(|data| leaf_hash(&[data])).collect()).unwrap();
        assert_eq!(
            hex::encode(tree.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn sizes_outside_the_limit_are_refused() {
        assert!(Tree::new(vec![]).is_none());
        assert!(Tree::new(vec![[0; 32]; MAX_LEAVES as usize + 1]).is_none());
        let leaf = [0; 32];
        assert_eq!(
            verify_inclusion(&leaf, 0, 0, &[], &leaf),
            Err(InclusionError::TreeSize(0))
        );
        assert_eq!(
            verify_inclusion(&leaf, 1, 1, &[], &leaf),
            Err(InclusionError::LeafIndex { index: 1, size: 1 })
        );
    }

    proptest! {
        #[test]
        fn every_leaf_proves_itself_and_no_other(size in 1u32..300, pick in any::<u32>(), flip in any::<u32>()) {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.clone()).unwrap();
            prop_assert_eq!(tree.root(), reference_root(&leaves));
            let index = pick % size;
            let path = tree.path(index).unwrap();
            let leaf = &leaves[index as usize];
            prop_assert_eq!(verify_inclusion(leaf, index, size, &path, &tree.root()), Ok(()));

            let other = flip % size;
            if other != index {
                prop_assert!(verify_inclusion(leaf, other, size, &path, &tree.root()).is_err());
            }
            let mut longer = path.clone();
            longer.push([0; 32]);
            prop_assert!(verify_inclusion(leaf, index, size, &longer, &tree.root()).is_err());
            for i in 0..path.len() {
                let mut wrong = path.clone();
                wrong[i][(flip % 32) as usize] ^= 1;
                prop_assert!(verify_inclusion(leaf, index, size, &wrong, &tree.root()).is_err());
            }
        }
    }
}

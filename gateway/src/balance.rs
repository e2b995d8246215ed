//! Which node gets the next connection: a version by its weight, and of two of its nodes, drawn at random, the one with
//! fewer connections in flight.
//!
//! Two choices instead of the best of all, because several gateways that all chose the idlest node would all choose the
//! same (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).

use rand::{Rng, RngExt as _};

/// What can be chosen.
pub trait Candidate {
    /// Connections in flight to it.
    fn in_flight(&self) -> usize;
    /// Whether it is to be given callers while others are.
    fn in_rotation(&self) -> bool;
}

/// Nodes that share a weight.
#[derive(Debug, Clone)]
pub struct Group<T> {
    /// Its share of connections; with 0 it gets none.
    pub weight: u32,
    /// Its nodes.
    pub nodes: Vec<T>,
}

/// Chooses among those for which `may` says yes. When none of them is in rotation, one that is not is better than none:
/// what is thought of it may be out of date. `None`: there is nobody left.
pub fn choose<'a, T: Candidate>(
    groups: &'a [Group<T>],
    may: impl Fn(&T) -> bool,
    rng: &mut impl Rng,
) -> Option<&'a T> {
    choose_among(groups, |node| may(node) && node.in_rotation(), rng)
        .or_else(|| choose_among(groups, may, rng))
}

fn choose_among<'a, T: Candidate>(
    groups: &'a [Group<T>],
    may: impl Fn(&T) -> bool,
    rng: &mut impl Rng,
) -> Option<&'a T> {
    let weight = |group: &Group<T>| match group.nodes.iter().any(&may) {
        true => u64::from(group.weight),
        false => 0,
    };
    let total: u64 = groups.iter().map(weight).sum();
    if total == 0 {
        return None;
    }
    let mut drawn = rng.random_range(0..total);
    let group = groups.iter().find(|group| {
        let weight = weight(group);
        let found = drawn < weight;
        drawn = drawn.saturating_sub(weight);
        found
    })?;
    let of_group = || group.nodes.iter().filter(|node| may(node));
    let count = of_group().count();
    let first = rng.random_range(0..count);
    if count == 1 {
        return of_group().next();
    }
    // Another than the first.
    let second = (first + rng.random_range(1..count)) % count;
    let [first, second] = [of_group().nth(first)?, of_group().nth(second)?];
    Some(match second.in_flight() < first.in_flight() {
        true => second,
        false => first,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[derive(Debug, Clone)]
    struct Node {
        name: usize,
        in_flight: usize,
        well: bool,
    }

    impl Candidate for Node {
        fn in_flight(&self) -> usize {
            self.in_flight
        }
        fn in_rotation(&self) -> bool {
            self.well
        }
    }

    fn node(name: usize, in_flight: usize, well: bool) -> Node {
        Node {
            name,
            in_flight,
            well,
        }
    }

    fn group(weight: u32, nodes: impl Into<Vec<Node>>) -> Group<Node> {
        let nodes = nodes.into();
        Group { weight, nodes }
    }

    /// How often each is chosen in 10,000 draws.
    fn draws(groups: &[Group<Node>]) -> BTreeMap<usize, u32> {
        let mut rng = StdRng::seed_from_u64(1);
        let mut counts = BTreeMap::new();
        for _ in 0..10_000 {
            let chosen = choose(groups, |_| true, &mut rng).unwrap();
            *counts.entry(chosen.name).or_default() += 1;
        }
        counts
    }

    #[test]
    fn connections_are_shared_by_weight() {
        let groups = [
            group(9, [node(0, 0, true)]),
            group(1, [node(1, 0, true)]),
            group(0, [node(2, 0, true)]),
        ];
        let counts = draws(&groups);
        assert!((800..1200).contains(&counts[&1]), "{counts:?}");
        assert_eq!(counts[&0] + counts[&1], 10_000);
    }

    #[test]
    fn a_version_that_is_down_leaves_its_share_to_the_others() {
        let groups = [group(9, [node(0, 0, false)]), group(1, [node(1, 0, true)])];
        assert_eq!(draws(&groups), BTreeMap::from([(1, 10_000)]));
    }

    #[test]
    fn the_busiest_of_several_gets_nothing_and_equals_get_alike() {
        let groups = [group(
            1,
            [node(0, 1, true), node(1, 2, true), node(2, 9, true)],
        )];
        assert!(!draws(&groups).contains_key(&2));
        let alike = [group(
            1,
            (0..5).map(|n| node(n, 0, true)).collect::<Vec<_>>(),
        )];
        assert!(draws(&alike).values().all(|n| (1800..2200).contains(n)));
    }

    #[test]
    fn load_stays_even_when_each_choice_adds_to_it() {
        let mut groups = [group(
            1,
            (0..100).map(|n| node(n, 0, true)).collect::<Vec<_>>(),
        )];
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..100_000 {
            let chosen = choose(&groups, |_| true, &mut rng).unwrap().name;
            groups[0].nodes[chosen].in_flight += 1;
        }
        let loads = groups[0].nodes.iter().map(|node| node.in_flight);
        let (least, most) = (loads.clone().min().unwrap(), loads.max().unwrap());
        assert!(least > 990 && most < 1010, "{least}..{most}");
    }

    proptest! {
        #[test]
        fn whom_it_chooses_may_be_chosen_and_is_well_if_anybody_is(
            nodes in proptest::collection::vec(
                proptest::collection::vec((any::<bool>(), any::<bool>(), 0usize..4), 0..6), 0..4),
            weights in proptest::collection::vec(0u32..3, 4),
            seed: u64,
        ) {
            let mut name = 0;
            let mut allowed = Vec::new();
            let groups: Vec<_> = nodes.iter().zip(weights).map(|(nodes, weight)| {
                let nodes: Vec<_> = nodes.iter().map(|(may, well, in_flight)| {
                    name += 1;
                    if *may {
                        allowed.push(name);
                    }
                    node(name, *in_flight, *well)
                }).collect();
                group(weight, nodes)
            }).collect();
            let chosen = choose(&groups, |node| allowed.contains(&node.name), &mut StdRng::seed_from_u64(seed));
            let again = choose(&groups, |node| allowed.contains(&node.name), &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(chosen.map(|node| node.name), again.map(|node| node.name), "the seed decides");
            let weighty = groups.iter().filter(|group| group.weight > 0);
            let candidates: Vec<_> = weighty.flat_map(|group| &group.nodes)
                .filter(|node| allowed.contains(&node.name)).collect();
            match chosen {
                None => prop_assert!(candidates.is_empty()),
                Some(node) => {
                    prop_assert!(candidates.iter().any(|candidate| candidate.name == node.name));
                    prop_assert!(node.well || candidates.iter().all(|candidate| !candidate.well));
                }
            }
        }
    }
}

//! The score by which the market knows a node. Pure.

/// All of it, hundredths of a percent.
pub(crate) const FULL: u32 = 10_000;

/// What uptime and conduct come to: their product, rounded down. So a node with an incident stands behind one without, whatever
/// both their uptimes are, where those are alike. Nobody has said anything against a node that no watcher has seen yet.
pub(crate) fn placed(uptime: Option<u32>, conduct: u32) -> u32 {
    let product = u64::from(uptime.unwrap_or(FULL).min(FULL)) * u64::from(conduct.min(FULL));
    u32::try_from(product / u64::from(FULL)).unwrap_or(FULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_puts_a_node_behind_one_of_the_same_uptime() {
        assert_eq!(placed(None, FULL), FULL);
        assert_eq!(placed(Some(9_950), FULL), 9_950);
        for uptime in [9_999, 9_500, 5_000] {
            assert!(placed(Some(uptime), 9_500) < placed(Some(uptime), FULL));
        }
        assert_eq!(placed(Some(9_000), 9_000), 8_100);
        assert_eq!(placed(Some(0), FULL), 0);
    }
}

//! Where a deployment stands, from its leases. Pure.

use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::DeploymentId;

/// What bears on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Replicas wanted.
    pub wanted: u32,
    /// Each lease that takes requests or will: what its node last said, and whether the node is online.
    pub leases: &'a [(FunctionState, bool)],
    /// What the last replica failed with, since one answered.
    pub failure: Option<&'a str>,
    /// Why replicas are not placed.
    pub shortage: Option<&'a str>,
    /// The deployment that took its place.
    pub replaced_by: Option<&'a DeploymentId>,
}

/// `ready` when every wanted replica answers, as it is when none is wanted; `failed` when one failed and none answers, or
/// another deployment took its place; otherwise `loading`. With the reason, unless it is ready.
pub(crate) fn standing(facts: Facts<'_>) -> (FunctionState, Option<String>) {
    if let Some(other) = facts.replaced_by {
        return (
            FunctionState::Failed,
            Some(format!("replaced by deployment {other}")),
        );
    }
    let ready = facts.leases.iter();
    let ready = ready.filter(|lease| **lease == (FunctionState::Ready, true));
    let ready = u32::try_from(ready.count()).unwrap_or(u32::MAX);
    if ready >= facts.wanted {
        return (FunctionState::Ready, None);
    }
    let offline = facts.leases.iter().filter(|(_, online)| !online).count();
    let reason = facts
        .failure
        .or(facts.shortage)
        .map(str::to_owned)
        .or_else(|| (offline > 0).then(|| format!("{offline} of its nodes are offline")))
        .unwrap_or_else(|| format!("{ready} of {} replicas answer", facts.wanted));
    let failed = ready == 0 && facts.failure.is_some();
    let state = if failed {
        FunctionState::Failed
    } else {
        FunctionState::Loading
    };
    (state, Some(reason))
}

#[cfg(test)]
mod tests {
    use super::FunctionState::{Failed, Loading, Ready};
    use super::*;

    fn stands(
        wanted: u32,
        leases: &[(FunctionState, bool)],
        failure: Option<&str>,
        shortage: Option<&str>,
    ) -> (FunctionState, Option<String>) {
        standing(Facts {
            wanted,
            leases,
            failure,
            shortage,
            replaced_by: None,
        })
    }

    #[test]
    fn ready_is_when_every_wanted_replica_answers() {
        let two = [(Ready, true), (Ready, true)];
        assert_eq!(stands(2, &two, None, None), (Ready, None));
        assert_eq!(
            stands(2, &two[..1], None, Some("short")),
            (Loading, Some("short".into()))
        );
        let offline = stands(1, &[(Ready, false)], None, None);
        assert_eq!(
            offline,
            (Loading, Some("1 of its nodes are offline".into()))
        );
        assert_eq!(stands(0, &[], None, None), (Ready, None));
    }

    #[test]
    fn failed_is_when_one_failed_and_none_answers() {
        let failure = Some("not-onnx: broken");
        assert_eq!(
            stands(1, &[], failure, Some("short")),
            (Failed, failure.map(str::to_owned))
        );
        let (state, reason) = stands(2, &[(Ready, true)], failure, Some("short"));
        assert_eq!((state, reason.as_deref()), (Loading, failure));
    }

    #[test]
    fn a_replaced_deployment_says_by_which() {
        let other = DeploymentId::from_random([1; 16]);
        let (state, reason) = standing(Facts {
            wanted: 1,
            leases: &[(Ready, true)],
            failure: None,
            shortage: None,
            replaced_by: Some(&other),
        });
        assert_eq!(state, Failed);
        assert_eq!(reason, Some(format!("replaced by deployment {other}")));
    }
}

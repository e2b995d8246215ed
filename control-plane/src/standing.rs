//! Where a deployment stands, from its leases. Pure.

use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::DeploymentId;

/// What bears on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// Replicas wanted.
    pub replicas: u32,
    /// Each lease: what its node last said and why, and whether the node is online.
    pub leases: &'a [(FunctionState, Option<&'a str>, bool)],
    /// Why replicas are not placed.
    pub shortage: Option<&'a str>,
    /// The deployment that took its place.
    pub replaced_by: Option<&'a DeploymentId>,
}

/// `ready` when every wanted replica answers, `failed` when one failed and none answers, or another deployment took its
/// place; otherwise `loading`. With the reason, unless it is ready.
pub(crate) fn standing(facts: Facts<'_>) -> (FunctionState, Option<String>) {
    if let Some(other) = facts.replaced_by {
        return (
            FunctionState::Failed,
            Some(format!("replaced by deployment {other}")),
        );
    }
    let count = |wanted| {
        let of_state = facts
            .leases
            .iter()
            .filter(|(state, _, online)| *online && *state == wanted);
        u32::try_from(of_state.count()).unwrap_or(u32::MAX)
    };
    let ready = count(FunctionState::Ready);
    if ready >= facts.replicas {
        return (FunctionState::Ready, None);
    }
    let offline = facts.leases.iter().filter(|(.., online)| !online).count();
    let errors = facts
        .leases
        .iter()
        .filter(|(state, ..)| *state == FunctionState::Failed);
    let reason = errors
        .map(|(_, error, _)| error.unwrap_or("the node gave no reason").to_owned())
        .next()
        .or_else(|| facts.shortage.map(str::to_owned))
        .or_else(|| (offline > 0).then(|| format!("{offline} of its nodes are offline")))
        .unwrap_or_else(|| format!("{ready} of {} replicas answer", facts.replicas));
    let failed = ready == 0 && count(FunctionState::Failed) > 0;
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
        replicas: u32,
        leases: &[(FunctionState, Option<&str>, bool)],
        shortage: Option<&str>,
    ) -> (FunctionState, Option<String>) {
        standing(Facts {
            replicas,
            leases,
            shortage,
            replaced_by: None,
        })
    }

    #[test]
    fn ready_is_when_every_replica_answers() {
        assert_eq!(
            stands(2, &[(Ready, None, true), (Ready, None, true)], None),
            (Ready, None)
        );
        assert_eq!(
            stands(2, &[(Ready, None, true)], Some("short")),
            (Loading, Some("short".into()))
        );
        let offline = stands(1, &[(Ready, None, false)], None);
        assert_eq!(
            offline,
            (Loading, Some("1 of its nodes are offline".into()))
        );
    }

    #[test]
    fn failed_is_when_one_failed_and_none_answers() {
        let failed = (Failed, Some("not-onnx: broken"), true);
        assert_eq!(
            stands(1, &[failed], None),
            (Failed, Some("not-onnx: broken".into()))
        );
        let (state, reason) = stands(2, &[failed, (Ready, None, true)], None);
        assert_eq!(
            (state, reason.as_deref()),
            (Loading, Some("not-onnx: broken"))
        );
    }

    #[test]
    fn a_replaced_deployment_says_by_which() {
        let other = DeploymentId::from_random([1; 16]);
        let (state, reason) = standing(Facts {
            replicas: 1,
            leases: &[(Ready, None, true)],
            shortage: None,
            replaced_by: Some(&other),
        });
        assert_eq!(state, Failed);
        assert_eq!(reason, Some(format!("replaced by deployment {other}")));
    }
}

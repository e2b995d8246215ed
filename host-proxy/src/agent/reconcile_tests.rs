use nacre_protocol::control::FunctionLoad;
use nacre_protocol::ids::LeaseId;
use proptest::prelude::*;

use super::*;

const FAR: Duration = Duration::from_secs(299);

fn digest(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

fn name(n: u8) -> FunctionName {
    format!("f{n}").parse().unwrap()
}

/// The lease that function `n` has here.
fn lease(n: u8) -> LeaseId {
    LeaseId::from_random([n; 16])
}

fn wants(revision: u64, functions: &[(u8, u8)]) -> Arc<DesiredState> {
    let functions = functions.iter().map(|(n, d)| DesiredFunction {
        lease: lease(*n),
        name: name(*n),
        digest: digest(*d),
    });
    Arc::new(DesiredState {
        revision,
        functions: functions.collect(),
    })
}

fn status(n: u8, d: u8, state: FunctionState) -> FunctionStatus {
    FunctionStatus {
        name: name(n),
        digest: digest(d),
        state,
        lease: (state == FunctionState::Ready).then(|| lease(n)),
        error: (state == FunctionState::Failed).then(|| "worker-crashed: gone".to_owned()),
        load: FunctionLoad::default(),
    }
}

fn load(n: u8, d: u8) -> Action {
    Action::Load {
        name: name(n),
        digest: digest(d),
        lease: lease(n),
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure {
        code: "a-code".to_owned(),
        message: "a sentence".to_owned(),
        kind,
    }
}

fn reconciler(functions: &[(u8, u8)], actual: Vec<FunctionStatus>, now: Instant) -> Reconciler {
    let mut reconciler = Reconciler::default();
    reconciler.set_desired(wants(1, functions));
    reconciler.set_actual(0, actual, now);
    reconciler
}

fn states(reconciler: &Reconciler) -> Vec<FunctionState> {
    reconciler.observed().iter().map(|f| f.state).collect()
}

#[test]
fn nothing_is_done_before_both_sides_are_known() {
    let now = Instant::now();
    let mut only_actual = Reconciler::default();
    only_actual.set_actual(0, vec![status(1, 1, FunctionState::Ready)], now);
    assert_eq!(only_actual.start_actions(9, now), []);
    let mut only_desired = Reconciler::default();
    only_desired.set_desired(wants(1, &[(1, 1)]));
    assert_eq!(only_desired.start_actions(9, now), []);
}

#[test]
fn the_difference_is_acted_on_once() {
    let now = Instant::now();
    let actual = vec![
        status(1, 1, FunctionState::Ready),
        status(2, 1, FunctionState::Ready),
        status(3, 1, FunctionState::Loading),
        status(9, 1, FunctionState::Ready),
    ];
    let mut r = reconciler(&[(1, 1), (2, 2), (3, 1), (4, 1)], actual, now);
    let expected = [Action::Unload { name: name(9) }, load(2, 2), load(4, 1)];
    assert_eq!(r.start_actions(9, now), expected);
    assert_eq!(r.start_actions(9, now), []);
    use FunctionState::{Loading, Ready};
    assert_eq!(states(&r), [Ready, Loading, Loading, Loading]);
}

#[test]
fn a_version_that_serves_under_another_lease_is_put_under_the_new_one() {
    let now = Instant::now();
    let mut old = status(1, 1, FunctionState::Ready);
    old.lease = Some(lease(9));
    let mut r = reconciler(&[(1, 1)], vec![old], now);
    assert_eq!(states(&r), [FunctionState::Ready], "it answers meanwhile");
    assert_eq!(r.start_actions(9, now), [load(1, 1)]);
    r.finished(
        &load(1, 1),
        Ok(Some(status(1, 1, FunctionState::Ready))),
        now,
    );
    assert_eq!(r.start_actions(9, now), []);
}

#[test]
fn a_status_from_before_an_action_ended_is_not_believed() {
    let now = Instant::now();
    let mut r = reconciler(&[(1, 1)], vec![], now);
    let asked = r.epoch();
    let action = r.start_actions(9, now).remove(0);
    r.set_actual(asked, vec![], now);
    assert_eq!(r.start_actions(9, now), [], "it still runs");
    r.finished(&action, Ok(Some(status(1, 1, FunctionState::Ready))), now);
    r.set_actual(asked, vec![], now);
    assert_eq!(states(&r), [FunctionState::Ready]);
    assert_eq!(r.start_actions(9, now), []);
}

#[test]
fn a_refused_function_waits_for_another_revision_or_long() {
    let now = Instant::now();
    let mut r = reconciler(&[(1, 1)], vec![], now);
    let action = r.start_actions(9, now).remove(0);
    r.finished(&action, Err(failure(FailureKind::Refused)), now);
    let observed = r.observed().remove(0);
    assert_eq!(observed.state, FunctionState::Failed);
    assert_eq!(observed.error.as_deref(), Some("a-code: a sentence"));
    // The enclave lists it as failed, too: that is the same failure, not a crash.
    let epoch = r.epoch();
    r.set_actual(epoch, vec![status(1, 1, FunctionState::Failed)], now);
    assert_eq!(r.start_actions(9, now + FAR), []);
    assert_eq!(
        r.start_actions(9, now + FAR + Duration::from_secs(1)),
        [load(1, 1)]
    );
    r.finished(&action, Err(failure(FailureKind::Refused)), now + FAR);
    r.set_desired(wants(2, &[(1, 1)]));
    assert_eq!(r.start_actions(9, now + FAR), [load(1, 1)]);
}

#[test]
fn a_refused_digest_does_not_hold_back_the_next_one_or_its_removal() {
    let now = Instant::now();
    let mut r = reconciler(&[(1, 1)], vec![], now);
    let action = r.start_actions(9, now).remove(0);
    r.finished(&action, Err(failure(FailureKind::Refused)), now);
    r.desired = Some(wants(1, &[(1, 2)]));
    assert_eq!(r.start_actions(9, now), [load(1, 2)]);
    r.finished(&load(1, 2), Err(failure(FailureKind::Refused)), now);
    let epoch = r.epoch();
    r.set_actual(epoch, vec![status(1, 2, FunctionState::Failed)], now);
    r.desired = Some(wants(1, &[]));
    assert_eq!(r.start_actions(9, now), [Action::Unload { name: name(1) }]);
}

#[test]
fn transient_failures_are_retried_soon_and_reported_when_they_last() {
    let mut now = Instant::now();
    let mut r = reconciler(&[(1, 1)], vec![], now);
    for n in 0..PATIENCE {
        assert_eq!(states(&r), [FunctionState::Loading], "{n}");
        assert_eq!(r.start_actions(9, now), [load(1, 1)]);
        r.finished(&load(1, 1), Err(failure(FailureKind::Transient)), now);
        let next = r.next_try().unwrap();
        assert!(next - now <= Duration::from_secs(5));
        assert_eq!(r.start_actions(9, next - Duration::from_millis(1)), []);
        now = next;
    }
    assert_eq!(states(&r), [FunctionState::Failed]);
    assert_eq!(r.start_actions(9, now), [load(1, 1)], "and still tried");
}

#[test]
fn a_crash_is_answered_at_once_and_a_crash_loop_ever_later() {
    let mut now = Instant::now();
    let mut r = reconciler(&[(1, 1)], vec![status(1, 1, FunctionState::Ready)], now);
    let mut waits = Vec::new();
    for _ in 0..4 {
        let crash = vec![status(1, 1, FunctionState::Failed)];
        r.set_actual(r.epoch(), crash.clone(), now);
        r.set_actual(r.epoch(), crash, now);
        let next = r.next_try().unwrap();
        waits.push((next - now).as_secs());
        now = next;
        assert_eq!(r.start_actions(9, now), [load(1, 1)]);
        r.finished(
            &load(1, 1),
            Ok(Some(status(1, 1, FunctionState::Ready))),
            now,
        );
        assert_eq!(states(&r), [FunctionState::Ready]);
    }
    assert_eq!(waits, [0, 1, 2, 4]);
    now += FORGIVEN;
    r.set_actual(r.epoch(), vec![status(1, 1, FunctionState::Ready)], now);
    r.set_actual(r.epoch(), vec![status(1, 1, FunctionState::Failed)], now);
    assert_eq!(r.next_try(), Some(now));
}

#[test]
fn a_refused_successor_leaves_its_predecessor_alone() {
    let now = Instant::now();
    let serving = status(1, 1, FunctionState::Ready);
    let mut r = reconciler(&[(1, 2)], vec![serving.clone()], now);
    assert_eq!(r.start_actions(9, now), [load(1, 2)]);
    r.finished(&load(1, 2), Err(failure(FailureKind::Refused)), now);
    // The enclave tells of both.
    let both = vec![serving, status(1, 2, FunctionState::Failed)];
    r.set_actual(r.epoch(), both.clone(), now);
    assert_eq!(r.start_actions(9, now), []);
    assert_eq!(states(&r), [FunctionState::Failed]);
    r.set_desired(wants(2, &[(1, 1)]));
    r.set_actual(r.epoch(), both, now);
    assert_eq!(r.start_actions(9, now), []);
    assert_eq!(states(&r), [FunctionState::Ready]);
}

#[test]
fn two_versions_under_one_name_do_not_fight() {
    let now = Instant::now();
    let mut r = reconciler(&[(1, 1), (1, 2)], vec![], now);
    assert_eq!(r.start_actions(9, now), [load(1, 1)]);
    r.finished(
        &load(1, 1),
        Ok(Some(status(1, 1, FunctionState::Ready))),
        now,
    );
    assert_eq!(states(&r), [FunctionState::Ready, FunctionState::Failed]);
    assert_eq!(r.start_actions(9, now), []);
}

/// What the world does in one step of the simulation.
#[derive(Debug, Clone)]
enum Step {
    Want(Vec<(u8, u8)>),
    Finish(usize, Option<FailureKind>),
    Crash(u8),
    Ask,
    Answer,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    use FailureKind::{Crashed, NoRoom, Refused, Transient};
    let kinds = vec![Transient, Crashed, NoRoom, Refused];
    let kind = prop::option::of(prop::sample::select(kinds));
    prop_oneof![
        proptest::collection::vec((0u8..4, 0u8..3), 0..5).prop_map(Step::Want),
        (any::<usize>(), kind).prop_map(|(i, kind)| Step::Finish(i, kind)),
        (0u8..4).prop_map(Step::Crash),
        Just(Step::Ask),
        Just(Step::Answer),
        (0u64..10_000).prop_map(Step::Wait),
    ]
}

/// An enclave that does what it is told, and the actions that run.
struct World {
    now: Instant,
    enclave: BTreeMap<FunctionName, FunctionStatus>,
    running: Vec<Action>,
    asked: Option<(u64, Vec<FunctionStatus>)>,
    revision: u64,
}

impl World {
    fn run(&mut self, r: &mut Reconciler, step: Step) {
        match step {
            Step::Want(functions) => {
                self.revision += 1;
                r.set_desired(wants(self.revision, &functions));
            }
            Step::Finish(i, kind) if !self.running.is_empty() => {
                let action = self.running.remove(i % self.running.len());
                self.finish(r, action, kind);
            }
            Step::Crash(n) => {
                if let Some(status) = self.enclave.get_mut(&name(n)) {
                    status.state = FunctionState::Failed;
                }
            }
            Step::Ask => self.asked = Some((r.epoch(), self.enclave.values().cloned().collect())),
            Step::Answer => {
                if let Some((epoch, functions)) = self.asked.take() {
                    r.set_actual(epoch, functions, self.now);
                }
            }
            Step::Wait(ms) => self.now += Duration::from_millis(ms),
            Step::Finish(..) => {}
        }
        for action in r.start_actions(2, self.now) {
            let twice = self
                .running
                .iter()
                .any(|other| other.name() == action.name());
            assert!(!twice, "two actions on one function");
            self.running.push(action);
        }
        assert!(self.running.len() <= 2);
    }

    fn finish(&mut self, r: &mut Reconciler, action: Action, kind: Option<FailureKind>) {
        let result = match (kind, &action) {
            (Some(kind), _) => Err(failure(kind)),
            (
                None,
                Action::Load {
                    name,
                    digest,
                    lease,
                },
            ) => {
                let status = FunctionStatus {
                    name: name.clone(),
                    digest: *digest,
                    state: FunctionState::Ready,
                    lease: Some(*lease),
                    error: None,
                    load: FunctionLoad::default(),
                };
                self.enclave.insert(name.clone(), status.clone());
                Ok(Some(status))
            }
            (None, Action::Unload { name }) => {
                self.enclave.remove(name);
                Ok(None)
            }
        };
        r.finished(&action, result, self.now);
    }
}

proptest! {
    #[test]
    fn whatever_happened_it_converges_once_the_world_is_kind(
        steps in proptest::collection::vec(step(), 0..60),
        last in proptest::collection::vec((0u8..4, 0u8..3), 0..5),
    ) {
        let mut world = World {
            now: Instant::now(),
            enclave: BTreeMap::new(),
            running: Vec::new(),
            asked: None,
            revision: 0,
        };
        let mut r = Reconciler::default();
        for step in steps.into_iter().chain([Step::Want(last.clone())]) {
            world.run(&mut r, step);
        }
        for _ in 0..80 {
            while !world.running.is_empty() {
                world.run(&mut r, Step::Finish(0, None));
            }
            for step in [Step::Ask, Step::Answer, Step::Wait(5_000)] {
                world.run(&mut r, step);
            }
        }
        let desired = wants(0, &last);
        let expected: BTreeMap<_, _> = super::wanted(&desired)
            .into_iter()
            .map(|(name, function)| (name.clone(), function.digest))
            .collect();
        let actual: BTreeMap<_, _> = world
            .enclave
            .values()
            .filter(|status| status.state == FunctionState::Ready)
            .map(|status| (status.name.clone(), status.digest))
            .collect();
        prop_assert_eq!(actual, expected);
        let observed = r.observed();
        prop_assert_eq!(observed.len(), last.len(), "one entry a lease");
        let ready = observed.iter().filter(|f| f.state == FunctionState::Ready).count();
        let agreeing = desired
            .functions
            .iter()
            .filter(|f| super::wanted(&desired)[&f.name].digest == f.digest)
            .count();
        prop_assert_eq!(ready, agreeing);
    }
}

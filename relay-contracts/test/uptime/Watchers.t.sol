// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {UptimeOracle} from "../../src/UptimeOracle.sol";
import {Timetable} from "../../src/uptime/Timetable.sol";
import {WatcherBook} from "../../src/uptime/WatcherBook.sol";
import {IOperatorStaking} from "../../src/interfaces/IOperatorStaking.sol";
import {OracleWorld} from "./OracleWorld.sol";

/// What watchers may say, and when, and what it costs not to keep one's word.
contract WatchersTest is OracleWorld {
    address anna;
    address bert;
    uint256 annasKey;
    bytes32 constant SILENT = "silent";
    bytes32 constant SEAL = keccak256("a seal");

    function setUp() external {
        build();
        (, annasKey) = makeKey("anna");
        anna = watch("anna", WATCHER_STAKE);
        bert = watch("bert", WATCHER_STAKE);
    }

    function commitDigest(UptimeOracle to, address watcher, uint64 epoch, bytes32 seal)
        internal
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Nacre"),
                keccak256("1"),
                block.chainid,
                to
            )
        );
        bytes32 message = keccak256(
            abi.encode(keccak256("UptimeCommit(address watcher,uint64 epoch,bytes32 seal)"), watcher, epoch, seal)
        );
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    function signsSeal(bytes32 seal) internal view returns (bytes memory) {
        return signed(annasKey, commitDigest(oracle, anna, EPOCH, seal));
    }

    // Enrolment.

    function test_a_watcher_is_enrolled_once_under_one_id() external {
        vm.assertEq(oracle.watcherIds(anna), idOf(anna));
        vm.prank(anna);
        vm.expectRevert(WatcherBook.EnrolledAlready.selector);
        oracle.enroll("another");
        vm.expectRevert(WatcherBook.EnrolledAlready.selector);
        oracle.enroll(0);
    }

    function test_only_the_enrolled_commit() external {
        toCommit(EPOCH);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.NotEnrolled.selector, address(this)));
        oracle.commit(EPOCH, SEAL);
    }

    // Times.

    function test_commitments_end_before_anybody_reveals() external {
        vm.startPrank(anna);
        vm.warp(oracle.commitsFrom(EPOCH) / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.NotCommitTime.selector, EPOCH));
        oracle.commit(EPOCH, SEAL);
        vm.warp(oracle.commitsUntil(EPOCH) / 1000);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.NotCommitTime.selector, EPOCH));
        oracle.commit(EPOCH, SEAL);
        vm.assertLt(oracle.commitsUntil(EPOCH), oracle.revealsFrom(EPOCH));
        vm.warp(oracle.commitsUntil(EPOCH) / 1000 - 1);
        oracle.commit(EPOCH, SEAL);
    }

    function test_reveals_have_their_time() external {
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(1));
        (bytes32 salt, bytes32 root) = (said[EPOCH][anna].salt, said[EPOCH][anna].root);
        vm.warp(oracle.revealsFrom(EPOCH) / 1000 - 1);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.NotRevealTime.selector, EPOCH));
        oracle.reveal(anna, EPOCH, salt, root);
        toClosed(EPOCH);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.NotRevealTime.selector, EPOCH));
        oracle.reveal(anna, EPOCH, salt, root);
        vm.warp(oracle.closedFrom(EPOCH) / 1000 - 1);
        oracle.reveal(anna, EPOCH, salt, root);
        (, uint128 revealed) = oracle.heard(EPOCH);
        vm.assertEq(revealed, WATCHER_STAKE);
    }

    // Words.

    function test_the_first_word_stays() external {
        toCommit(EPOCH);
        vm.startPrank(anna);
        vm.expectRevert(WatcherBook.SealEmpty.selector);
        oracle.commit(EPOCH, 0);
        vm.expectEmit();
        emit WatcherBook.Committed(EPOCH, anna, SEAL, WATCHER_STAKE);
        oracle.commit(EPOCH, SEAL);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.CommittedAlready.selector, EPOCH));
        oracle.commit(EPOCH, keccak256("another"));
        (bytes32 hash, uint128 stake, bool revealed) = oracle.words(EPOCH, anna);
        vm.assertEq(hash, SEAL);
        vm.assertEq(stake, WATCHER_STAKE);
        vm.assertFalse(revealed);
    }

    function test_a_word_weighs_what_was_staked_when_the_epoch_began() external {
        address late = watch("late", 1000);
        toMs((uint256(EPOCH) * SLOTS) * 10_000 + 1000);
        stakes(late, 1_000_000);
        vm.prank(anna);
        staking.unbond(WATCHER_STAKE);
        toCommit(EPOCH);
        commits(late, EPOCH, outcomesOf(1));
        commits(anna, EPOCH, outcomesOf(1));
        (, uint128 stake,) = oracle.words(EPOCH, late);
        vm.assertEq(stake, 1000);
        (, stake,) = oracle.words(EPOCH, anna);
        vm.assertEq(stake, WATCHER_STAKE);
    }

    function test_a_watcher_without_stake_says_nothing() external {
        address poor = watch("poor", 999);
        toCommit(EPOCH);
        vm.prank(poor);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.TooLittleStake.selector, 999));
        oracle.commit(EPOCH, SEAL);
    }

    function test_a_reveal_is_what_was_committed_to_and_counts_once() external {
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(1));
        toReveal(EPOCH);
        (bytes32 salt, bytes32 root) = (said[EPOCH][anna].salt, said[EPOCH][anna].root);
        vm.expectRevert(WatcherBook.RevealedOtherwise.selector);
        oracle.reveal(anna, EPOCH, salt, keccak256("another root"));
        vm.expectRevert(WatcherBook.RevealedOtherwise.selector);
        oracle.reveal(anna, EPOCH, keccak256("another salt"), root);
        vm.expectRevert(WatcherBook.RevealedOtherwise.selector);
        oracle.reveal(bert, EPOCH, salt, root);

        vm.expectEmit();
        emit WatcherBook.Revealed(EPOCH, anna, salt, root);
        oracle.reveal(anna, EPOCH, salt, root);
        vm.expectRevert(WatcherBook.RevealedOtherwise.selector);
        oracle.reveal(anna, EPOCH, salt, root);
        (uint128 committed, uint128 revealed) = oracle.heard(EPOCH);
        vm.assertEq(committed, WATCHER_STAKE);
        vm.assertEq(revealed, WATCHER_STAKE);
    }

    /// The copier posts the very seal that it saw, and the very salt and root when they come.
    function test_a_copied_commitment_reveals_nothing() external {
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(2));
        bytes32 seal = sealFor(anna, EPOCH);
        vm.prank(bert);
        oracle.commit(EPOCH, seal);
        toReveal(EPOCH);
        (bytes32 salt, bytes32 root) = (said[EPOCH][anna].salt, said[EPOCH][anna].root);
        vm.expectRevert(WatcherBook.RevealedOtherwise.selector);
        oracle.reveal(bert, EPOCH, salt, root);
    }

    /// The copier even goes by the same id off chain, and knows the commitment that was posted there.
    function test_a_copied_commitment_under_a_copied_id_reveals_nothing() external {
        address thief = makeAddress("thief");
        stakes(thief, WATCHER_STAKE);
        bytes32 id = idOf(anna);
        vm.prank(thief);
        oracle.enroll(id);
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(2));
        bytes32 public_ = oracle.commitmentOf(anna, EPOCH, said[EPOCH][anna].salt, said[EPOCH][anna].root);
        vm.prank(thief);
        oracle.commit(EPOCH, public_);
        toReveal(EPOCH);
        (bytes32 salt, bytes32 root) = (said[EPOCH][anna].salt, said[EPOCH][anna].root);
        vm.expectRevert(WatcherBook.RevealedOtherwise.selector);
        oracle.reveal(thief, EPOCH, salt, root);
        oracle.reveal(anna, EPOCH, salt, root);
    }

    /// Who sees a reveal under way can be first with it, and the watcher's word counts as the watcher's all the same; to
    /// commit to the same it is too late.
    function test_to_be_in_front_of_a_reveal_gains_nothing() external {
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(1));
        toReveal(EPOCH);
        prepares(bert, EPOCH, outcomesOf(1));
        said[EPOCH][bert].salt = said[EPOCH][anna].salt;
        bytes32 seal = sealFor(bert, EPOCH);
        vm.startPrank(bert);
        vm.expectRevert(abi.encodeWithSelector(WatcherBook.NotCommitTime.selector, EPOCH));
        oracle.commit(EPOCH, seal);
        reveals(anna, EPOCH);
        (,, bool revealed) = oracle.words(EPOCH, anna);
        vm.assertTrue(revealed);
        (,, revealed) = oracle.words(EPOCH, bert);
        vm.assertFalse(revealed);
    }

    // Words that others carry.

    function test_anybody_may_carry_a_signed_commitment() external {
        toCommit(EPOCH);
        oracle.commitFor(anna, EPOCH, SEAL, signsSeal(SEAL));
        (bytes32 hash,,) = oracle.words(EPOCH, anna);
        vm.assertEq(hash, SEAL);
    }

    function test_a_carrier_changes_nothing_of_a_commitment() external {
        toCommit(EPOCH);
        bytes memory signature = signsSeal(SEAL);
        vm.expectRevert(WatcherBook.SignatureInvalid.selector);
        oracle.commitFor(anna, EPOCH, keccak256("another"), signature);
        vm.expectRevert(WatcherBook.SignatureInvalid.selector);
        oracle.commitFor(anna, EPOCH - 1, SEAL, signature);
        vm.expectRevert(WatcherBook.SignatureInvalid.selector);
        oracle.commitFor(bert, EPOCH, SEAL, signature);
        vm.expectRevert(WatcherBook.SignatureInvalid.selector);
        oracle.commitFor(anna, EPOCH, SEAL, "short");
    }

    function test_a_commitment_signed_for_another_contract_or_chain_is_none() external {
        UptimeOracle other = new UptimeOracle(setup(), lengths());
        bytes memory signature = signed(annasKey, commitDigest(other, anna, EPOCH, SEAL));
        toCommit(EPOCH);
        vm.expectRevert(WatcherBook.SignatureInvalid.selector);
        oracle.commitFor(anna, EPOCH, SEAL, signature);
        signature = signsSeal(SEAL);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(WatcherBook.SignatureInvalid.selector);
        oracle.commitFor(anna, EPOCH, SEAL, signature);
    }

    // What it costs.

    function test_who_commits_and_stays_silent_pays_once() external {
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(2));
        commits(bert, EPOCH, outcomesOf(1));
        toReveal(EPOCH);
        reveals(bert, EPOCH);
        vm.expectRevert(WatcherBook.NotChargeable.selector);
        oracle.chargeSilent(anna, EPOCH);

        toClosed(EPOCH);
        vm.expectEmit();
        emit WatcherBook.Charged(EPOCH, anna, "silent", 100);
        vm.prank(accuser);
        oracle.chargeSilent(anna, EPOCH);
        vm.assertEq(staking.activeStake(anna), WATCHER_STAKE - 100);
        vm.assertEq(staking.owed(accuser), 10);

        bytes32 cause = keccak256(abi.encode(SILENT, EPOCH));
        vm.expectRevert(abi.encodeWithSelector(IOperatorStaking.AlreadySlashed.selector, anna, cause));
        oracle.chargeSilent(anna, EPOCH);
        vm.expectRevert(WatcherBook.NotChargeable.selector);
        oracle.chargeSilent(bert, EPOCH);
        vm.expectRevert(WatcherBook.NotChargeable.selector);
        oracle.chargeSilent(accuser, EPOCH);
    }

    function test_nobody_is_charged_when_stake_may_have_left() external {
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(2));
        toMs(oracle.accusableUntil(window()));
        vm.expectRevert(WatcherBook.NotChargeable.selector);
        oracle.chargeSilent(anna, EPOCH);
    }

    function test_two_signed_commitments_to_one_epoch_cost_stake() external {
        bytes32 second = keccak256("another");
        bytes memory one = signsSeal(SEAL);
        bytes memory two = signsSeal(second);
        vm.expectRevert(WatcherBook.NotChargeable.selector);
        oracle.chargeDouble(anna, EPOCH, SEAL, one, second, two);
        toCommit(EPOCH);
        vm.expectRevert(WatcherBook.NotChargeable.selector);
        oracle.chargeDouble(anna, EPOCH, SEAL, one, SEAL, one);
        vm.expectRevert(WatcherBook.SignatureInvalid.selector);
        oracle.chargeDouble(bert, EPOCH, SEAL, one, second, two);
        oracle.chargeDouble(anna, EPOCH, SEAL, one, second, two);
        vm.assertEq(staking.activeStake(anna), WATCHER_STAKE - 1000);
    }

    // Deployment.

    function test_an_oracle_needs_stake_that_outlasts_it() external {
        Timetable.Lengths memory long = lengths();
        long.settleSeconds = 14 days;
        vm.expectPartialRevert(UptimeOracle.UnbondsTooSoon.selector);
        new UptimeOracle(setup(), long);
        vm.assertLt(oracle.slashableFor(), staking.unbondDelay());
    }

    function test_a_setup_that_asks_nothing_is_refused() external {
        UptimeOracle.Setup memory bad = setup();
        bad.silencePpm = 1_000_001;
        refuse(bad);
        bad = setup();
        bad.doublePpm = 1_000_001;
        refuse(bad);
        bad = setup();
        bad.minWatcherStake = 0;
        refuse(bad);
        bad = setup();
        bad.quorumStake = 0;
        refuse(bad);
        Timetable.Lengths memory other = lengths();
        other.slotMs = 5000;
        bad = setup();
        vm.expectRevert(UptimeOracle.SetupUnsound.selector);
        new UptimeOracle(bad, other);
    }

    function refuse(UptimeOracle.Setup memory bad) internal {
        vm.expectRevert(UptimeOracle.SetupUnsound.selector);
        new UptimeOracle(bad, lengths());
    }

    function test_lengths_that_make_no_timetable_are_refused() external {
        for (uint256 i = 0; i < 12; ++i) {
            Timetable.Lengths memory bad = lengths();
            if (i == 0) bad.slotMs = 99;
            if (i == 1) bad.slotMs = 600_001;
            if (i == 2) bad.epochSlots = 0;
            if (i == 3) bad.epochSlots = 1025;
            if (i == 4) bad.windowSlots = 0;
            if (i == 5) bad.windowSlots = 8_641;
            if (i == 6) bad.commitSlots = 0;
            if (i == 7) bad.revealSlots = 0;
            if (i == 8) bad.guardMs = 60_000;
            if (i == 9) bad.accuseSeconds = 0;
            if (i == 10) bad.disputeSeconds = 0;
            if (i == 11) bad.settleSeconds = 0;
            vm.expectRevert(Timetable.TimetableUnsound.selector);
            new UptimeOracle(setup(), bad);
        }
        vm.assertEq(keccak256(abi.encode(oracle.lengths())), keccak256(abi.encode(lengths())));
    }
}

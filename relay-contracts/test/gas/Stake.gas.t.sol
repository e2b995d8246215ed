// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {UptimeOracle} from "../../src/UptimeOracle.sol";
import {Receipts} from "../../src/uptime/Receipts.sol";
import {FakeRelay} from "../subscriptions/FakeRelay.sol";
import {OracleWorld} from "../uptime/OracleWorld.sol";

/// What calls of stake, uptime and subscriptions cost as transactions of their own: the gas profile isolates each.
contract StakeGasTest is OracleWorld {
    address anna;

    function setUp() external {
        build();
        anna = watch("anna", WATCHER_STAKE);
        watch("bert", WATCHER_STAKE);
        watch("carl", WATCHER_STAKE);
    }

    function test_staking() external {
        address fresh = makeAddress("fresh");
        token.mint(fresh, 1000);
        vm.startPrank(fresh);
        token.approve(address(staking), 1000);
        staking.stake(fresh, 600);
        vm.snapshotGasLastCall("OperatorStaking", "stake, the first");
        vm.warp(block.timestamp + 1);
        staking.stake(fresh, 400);
        vm.snapshotGasLastCall("OperatorStaking", "stake, more");
        staking.unbond(500);
        vm.snapshotGasLastCall("OperatorStaking", "unbond");
        vm.warp(block.timestamp + DELAY);
        staking.withdraw();
        vm.snapshotGasLastCall("OperatorStaking", "withdraw");
        vm.stopPrank();
        vm.prank(address(oracle));
        staking.slash(fresh, 100, "x", anna, address(0));
        vm.snapshotGasLastCall("OperatorStaking", "slash");
        staking.collect(anna);
        vm.snapshotGasLastCall("OperatorStaking", "collect");
    }

    function test_nodes() external {
        bytes16 other = bytes16(uint128(2));
        (address key,) = makeKey("receipt key");
        registry.attest(key, operator);
        vm.startPrank(operator);
        nodes.registerNode(other, 1000);
        vm.snapshotGasLastCall("NodeBook", "registerNode");
        nodes.raiseNode(other, 1000);
        vm.snapshotGasLastCall("NodeBook", "raiseNode");
        nodes.bindKey(other, key);
        vm.snapshotGasLastCall("NodeBook", "bindKey");
        uint64 slot = uint64(block.timestamp / 10) + 1000;
        nodes.announceDrain(other, slot, slot + 180);
        vm.snapshotGasLastCall("NodeBook", "announceDrain, half an hour");
        nodes.announceDrain(other, slot + 1000, slot + 2260);
        vm.snapshotGasLastCall("NodeBook", "announceDrain, three and a half hours");
        nodes.retireNode(other);
        vm.snapshotGasLastCall("NodeBook", "retireNode");
    }

    function test_an_epoch_and_what_comes_of_it() external {
        (address key, uint256 secret) = makeKey("receipt key");
        registry.attest(key, operator);
        vm.prank(operator);
        nodes.bindKey(NODE, key);
        address fresh = makeAddress("fresh");
        vm.prank(fresh);
        oracle.enroll("id");
        vm.snapshotGasLastCall("UptimeOracle", "enroll");

        toCommit(EPOCH);
        commits(watchers[1], EPOCH, outcomesOf(2));
        commits(watchers[2], EPOCH, outcomesOf(2));
        commits(anna, EPOCH, outcomesOf(2));
        vm.snapshotGasLastCall("UptimeOracle", "commit");
        toReveal(EPOCH);
        reveals(watchers[1], EPOCH);
        reveals(watchers[2], EPOCH);
        reveals(anna, EPOCH);
        vm.snapshotGasLastCall("UptimeOracle", "reveal");
        toClosed(EPOCH);

        UptimeOracle.EpochRows[] memory shown = evidence(EPOCH);
        accuses(shown);
        vm.snapshotGasLastCall("UptimeOracle", "accuse, one epoch, three watchers");
        uint64 slot = slotOf(EPOCH, 5);
        UptimeOracle.Claim memory made = claimOn(anna, slot, key);
        Receipts.Receipt memory answer = answerTo(nonceOf(anna, slot, 0), secret, slot * 10_000, 200);
        oracle.dispute(made, requestOf(), answer);
        vm.snapshotGasLastCall("UptimeOracle", "dispute");
        settles(shown);
        vm.snapshotGasLastCall("UptimeOracle", "settle, one epoch, three watchers");
    }

    function test_silence() external {
        toCommit(EPOCH);
        commits(anna, EPOCH, outcomesOf(2));
        toClosed(EPOCH);
        oracle.chargeSilent(anna, EPOCH);
        vm.snapshotGasLastCall("UptimeOracle", "chargeSilent");
    }

    /// The relay is one that does next to nothing: what is counted beside it is the subscription's own.
    function test_subscriptions() external {
        FakeRelay relay = new FakeRelay();
        JobSubscriptions subscriptions = new JobSubscriptions(relay);
        JobSubscriptions.Plan memory plan;
        plan.inputHash = "input";
        plan.answerWithin = 600;
        (plan.fee, plan.reward) = (1000, 100);
        plan.start = uint40(block.timestamp);
        plan.period = 3600;
        vm.deal(operator, 1 ether);
        vm.startPrank(operator);
        uint64 id = subscriptions.subscribe{value: 11_000}(plan, 11_000);
        vm.snapshotGasLastCall("JobSubscriptions", "subscribe");
        subscriptions.topUp{value: 1000}(id, 1000);
        vm.snapshotGasLastCall("JobSubscriptions", "topUp");
        uint256 first = subscriptions.run(id);
        vm.warp(block.timestamp + 3600);
        subscriptions.run(id);
        vm.snapshotGasLastCall("JobSubscriptions", "run, with a relay that only notes it");
        relay.cancelJob(first);
        subscriptions.refund(first);
        vm.snapshotGasLastCall("JobSubscriptions", "refund");
        subscriptions.withdraw(id, 100);
        vm.snapshotGasLastCall("JobSubscriptions", "withdraw");
        subscriptions.setPaused(id, true);
        vm.snapshotGasLastCall("JobSubscriptions", "setPaused");
        subscriptions.terminate(id);
        vm.snapshotGasLastCall("JobSubscriptions", "terminate");
        subscriptions.claim(address(0), operator);
        vm.snapshotGasLastCall("JobSubscriptions", "claim");
    }
}

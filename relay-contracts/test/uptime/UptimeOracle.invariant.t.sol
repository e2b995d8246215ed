// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {UptimeOracle} from "../../src/UptimeOracle.sol";
import {Receipts} from "../../src/uptime/Receipts.sol";
import {Test} from "../base/Test.sol";
import {OracleWorld} from "./OracleWorld.sol";

/// Epoch after epoch, watchers say what they like and some keep silent; anybody accuses, disputes, settles and charges.
contract OracleHandler is OracleWorld {
    uint64 epoch = EPOCH;
    address receiptKey;
    uint256 receiptSecret;
    uint64[] accusedEpochs;

    mapping(uint64 window => uint256) settlements;
    mapping(uint64 epoch => mapping(address watcher => mapping(uint64 slot => bool))) overturned;
    mapping(uint64 epoch => mapping(address watcher => uint256)) charges;
    uint256 public staked;
    uint256 public paidTwice;
    uint256 public paidWithoutGuilt;
    uint256 public guiltyUnpaid;
    uint256 public paidOtherwise;
    uint256 public chargedTwice;
    uint256 public paid;

    constructor() {
        build();
        watch("anna", 10_000_000);
        watch("bert", 20_000_000);
        watch("carl", 25_000_000);
        for (uint256 i = 0; i < 3; ++i) {
            for (uint256 j = i; j > 0 && watchers[j - 1] > watchers[j]; --j) {
                (watchers[j - 1], watchers[j]) = (watchers[j], watchers[j - 1]);
            }
        }
        (receiptKey, receiptSecret) = makeKey("receipt key");
        registry.attest(receiptKey, operator);
        vm.prank(operator);
        nodes.bindKey(NODE, receiptKey);
        staked = staking.totalStake();
    }

    /// The next epoch: `picks` chooses each watcher's outcomes and for how many slots, and who reveals.
    function hear(uint256 picks) external {
        ++epoch;
        toCommit(epoch);
        for (uint256 i = 0; i < 3; ++i) {
            uint256 pick = picks >> (32 * i);
            uint8 outcome = pick % 5 == 0 ? 0 : pick % 5 == 1 ? 1 : 3;
            commits(watchers[i], epoch, outcomesOf(outcome, 30 + (pick >> 8) % 31));
        }
        toReveal(epoch);
        for (uint256 i = 0; i < 3; ++i) {
            if ((picks >> (100 + 8 * i)) % 5 != 0) reveals(watchers[i], epoch);
        }
        toClosed(epoch);
    }

    function accuseNode() external {
        UptimeOracle.EpochRows[] memory shown = everything(epoch);
        try oracle.accuse(operator, NODE, oracle.windowOf(epoch), shown) {
            accusedEpochs.push(epoch);
            if (!isGuilty(epoch)) ++paidWithoutGuilt;
        } catch (bytes memory why) {
            // Nothing but these keeps a guilty node from being accused.
            bytes4 selector = bytes4(why);
            bool formal = selector == UptimeOracle.NoQuorum.selector || selector == UptimeOracle.SettledAlready.selector
                || selector == UptimeOracle.AccusedAlready.selector || selector == UptimeOracle.NotRevealed.selector;
            if (!formal && isGuilty(epoch)) ++guiltyUnpaid;
        }
    }

    function disputeWord(uint256 who, uint256 index) external {
        address watcher = watchers[who % 3];
        if (!isRevealed(epoch, watcher)) return;
        // A run of slots, so that disputes matter.
        for (uint64 i = 0; i < 10; ++i) {
            uint64 at_ = uint64((index % SLOTS + i) % SLOTS);
            uint64 slot = slotOf(epoch, at_);
            UptimeOracle.Claim memory made = claimOn(watcher, slot, receiptKey);
            Receipts.Receipt memory answer = answerTo(nonceOf(watcher, slot, 0), receiptSecret, slot * 10_000, 200);
            oracle.dispute(made, requestOf(), answer);
            overturned[epoch][watcher][at_] = true;
        }
    }

    function settleNode(uint256 which) external {
        if (accusedEpochs.length == 0) return;
        uint64 about = accusedEpochs[which % accusedEpochs.length];
        UptimeOracle.EpochRows[] memory shown = everything(about);
        uint64 window_ = oracle.windowOf(about);
        vm.warp(block.timestamp + 2 days);
        epoch = uint64(block.timestamp / 600) + 1;
        try oracle.settle(operator, NODE, window_, shown) returns (uint256 amount) {
            paid += amount;
            if (amount != 0 && ++settlements[window_] > 1) ++paidTwice;
            if (amount != 0 && !isGuilty(about)) ++paidWithoutGuilt;
            if (amount == 0 && isGuilty(about)) ++guiltyUnpaid;
            if (amount != 0 && amount != BEHIND / 20) ++paidOtherwise;
        } catch {}
    }

    function charge(uint256 who) external {
        address watcher = watchers[who % 3];
        try oracle.chargeSilent(watcher, epoch) {
            if (++charges[epoch][watcher] > 1 || isRevealed(epoch, watcher)) ++chargedTwice;
        } catch {}
    }

    function books() external view returns (uint256 balance, uint256 stake, uint256 owed) {
        return (token.balanceOf(address(staking)), staking.totalStake(), staking.totalOwed());
    }

    /// More than half of the stake that looked saw it down in more than 0.5 % of a window's slots: straight from what was said.
    function isGuilty(uint64 about) internal view returns (bool) {
        int256[] memory margins = new int256[](SLOTS);
        for (uint256 i = 0; i < 3; ++i) {
            (, uint128 stake, bool revealed) = oracle.words(about, watchers[i]);
            if (!revealed) continue;
            bytes memory outcomes = said[about][watchers[i]].outcomes;
            for (uint64 slot = 0; slot < SLOTS; ++slot) {
                uint8 outcome = uint8(outcomes[slot]);
                bool sawDown = outcome > 1 && !overturned[about][watchers[i]][slot];
                if (sawDown) margins[slot] += int256(uint256(stake));
                else if (outcome != 0) margins[slot] -= int256(uint256(stake));
            }
        }
        uint256 down;
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            if (margins[slot] > 0) ++down;
        }
        return down * 200 > 8_640;
    }

    function isRevealed(uint64 about, address watcher) internal view returns (bool revealed) {
        (,, revealed) = oracle.words(about, watcher);
    }

    /// The rows of all who revealed.
    function everything(uint64 about) internal view returns (UptimeOracle.EpochRows[] memory shown) {
        uint256 many;
        for (uint256 i = 0; i < 3; ++i) {
            if (isRevealed(about, watchers[i])) ++many;
        }
        shown = new UptimeOracle.EpochRows[](1);
        shown[0].epoch = about;
        shown[0].rows = new UptimeOracle.Row[](many);
        many = 0;
        for (uint256 i = 0; i < 3; ++i) {
            if (isRevealed(about, watchers[i])) shown[0].rows[many++] = rowOf(watchers[i], about);
        }
    }
}

contract UptimeOracleInvariants is Test {
    OracleHandler handler;

    function setUp() external {
        handler = new OracleHandler();
        bytes4[] memory selectors = new bytes4[](7);
        // Words are spoken most often.
        selectors[0] = OracleHandler.hear.selector;
        selectors[1] = OracleHandler.hear.selector;
        selectors[2] = OracleHandler.accuseNode.selector;
        selectors[3] = OracleHandler.accuseNode.selector;
        selectors[4] = OracleHandler.disputeWord.selector;
        selectors[5] = OracleHandler.settleNode.selector;
        selectors[6] = OracleHandler.charge.selector;
        targetSelector(address(handler), selectors);
        targetContract(address(handler));
    }

    function invariant_a_node_pays_for_a_window_once_and_only_if_most_stake_saw_it_down() external view {
        vm.assertEq(handler.paidTwice(), 0);
        vm.assertEq(handler.paidWithoutGuilt(), 0);
        vm.assertEq(handler.guiltyUnpaid(), 0);
        vm.assertEq(handler.paidOtherwise(), 0);
        vm.assertEq(handler.chargedTwice(), 0);
    }

    /// What is never reached breaks no invariant: this shows that payments are.
    function test_the_handler_comes_to_payments() external {
        for (uint256 i = 0; i < 40; ++i) {
            handler.hear(uint256(keccak256(abi.encode(i))));
            handler.accuseNode();
            if (i % 2 == 0) handler.disputeWord(i, 0);
            if (i % 8 == 7) handler.settleNode(i);
        }
        vm.assertGt(handler.paid(), 0);
        vm.assertEq(handler.paidWithoutGuilt() + handler.guiltyUnpaid(), 0);
    }

    function invariant_stake_that_is_slashed_is_credited() external view {
        (uint256 balance, uint256 stake, uint256 owed) = handler.books();
        vm.assertEq(balance, stake + owed);
        vm.assertEq(stake + owed, handler.staked());
        vm.assertGe(owed, handler.paid());
    }
}

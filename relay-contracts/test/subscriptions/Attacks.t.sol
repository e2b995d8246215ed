// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {Vault} from "../../src/relay/Vault.sol";
import {HookToken, IHooked} from "../tokens/Tokens.sol";
import {SubscriptionsWorld} from "./SubscriptionsWorld.sol";

contract SubscriptionAttacksTest is SubscriptionsWorld {
    // Who does harm.

    function test_who_refuses_its_money_keeps_nobody_from_theirs() external {
        Refuser refuser = new Refuser(subscriptions);
        uint64 id = subscribes(planIn(address(0)), 2 * (FEE + REWARD));
        toSlot(0);
        refuser.run(id);
        vm.expectRevert(abi.encodeWithSelector(Vault.Refused.selector, address(refuser)));
        refuser.claim(address(refuser));
        toSlot(1);
        runs(id);
        vm.prank(keeper);
        vm.assertEq(subscriptions.claim(address(0), keeper), REWARD);
        // It is still owed, to somewhere else.
        refuser.claim(stranger);
        vm.assertEq(stranger.balance, REWARD);
    }

    function test_a_claimer_that_calls_back_is_paid_once() external {
        Greedy greedy = new Greedy(subscriptions);
        uint64 id = subscribes(planIn(address(0)), 2 * (FEE + REWARD));
        toSlot(0);
        greedy.run(id);
        greedy.claim();
        vm.assertEq(address(greedy).balance, REWARD);
        vm.assertTrue(greedy.refused());
    }

    function test_a_tokens_hook_cannot_run_a_slot_twice() external {
        HookToken hooks = new HookToken();
        hooks.mint(owner, 1_000_000);
        vm.prank(owner);
        hooks.approve(address(subscriptions), type(uint256).max);
        uint64 id = subscribes(planIn(address(hooks)), 5 * (FEE + REWARD));
        HookedKeeper hooked = new HookedKeeper(subscriptions, id);
        toSlot(0);
        runs(id);
        hooks.hook(address(hooked));
        toSlot(1);
        hooked.run();
        hooked.claim(address(hooks));
        vm.assertTrue(hooked.refused());
        vm.assertEq(hooks.balanceOf(address(hooked)), REWARD);
        vm.assertEq(subscriptions.accountOf(id).runs, 2);
    }
}

/// Takes no ETH.
contract Refuser {
    JobSubscriptions subscriptions;

    constructor(JobSubscriptions subscriptions_) {
        subscriptions = subscriptions_;
    }

    function run(uint64 id) external {
        subscriptions.run(id);
    }

    function claim(address to) external {
        subscriptions.claim(address(0), to);
    }

    receive() external payable {
        revert("no");
    }
}

/// Claims again while it is being paid.
contract Greedy {
    JobSubscriptions subscriptions;
    bool public refused;

    constructor(JobSubscriptions subscriptions_) {
        subscriptions = subscriptions_;
    }

    function run(uint64 id) external {
        subscriptions.run(id);
    }

    function claim() external {
        subscriptions.claim(address(0), address(this));
    }

    receive() external payable {
        try subscriptions.claim(address(0), address(this)) {}
        catch (bytes memory why) {
            bytes memory guard = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            refused = keccak256(why) == keccak256(guard);
        }
    }
}

/// Runs again from within a token's transfer to it.
contract HookedKeeper is IHooked {
    JobSubscriptions subscriptions;
    uint64 id;
    bool public refused;

    constructor(JobSubscriptions subscriptions_, uint64 id_) {
        subscriptions = subscriptions_;
        id = id_;
    }

    function run() external {
        subscriptions.run(id);
    }

    function claim(address token) external {
        subscriptions.claim(token, address(this));
    }

    function onTokens() external {
        try subscriptions.run(id) {}
        catch (bytes memory why) {
            bytes memory guard = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            refused = keccak256(why) == keccak256(guard);
        }
    }
}

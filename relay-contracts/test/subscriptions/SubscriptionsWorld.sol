// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobSubscriptions} from "../../src/JobSubscriptions.sol";
import {PlainToken} from "../tokens/Tokens.sol";
import {Test} from "../base/Test.sol";
import {FakeRelay} from "./FakeRelay.sol";
import {SubscriptionsWorld} from "./SubscriptionsWorld.sol";

/// A relay, a token, who subscribes and who runs.
abstract contract SubscriptionsWorld is Test {
    uint96 constant FEE = 1_000;
    uint96 constant REWARD = 100;
    uint32 constant PERIOD = 1 hours;
    uint40 constant START = 1_800_000_000;

    FakeRelay relay = new FakeRelay();
    JobSubscriptions subscriptions = new JobSubscriptions(relay);
    PlainToken token = new PlainToken();
    address owner = makeAddress("owner");
    address keeper = makeAddress("keeper");
    address stranger = makeAddress("stranger");

    function setUp() external {
        vm.warp(START - 1 days);
        vm.deal(owner, 1 ether);
        token.mint(owner, 1_000_000);
        vm.prank(owner);
        token.approve(address(subscriptions), type(uint256).max);
    }

    function planIn(address in_) internal pure returns (JobSubscriptions.Plan memory) {
        return JobSubscriptions.Plan({
            functionDigest: "function",
            imageId: "image",
            inputHash: "input",
            callback: address(0xca11),
            callbackGas: 50_000,
            answerWithin: 10 minutes,
            token: in_,
            fee: FEE,
            reward: REWARD,
            start: START,
            period: PERIOD,
            slots: 0
        });
    }

    function subscribes(JobSubscriptions.Plan memory plan, uint128 deposit) internal returns (uint64) {
        vm.prank(owner);
        return subscriptions.subscribe{value: plan.token == address(0) ? deposit : 0}(plan, deposit);
    }

    function runs(uint64 id) internal returns (uint256) {
        vm.prank(keeper);
        return subscriptions.run(id);
    }

    function balanceOf(uint64 id) internal view returns (uint256) {
        return subscriptions.accountOf(id).balance;
    }

    function toSlot(uint256 slot) internal {
        vm.warp(START + slot * PERIOD);
    }
}

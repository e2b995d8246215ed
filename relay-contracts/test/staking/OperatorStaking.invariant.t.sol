// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OperatorStaking} from "../../src/OperatorStaking.sol";
import {PlainToken} from "../tokens/Tokens.sol";
import {Test} from "../base/Test.sol";

/// Some accounts stake, leave, are slashed and collect, in any order.
contract StakingHandler is Test {
    PlainToken public token = new PlainToken();
    OperatorStaking public staking;
    address[] public accounts;
    /// What came in, and what went out, by the token's own books.
    uint256 public paidIn;
    uint256 public paidOut;
    /// Causes that were slashed, and times that one of them went through again.
    mapping(address account => mapping(uint256 cause => bool)) public slashed;
    uint256 public slashedTwice;
    uint256 public slashedMoreThanAsked;
    /// Withdrawn before its time.
    uint256 public early;

    constructor() {
        vm.warp(1_800_000_000);
        OperatorStaking.Terms memory terms =
            OperatorStaking.Terms(token, makeAddress("treasury"), 7 days, 50_000, 150_000);
        staking = new OperatorStaking(terms);
        address[] memory slashers = new address[](1);
        slashers[0] = address(this);
        staking.wire(slashers);
        accounts = [makeAddress("one"), makeAddress("two"), makeAddress("three"), makeAddress("four")];
    }

    function stake(uint256 who, uint256 amount) external {
        address account = accounts[who % accounts.length];
        amount = bound(amount, 1, 1e24);
        token.mint(account, amount);
        vm.startPrank(account);
        token.approve(address(staking), amount);
        staking.stake(account, amount);
        vm.stopPrank();
        paidIn += amount;
    }

    function unbond(uint256 who, uint256 amount) external {
        address account = accounts[who % accounts.length];
        uint256 active = staking.activeStake(account);
        (uint256[] memory open,) = staking.unbondings(account);
        if (active == 0 || open.length == staking.MAX_UNBONDINGS()) return;
        vm.prank(account);
        staking.unbond(bound(amount, 1, active));
    }

    function withdraw(uint256 who) external {
        address account = accounts[who % accounts.length];
        (uint256[] memory amounts, uint64[] memory matures) = staking.unbondings(account);
        uint256 due;
        for (uint256 i = 0; i < amounts.length; ++i) {
            if (matures[i] <= block.timestamp) due += amounts[i];
        }
        vm.prank(account);
        try staking.withdraw() returns (uint256 amount) {
            paidOut += amount;
            if (amount > due) early += amount - due;
        } catch (bytes memory) {
            vm.assertEq(due, 0);
        }
    }

    function slash(uint256 who, uint256 amount, uint256 cause, uint256 reporter, uint256 harmed) external {
        address account = accounts[who % accounts.length];
        cause %= 8;
        address[5] memory parties = [accounts[0], accounts[1], accounts[2], accounts[3], address(0)];
        uint256 held = staking.stakeOf(account);
        try staking.slash(account, amount, bytes32(cause), parties[reporter % 5], parties[harmed % 5]) returns (
            uint256 taken
        ) {
            if (slashed[account][cause]) ++slashedTwice;
            if (taken > amount || taken > held) ++slashedMoreThanAsked;
            slashed[account][cause] = true;
        } catch (bytes memory) {
            vm.assertTrue(slashed[account][cause]);
        }
    }

    function collect(uint256 who) external {
        address account = who % 5 == 4 ? staking.TREASURY() : accounts[who % 5];
        if (staking.owed(account) != 0) paidOut += staking.collect(account);
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 3 days));
    }
}

contract OperatorStakingInvariants is Test {
    StakingHandler handler;
    OperatorStaking staking;

    function setUp() external {
        handler = new StakingHandler();
        staking = handler.staking();
        targetContract(address(handler));
    }

    function invariant_the_balance_covers_stake_and_credits() external view {
        uint256 balance = handler.token().balanceOf(address(staking));
        vm.assertEq(balance, staking.totalStake() + staking.totalOwed());
        vm.assertEq(balance, handler.paidIn() - handler.paidOut());
    }

    function invariant_the_sums_are_the_accounts() external view {
        (uint256 held, uint256 active, uint256 owed) = (0, 0, staking.owed(staking.TREASURY()));
        for (uint256 i = 0; i < 4; ++i) {
            address account = handler.accounts(i);
            held += staking.stakeOf(account);
            active += staking.activeStake(account);
            owed += staking.owed(account);
            uint256 open;
            (uint256[] memory amounts,) = staking.unbondings(account);
            for (uint256 j = 0; j < amounts.length; ++j) {
                open += amounts[j];
            }
            vm.assertEq(staking.stakeOf(account), staking.activeStake(account) + open);
        }
        vm.assertEq(held, staking.totalStake());
        vm.assertEq(active, staking.totalActiveStake());
        vm.assertEq(owed, staking.totalOwed());
    }

    function invariant_no_cause_is_slashed_twice_nor_more_than_there_is() external view {
        vm.assertEq(handler.slashedTwice(), 0);
        vm.assertEq(handler.slashedMoreThanAsked(), 0);
    }

    function invariant_nothing_leaves_before_its_time() external view {
        vm.assertEq(handler.early(), 0);
    }
}

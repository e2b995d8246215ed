// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {OperatorStaking} from "../../src/OperatorStaking.sol";
import {IOperatorStaking} from "../../src/interfaces/IOperatorStaking.sol";
import {IStakeHistory} from "../../src/interfaces/IStakeHistory.sol";
import {FeeToken, HookToken, IHooked, PlainToken} from "../tokens/Tokens.sol";
import {Test} from "../base/Test.sol";

/// A slasher that takes what it is told to.
contract Slasher {
    OperatorStaking public staking;

    constructor(OperatorStaking staking_) {
        staking = staking_;
    }

    function take(address operator, uint256 amount, bytes32 cause, address reporter, address harmed)
        external
        returns (uint256)
    {
        return staking.slash(operator, amount, cause, reporter, harmed);
    }
}

contract OperatorStakingTest is Test {
    uint64 constant DELAY = 14 days;
    uint32 constant BOUNTY = 100_000;
    uint32 constant PUBLIC = 200_000;

    bytes32 constant CAUSE = "x";

    PlainToken token = new PlainToken();
    OperatorStaking staking;
    Slasher slasher;
    address treasury = makeAddress("treasury");
    address operator = makeAddress("operator");
    address reporter = makeAddress("reporter");
    address harmed = makeAddress("harmed");

    function setUp() external {
        vm.warp(1_800_000_000);
        (staking, slasher) = deploy(IERC20(address(token)));
        give(operator, 1_000_000);
    }

    function terms(IERC20 asset) internal view returns (OperatorStaking.Terms memory) {
        return OperatorStaking.Terms(asset, treasury, DELAY, BOUNTY, PUBLIC);
    }

    function deploy(IERC20 asset) internal returns (OperatorStaking made, Slasher by) {
        made = new OperatorStaking(terms(asset));
        by = new Slasher(made);
        address[] memory slashers = new address[](1);
        slashers[0] = address(by);
        made.wire(slashers);
    }

    function give(address account, uint256 amount) internal {
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(staking), type(uint256).max);
    }

    function stakes(address account, uint256 amount) internal {
        vm.prank(account);
        staking.stake(account, amount);
    }

    function unbonds(uint256 amount) internal returns (uint64) {
        vm.prank(operator);
        return staking.unbond(amount);
    }

    // Deployment.

    function test_terms_that_promise_nothing_are_refused() external {
        OperatorStaking.Terms memory bad = terms(IERC20(address(0)));
        vm.expectRevert(OperatorStaking.ZeroAddress.selector);
        new OperatorStaking(bad);

        bad = terms(token);
        bad.treasury = address(0);
        vm.expectRevert(OperatorStaking.ZeroAddress.selector);
        new OperatorStaking(bad);

        bad = terms(token);
        bad.unbondDelay = 0;
        vm.expectRevert(OperatorStaking.TermsUnsound.selector);
        new OperatorStaking(bad);

        bad = terms(token);
        bad.treasuryPpm = 99_999;
        vm.expectRevert(OperatorStaking.TermsUnsound.selector);
        new OperatorStaking(bad);

        bad = terms(token);
        bad.bountyPpm = 800_001;
        vm.expectRevert(OperatorStaking.TermsUnsound.selector);
        new OperatorStaking(bad);
    }

    function test_only_the_deployer_wires_and_only_once() external {
        OperatorStaking fresh = new OperatorStaking(terms(token));
        address[] memory slashers = new address[](1);
        slashers[0] = operator;
        vm.prank(operator);
        vm.expectRevert(OperatorStaking.NotWirer.selector);
        fresh.wire(slashers);

        vm.expectEmit();
        emit OperatorStaking.SlasherFixed(operator);
        fresh.wire(slashers);
        vm.assertTrue(fresh.isSlasher(operator));

        slashers[0] = reporter;
        vm.expectRevert(OperatorStaking.NotWirer.selector);
        fresh.wire(slashers);
        vm.assertFalse(fresh.isSlasher(reporter));
    }

    function test_nobody_is_wired_by_mistake() external {
        OperatorStaking fresh = new OperatorStaking(terms(token));
        vm.expectRevert(OperatorStaking.ZeroAddress.selector);
        fresh.wire(new address[](1));
    }

    function test_no_stake_before_it_is_fixed_who_may_take_it() external {
        OperatorStaking fresh = new OperatorStaking(terms(token));
        vm.expectRevert(OperatorStaking.NotWired.selector);
        fresh.stake(operator, 1);
    }

    // Staking and leaving.

    function test_stake_counts_at_once_and_belongs_to_whom_it_was_given() external {
        vm.expectEmit();
        emit OperatorStaking.Staked(harmed, operator, 700);
        vm.prank(operator);
        staking.stake(harmed, 700);
        stakes(operator, 300);
        vm.assertEq(staking.activeStake(harmed), 700);
        vm.assertEq(staking.activeStake(operator), 300);
        vm.assertEq(staking.totalActiveStake(), 1000);
        vm.assertEq(token.balanceOf(address(staking)), 1000);
    }

    function test_nothing_and_nobody_are_not_staked() external {
        vm.expectRevert(OperatorStaking.ZeroAmount.selector);
        staking.stake(operator, 0);
        vm.expectRevert(OperatorStaking.ZeroAddress.selector);
        staking.stake(address(0), 1);
    }

    function test_stake_leaves_after_the_delay_and_not_before() external {
        stakes(operator, 1000);
        vm.expectEmit();
        emit OperatorStaking.Unbonded(operator, 400, uint64(block.timestamp) + DELAY);
        uint64 matures = unbonds(400);
        vm.assertEq(staking.activeStake(operator), 600);
        vm.assertEq(staking.totalActiveStake(), 600);
        vm.assertEq(staking.stakeOf(operator), 1000);

        vm.warp(matures - 1);
        vm.prank(operator);
        vm.expectRevert(OperatorStaking.NothingMatured.selector);
        staking.withdraw();

        vm.warp(matures);
        vm.expectEmit();
        emit OperatorStaking.Withdrawn(operator, 400);
        vm.prank(operator);
        vm.assertEq(staking.withdraw(), 400);
        vm.assertEq(token.balanceOf(operator), 999_400);
        vm.assertEq(staking.stakeOf(operator), 600);
        vm.assertEq(staking.totalStake(), 600);
    }

    function test_a_later_unbonding_does_not_hold_an_earlier_one_back() external {
        stakes(operator, 1000);
        uint64 first = unbonds(100);
        vm.warp(block.timestamp + 1 days);
        uint64 second = unbonds(200);
        (uint256[] memory amounts, uint64[] memory matures) = staking.unbondings(operator);
        vm.assertEq(amounts.length, 2);
        vm.assertEq(amounts[0] * 1000 + amounts[1], 100_200);
        vm.assertEq(matures[0], first);
        vm.assertEq(matures[1], second);

        vm.warp(first);
        vm.prank(operator);
        vm.assertEq(staking.withdraw(), 100);
        vm.warp(second);
        vm.prank(operator);
        vm.assertEq(staking.withdraw(), 200);
    }

    function test_only_active_stake_unbonds() external {
        stakes(operator, 1000);
        vm.startPrank(operator);
        vm.expectRevert(OperatorStaking.ZeroAmount.selector);
        staking.unbond(0);
        staking.unbond(400);
        vm.expectRevert(abi.encodeWithSelector(OperatorStaking.NotEnoughStake.selector, 600));
        staking.unbond(601);
        vm.stopPrank();
    }

    function test_open_unbondings_are_bounded_so_that_a_slash_always_fits() external {
        stakes(operator, 1000);
        for (uint256 i = 0; i < staking.MAX_UNBONDINGS(); ++i) {
            unbonds(1);
        }
        vm.prank(operator);
        vm.expectRevert(OperatorStaking.TooManyUnbondings.selector);
        staking.unbond(1);

        uint256 before = gasleft();
        slasher.take(operator, 1000, "all", reporter, harmed);
        vm.assertLt(before - gasleft(), 400_000);
        vm.assertEq(staking.stakeOf(operator), 0);
    }

    function test_a_token_that_takes_a_fee_is_refused() external {
        FeeToken fee = new FeeToken();
        (OperatorStaking pool,) = deploy(fee);
        fee.mint(operator, 1000);
        vm.startPrank(operator);
        fee.approve(address(pool), 1000);
        vm.expectRevert(abi.encodeWithSelector(OperatorStaking.TransferTookFee.selector, 1000, 990));
        pool.stake(operator, 1000);
        vm.stopPrank();
    }

    // What counted when.

    function test_history_says_what_counted_at_a_moment_that_is_over() external {
        uint48 start = uint48(block.timestamp);
        stakes(operator, 1000);
        vm.expectRevert(abi.encodeWithSelector(IStakeHistory.NotPast.selector, start));
        staking.activeStakeAt(operator, start);
        vm.warp(start + 10);
        unbonds(400);
        vm.warp(start + 20);
        slasher.take(operator, 500, "x", reporter, harmed);
        vm.warp(start + 30);
        vm.assertEq(staking.activeStakeAt(operator, start - 1), 0);
        vm.assertEq(staking.activeStakeAt(operator, start), 1000);
        vm.assertEq(staking.activeStakeAt(operator, start + 9), 1000);
        vm.assertEq(staking.activeStakeAt(operator, start + 10), 600);
        vm.assertEq(staking.activeStakeAt(operator, start + 20), 500);
    }

    // Slashing.

    function test_a_slash_is_shared_among_reporter_harmed_and_treasury() external {
        stakes(operator, 10_000);
        vm.expectEmit();
        emit IOperatorStaking.Slashed(operator, address(slasher), "late", 1000, reporter, harmed);
        vm.assertEq(slasher.take(operator, 1000, "late", reporter, harmed), 1000);
        vm.assertEq(staking.owed(reporter), 100);
        vm.assertEq(staking.owed(harmed), 700);
        vm.assertEq(staking.owed(treasury), 200);
        vm.assertEq(staking.activeStake(operator), 9000);
        vm.assertEq(staking.totalActiveStake(), 9000);

        vm.expectEmit();
        emit OperatorStaking.Collected(harmed, 700);
        vm.assertEq(staking.collect(harmed), 700);
        vm.assertEq(token.balanceOf(harmed), 700);
        vm.assertEq(staking.totalOwed(), 300);
        vm.expectRevert(OperatorStaking.ZeroAmount.selector);
        staking.collect(harmed);
    }

    function test_where_nobody_was_harmed_or_reported_the_treasury_gets_it() external {
        stakes(operator, 10_000);
        slasher.take(operator, 1000, "a", reporter, address(0));
        vm.assertEq(staking.owed(treasury), 900);
        slasher.take(operator, 1000, "b", address(0), harmed);
        vm.assertEq(staking.owed(harmed), 700);
        vm.assertEq(staking.owed(treasury), 900 + 300);
        vm.assertEq(staking.owed(address(0)), 0);
    }

    function test_only_slashers_slash() external {
        stakes(operator, 10_000);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStaking.NotSlasher.selector, address(this)));
        staking.slash(operator, 1, "x", reporter, harmed);
    }

    function test_one_cause_is_slashed_once_also_where_nothing_was_left() external {
        vm.assertEq(slasher.take(operator, 1000, "x", reporter, harmed), 0);
        vm.assertTrue(staking.isSlashed(address(slasher), operator, "x"));
        stakes(operator, 10_000);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStaking.AlreadySlashed.selector, operator, CAUSE));
        slasher.take(operator, 1000, "x", reporter, harmed);
        vm.assertEq(staking.stakeOf(operator), 10_000);
        // Another operator's share in the same cause, and another cause, are others.
        vm.assertFalse(staking.isSlashed(address(slasher), harmed, "x"));
        vm.assertEq(slasher.take(operator, 1000, "y", reporter, harmed), 1000);
    }

    function test_two_slashers_number_their_causes_apart() external {
        OperatorStaking both = new OperatorStaking(terms(token));
        Slasher one = new Slasher(both);
        Slasher two = new Slasher(both);
        address[] memory slashers = new address[](2);
        (slashers[0], slashers[1]) = (address(one), address(two));
        both.wire(slashers);
        vm.startPrank(operator);
        token.approve(address(both), 1000);
        both.stake(operator, 1000);
        vm.stopPrank();
        vm.assertEq(one.take(operator, 10, "x", reporter, harmed), 10);
        vm.assertEq(two.take(operator, 10, "x", reporter, harmed), 10);
    }

    function test_unbonding_in_front_of_a_slash_saves_nothing() external {
        stakes(operator, 1000);
        uint64 matures = unbonds(1000);
        vm.warp(matures - 1);
        vm.assertEq(slasher.take(operator, 1500, "x", reporter, harmed), 1000);
        vm.warp(matures);
        vm.prank(operator);
        vm.assertEq(staking.withdraw(), 0);
        vm.assertEq(token.balanceOf(operator), 999_000);
    }

    function test_a_slash_takes_what_leaves_soonest_first() external {
        stakes(operator, 1000);
        unbonds(100);
        unbonds(200);
        slasher.take(operator, 150, "x", reporter, harmed);
        (uint256[] memory amounts,) = staking.unbondings(operator);
        vm.assertEq(amounts[0], 0);
        vm.assertEq(amounts[1], 150);
        vm.assertEq(staking.activeStake(operator), 700);
        slasher.take(operator, 250, "y", reporter, harmed);
        (amounts,) = staking.unbondings(operator);
        vm.assertEq(amounts[1], 0);
        vm.assertEq(staking.activeStake(operator), 600);
    }

    /// An operator that reports itself, and is itself the harmed, to be gone before the delay is over.
    function test_slashing_oneself_is_dearer_than_a_days_downtime() external {
        stakes(operator, 10_000);
        slasher.take(operator, 10_000, "me", operator, operator);
        uint256 lost = 10_000 - staking.owed(operator);
        vm.assertGe(lost, 10_000 * uint256(staking.MIN_TREASURY_PPM()) / 1_000_000);
        vm.assertGt(lost, 10_000 * 5 / 100);
    }

    function testFuzz_a_slash_credits_exactly_what_it_takes(uint128 held, uint128 leaving, uint256 wanted) external {
        vm.assume(held > 0);
        give(operator, held);
        stakes(operator, held);
        leaving = uint128(bound(leaving, 0, held));
        if (leaving > 0) unbonds(leaving);
        uint256 taken = slasher.take(operator, wanted, "x", reporter, harmed);
        vm.assertEq(taken, wanted < held ? wanted : held);
        vm.assertEq(staking.stakeOf(operator), held - taken);
        vm.assertEq(staking.owed(reporter) + staking.owed(harmed) + staking.owed(treasury), taken);
        vm.assertLe(staking.owed(reporter), taken * BOUNTY / 1e6);
        vm.assertGe(staking.owed(treasury), taken * PUBLIC / 1e6);
        vm.assertEq(token.balanceOf(address(staking)), staking.totalStake() + staking.totalOwed());
    }

    // Whoever calls back.

    function test_a_tokens_hook_cannot_take_twice() external {
        HookToken hooks = new HookToken();
        (OperatorStaking pool, Slasher by) = deploy(hooks);
        Reentrant thief = new Reentrant(pool);
        hooks.mint(address(thief), 1000);
        thief.begin(hooks);
        hooks.hook(address(thief));

        thief.next(abi.encodeCall(pool.stake, (address(thief), 1)));
        thief.stake(500);
        vm.assertTrue(thief.refused());

        by.take(address(thief), 100, "x", address(thief), address(0));
        thief.next(abi.encodeCall(pool.collect, (address(thief))));
        pool.collect(address(thief));
        vm.assertTrue(thief.refused());

        thief.unbond(400);
        vm.warp(block.timestamp + DELAY);
        thief.next(abi.encodeCall(pool.withdraw, ()));
        thief.take();
        vm.assertTrue(thief.refused());
        vm.assertEq(hooks.balanceOf(address(thief)), 1000 - 500 + 10 + 400);
        vm.assertEq(hooks.balanceOf(address(pool)), pool.totalStake() + pool.totalOwed());
    }
}

/// Calls again from within a transfer, and remembers that it was refused.
contract Reentrant is IHooked {
    OperatorStaking staking;
    bytes call;
    bool public refused;

    constructor(OperatorStaking staking_) {
        staking = staking_;
    }

    function begin(HookToken token) external {
        token.approve(address(staking), type(uint256).max);
    }

    function next(bytes calldata call_) external {
        call = call_;
        refused = false;
    }

    function stake(uint256 amount) external {
        staking.stake(address(this), amount);
    }

    function unbond(uint256 amount) external {
        staking.unbond(amount);
    }

    function take() external {
        staking.withdraw();
    }

    function onTokens() external {
        (bool done, bytes memory why) = address(staking).call(call);
        bytes memory guard = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        refused = !done && keccak256(why) == keccak256(guard);
    }
}

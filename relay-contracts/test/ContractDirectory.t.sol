// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ContractDirectory} from "../src/ContractDirectory.sol";
import {Test} from "./base/Test.sol";

contract ContractDirectoryTest is Test {
    ContractDirectory internal directory;
    address internal proposer;
    address internal guardian;
    address internal first;
    address internal second;

    function setUp() external {
        vm.warp(1_800_000_000);
        proposer = makeAddress("proposer");
        guardian = makeAddress("guardian");
        directory = new ContractDirectory(proposer, guardian, 2 days);
        first = address(new ContractDirectory(proposer, guardian, 1));
        second = address(new ContractDirectory(proposer, guardian, 1));
    }

    function test_a_version_counts_only_after_the_delay() external {
        propose(first);
        vm.assertEq(directory.addressOf("JobRelay"), address(0));
        (address next, uint40 from) = directory.nextOf("JobRelay");
        vm.assertEq(next, first);
        vm.assertEq(from, block.timestamp + 2 days);
        vm.warp(block.timestamp + 2 days - 1);
        vm.assertEq(directory.addressOf("JobRelay"), address(0));
        vm.warp(block.timestamp + 1);
        vm.assertEq(directory.addressOf("JobRelay"), first);
        (next, from) = directory.nextOf("JobRelay");
        vm.assertEq(next, address(0));
        propose(second);
        vm.assertEq(directory.addressOf("JobRelay"), first);
        vm.warp(block.timestamp + 2 days);
        vm.assertEq(directory.addressOf("JobRelay"), second);
    }

    function test_a_second_proposal_waits_as_long_as_the_first() external {
        propose(first);
        vm.warp(block.timestamp + 2 days - 1);
        propose(second);
        vm.warp(block.timestamp + 2 days - 1);
        vm.assertEq(directory.addressOf("JobRelay"), address(0));
        vm.warp(block.timestamp + 1);
        vm.assertEq(directory.addressOf("JobRelay"), second);
    }

    function test_a_proposal_can_be_dropped_until_it_counts() external {
        propose(first);
        vm.prank(guardian);
        directory.drop("JobRelay");
        vm.warp(block.timestamp + 2 days);
        vm.assertEq(directory.addressOf("JobRelay"), address(0));
        propose(second);
        vm.warp(block.timestamp + 2 days);
        vm.prank(proposer);
        vm.expectRevert(abi.encodeWithSelector(ContractDirectory.NothingProposed.selector, bytes32("JobRelay")));
        directory.drop("JobRelay");
        vm.assertEq(directory.addressOf("JobRelay"), second);
    }

    function test_each_role_does_its_own() external {
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(ContractDirectory.NotAllowed.selector, guardian));
        directory.propose("JobRelay", first);
        propose(first);
        vm.expectRevert(abi.encodeWithSelector(ContractDirectory.NotAllowed.selector, address(this)));
        directory.drop("JobRelay");
    }

    function test_only_contracts_are_named() external {
        vm.prank(proposer);
        vm.expectRevert(abi.encodeWithSelector(ContractDirectory.NoContract.selector, guardian));
        directory.propose("JobRelay", guardian);
    }

    function test_a_senseless_configuration_is_refused() external {
        vm.expectRevert(ContractDirectory.BadConfig.selector);
        new ContractDirectory(proposer, proposer, 1);
        vm.expectRevert(ContractDirectory.BadConfig.selector);
        new ContractDirectory(proposer, guardian, 0);
    }

    function propose(address next) internal {
        vm.prank(proposer);
        directory.propose("JobRelay", next);
    }
}

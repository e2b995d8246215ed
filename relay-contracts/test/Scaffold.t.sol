// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "./base/Test.sol";

/// What our own test base promises.
contract TestBaseTest is Test {
    function testFuzz_bound_stays_in_its_range(uint256 value, uint256 low, uint256 high) external pure {
        if (low > high) (low, high) = (high, low);
        uint256 inside = bound(value, low, high);
        vm.assertGe(inside, low);
        vm.assertLe(inside, high);
    }

    function test_signed_is_what_ecrecover_reads() external {
        (address account, uint256 key) = makeKey("somebody");
        bytes memory signature = signed(key, keccak256("words"));
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        vm.assertEq(ecrecover(keccak256("words"), uint8(signature[64]), r, s), account);
    }

    function test_runs_on_osaka() external pure {
        // CLZ (EIP-7939) exists from Osaka on.
        uint256 zeros;
        assembly ("memory-safe") {
            zeros := clz(1)
        }
        vm.assertEq(zeros, 255);
    }
}

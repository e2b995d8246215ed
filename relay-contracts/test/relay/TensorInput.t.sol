// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TensorInput} from "../../src/relay/TensorInput.sol";
import {Test} from "../base/Test.sol";

/// The heads are what the enclave's own encoder makes (`protocol`, `tensors_of_a_contract_are_a_job_input`).
contract TensorInputTest is Test {
    bytes internal constant HEAD =
        hex"a5010102781d6170706c69636174696f6e2f766e642e6e616372652e74656e736f727303600458200000000000000000000000000000000000000000000000000000000000000000";

    function test_every_length_has_its_shortest_head() external pure {
        check(0, hex"0540");
        check(23, hex"0557");
        check(24, hex"055818");
        check(255, hex"0558ff");
        check(256, hex"05590100");
        check(784, hex"05590310");
        check(65_535, hex"0559ffff");
        check(65_536, hex"055a00010000");
    }

    function check(uint256 length, bytes memory tail) private pure {
        bytes memory body = new bytes(length);
        if (length > 0) body[length - 1] = 0x2a;
        vm.assertEq(TensorInput.encode(body), bytes.concat(HEAD, tail, body));
    }
}

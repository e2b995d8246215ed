// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceConsumer, IJobRelay} from "nacre/InferenceConsumer.sol";

/// @notice A door that opens to whoever draws a seven.
contract Door is InferenceConsumer {
    bytes32 constant DIGIT = 0x84377b4f997199ac827c1efc08c2486feca6990d5b4008a981a8f2de4504fdc9; // nacre digest examples/digit
    bool public open;

    constructor(IJobRelay relay) InferenceConsumer(relay) {}

    function knock(bytes calldata drawing) external payable {
        _inferTensors(DIGIT, drawing, 60_000, 10 minutes, msg.value);
    }

    function _onAnswer(uint256, bytes calldata digit) internal override {
        open = digit[0] == 0x07;
    }

    function _onFailure(uint256, uint8, bytes memory) internal override {}
}

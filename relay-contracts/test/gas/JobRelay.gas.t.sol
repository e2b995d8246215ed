// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {EnclaveRegistry} from "../../src/EnclaveRegistry.sol";
import {Relays} from "../base/Relays.sol";
import {OysterFlow} from "./OysterFlow.sol";

/// Takes every call and does nothing: what is measured is the relay's part.
contract Idle {
    receive() external payable {}

    fallback() external payable {}
}

/// What calls cost as transactions of their own, intrinsic gas included (profile `gas` isolates them).
contract JobRelayGas is Relays {
    uint32 internal constant CALLBACK_GAS = 100_000;
    bytes32 internal constant INPUT_WORD = keccak256("input");
    bytes32 internal constant OUTPUT_WORD = keccak256("output");

    address internal idle;
    OysterFlow internal oyster;

    function setUp() external {
        deployRelay();
        passServeDelay();
        startTerm();
        idle = address(new Idle());
        bytes memory start = abi.encodeCall(OysterFlow.setUp, (workers[0], operators[0]));
        oyster = OysterFlow(address(new ERC1967Proxy(address(new OysterFlow(payToken)), start)));
        vm.prank(user);
        payToken.approve(address(oyster), type(uint256).max);
        // Nobody's first job: what is measured is every one after it.
        for (uint256 i = 0; i < 12; ++i) {
            settle(i, address(0));
            settle(i, address(payToken));
        }
    }

    function test_request_in_eth() external {
        IJobRelay.Request memory request = withCallback(idle, CALLBACK_GAS);
        nextBlock();
        vm.assertLe(requestCost(request, input(), "request, ETH, 32 byte input, first of its block"), 90_000);
        vm.assertLe(requestCost(request, input(), "request, ETH, 32 byte input, not the first"), 90_000);
        request.inputHash = INPUT_WORD;
        vm.assertLe(requestCost(request, "", "request, ETH, by reference, not the first"), 90_000);
        request.fee = 1;
        vm.assertLe(requestCost(request, "", "request, ETH, below the floor, by reference"), 90_000);
    }

    function test_request_in_tokens() external {
        IJobRelay.Request memory request = inTokens(withCallback(idle, CALLBACK_GAS));
        requestCost(request, input(), "request, ERC-20, 32 byte input, first of its block");
    }

    function requestCost(IJobRelay.Request memory request, bytes memory words, string memory name)
        internal
        returns (uint256)
    {
        uint256 value = request.token == address(0) ? request.fee : 0;
        vm.prank(user);
        relay.request{value: value}(request, words);
        return vm.snapshotGasLastCall("JobRelay", name);
    }

    function test_submit_drawn() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(idle, CALLBACK_GAS));
        answer(job, who, output());
        vm.assertLe(vm.snapshotGasLastCall("JobRelay", "submit, drawn, 32 byte output, idle callback"), 120_000);
    }

    function test_submit_open() external {
        (IJobRelay.Job memory job,) = askAndDraw(withCallback(idle, CALLBACK_GAS));
        vm.warp(block.timestamp + EXCLUSIVE);
        answer(job, 0, output());
        vm.assertLe(vm.snapshotGasLastCall("JobRelay", "submit, anybody's, 32 byte output, idle callback"), 120_000);
    }

    function test_submit_to_a_new_payee() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(withCallback(idle, CALLBACK_GAS));
        IJobRelay.Result memory result = resultFor(who);
        result.payee = makeAddress("new payee");
        relay.submit(job, result, output(), sign(job, result, output(), who));
        vm.assertLe(vm.snapshotGasLastCall("JobRelay", "submit, drawn, payee's first credit"), 140_000);
    }

    function test_the_rest() external {
        (IJobRelay.Job memory job, uint256 who) = askAndDraw(plain());
        vm.warp(uint256(job.request.deadline) + 1);
        relay.cancel(job);
        vm.snapshotGasLastCall("JobRelay", "cancel");
        relay.slashLate(job);
        vm.snapshotGasLastCall("JobRelay", "slashLate");
        vm.prank(payee(who));
        relay.claim(address(0), idle);
        vm.snapshotGasLastCall("JobRelay", "claim, ETH");
        ask(plain(), "input");
        nextBlock();
        uint40 batch = relay.drawState().batch;
        reveal(batch, 0);
        vm.snapshotGasLastCall("JobRelay", "reveal, first of three");
        reveal(batch, 1);
        reveal(batch, 2);
        vm.snapshotGasLastCall("JobRelay", "reveal, last of three");
        vm.warp(block.timestamp + TERM);
        relay.startTerm();
        vm.snapshotGasLastCall("JobRelay", "startTerm, 4 operators");
    }

    function test_registry() external {
        (address key, uint256 secret) = makeKey("next worker");
        EnclaveRegistry.VerifiedEnclave memory enclave = claim(key, operators[0], workerImage);
        bytes memory word = signed(verifierKey, registry.enclaveDigest(enclave));
        bytes memory consent = signed(secret, registry.consentDigest(key, operators[0]));
        vm.prank(operators[0]);
        registry.register(enclave, word, consent);
        vm.snapshotGasLastCall("EnclaveRegistry", "register, new key");
        registry.register(enclave, word, consent);
        vm.snapshotGasLastCall("EnclaveRegistry", "register, prolonged");
    }

    function test_oyster_flow() external {
        vm.txGasPrice(1 gwei);
        vm.prank(user);
        oyster.ask{value: 1 ether}(FUNCTION, input(), 1000, 2 gwei, user, idle, CALLBACK_GAS);
        vm.prank(user);
        oyster.ask{value: 1 ether}(FUNCTION, input(), 1000, 2 gwei, user, idle, CALLBACK_GAS);
        vm.snapshotGasLastCall("OysterFlow", "request, 32 byte input");
        bytes memory signature = signed(workerKeys[0], oyster.digestOf(1, output(), 10, 0, block.timestamp));
        oyster.respond(signature, 1, output(), 10, 0, block.timestamp);
        signature = signed(workerKeys[0], oyster.digestOf(2, output(), 10, 0, block.timestamp));
        oyster.respond(signature, 2, output(), 10, 0, block.timestamp);
        vm.snapshotGasLastCall("OysterFlow", "respond, 32 byte output, idle callback");
    }

    function input() internal pure returns (bytes memory) {
        return abi.encode(INPUT_WORD);
    }

    function output() internal pure returns (bytes memory) {
        return abi.encode(OUTPUT_WORD);
    }

    function inTokens(IJobRelay.Request memory request) internal view returns (IJobRelay.Request memory) {
        request.token = address(payToken);
        request.fee = uint96(relay.feeFloor(address(payToken), request.callbackGas));
        return request;
    }

    /// One job in this currency from end to end, for operator `i`'s payee.
    function settle(uint256 i, address token) internal {
        IJobRelay.Request memory request = plain();
        if (token != address(0)) request = inTokens(request);
        request.fee = 1e6;
        answer(ask(request, abi.encode(i)), i % OPERATORS, "x");
    }
}

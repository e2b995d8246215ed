// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {JobRelay} from "../../src/JobRelay.sol";
import {OperatorStaking} from "../../src/OperatorStaking.sol";
import {IEnclaveRegistry} from "../../src/interfaces/IEnclaveRegistry.sol";
import {IJobRelay} from "../../src/interfaces/IJobRelay.sol";
import {IOperatorStaking} from "../../src/interfaces/IOperatorStaking.sol";
import {FeeTable} from "../../src/relay/FeeTable.sol";
import {OperatorDraw, SEATS} from "../../src/relay/OperatorDraw.sol";
import {FeeToken, HookToken, PlainToken} from "../tokens/Tokens.sol";
import {Enclaves} from "./Enclaves.sol";

/// @title A relay with four operators, each with stake, a hash chain and a worker enclave
abstract contract Relays is Enclaves {
    uint40 internal constant TERM = 1 days;
    uint40 internal constant REVEAL = 20;
    uint40 internal constant EXCLUSIVE = 60;
    uint128 internal constant MIN_STAKE = 1000e18;
    uint128 internal constant WITHHELD = 100e18;
    uint128 internal constant LATE = 50e18;
    uint256 internal constant OPERATORS = 4;

    bytes32 internal constant FUNCTION = keccak256("function");

    PlainToken internal stakeToken;
    PlainToken internal payToken;
    FeeToken internal feeToken;
    HookToken internal hookToken;
    OperatorStaking internal staking;
    JobRelay internal relay;
    address internal curator;
    address internal treasury;
    address internal user;

    address[OPERATORS] internal operators;
    address[OPERATORS] internal workers;
    uint256[OPERATORS] internal workerKeys;
    // Links of a hash chain; more than any test has batches in a term.
    uint256 internal chainLength = 300;
    uint256 internal chains;
    mapping(address operator => bytes32 seed) internal chainSeed;
    mapping(uint32 term => bytes32[SEATS]) internal seatSeed;
    mapping(uint32 term => uint40) internal firstBatch;

    function deployRelay() internal {
        deployRegistry();
        vm.roll(1000);
        curator = makeAddress("curator");
        treasury = makeAddress("treasury");
        user = makeAddress("user");
        stakeToken = new PlainToken();
        payToken = new PlainToken();
        feeToken = new FeeToken();
        hookToken = new HookToken();
        staking = new OperatorStaking(
            OperatorStaking.Terms({
                token: stakeToken, treasury: treasury, unbondDelay: 30 days, bountyPpm: 100_000, treasuryPpm: 100_000
            })
        );
        relay = new JobRelay(relayConfig());
        address[] memory slashers = new address[](1);
        slashers[0] = address(relay);
        staking.wire(slashers);
        stakeToken.mint(address(this), 1_000_000e18);
        stakeToken.approve(address(staking), type(uint256).max);
        for (uint256 i = 0; i < OPERATORS; ++i) {
            operators[i] = makeAddress(string.concat("operator ", digit(i)));
            staking.stake(operators[i], (i + 1) * MIN_STAKE);
            enlist(operators[i]);
            (workers[i], workerKeys[i]) = registerWorker(string.concat("worker ", digit(i)), operators[i]);
        }
        vm.startPrank(curator);
        relay.serve(FUNCTION, true);
        relay.serve(workerImage, true);
        vm.stopPrank();
        vm.deal(user, 1000 ether);
        payToken.mint(user, 1e30);
        vm.prank(user);
        payToken.approve(address(relay), type(uint256).max);
    }

    /// What is served counts from two terms on; then the workers' keys need new documents.
    function passServeDelay() internal {
        vm.warp(block.timestamp + 2 * TERM);
        for (uint256 i = 0; i < OPERATORS; ++i) {
            registerWorker(string.concat("worker ", digit(i)), operators[i]);
        }
        vm.fee(1 gwei);
    }

    function relayConfig() internal view returns (JobRelay.Config memory config) {
        config.registry = IEnclaveRegistry(address(registry));
        config.curator = curator;
        config.exclusive = EXCLUSIVE;
        config.latePenalty = LATE;
        config.draw = OperatorDraw.DrawConfig({
            staking: IOperatorStaking(address(staking)),
            minStake: MIN_STAKE,
            withholdPenalty: WITHHELD,
            term: TERM,
            revealWindow: REVEAL
        });
        config.ethFloor = 1e12;
        config.fees = new FeeTable.TokenFee[](3);
        config.fees[0] = FeeTable.TokenFee({token: address(payToken), floor: 1e18, perGas: 1e12 << 32});
        config.fees[1] = FeeTable.TokenFee({token: address(feeToken), floor: 1e18, perGas: 0});
        config.fees[2] = FeeTable.TokenFee({token: address(hookToken), floor: 1e18, perGas: 0});
    }

    // Operators.

    /// Commits a fresh chain for `operator`.
    function enlist(address operator) internal {
        chainSeed[operator] = keccak256(abi.encode("chain", operator, ++chains));
        vm.prank(operator);
        relay.enlist(linkOf(chainSeed[operator], 0), address(0));
    }

    /// Link `n` of the chain with this seed; link 0 is the tip.
    function linkOf(bytes32 seed, uint256 n) internal view returns (bytes32 link) {
        link = seed;
        uint256 hashes = chainLength - n;
        assembly ("memory-safe") {
            mstore(0, link)
            for {} hashes { hashes := sub(hashes, 1) } { mstore(0, keccak256(0, 32)) }
            link := mload(0)
        }
    }

    /// Starts a term, notes which chains its seats use up, and has those operators commit new ones.
    function startTerm() internal returns (uint32 term) {
        term = relay.startTerm();
        firstBatch[term] = relay.drawState().batch + 1;
        (,, address[SEATS] memory seats,,,) = relay.termOf(term);
        for (uint256 i = 0; i < SEATS; ++i) {
            if (seats[i] == address(0)) continue;
            seatSeed[term][i] = chainSeed[seats[i]];
            enlist(seats[i]);
        }
    }

    function linkFor(uint40 batch, uint8 seat) internal view returns (bytes32) {
        uint32 term = relay.batchOf(batch).term;
        return linkOf(seatSeed[term][seat], batch - firstBatch[term] + 1);
    }

    function reveal(uint40 batch, uint8 seat) internal {
        relay.reveal(relay.batchOf(batch).term, seat, batch, linkFor(batch, seat));
    }

    /// All links of a batch, a block later.
    function drawBatch(uint40 batch) internal {
        nextBlock();
        for (uint8 seat = 0; seat < SEATS; ++seat) {
            reveal(batch, seat);
        }
    }

    function nextBlock() internal {
        vm.roll(block.number + 1);
        vm.warp(block.timestamp + 1);
    }

    function indexOf(address operator) internal view returns (uint256 index) {
        while (operators[index] != operator) ++index;
    }

    // Jobs.

    /// A request in ETH that pays the floor and is told to nobody.
    function plain() internal view returns (IJobRelay.Request memory request) {
        request.functionDigest = FUNCTION;
        request.deadline = uint40(block.timestamp) + 300;
        request.fee = uint96(relay.feeFloor(address(0), 0));
    }

    function withCallback(address callback, uint32 callbackGas)
        internal
        view
        returns (IJobRelay.Request memory request)
    {
        request = plain();
        request.callback = callback;
        request.callbackGas = callbackGas;
        request.fee = uint96(relay.feeFloor(address(0), callbackGas));
    }

    function ask(IJobRelay.Request memory request, bytes memory input) internal returns (IJobRelay.Job memory job) {
        return askAs(user, request, input);
    }

    function askAs(address requester, IJobRelay.Request memory request, bytes memory input)
        internal
        returns (IJobRelay.Job memory job)
    {
        job.requester = requester;
        job.nonce = relay.drawState().nonce;
        // A copy: memory is passed by reference.
        job.request = abi.decode(abi.encode(request), (IJobRelay.Request));
        if (input.length != 0) job.request.inputHash = sha256(input);
        uint256 value = request.token == address(0) ? request.fee : 0;
        vm.prank(requester);
        uint256 jobId = relay.request{value: value}(request, input);
        vm.assertEq(jobId, relay.jobIdOf(job));
    }

    /// An assured job, drawn: whose it is.
    function askAndDraw(IJobRelay.Request memory request) internal returns (IJobRelay.Job memory job, uint256 who) {
        job = ask(request, "input");
        drawBatch(relay.recordOf(relay.jobIdOf(job)).batch);
        (address operator,) = relay.assignedTo(relay.jobIdOf(job));
        who = indexOf(operator);
    }

    function resultFor(uint256 who) internal view returns (IJobRelay.Result memory) {
        return IJobRelay.Result({status: 0, executedMs: uint64(block.timestamp * 1000), payee: payee(who)});
    }

    function payee(uint256 who) internal pure returns (address) {
        return address(uint160(0xbeef00 + who));
    }

    function sign(IJobRelay.Job memory job, IJobRelay.Result memory result, bytes memory output, uint256 who)
        internal
        view
        returns (bytes memory)
    {
        return signed(workerKeys[who], relay.resultDigest(job, result, sha256(output)));
    }

    function answer(IJobRelay.Job memory job, uint256 who, bytes memory output) internal {
        IJobRelay.Result memory result = resultFor(who);
        relay.submit(job, result, output, sign(job, result, output, who));
    }

    function answerExternal(IJobRelay.Job memory job, uint256 who, bytes memory output) external {
        answer(job, who, output);
    }

    function stateOf(IJobRelay.Job memory job) internal view returns (IJobRelay.State state) {
        (state,,,) = relay.resultOf(relay.jobIdOf(job));
    }

    function digit(uint256 n) internal pure returns (string memory) {
        return string(abi.encodePacked(bytes1(uint8(48 + n))));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IEnclaveRegistry} from "./interfaces/IEnclaveRegistry.sol";
import {IInferenceCallback} from "./interfaces/IInferenceCallback.sol";
import {IJobRelay} from "./interfaces/IJobRelay.sol";
import {FeeTable} from "./relay/FeeTable.sol";
import {OperatorDraw} from "./relay/OperatorDraw.sol";
import {Vault} from "./relay/Vault.sol";

/// @title Inference for smart contracts: ask, be answered, be paid
/// @notice No owner, no pause, no upgrade, and no way to money but `claim`. A curator says for which functions operators
/// vouch with their stake; it can touch no job that was asked for.
/// @dev A job is one storage slot: its id is the hash of everything that was asked, and whoever acts on it shows that
/// again. Money moves only in `request` and `claim`; the callback is the last thing that happens.
contract JobRelay is IJobRelay, OperatorDraw, FeeTable, Vault, EIP712 {
    /// @notice What is fixed at deployment.
    struct Config {
        IEnclaveRegistry registry;
        /// Who says which functions are served.
        address curator;
        /// How long after its block a job is the drawn operator's alone, in seconds; at least two reveal windows.
        uint40 exclusive;
        /// What the drawn operator of an assured job loses that does not answer in that time.
        uint128 latePenalty;
        DrawConfig draw;
        /// What a job in ETH pays at least to be drawn, in wei, beside its gas.
        uint96 ethFloor;
        TokenFee[] fees;
    }

    struct Record {
        State state;
        uint8 status;
        bool assured;
        // The drawn operator answered while the job was its alone.
        bool inTime;
        bool slashed;
        // Zero: not drawn, anybody's from the start.
        uint40 batch;
        uint40 requestedAt;
        uint64 executedMs;
    }

    /// @notice The longest that a job can wait, in seconds.
    uint40 public constant MAX_DURATION = 1 days;

    /// @notice How long after a job's deadline its operator can be slashed for it, in seconds.
    uint40 public constant SLASH_WINDOW = 7 days;

    /// @notice The longest input that comes along, in bytes.
    uint256 public constant MAX_INPUT = 65_536;

    /// @notice The most gas a callback can have: what fits one transaction (EIP-7825), with room for the rest.
    uint32 public constant MAX_CALLBACK_GAS = 10_000_000;

    /// @notice Gas that must be left beside the callback's own, so that all ends as it should whatever the callee does.
    uint256 public constant CALLBACK_RESERVE = 20_000;

    /// @notice How far an enclave's clock may be off, in milliseconds.
    uint256 public constant CLOCK_SKEW_MS = 30_000;

    /// @notice The EIP-712 type that the enclave signs.
    bytes32 public constant RESULT_TYPEHASH = keccak256(
        "JobResult(uint256 jobId,bytes32 functionDigest,bytes32 inputHash,bytes32 outputHash,uint8 status,uint64 executedMs,address payee)"
    );

    /// @notice Which keys live in enclaves.
    IEnclaveRegistry public immutable REGISTRY;

    /// @notice Who says which functions are served.
    address public immutable CURATOR;

    /// @notice How long after its block a job is the drawn operator's alone, in seconds.
    uint40 public immutable EXCLUSIVE;

    /// @notice What the drawn operator of an assured job loses that does not answer in that time.
    uint128 public immutable LATE_PENALTY;

    /// @notice From when on jobs of a function, or for an image, can be assured, Unix seconds; zero: not.
    mapping(bytes32 digest => uint40 from) public servedFrom;

    mapping(uint256 jobId => Record) private _records;
    mapping(uint256 jobId => bytes32 outputHash) private _outputs;

    constructor(Config memory config)
        OperatorDraw(config.draw)
        FeeTable(config.ethFloor, config.fees)
        EIP712("Nacre", "1")
    {
        if (address(config.registry) == address(0) || config.curator == address(0)) revert BadDrawConfig();
        if (config.exclusive < 2 * uint256(config.draw.revealWindow) || config.exclusive > MAX_DURATION / 4) {
            revert BadDrawConfig();
        }
        // A withheld link must not be the cheap way out of a job.
        if (config.latePenalty > config.draw.withholdPenalty) revert BadDrawConfig();
        // Stake that was drawn for a job stays within reach until nobody can be slashed for it any more.
        uint256 reach = 2 * uint256(config.draw.term) + MAX_DURATION + SLASH_WINDOW;
        if (config.draw.staking.unbondDelay() <= reach) revert BadDrawConfig();
        REGISTRY = config.registry;
        CURATOR = config.curator;
        EXCLUSIVE = config.exclusive;
        LATE_PENALTY = config.latePenalty;
    }

    /// @inheritdoc IJobRelay
    function request(Request calldata asked, bytes calldata input) external payable returns (uint256 jobId) {
        Job memory job = Job({requester: msg.sender, nonce: _state.nonce, request: asked});
        _checkRequest(job.request, input.length);
        if (input.length != 0) job.request.inputHash = sha256(input);
        jobId = _jobId(job);
        Record memory record = _open(job.request, input.length != 0);
        _records[jobId] = record;
        emit Requested(jobId, msg.sender, job.nonce, record.batch, record.assured, job.request, input);
        _takeFee(asked.token, asked.fee);
    }

    /// @inheritdoc IJobRelay
    function submit(Job calldata job, Result calldata result, bytes calldata output, bytes calldata signature)
        external
    {
        uint256 jobId = _jobId(job);
        Record memory record = _records[jobId];
        // First of all: who comes second in a race loses as little as can be.
        if (record.state != State.Requested) revert WrongState(jobId, record.state);
        if (block.timestamp > job.request.deadline) revert DeadlinePassed(job.request.deadline);
        _checkResult(result, record.requestedAt);

        bytes32 outputHash = sha256(output);
        address key = ECDSA.recoverCalldata(_resultDigest(jobId, job.request, result, outputHash), signature);
        record.inTime = _checkTurn(record.batch, jobId, REGISTRY.workerOperator(key, job.request.imageId));

        record.state = State.Answered;
        record.status = result.status;
        record.executedMs = result.executedMs;
        _records[jobId] = record;
        _outputs[jobId] = outputHash;
        _credit(job.request.token, result.payee, job.request.fee);
        emit Answered(jobId, result.payee, key, result.status, output);
        // Last of all; whatever it does finds the job answered and paid.
        _call(job.request, jobId, result.status, output);
    }

    /// @inheritdoc IJobRelay
    function cancel(Job calldata job) external {
        uint256 jobId = _jobId(job);
        State state = _records[jobId].state;
        if (state != State.Requested) revert WrongState(jobId, state);
        if (block.timestamp <= job.request.deadline) revert DeadlineNotPassed(job.request.deadline);
        _records[jobId].state = State.Cancelled;
        emit Cancelled(jobId);
        _credit(job.request.token, job.requester, job.request.fee);
    }

    /// @inheritdoc IJobRelay
    function slashLate(Job calldata job) external {
        uint256 jobId = _jobId(job);
        Record memory record = _records[jobId];
        if (!record.assured || record.inTime || record.slashed) revert NotLate(jobId);
        if (block.timestamp > uint256(job.request.deadline) + SLASH_WINDOW) revert NotLate(jobId);
        Batch memory batch = _batches[record.batch];
        if (batch.state != BatchState.Drawn) revert NotLate(jobId);
        if (block.timestamp <= uint256(batch.openedAt) + EXCLUSIVE) revert NotLate(jobId);
        address operator = _assigned(batch, jobId);
        _records[jobId].slashed = true;
        uint256 amount = STAKING.slash(operator, LATE_PENALTY, bytes32(jobId), msg.sender, job.requester);
        emit LateSlashed(jobId, operator, amount);
    }

    /// @inheritdoc IJobRelay
    function claim(address token, address to) external returns (uint256 amount) {
        return _claim(token, to);
    }

    /// @notice Says that operators serve a function, or run an image, so that its jobs can be assured from two terms on;
    /// or that new ones cannot. Who disagrees can leave the roll before it counts.
    /// @dev Serve only functions whose every input of at most `MAX_INPUT` bytes ends within time and memory, in an answer
    /// or in a refusal that the enclave signs.
    function serve(bytes32 digest, bool served) external {
        if (msg.sender != CURATOR) revert NotCurator(msg.sender);
        uint40 from = served ? uint40(block.timestamp) + 2 * TERM : 0;
        servedFrom[digest] = from;
        emit Served(digest, from);
    }

    /// @inheritdoc IJobRelay
    function resultOf(uint256 jobId)
        external
        view
        returns (State state, uint8 status, uint64 executedMs, bytes32 outputHash)
    {
        Record memory record = _records[jobId];
        return (record.state, record.status, record.executedMs, _outputs[jobId]);
    }

    /// @notice Everything else that is kept of a job.
    function recordOf(uint256 jobId) external view returns (Record memory) {
        return _records[jobId];
    }

    /// @notice The id that a job has, had or will have at this contract.
    function jobIdOf(Job calldata job) external view returns (uint256 jobId) {
        return _jobId(job);
    }

    /// @notice Who was drawn for a job.
    /// @return operator Zero where nobody was, or not yet.
    /// @return until Until when, Unix seconds, the job is its alone, or waits to be drawn; after that it is anybody's.
    function assignedTo(uint256 jobId) external view returns (address operator, uint256 until) {
        Record memory record = _records[jobId];
        if (record.batch == 0) return (address(0), 0);
        Batch memory batch = _batches[record.batch];
        if (batch.state == BatchState.Drawn) return (_assigned(batch, jobId), uint256(batch.openedAt) + EXCLUSIVE);
        return (address(0), batch.state == BatchState.Waiting ? uint256(batch.openedAt) + REVEAL_WINDOW : 0);
    }

    /// @notice What the enclave signs: the EIP-712 digest.
    function resultDigest(Job calldata job, Result calldata result, bytes32 outputHash)
        external
        view
        returns (bytes32)
    {
        return _resultDigest(_jobId(job), job.request, result, outputHash);
    }

    function _checkRequest(Request memory asked, uint256 inputLength) private view {
        if ((asked.inputHash == 0) == (inputLength == 0)) revert BadInput();
        if (inputLength > MAX_INPUT) revert InputTooLong(inputLength, MAX_INPUT);
        uint256 earliest = block.timestamp + 2 * uint256(EXCLUSIVE);
        uint256 latest = block.timestamp + MAX_DURATION;
        if (asked.deadline < earliest || asked.deadline > latest) revert BadDeadline(earliest, latest);
        uint256 most = asked.callback == address(0) ? 0 : MAX_CALLBACK_GAS;
        if (asked.callbackGas > most) revert BadCallbackGas(most);
    }

    /// A new job's record, in the batch of this block where it pays the floor.
    function _open(Request memory asked, bool inputOnChain) private returns (Record memory record) {
        record.state = State.Requested;
        record.requestedAt = uint40(block.timestamp);
        DrawState memory state = _state;
        ++state.nonce;
        if (asked.fee >= feeFloor(asked.token, asked.callbackGas)) {
            record.batch = _openBatch(state);
            record.assured =
                inputOnChain && _isServed(asked.functionDigest) && (asked.imageId == 0 || _isServed(asked.imageId));
        }
        _state = state;
    }

    function _checkResult(Result calldata result, uint40 requestedAt) private view {
        if (result.payee == address(0)) revert NoPayee();
        uint256 executed = result.executedMs;
        bool early = executed + CLOCK_SKEW_MS < uint256(requestedAt) * 1000;
        bool late = executed > block.timestamp * 1000 + CLOCK_SKEW_MS;
        if (early || late) revert BadExecutionTime(result.executedMs);
    }

    /// Whether it is this operator's turn; true where the job was its alone.
    function _checkTurn(uint40 number, uint256 jobId, address operator) private view returns (bool inTime) {
        if (number == 0) return false;
        Batch memory batch = _batches[number];
        if (batch.state == BatchState.Undrawable) return false;
        if (batch.state == BatchState.Waiting) {
            uint256 opensAt = uint256(batch.openedAt) + REVEAL_WINDOW;
            if (block.timestamp <= opensAt) revert NotDrawnYet(opensAt + 1);
            return false;
        }
        uint256 until = uint256(batch.openedAt) + EXCLUSIVE;
        if (block.timestamp > until) return false;
        address assigned = _assigned(batch, jobId);
        if (operator != assigned) revert NotAssigned(assigned, operator, until + 1);
        return true;
    }

    function _isServed(bytes32 digest) private view returns (bool) {
        uint40 from = servedFrom[digest];
        return from != 0 && block.timestamp >= from;
    }

    function _takeFee(address token, uint96 fee) private {
        uint256 wanted = token == address(0) ? fee : 0;
        if (msg.value != wanted) revert BadValue(wanted, msg.value);
        if (token == address(0) || fee == 0) return;
        uint256 received = _pull(token, msg.sender, fee);
        if (received != fee) revert FeeOnTransfer(fee, received);
    }

    /// Calls with exactly the gas that was paid for, or not at all: too little gas undoes the whole submission.
    function _call(Request calldata asked, uint256 jobId, uint8 status, bytes calldata output) private {
        if (asked.callback == address(0)) return;
        bytes memory data = abi.encodeCall(IInferenceCallback.onInference, (jobId, status, output));
        (address callback, uint256 callbackGas) = (asked.callback, asked.callbackGas);
        // A call gets at most 63/64 of what is left (EIP-150), silently less than it was told.
        uint256 needed = callbackGas + callbackGas / 63 + CALLBACK_RESERVE;
        if (gasleft() < needed) revert NotEnoughGas(needed, gasleft());
        // What the callee returns is not copied: it could cost more than the gas it had.
        bool called;
        assembly ("memory-safe") {
            called := call(callbackGas, callback, 0, add(data, 32), mload(data), 0, 0)
        }
        if (!called) emit CallbackFailed(jobId);
    }

    function _jobId(Job memory job) private view returns (uint256) {
        bytes32 commitment = keccak256(abi.encode(job.requester, job.request));
        return uint256(keccak256(abi.encode(block.chainid, address(this), job.nonce, commitment)));
    }

    function _resultDigest(uint256 jobId, Request calldata asked, Result calldata result, bytes32 outputHash)
        private
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    RESULT_TYPEHASH,
                    jobId,
                    asked.functionDigest,
                    asked.inputHash,
                    outputHash,
                    result.status,
                    result.executedMs,
                    result.payee
                )
            )
        );
    }
}

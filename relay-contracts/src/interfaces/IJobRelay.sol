// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IFeeFloor} from "./IFeeFloor.sol";

/// @title Inference for smart contracts: ask, be answered, be paid
/// @notice A requester pays for one answer of one function to one input. An attested enclave's signed answer earns the
/// fee; without one the fee goes back after the deadline. README.md of this folder has the rules.
interface IJobRelay is IFeeFloor {
    /// @notice What is asked for.
    struct Request {
        /// Which function: SHA-256 of its manifest.
        bytes32 functionDigest;
        /// Which image must answer, SHA-256(PCR0 ‖ PCR1 ‖ PCR2); zero: any that is approved for workers.
        bytes32 imageId;
        /// SHA-256 of the input; zero where the input itself comes along.
        bytes32 inputHash;
        /// Who is told; zero: nobody, the answer waits at the relay.
        address callback;
        /// With how much gas exactly.
        uint32 callbackGas;
        /// The last second in which an answer counts, Unix time.
        uint40 deadline;
        /// What the fee is paid in; zero: ETH.
        address token;
        /// The fee in base units, for answer and submission together.
        uint96 fee;
    }

    /// @notice A request as it was taken; only its hash is kept.
    struct Job {
        address requester;
        uint64 nonce;
        /// `inputHash` never zero.
        Request request;
    }

    /// @notice What the enclave signs besides the job and the hash of the output.
    struct Result {
        /// 0: the output is the model's answer; otherwise a refusal that model and input determine.
        uint8 status;
        /// When it was computed, Unix milliseconds.
        uint64 executedMs;
        /// Who earns the fee, whoever sends the transaction.
        address payee;
    }

    /// @notice Where a job stands. Answered and Cancelled are for ever.
    enum State {
        None,
        Requested,
        Answered,
        Cancelled
    }

    /// @notice A job was taken.
    /// @param batch The draw that assigns it; zero where the fee is below the floor: it is anybody's from the start.
    /// @param assured Whether the assigned operator is slashed where it is late.
    /// @param request As taken: `inputHash` filled in.
    /// @param input The input's bytes where they came along.
    event Requested(
        uint256 indexed jobId,
        address indexed requester,
        uint64 nonce,
        uint40 batch,
        bool assured,
        Request request,
        bytes input
    );

    /// @notice A job was answered by `key`, and `payee` credited with the fee.
    event Answered(uint256 indexed jobId, address indexed payee, address key, uint8 status, bytes output);

    /// @notice The callback had all its gas and did not run to its end; the answer stands.
    event CallbackFailed(uint256 indexed jobId);

    /// @notice The deadline passed; the requester was credited with the fee.
    event Cancelled(uint256 indexed jobId);

    /// @notice The assigned operator lost `amount` for being late.
    event LateSlashed(uint256 indexed jobId, address indexed operator, uint256 amount);

    /// @notice Jobs of a function, or for an image, can be assured from `from` on, Unix seconds; zero: no more.
    event Served(bytes32 indexed digest, uint40 from);

    /// @notice The job is not in the state that this needs.
    error WrongState(uint256 jobId, State state);

    /// @notice Neither input nor its hash, or both.
    error BadInput();

    /// @notice The input is longer than `limit` bytes: send its hash, and the bytes by the object store.
    error InputTooLong(uint256 length, uint256 limit);

    /// @notice The deadline is nearer than `earliest` or farther than `latest`, Unix seconds.
    error BadDeadline(uint256 earliest, uint256 latest);

    /// @notice A callback may have at most `limit` gas, and gas only where there is a callback.
    error BadCallbackGas(uint256 limit);

    /// @notice The ETH sent is not the fee, or came with a fee in tokens.
    error BadValue(uint256 wanted, uint256 sent);

    /// @notice The token gave us less, or more, than the fee.
    error FeeOnTransfer(uint256 wanted, uint256 received);

    /// @notice It is too late to answer.
    error DeadlinePassed(uint256 deadline);

    /// @notice It is too early to cancel.
    error DeadlineNotPassed(uint256 deadline);

    /// @notice The draw is not over: nobody may answer before `opensAt`, Unix seconds, unless it ends sooner.
    error NotDrawnYet(uint256 opensAt);

    /// @notice Only the drawn operator may answer until `opensAt`, Unix seconds.
    error NotAssigned(address assigned, address operator, uint256 opensAt);

    /// @notice The answer was computed before it was asked for, or in the future.
    error BadExecutionTime(uint64 executedMs);

    /// @notice An answer earns nobody nothing.
    error NoPayee();

    /// @notice The transaction must bring more gas: the callback would not get what the requester paid for.
    error NotEnoughGas(uint256 needed, uint256 left);

    /// @notice Nobody was late: the job is not assured, was not drawn, was answered in time, is not due yet, was slashed
    /// for already, or too long ago.
    error NotLate(uint256 jobId);

    /// @notice The caller does not say which functions are served.
    error NotCurator(address caller);

    /// @notice Asks for an inference.
    /// @param request What, from whom, until when, for how much.
    /// @param input The input's bytes; empty where `request.inputHash` says which they are.
    /// @return jobId keccak256(chain, this contract, nonce, commitment): no two jobs anywhere share it.
    function request(Request calldata request, bytes calldata input) external payable returns (uint256 jobId);

    /// @notice Answers a job. Anybody may send an enclave's answer; the signed payee earns.
    /// @param job The job as it was taken.
    /// @param result What the enclave signed.
    /// @param output The answer's bytes, whose SHA-256 it signed.
    /// @param signature r‖s‖v of a registered worker key over the EIP-712 `JobResult` of this contract and chain.
    function submit(Job calldata job, Result calldata result, bytes calldata output, bytes calldata signature) external;

    /// @notice Gives the fee back once the deadline has passed. Anybody may send it; the requester is credited.
    function cancel(Job calldata job) external;

    /// @notice Slashes the operator that was drawn for an assured job and did not answer while it was its alone. The
    /// caller gets the bounty. Once a job, whether somebody else answered later or nobody did.
    function slashLate(Job calldata job) external;

    /// @notice The answer to a job, as long as the chain lasts.
    /// @return state Where the job stands.
    /// @return status The answer's status.
    /// @return executedMs When it was computed, Unix milliseconds.
    /// @return outputHash SHA-256 of the answer's bytes, which the event has.
    function resultOf(uint256 jobId)
        external
        view
        returns (State state, uint8 status, uint64 executedMs, bytes32 outputHash);

    /// @notice Pays out what the caller has earned or got back.
    /// @param token What in; zero: ETH.
    /// @param to Where to.
    /// @return amount How much, in base units.
    function claim(address token, address to) external returns (uint256 amount);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {InferenceConsumer} from "../InferenceConsumer.sol";
import {IJobRelay} from "../interfaces/IJobRelay.sol";

/// @title A parameter that a model adjusts, within bounds and with a delay
/// @notice An example of how to let a model act on money: what it says is clamped to absolute bounds and to a largest step,
/// counts only after a delay, and a guardian can drop it before. The answer is one UINT16, in basis points.
contract RiskParameter is InferenceConsumer {
    /// @notice What is fixed at deployment.
    struct Limits {
        /// Basis points.
        uint16 lowest;
        uint16 highest;
        /// The most that one answer moves the parameter.
        uint16 step;
        /// Seconds from an answer until it counts.
        uint40 delay;
    }

    /// @notice The model said `asked`; `value` is what that comes to, and counts from `from` on.
    event Proposed(uint256 indexed jobId, uint256 asked, uint16 value, uint40 from);

    /// @notice The guardian dropped what waited.
    event Dropped();

    /// @notice The model refused (its status), did not answer with a number (255), or nobody answered in time (0): nothing
    /// changes.
    event Unanswered(uint256 indexed jobId, uint8 status);

    /// @notice The limits contradict each other.
    error BadLimits();

    /// @notice The caller is not the guardian.
    error NotGuardian();

    /// @notice An answer is awaited, or waits to count.
    error Busy();

    uint32 private constant CALLBACK_GAS = 150_000;
    uint8 private constant NOT_A_NUMBER = 255;
    uint40 private constant PATIENCE = 10 minutes;

    /// @notice Which function judges the risk.
    bytes32 public immutable FUNCTION_DIGEST;

    /// @notice Who asks, and who can drop an answer before it counts.
    address public immutable GUARDIAN;

    /// @notice The lowest and highest value, the largest step, in basis points; the delay, in seconds.
    uint16 public immutable LOWEST;
    uint16 public immutable HIGHEST;
    uint16 public immutable STEP;
    uint40 public immutable DELAY;

    uint16 private _value;
    uint16 private _next;
    uint40 private _from;
    uint256 private _asked;

    constructor(IJobRelay relay, bytes32 functionDigest, address guardian, Limits memory limits, uint16 start)
        InferenceConsumer(relay)
    {
        if (limits.lowest > start || start > limits.highest || limits.step == 0 || limits.delay == 0) {
            revert BadLimits();
        }
        FUNCTION_DIGEST = functionDigest;
        GUARDIAN = guardian;
        (LOWEST, HIGHEST, STEP, DELAY) = (limits.lowest, limits.highest, limits.step, limits.delay);
        (_value, _next) = (start, start);
    }

    /// @notice The parameter as it counts now, in basis points.
    function value() public view returns (uint16) {
        return block.timestamp >= _from ? _next : _value;
    }

    /// @notice Asks the model; the value sent is the relay's fee.
    /// @param features What the model judges: its inputs' data, little-endian.
    function refresh(bytes calldata features) external payable returns (uint256 jobId) {
        if (msg.sender != GUARDIAN) revert NotGuardian();
        if (_asked != 0 || block.timestamp < _from) revert Busy();
        jobId = _inferTensors(FUNCTION_DIGEST, features, CALLBACK_GAS, PATIENCE, msg.value);
        _asked = jobId;
    }

    /// @notice Drops an answer that does not count yet.
    function drop() external {
        if (msg.sender != GUARDIAN) revert NotGuardian();
        if (block.timestamp < _from) (_next, _from) = (_value, 0);
        emit Dropped();
    }

    /// @notice Has refunds of cancelled jobs sent to the guardian.
    function refund() external returns (uint256 amount) {
        return _claim(GUARDIAN);
    }

    function _onAnswer(uint256 jobId, bytes calldata output) internal override {
        _asked = 0;
        // To revert would keep the answer undelivered, and this contract waiting, for ever.
        if (output.length != 2) {
            emit Unanswered(jobId, NOT_A_NUMBER);
            return;
        }
        uint256 asked = uint256(uint8(output[0])) | uint256(uint8(output[1])) << 8;
        uint16 current = value();
        uint256 low = current > LOWEST + uint256(STEP) ? current - STEP : LOWEST;
        uint256 high = uint256(current) + STEP < HIGHEST ? uint256(current) + STEP : HIGHEST;
        uint256 next = asked < low ? low : asked > high ? high : asked;
        (_value, _next, _from) = (current, SafeCast.toUint16(next), uint40(block.timestamp) + DELAY);
        emit Proposed(jobId, asked, _next, _from);
    }

    function _onFailure(uint256 jobId, uint8 status, bytes memory) internal override {
        _asked = 0;
        emit Unanswered(jobId, status);
    }
}

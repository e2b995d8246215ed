// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {InferenceConsumer} from "../InferenceConsumer.sol";
import {IJobRelay} from "../interfaces/IJobRelay.sol";

/// @title Pays a prize to who draws the wanted digit
/// @notice An example: it acts on a classification. The function takes 784 bytes and answers with one, the digit that it sees:
/// `examples/digit` is one.
contract DigitGate is InferenceConsumer {
    /// @notice `player` drew `digit`; `won` where it is the wanted one and the first.
    event Seen(address indexed player, uint8 digit, bool won);

    /// @notice The model saw no digit, or nobody answered in time; then the fee can be collected.
    event NotSeen(address indexed player);

    /// @notice 28 × 28 grey values, a byte each.
    error NotAnImage(uint256 length);

    /// @notice The value sent does not pay the relay's floor.
    error FeeTooLow(uint256 floor);

    /// @notice Nothing to collect.
    error NothingToCollect();

    /// @notice The caller takes no ETH; it stays collectable.
    error Refused();

    uint32 private constant CALLBACK_GAS = 120_000;
    uint40 private constant PATIENCE = 10 minutes;

    /// @notice Which function reads digits.
    bytes32 public immutable FUNCTION_DIGEST;

    /// @notice The digit that wins.
    uint8 public immutable WANTED;

    /// @notice Who won; zero: nobody yet.
    address public winner;

    /// @notice What is left of the prize, in wei.
    uint256 public prize;

    /// @notice Fees of cancelled jobs that a player can collect, in wei.
    mapping(address player => uint256) public refunds;

    struct Play {
        address player;
        uint96 fee;
    }

    mapping(uint256 jobId => Play) private _plays;

    constructor(IJobRelay relay, bytes32 functionDigest, uint8 wanted) payable InferenceConsumer(relay) {
        FUNCTION_DIGEST = functionDigest;
        WANTED = wanted;
        prize = msg.value;
    }

    /// @notice Hands in a drawing; the value sent is the relay's fee.
    /// @param pixels 28 × 28 grey values, row by row.
    function play(bytes calldata pixels) external payable returns (uint256 jobId) {
        if (pixels.length != 784) revert NotAnImage(pixels.length);
        uint256 floor = RELAY.feeFloor(address(0), CALLBACK_GAS);
        if (msg.value < floor) revert FeeTooLow(floor);
        jobId = _inferTensors(FUNCTION_DIGEST, pixels, CALLBACK_GAS, PATIENCE, msg.value);
        _plays[jobId] = Play({player: msg.sender, fee: SafeCast.toUint96(msg.value)});
    }

    /// @notice Pays the winner; pulled, so that a winner that takes no ETH stops nothing else.
    function collect() external {
        uint256 amount = prize;
        if (msg.sender != winner || amount == 0) revert NothingToCollect();
        prize = 0;
        _send(amount);
    }

    /// @notice Pays a player the fees of its cancelled drawings.
    function collectRefund() external {
        uint256 amount = refunds[msg.sender];
        if (amount == 0) revert NothingToCollect();
        refunds[msg.sender] = 0;
        // What is owed to this contract is the players'; it came already if another one collected first.
        if (address(this).balance - prize < amount) _claim(address(this));
        _send(amount);
    }

    /// @notice Refunds from the relay.
    receive() external payable {
        if (msg.sender != address(RELAY)) revert NotRelay(msg.sender);
    }

    function _send(uint256 amount) private {
        (bool taken,) = msg.sender.call{value: amount}("");
        if (!taken) revert Refused();
    }

    function _onAnswer(uint256 jobId, bytes calldata output) internal override {
        address player = _plays[jobId].player;
        if (output.length != 1 || uint8(output[0]) > 9) {
            emit NotSeen(player);
            return;
        }
        uint8 digit = uint8(output[0]);
        bool won = digit == WANTED && winner == address(0);
        if (won) winner = player;
        emit Seen(player, digit, won);
    }

    function _onFailure(uint256 jobId, uint8 status, bytes memory) internal override {
        Play memory play_ = _plays[jobId];
        // A refusal was paid for like an answer; what was cancelled comes back.
        if (status == 0) refunds[play_.player] += play_.fee;
        emit NotSeen(play_.player);
    }
}

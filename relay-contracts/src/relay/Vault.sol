// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title Money that is owed, and pulled by whom it is owed to
/// @notice Nothing here is ever sent to anybody who did not ask for it in the same transaction: who refuses money keeps
/// nobody from theirs, and loses none.
abstract contract Vault is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice `account` had `amount` of `token` sent to `to`.
    event Claimed(address indexed account, address indexed token, address indexed to, uint256 amount);

    /// @notice Nothing is owed to the caller.
    error NothingOwed();

    /// @notice `to` did not take the ETH; it is still owed, claim it to somewhere else.
    error Refused(address to);

    /// @notice What `account` can claim of `token`, base units; zero address: ETH.
    mapping(address token => mapping(address account => uint256)) public owed;

    function _claim(address token, address to) internal nonReentrant returns (uint256 amount) {
        amount = owed[token][msg.sender];
        if (amount == 0) revert NothingOwed();
        owed[token][msg.sender] = 0;
        emit Claimed(msg.sender, token, to, amount);
        if (token != address(0)) {
            IERC20(token).safeTransfer(to, amount);
            return amount;
        }
        bool taken;
        // Returned bytes are not copied: they could be made to cost more than the caller brought.
        assembly ("memory-safe") {
            taken := call(gas(), to, amount, 0, 0, 0, 0)
        }
        if (!taken) revert Refused(to);
    }

    function _credit(address token, address account, uint256 amount) internal {
        if (amount != 0) owed[token][account] += amount;
    }

    /// Takes `amount` of `token` from `from`, and says what came.
    function _pull(address token, address from, uint256 amount) internal nonReentrant returns (uint256 received) {
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(from, address(this), amount);
        return IERC20(token).balanceOf(address(this)) - before;
    }
}

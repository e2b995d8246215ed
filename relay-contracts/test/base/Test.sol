// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Vm} from "./Vm.sol";

/// @title What every test stands on
/// @notice Asserts are forge's own: `vm.assertEq` and so on.
abstract contract Test {
    /// Where forge answers.
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// forge asks for this before it runs anything.
    bool public constant IS_TEST = true;

    /// Which contracts and functions an invariant run calls.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address[] private _targets;
    FuzzSelector[] private _selectors;

    /// Asked by forge: the handlers of an invariant run.
    function targetContracts() external view returns (address[] memory) {
        return _targets;
    }

    /// Asked by forge: which of their functions it may call; all where none are named.
    function targetSelectors() external view returns (FuzzSelector[] memory) {
        return _selectors;
    }

    function targetContract(address handler) internal {
        _targets.push(handler);
    }

    function targetSelector(address handler, bytes4[] memory selectors) internal {
        _selectors.push(FuzzSelector(handler, selectors));
    }

    /// An address with a name in traces, and its private key.
    function makeKey(string memory name) internal returns (address account, uint256 key) {
        key = uint256(keccak256(bytes(name)));
        account = vm.addr(key);
        vm.label(account, name);
    }

    function makeAddress(string memory name) internal returns (address account) {
        (account,) = makeKey(name);
    }

    /// r‖s‖v, as `ECDSA.recover` reads it.
    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// `value`, brought into [low, high]; values inside stay as they are.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        require(low <= high, "bound: empty range");
        if (value >= low && value <= high) return value;
        uint256 size = high - low;
        return size == type(uint256).max ? value : low + value % (size + 1);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// What a job costs in the way that Marlin Oyster's relay does it: our own replica of what its published contract stores,
/// checks and moves, in the same order, with none of its code. The whole job lies in storage, its input too, and is deleted
/// by the answer; the fee is held in a token and split by two transfers; the callback is told everything again; gas is paid
/// back in ETH to gateway and requester at once. Stands behind a proxy, as theirs does.
contract OysterFlow {
    using SafeERC20 for IERC20;

    struct StoredJob {
        uint256 started;
        uint256 gasPriceLimit;
        uint256 tokenDeposit;
        uint256 gasDeposit;
        uint256 callbackGas;
        address owner;
        address callback;
        bytes32 code;
        bytes input;
    }

    event Asked(
        uint256 indexed id,
        bytes32 code,
        bytes input,
        uint256 timeout,
        uint256 gasPriceLimit,
        uint256 tokenDeposit,
        uint256 gasDeposit,
        address refundTo,
        address callback,
        uint256 started,
        uint256 callbackGas
    );
    event Responded(uint256 indexed id, bytes output, uint256 time, uint256 status, bool called);

    uint256 internal constant FEE_PER_MS = 10;
    uint256 internal constant FEE_PER_JOB = 100;
    uint256 internal constant FIXED_GAS = 150_000;
    uint256 internal constant PATIENCE = 1000;
    uint256 internal constant MAX_AGE = 600;
    bytes32 internal constant DOMAIN = keccak256(
        abi.encode(keccak256("EIP712Domain(string name,string version)"), keccak256("oyster flow"), keccak256("1"))
    );
    bytes32 internal constant RESPONSE =
        keccak256("Response(uint256 id,bytes output,uint256 time,uint8 status,uint256 signedAt)");

    IERC20 internal immutable TOKEN;

    uint256 internal count;
    mapping(uint256 id => StoredJob) internal jobs;
    mapping(address key => bytes32 image) internal keys;
    mapping(bytes32 image => bytes pcr0) internal images;
    mapping(address key => address owner) internal owners;

    constructor(IERC20 token) {
        TOKEN = token;
    }

    function setUp(address key, address owner) external {
        keys[key] = keccak256("image");
        images[keccak256("image")] = new bytes(48);
        images[keccak256("image")][0] = 0x01;
        owners[key] = owner;
    }

    function ask(
        bytes32 code,
        bytes memory input,
        uint256 timeout,
        uint256 gasPriceLimit,
        address refundTo,
        address callback,
        uint256 callbackGas
    ) external payable {
        require(timeout > 10 && timeout < 100_000);
        require(gasPriceLimit >= tx.gasprice);
        require(gasPriceLimit * (callbackGas + FIXED_GAS) <= msg.value);
        uint256 tokenDeposit = timeout * FEE_PER_MS + FEE_PER_JOB;
        jobs[++count] = StoredJob({
            started: block.timestamp,
            gasPriceLimit: gasPriceLimit,
            tokenDeposit: tokenDeposit,
            gasDeposit: msg.value,
            callbackGas: callbackGas,
            owner: msg.sender,
            callback: callback,
            code: code,
            input: input
        });
        TOKEN.safeTransferFrom(msg.sender, address(this), tokenDeposit);
        _told(timeout, refundTo, count);
    }

    function respond(
        bytes calldata signature,
        uint256 id,
        bytes calldata output,
        uint256 time,
        uint8 status,
        uint256 signedAt
    ) external {
        StoredJob memory job = jobs[id];
        require(job.owner != address(0));
        require(block.timestamp <= job.started + PATIENCE);
        address key = _signer(signature, id, output, time, status, signedAt);
        delete jobs[id];
        uint256 earned = time * FEE_PER_MS + FEE_PER_JOB;
        TOKEN.safeTransfer(owners[key], earned);
        TOKEN.safeTransfer(job.owner, job.tokenDeposit - earned);
        uint256 cost = _call(id, job, output, status);
        (bool sent,) = owners[key].call{value: cost}("");
        (sent,) = job.owner.call{value: job.gasDeposit - cost}("");
        emit Responded(id, output, time, status, true);
    }

    function digestOf(uint256 id, bytes calldata output, uint256 time, uint8 status, uint256 signedAt)
        public
        pure
        returns (bytes32)
    {
        bytes32 words = keccak256(abi.encode(RESPONSE, id, keccak256(output), time, status, signedAt));
        return keccak256(abi.encodePacked("\x19\x01", DOMAIN, words));
    }

    function _told(uint256 timeout, address refundTo, uint256 id) private {
        StoredJob memory job = jobs[id];
        emit Asked(
            id,
            job.code,
            job.input,
            timeout,
            job.gasPriceLimit,
            job.tokenDeposit,
            job.gasDeposit,
            refundTo,
            job.callback,
            job.started,
            job.callbackGas
        );
    }

    function _signer(
        bytes calldata signature,
        uint256 id,
        bytes calldata output,
        uint256 time,
        uint8 status,
        uint256 signedAt
    ) private view returns (address key) {
        require(block.timestamp <= signedAt + MAX_AGE);
        key = ECDSA.recover(digestOf(id, output, time, status, signedAt), signature);
        require(keys[key] != 0);
        require(images[keys[key]].length != 0);
    }

    function _call(uint256 id, StoredJob memory job, bytes calldata output, uint8 status)
        private
        returns (uint256 cost)
    {
        uint256 before = gasleft();
        (bool called,) = job.callback.call{gas: job.callbackGas}(
            abi.encodeWithSignature(
                "told(uint256,address,bytes32,bytes,bytes,uint8)", id, job.owner, job.code, job.input, output, status
            )
        );
        require(called);
        cost = (before - gasleft() + FIXED_GAS) * tx.gasprice;
        if (cost > job.gasDeposit) cost = job.gasDeposit;
    }
}

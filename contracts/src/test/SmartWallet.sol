// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title A wallet that is a contract: its owner signs for it (ERC-1271)
/// @notice For tests. It signs only once it is active, which anyone may make it, so that the preparing call of
///         ERC-6492 has something to prepare.
contract SmartWallet is IERC1271 {
    address public immutable owner;
    bool public active;

    constructor(address owner_, bool active_) {
        owner = owner_;
        active = active_;
    }

    function activate() external {
        active = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(hash, signature);
        bool valid = active && problem == ECDSA.RecoverError.NoError && signer == owner;
        return valid ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @title Deploys a wallet at an address that is known before (CREATE2, EIP-1014)
/// @notice For tests.
contract SmartWalletFactory {
    function create(address owner, bytes32 salt) external returns (SmartWallet) {
        return new SmartWallet{salt: salt}(owner, true);
    }

    function addressOf(address owner, bytes32 salt) external view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(SmartWallet).creationCode, abi.encode(owner, true)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), this, salt, code)))));
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @title Asks a smart wallet about a signature, deployed or not, inside one eth_call
/// @notice Never deployed: its creation code with these arguments is the data of an eth_call without `to`, and
///         the one byte that comes back is 1 when the signature is the wallet's.
/// @dev ERC-6492. A wallet that exists is asked first; one that does not, or that refuses, is asked again after
///      the wrapper's call to a factory ("deploy" or "prepare"), which must succeed. What the wallet and the
///      factory can spend is bounded, their answers are never copied, and their reverts mean no.
contract SignatureValidator {
    uint256 private constant FACTORY_GAS = 4_000_000;
    uint256 private constant WALLET_GAS = 1_500_000;

    /// @param wallet Whose signature it should be.
    /// @param hash What was signed.
    /// @param signature As the wallet takes it, without the wrapper of ERC-6492.
    /// @param factory Called with `prepare` by the rule above; the zero address when there was no wrapper.
    constructor(address wallet, bytes32 hash, bytes memory signature, address factory, bytes memory prepare) {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (hash, signature));
        bool valid = _agrees(wallet, question);
        if (!valid && factory != address(0) && _call(factory, prepare)) {
            valid = _agrees(wallet, question);
        }
        assembly ("memory-safe") {
            mstore(0, valid)
            return(31, 1)
        }
    }

    /// @dev Exactly the magic value, padded with zeros; an account without code answers nothing.
    function _agrees(address wallet, bytes memory question) private view returns (bool agrees) {
        bytes32 magic = bytes32(IERC1271.isValidSignature.selector);
        assembly ("memory-safe") {
            let answered := staticcall(WALLET_GAS, wallet, add(question, 32), mload(question), 0, 32)
            agrees := and(and(answered, gt(returndatasize(), 31)), eq(mload(0), magic))
        }
    }

    function _call(address factory, bytes memory prepare) private returns (bool succeeded) {
        assembly ("memory-safe") {
            succeeded := call(FACTORY_GAS, factory, 0, add(prepare, 32), mload(prepare), 0, 0)
        }
    }
}

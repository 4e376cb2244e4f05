// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {IUSDC} from "./FiatToken.sol";
import {vm} from "./Vm.sol";

/// @notice A settlement contract with its people, and what they sign. Test contracts inherit from it.
abstract contract Market {
    address internal constant OWNER = address(0x0A11);
    address internal constant RELAYER = address(0x0B11);
    address internal constant PLATFORM = address(0x0C11);
    address internal constant OPERATOR = address(0x0D11);
    address internal constant STRANGER = address(0x0E11);
    uint256 internal constant CONSUMER_KEY = 0xC0FFEE;

    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    IUSDC internal usdc;
    LuxxonSettlement internal settlement;
    address internal consumer = vm.addr(CONSUMER_KEY);

    function open(IUSDC token) internal {
        usdc = token;
        settlement = new LuxxonSettlement(IERC20(address(token)), PLATFORM, RELAYER, OWNER);
    }

    /// @notice Give `account` new tokens, and let the settlement contract pull them.
    function give(address account, uint256 amount) internal {
        usdc.mint(account, amount);
        vm.prank(account);
        usdc.approve(address(settlement), amount);
    }

    /// @notice Put new tokens into the pool of `account`.
    function fund(address account, uint256 amount) internal {
        give(account, amount);
        vm.prank(account);
        settlement.deposit(amount);
    }

    /// @notice What the consumer has agreed to: 600 s at 1000 µUSDC, 15 % of it fee.
    function session(uint256 id) internal view returns (LuxxonSettlement.BatchEntry memory) {
        return LuxxonSettlement.BatchEntry(bytes32(id), consumer, OPERATOR, 1000, 600, 510_000, 90_000);
    }

    /// @notice Settle as whoever was pranked.
    function settle(LuxxonSettlement.BatchEntry memory entry) internal {
        settlement.settleFromPool(
            entry.sessionId,
            entry.from,
            entry.to,
            entry.ratePerSecond,
            entry.chargeableSeconds,
            entry.toAmount,
            entry.feeAmount
        );
    }

    function signPermit(uint256 key, uint256 amount, uint256 deadline) internal view returns (Signature memory) {
        address owner = vm.addr(key);
        return
            signTyped(
                key, keccak256(abi.encode(PERMIT, owner, address(settlement), amount, usdc.nonces(owner), deadline))
            );
    }

    function signAuthorization(uint256 key, uint256 amount, uint256 validBefore, bytes32 nonce)
        internal
        view
        returns (Signature memory)
    {
        bytes memory content = abi.encode(RECEIVE, vm.addr(key), address(settlement), amount, 0, validBefore, nonce);
        return signTyped(key, keccak256(content));
    }

    function signTyped(uint256 key, bytes32 content) private view returns (Signature memory signature) {
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", usdc.DOMAIN_SEPARATOR(), content));
        (signature.v, signature.r, signature.s) = vm.sign(key, digest);
    }

    /// @notice `value` brought into `least` to `most`.
    function bound(uint256 value, uint256 least, uint256 most) internal pure returns (uint256) {
        return least + value % (most - least + 1);
    }
}

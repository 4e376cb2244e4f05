"""A terminal that cannot place text."""

from tests.journeys.terminal import at_a_terminal


async def test_the_console_says_that_a_dumb_terminal_will_not_do() -> None:
    async with at_a_terminal(environment={"TERM": "dumb"}) as terminal:
        await terminal.says("TERM says that this one is dumb")
        assert await terminal.ends() == 2
        assert b"\x1b[" not in terminal.said

"""An address with a password can be typed before others, and what is too long is refused with a reason."""

from __future__ import annotations

import pytest
from frames import console, stored, text_of
from scenes import until

from luxxon_tui.screens.wallet_figures import amount_of, no_amount
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.field import masked, too_long
from luxxon_tui.widgets.lines import Lines


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("rtsp://ho", "rtsp://ho"),
        ("rtsp://user:pas", "rtsp://user:•••"),
        ("rtsp://user:pass@h:554/x", "rtsp://user:••••@h:554/x"),
        ("rtsp://u:p@ss@h/x", "rtsp://u:••••@h/x"),
        ("rtsp://u:pa/ss@h/x", "rtsp://u:•••••@h/x"),
        ("user:pass@h/x", "user:••••@h/x"),
        ("rtsp://10.0.0.5:554/x", "rtsp://10.0.0.5:554/x"),
        ("rtsp://[::1]:554/x", "rtsp://[::1]:554/x"),
        ("rtsp://h/user=admin&password=secret&ch=1", "rtsp://h/user=admin&password=••••••&ch=1"),
        (
            "rtsp://10.0.0.5:554/user=admin_password=secret_channel=1",
            "rtsp://10.0.0.5:554/user=admin_password=••••••_channel=1",
        ),
        ("rtsp://h/user=admin_password=a_b_c", "rtsp://h/user=admin_password=•••••"),
        ("http://h:8080/v?u=a@b&password=x", f"http://h:{'•' * 10}@b&password=•"),
        ("/films/tram.mp4", "/films/tram.mp4"),
    ],
)
def test_what_opens_a_camera_is_dots(typed: str, shown: str) -> None:
    assert masked(typed) == shown and len(shown) == len(typed)


async def test_the_card_that_adds_a_camera_shows_no_password() -> None:
    from luxxon_tui.widgets.field import AddressField

    app = console(stored("filled"), "cameras")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("plus")
        await until(lambda: isinstance(app.focused, AddressField))
        field = app.focused
        assert isinstance(field, AddressField)
        field.value = "rtsp://roof:hunter2@10.0.0.5/s"
        await until(lambda: "rtsp://roof:•••••••@10.0.0.5/s" in text_of(app))
        assert "hunter2" not in text_of(app)


def test_a_name_is_refused_with_its_length() -> None:
    assert too_long("x" * 80) == "" and too_long(" " + "x" * 80 + " ") == ""
    assert too_long("x" * 81) == "1 to 80 characters: these are 81"


async def test_a_card_says_all_of_what_was_wrong() -> None:
    app = console(stored("filled"), "workspace")
    wrong = no_amount("x" * 200)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.push_screen(Ask("Top up", "How much USDC", wrong=wrong, value="x"))
        await pilot.pause()
        told = app.screen.query_one("#told", Lines)
        said = " ".join("".join(span.text for span in each).strip() for each in told.rows)
        assert "such as 5 or 0.25" in said and told.size.height == len(told.rows)
        await pilot.press("end", "y")
        await until(lambda: "is no amount" not in text_of(app))


async def test_a_card_says_that_a_name_is_too_long_and_stays() -> None:
    app, answers = console(stored("filled"), "workspace"), []
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.push_screen(Ask("Rename the workspace", value="x" * 81, most=80), answers.append)
        await pilot.pause()
        await pilot.press("enter")
        await until(lambda: "1 to 80 characters: these are 81" in text_of(app))
        await pilot.press("end", "backspace", "enter")
        await until(lambda: answers == ["x" * 80])


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("0", "nothing is no amount"),
        ("-1", "'-1' is no amount of USDC"),
        ("1e9", "'1e9' is no amount of USDC"),
        ("1.0000001", "six decimals"),
        ("1,000", "1,000 may mean 1000 or 1.000"),
        ("x" * 200, f"'{'x' * 20}…' is no amount"),
    ],
)
def test_an_amount_that_is_none_is_refused_with_its_reason(typed: str, why: str) -> None:
    assert amount_of(typed) is None and why in no_amount(typed)


def test_a_comma_is_a_decimal_comma_where_it_can_be_nothing_else() -> None:
    assert amount_of("1,5") == 1_500_000 and amount_of("12,25") == 12_250_000

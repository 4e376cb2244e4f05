"""Draws the test card in YUV 4:2:0. What never changes is drawn once; a frame is a copy and a few patches."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
from av import VideoFrame
from PIL import Image, ImageDraw, ImageFont

from luxxon_testcard.counter import Luma, strip_top, write_counter

_BARS = ((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191))
_PANEL = (24, 26, 30)
_BALL_UV = (64, 176)
_LANE, _TEXT = 0.60, 0.74
"""Where the bars end and the lane begins, and where the lane ends and the text begins."""


class Renderer:
    """One per reader: it keeps a working picture. Not for use from two threads at once."""

    def __init__(self, width: int, height: int, label: str) -> None:
        self._width, self._height = width, height
        picture = VideoFrame.from_ndarray(np.asarray(_background(width, height, label)), format="rgb24")
        background = picture.reformat(format="yuv420p", dst_colorspace="ITU601")
        self._yuv: Luma = background.to_ndarray().astype(np.uint8)
        self._luma = self._yuv[:height]
        quarter = height // 2 * (width // 2)
        chroma = self._yuv.reshape(-1)[height * width :]
        self._chroma = [
            chroma[i * quarter : (i + 1) * quarter].reshape(height // 2, width // 2) for i in (0, 1)
        ]
        self._clock = _Text(width * 6 // 10, round(height * 0.11), "0123456789:. UTC")
        self._frame = _Text(width * 3 // 10, round(height * 0.11), "0123456789# ")
        self._text_top = round(height * (_TEXT + 0.025))
        self._lane_top = round(height * _LANE / 2) * 2
        self._ball = _disc(max(4, round(height * (_TEXT - _LANE) * 0.4) * 2))
        self._lane_luma = int(self._luma[self._lane_top + 2, 0])
        self._lane_chroma = tuple(int(plane[self._lane_top // 2 + 1, 0]) for plane in self._chroma)
        self._ball_left = 0

    def render(self, number: int, now: float) -> VideoFrame:
        """Frame ``number``, showing ``now`` (Unix time in seconds)."""
        moment = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%S.%f")[:-4]
        margin = self._width * 3 // 100
        self._clock.paste(self._luma, margin, self._text_top, f"{moment} UTC")
        self._frame.paste(self._luma, self._width * 67 // 100, self._text_top, f"#{number:07d}")
        self._move_ball(number)
        write_counter(self._luma, number)
        return VideoFrame.from_ndarray(self._yuv, format="yuv420p")

    def _move_ball(self, number: int) -> None:
        size = self._ball.shape[0]
        top = (self._lane_top + round(self._height * _TEXT) - size) // 4 * 2
        self._luma[top : top + size, self._ball_left : self._ball_left + size] = self._lane_luma
        self._paint_ball_chroma(top, size, self._lane_chroma)
        swing = (1 - math.cos(number * math.tau / 120)) / 2
        self._ball_left = round(swing * (self._width - size) / 2) * 2
        patch = self._luma[top : top + size, self._ball_left : self._ball_left + size]
        np.maximum(patch, self._ball, out=patch)
        self._paint_ball_chroma(top, size, _BALL_UV)

    def _paint_ball_chroma(self, top: int, size: int, values: tuple[int, ...]) -> None:
        inside = self._ball[::2, ::2] > 128
        rows, columns = (
            slice(top // 2, (top + size) // 2),
            slice(self._ball_left // 2, (self._ball_left + size) // 2),
        )
        for plane, value in zip(self._chroma, values, strict=True):
            plane[rows, columns][inside] = value


class _Text:
    """Characters of one font size as luma tiles of equal width, to be pasted over what was there."""

    def __init__(self, width: int, height: int, alphabet: str) -> None:
        columns = 15 if "T" in alphabet else 8
        self._cell = max(1, width // columns)
        font = ImageFont.load_default(max(4, min(height, self._cell * 1.5)))
        self._tiles = {letter: self._tile(letter, font, height) for letter in set(alphabet)}

    def _tile(self, letter: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, height: int) -> Luma:
        image = Image.new("L", (self._cell, height), _PANEL[1])
        ImageDraw.Draw(image).text((self._cell / 2, height / 2), letter, fill=240, font=font, anchor="mm")
        return (16 + np.asarray(image, dtype=np.uint16) * 219 // 255).astype(np.uint8)

    def paste(self, luma: Luma, left: int, top: int, text: str) -> None:
        line = np.concatenate([self._tiles[letter] for letter in text], axis=1)
        rows, columns = min(line.shape[0], luma.shape[0] - top), min(line.shape[1], luma.shape[1] - left)
        luma[top : top + rows, left : left + columns] = line[:rows, :columns]


def _background(width: int, height: int, label: str) -> Image.Image:
    image = Image.new("RGB", (width, height), _PANEL)
    draw = ImageDraw.Draw(image)
    lane = round(height * _LANE / 2) * 2
    for index, colour in enumerate(_BARS):
        draw.rectangle((index * width // 7, 0, (index + 1) * width // 7 - 1, lane - 1), fill=colour)
    title = f"LUXXON  TEST CARD  {label}"
    font = ImageFont.load_default(max(4, height // 16))
    box = draw.textbbox((width / 2, height * 0.12), title, font=font, anchor="mm")
    pad = height // 40
    draw.rectangle((box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), fill=_PANEL)
    draw.text((width / 2, height * 0.12), title, fill=(240, 240, 240), font=font, anchor="mm")
    draw.rectangle((0, strip_top(height), width, height), fill=(0, 0, 0))
    return image


def _disc(size: int) -> Luma:
    """Luma of a ball with a smooth edge, shape (size, size), black around it."""
    axis = np.arange(size) - (size - 1) / 2
    distance = np.hypot(axis[:, None], axis[None, :])
    ball: Luma = (16 + 180 * np.clip(size / 2 - distance, 0, 1)).astype(np.uint8)
    return ball

"""Light, haze and camera: what turns the colours of things into the pixels of a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from xvision.data.scenes.dice import Dice
from xvision.data.scenes.levels import SceneLevel
from xvision.data.scenes.surfaces import Array

Colour = tuple[float, float, float]
_SHINE = 0.75  # how much of a lamp or of the sky haze lets through
_GRAIN = 512  # side of the picture from which noise is cut


@dataclass(frozen=True)
class Light:
    """What falls on things (factor for R, G, B), how thick the air is and what colour it has."""

    fall: Colour
    haze: Colour
    thickness: tuple[float, float]  # 1/m
    headlights: float = 0.0  # light of the own car at the camera
    glow: float = 0.0  # of windows and lamps


LIGHTS = {
    "clear": Light((1.06, 1.03, 0.97), (196, 210, 226), (0.0005, 0.004)),
    "cloudy": Light((0.86, 0.88, 0.9), (190, 194, 200), (0.002, 0.008)),
    "dusk": Light((0.82, 0.66, 0.64), (214, 168, 142), (0.001, 0.005), glow=0.95),
    "night": Light((0.3, 0.32, 0.42), (30, 32, 48), (0.001, 0.006), headlights=0.6, glow=1.0),
    "fog": Light((0.82, 0.84, 0.86), (192, 196, 200), (0.02, 0.06), glow=0.3),
}


@lru_cache(maxsize=1)
def _grain() -> Array:
    """Noise of unit deviation: the sum of uniform numbers, the same on every machine."""
    rng = np.random.Generator(np.random.PCG64(7))
    return np.asarray((rng.random((4, 3, _GRAIN, _GRAIN), np.float32).sum(0) - 2) * np.float32(3**0.5))


class Photographer:
    """Takes both pictures of a scene with one camera: the same lens and noise, slightly other exposure."""

    def __init__(self, name: str, level: SceneLevel, dice: Dice) -> None:
        self.light, self.dice, self.level = LIGHTS[name], dice, level
        self.thickness = dice.within(self.light.thickness)
        self.contrast, self.noise = dice.within(level.contrast), dice.within(level.noise)
        self.blurred = dice.chance(level.blur)
        self.gain = np.array([f * dice.uniform(0.95, 1.05) for f in self.light.fall], np.float32)
        self.brightness = dice.uniform(0.88, 1.12)

    def picture(self, colours: Array, shade: Array, inverse_depth: Array) -> Array:
        """uint8 RGB of colours and glow (H, W, 4), shading (H, W) and 1 / depth (1/m)."""
        light, dice = self.light, self.dice
        depth = 1 / np.maximum(inverse_depth, 1 / 400)
        fall = shade.astype(np.float32)
        fall *= np.float32(1 / 255)
        image = np.empty((3, *shade.shape), np.float32)  # planes: numpy is slow along a last axis of 3
        for k in range(3):
            image[k] = colours[..., k]
        glow = colours[..., 3].astype(np.float32)
        lit = fall * self.gain[:, None, None]
        if light.headlights:
            lit += light.headlights * fall * np.exp(depth * np.float32(-1 / 14))
        if light.glow:
            np.maximum(lit, glow * np.float32(light.glow / 255), out=lit)
        image *= lit
        through = np.exp(depth * np.float32(-self.thickness))
        # what glows most (lamps, the sky itself) shines through haze
        np.maximum(through, glow * np.float32(4 * _SHINE / 255) - np.float32(3 * _SHINE), out=through)
        haze = np.asarray(light.haze, np.float32)[:, None, None]
        image -= haze
        image *= through
        image += haze
        exposure = self.brightness * (1 + dice.uniform(-1, 1) * self.level.exposure) * self.contrast
        image *= np.float32(exposure)
        image += np.float32(110 * (1 - self.contrast))
        self._add_noise(image)
        picture = cv2.merge([np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in image])
        return np.asarray(cv2.blur(picture, (3, 3)) if self.blurred else picture)

    def _add_noise(self, image: Array) -> None:
        height, width = image.shape[1:]
        grain, x, y = _grain(), self.dice.integer(_GRAIN), self.dice.integer(_GRAIN)
        if x + width > _GRAIN or y + height > _GRAIN:
            rows, columns = np.arange(y, y + height) % _GRAIN, np.arange(x, x + width) % _GRAIN
            grain = grain.take(rows, 1).take(columns, 2)
            x = y = 0
        image += grain[:, y : y + height, x : x + width] * np.float32(self.noise)

"""The textures of what moves: vehicles, people, animals."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from xvision.data.scenes.paint import Array, Colour, Texture, finish, halved, material, toned

CAR_COLOURS: tuple[Colour, ...] = (
    (178, 30, 34), (30, 62, 136), (214, 214, 212), (34, 36, 40), (122, 126, 130), (92, 24, 34), (34, 84, 62),
    (206, 164, 62), (150, 158, 168), (88, 74, 62), (68, 122, 160), (214, 100, 38),
)  # fmt: skip
LARGE_COLOURS: tuple[Colour, ...] = (
    (206, 62, 48),
    (56, 96, 160),
    (222, 206, 180),
    (60, 130, 96),
    (228, 178, 52),
    (190, 190, 194),
)
CLOTHES: tuple[Colour, ...] = (
    (36, 40, 52), (58, 74, 116), (150, 40, 44), (196, 190, 178), (84, 92, 70), (120, 92, 66), (204, 150, 50),
    (70, 70, 72), (46, 110, 120), (128, 68, 108), (222, 222, 218), (92, 120, 160), (30, 62, 48), (186, 96, 80),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((226, 178, 148), (196, 140, 106), (142, 94, 66), (92, 60, 44))
HAIRS: tuple[Colour, ...] = ((42, 32, 28), (104, 72, 44), (168, 132, 78), (112, 110, 108))
FURS: tuple[Colour, ...] = ((122, 84, 52), (54, 42, 36), (196, 180, 158), (150, 112, 74))
VIEWS = ("front", "back", "left", "right")
NUM_HEADS = 8
TYRE: Colour = (30, 30, 32)
GLASS: Colour = (52, 64, 76)


def _box(image: Array, x0: float, y0: float, x1: float, y1: float, colour: Colour | float) -> None:
    """Fill a rectangle given in fractions of the image."""
    height, width = image.shape[:2]
    cv2.rectangle(
        image,
        (round(x0 * width), round(y0 * height)),
        (round(x1 * width) - 1, round(y1 * height) - 1),
        colour,
        -1,
    )


def _body(rng: np.random.Generator, height: int, width: int, colour: Colour) -> tuple[Array, Array]:
    body = material(rng, height, width, colour, {12: 3})
    body += np.linspace(26, -30, height, dtype=np.float32)[:, None, None]
    return body, np.zeros((height, width), np.float32)


def _wheel(image: Array, x: float, y: float, radius: float) -> None:
    """A wheel with a hub; centre in fractions, radius in texels."""
    centre = (round(x * image.shape[1]), round(y * image.shape[0]))
    cv2.circle(image, centre, round(radius), TYRE, -1)
    cv2.circle(image, centre, round(radius * 0.6), (150.0, 152, 156), -1)
    cv2.circle(image, centre, round(radius * 0.2), (70.0, 70, 74), -1)


def _cars(rng: np.random.Generator) -> Iterator[Texture]:
    for i, colour in enumerate(CAR_COLOURS):
        dark = toned(colour, 0.55)
        side, glow = _body(rng, 44, 216, colour)
        cv2.line(side, (0, 10), (216, 10), dark, 1)
        for x in (78, 120, 156):
            cv2.line(side, (x, 0), (x, 30), dark, 1)
        _box(side, 0, 0.72, 1, 1, (40, 40, 42))
        _box(side, 0, 0.15, 0.035, 0.4, (200, 30, 30))
        _box(side, 0.97, 0.15, 1, 0.38, (240, 236, 210))
        _wheel(side, 0.19, 0.66, 15)
        _wheel(side, 0.81, 0.66, 15)
        yield Texture(f"car_{i}_side", halved(finish(side, glow)))
        rear, glow = _body(rng, 44, 88, colour)
        _box(rear, 0, 0.6, 1, 0.78, (58, 58, 60))
        _box(rear, 0, 0.78, 1, 1, TYRE)
        _box(rear, 0.36, 0.3, 0.64, 0.5, (222, 218, 190))
        for x0, x1 in ((0.02, 0.2), (0.8, 0.98)):
            _box(rear, x0, 0.12, x1, 0.36, (208, 24, 28))
            _box(glow, x0, 0.12, x1, 0.36, 0.9)
        yield Texture(f"car_{i}_rear", halved(finish(rear, glow)))
        front, glow = _body(rng, 44, 88, colour)
        _box(front, 0.26, 0.18, 0.74, 0.46, (34, 34, 38))
        _box(front, 0, 0.64, 1, 0.8, (50, 50, 52))
        _box(front, 0, 0.8, 1, 1, TYRE)
        _box(front, 0.38, 0.5, 0.62, 0.64, (226, 222, 196))
        for x0, x1 in ((0.03, 0.23), (0.77, 0.97)):
            _box(front, x0, 0.14, x1, 0.4, (246, 242, 222))
            _box(glow, x0, 0.14, x1, 0.4, 1.0)
        yield Texture(f"car_{i}_front", halved(finish(front, glow)))
        yield Texture(f"car_{i}_top", finish(material(rng, 24, 24, toned(colour, 1, 26), {8: 4})))
    for name, panes in (("front", 1), ("side", 2)):
        glass = material(rng, 32, 64, GLASS, {10: 8})
        glass += np.linspace(34, -14, 32, dtype=np.float32)[:, None, None]
        cv2.line(glass, (10, 32), (34, 0), (130.0, 146, 158), 4)
        for x in range(64 // panes, 64, 64 // panes):
            cv2.rectangle(glass, (x - 2, 0), (x + 2, 32), (34.0, 34, 38), -1)
        yield Texture(f"glass_{name}", halved(finish(glass)))


def _buses(rng: np.random.Generator) -> Iterator[Texture]:
    for i, colour in enumerate(LARGE_COLOURS):
        side, glow = _body(rng, 120, 360, colour)
        _box(side, 0.02, 0.16, 0.98, 0.52, (44, 54, 64))
        for x in np.arange(0.1, 0.95, 0.125):
            _box(side, x, 0.16, x + 0.012, 0.52, (30, 32, 36))
        _box(glow, 0.02, 0.16, 0.98, 0.52, 0.55)
        _box(side, 0, 0.62, 1, 0.68, (236, 234, 228))
        _box(side, 0.86, 0.16, 0.94, 0.86, (58, 70, 80))
        _box(side, 0, 0.86, 1, 1, (40, 40, 42))
        _wheel(side, 0.2, 0.86, 16)
        _wheel(side, 0.76, 0.86, 16)
        yield Texture(f"bus_{i}_side", halved(finish(side, glow)))
        for end in ("rear", "front"):
            face, glow = _body(rng, 120, 100, colour)
            _box(
                face,
                0.08,
                0.16 if end == "front" else 0.2,
                0.92,
                0.58 if end == "front" else 0.44,
                (50, 60, 70),
            )
            _box(face, 0.2, 0.03, 0.8, 0.12, (24, 22, 20))
            _box(face, 0.28, 0.05, 0.7, 0.1, (244, 176, 60))
            _box(glow, 0.28, 0.05, 0.7, 0.1, 1.0)
            lamp: Colour = (246, 242, 220) if end == "front" else (204, 26, 28)
            for x0, x1 in ((0.05, 0.2), (0.8, 0.95)):
                _box(face, x0, 0.7, x1, 0.78, lamp)
                _box(glow, x0, 0.7, x1, 0.78, 1.0)
            _box(face, 0, 0.88, 1, 1, (36, 36, 38))
            _box(face, 0.4, 0.78, 0.6, 0.84, (224, 220, 190))
            yield Texture(f"bus_{i}_{end}", halved(finish(face, glow)))


def _trucks(rng: np.random.Generator) -> Iterator[Texture]:
    for i, colour in enumerate(LARGE_COLOURS):
        cargo, glow = _body(rng, 120, 240, toned(colour, 0.5, 100))
        for x in np.arange(0.08, 1, 0.08):
            cv2.line(cargo, (int(x * 240), 0), (int(x * 240), 96), toned(colour, 0.4, 70), 1)
        _box(cargo, 0.25, 0.25, 0.75, 0.5, colour)
        _box(cargo, 0, 0.8, 1, 1, (44, 44, 46))
        _wheel(cargo, 0.18, 0.86, 17)
        _wheel(cargo, 0.36, 0.86, 17)
        yield Texture(f"truck_{i}_side", halved(finish(cargo, glow)))
        doors, glow = _body(rng, 120, 100, toned(colour, 0.5, 92))
        cv2.line(doors, (50, 0), (50, 96), (60.0, 60, 60), 2)
        for x in (0.3, 0.42, 0.58, 0.7):
            _box(doors, x, 0.04, x + 0.015, 0.78, (90, 90, 92))
        _box(doors, 0, 0.8, 1, 1, (40, 40, 42))
        for x0, x1 in ((0.04, 0.18), (0.82, 0.96)):
            _box(doors, x0, 0.82, x1, 0.88, (206, 26, 28))
            _box(glow, x0, 0.82, x1, 0.88, 0.9)
        yield Texture(f"truck_{i}_rear", halved(finish(doors, glow)))
        cab, glow = _body(rng, 104, 100, colour)
        _box(cab, 0.06, 0.1, 0.94, 0.48, (50, 60, 70))
        _box(cab, 0.2, 0.56, 0.8, 0.74, (34, 34, 36))
        _box(cab, 0, 0.86, 1, 1, (38, 38, 40))
        for x0, x1 in ((0.04, 0.18), (0.82, 0.96)):
            _box(cab, x0, 0.74, x1, 0.84, (246, 242, 222))
            _box(glow, x0, 0.74, x1, 0.84, 1.0)
        yield Texture(f"cab_{i}_front", halved(finish(cab, glow)))
        flank, glow = _body(rng, 104, 84, colour)
        _box(flank, 0.3, 0.1, 0.95, 0.46, (50, 60, 70))
        _box(flank, 0.24, 0.1, 0.27, 0.8, toned(colour, 0.6))
        _box(flank, 0, 0.84, 1, 1, (40, 40, 42))
        _wheel(flank, 0.5, 0.84, 17)
        yield Texture(f"cab_{i}_side", halved(finish(flank, glow)))
        yield Texture(f"large_{i}_top", finish(material(rng, 24, 24, toned(colour, 0.6, 60), {8: 5})))


def _clothes(rng: np.random.Generator) -> Iterator[Texture]:
    round_limb = (18 * np.cos(np.linspace(-1.5, 1.5, 16, dtype=np.float32)) - 12)[None, :, None]
    for i, colour in enumerate(CLOTHES):
        yield Texture(f"cloth_{i}", finish(material(rng, 24, 16, colour, {2: 7, 6: 5}) + round_limb))
        shirt = material(rng, 48, 32, colour, {2: 6, 8: 6})
        if i % 3 == 1:  # stripes
            for y in range(4, 48, 9):
                cv2.rectangle(shirt, (0, y), (32, y + 3), toned(colour, 0.4, 130), -1)
        elif i % 3 == 2:  # an open jacket
            cv2.rectangle(shirt, (13, 0), (18, 48), toned(colour, 0.3, 150), -1)
        shirt += np.linspace(10, -18, 48, dtype=np.float32)[:, None, None]
        yield Texture(f"shirt_{i}", finish(shirt))
    for i, colour in enumerate(SKINS):
        yield Texture(f"skin_{i}", finish(material(rng, 24, 16, colour, {4: 4}) + round_limb))
    yield Texture("shoe", finish(material(rng, 8, 8, (38, 34, 34), {3: 6})))


def _heads(rng: np.random.Generator) -> Iterator[Texture]:
    for i in range(NUM_HEADS):
        skin, hair = SKINS[i % len(SKINS)], HAIRS[(i + i // 4) % len(HAIRS)]
        for view in VIEWS:
            head = material(rng, 64, 64, hair, {4: 10})
            if view == "front":
                cv2.ellipse(head, (32, 38), (22, 27), 0, 0, 360, skin, -1)
                for x in (22, 42):
                    cv2.circle(head, (x, 34), 4, (26.0, 22, 22), -1)
                cv2.line(head, (24, 52), (40, 52), (150.0, 60, 56), 3)
                cv2.line(head, (32, 36), (32, 44), toned(skin, 0.78), 3)
            elif view != "back":
                x, way = (14, -1) if view == "left" else (50, 1)
                cv2.ellipse(head, (x - 2 * way, 40), (20, 28), 0, 0, 360, skin, -1)
                cv2.circle(head, (x, 34), 4, (26.0, 22, 22), -1)
                cv2.ellipse(head, (32 - 4 * way, 38), (4, 7), 0, 0, 360, toned(skin, 0.82), -1)
            yield Texture(f"head_{i}_{view}", halved(finish(head)))


def _animals(rng: np.random.Generator) -> Iterator[Texture]:
    for i, colour in enumerate(FURS):
        fur = material(rng, 64, 96, colour, {2: 10, 6: 8, 20: 6})
        if i == 2:  # spotted, as a cow
            blots = cv2.resize(rng.random((6, 8), np.float32), (96, 64), interpolation=cv2.INTER_CUBIC) > 0.62
            fur[blots] = (48, 40, 38)
        fur += np.linspace(22, -26, 64, dtype=np.float32)[:, None, None]
        yield Texture(f"fur_{i}", finish(fur))
    for name, colour in (("metal", (60, 66, 74)), ("red", (176, 36, 40)), ("tyre", TYRE)):
        yield Texture(f"bike_{name}", finish(material(rng, 16, 16, colour, {3: 8})))


def paint_objects(rng: np.random.Generator) -> Iterator[Texture]:
    for painter in (_cars, _buses, _trucks, _clothes, _heads, _animals):
        yield from painter(rng)

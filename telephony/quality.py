"""How good a call's speech path is: the E-model's rating and MOS, from loss and delay. Pure.

ITU-T G.107 reckons R = R0 - Is - Id - Ie,eff + A. With its default values R0 - Is is 93.2 and A is 0. Ie,eff is
its formula for random loss with the values of ITU-T G.113 Appendix I for G.711 whose lost packets are concealed, as
pjmedia does (Ie 0, Bpl 25.1, BurstR 1). Id is the simplification of R. Cole and J. Rosenbluth, "Voice over IP
Performance Monitoring" (ACM SIGCOMM Computer Communication Review 31(2), 2001), which leaves echo out. MOS of R is
G.107 Annex B. G.722, which is carried at 8 kHz here, is rated as G.711.
"""

from __future__ import annotations

__all__ = ["FRAME_MS", "mos", "rating"]

R_DEFAULT = 93.2
IE, BPL = 0.0, 25.1
FRAME_MS = 20.0
"""A packet's speech is complete only when its last sample was spoken."""
KNEE_MS = 177.3
"""From here on a delay disturbs the conversation itself."""


def rating(loss: float, delay_ms: float) -> float:
    """Return R for a share of lost packets (0 to 1) and a delay from mouth to ear in ms."""
    lost = 100 * min(max(loss, 0.0), 1.0)
    equipment = IE + (95 - IE) * lost / (lost + BPL)
    delay = 0.024 * delay_ms + (0.11 * (delay_ms - KNEE_MS) if delay_ms > KNEE_MS else 0.0)
    return R_DEFAULT - delay - equipment


def mos(loss: float, delay_ms: float) -> float:
    """Return the mean opinion score, 1 to 4.5, that is estimated of it."""
    r = min(max(rating(loss, delay_ms), 0.0), 100.0)
    return min(max(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 1.0), 4.5)

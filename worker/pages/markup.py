"""HTML by construction: what is put into an element is escaped, unless it is an element. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["Markup", "el", "joined", "page"]

VOID = {"br", "input", "link", "meta"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Iterable["Content"] | None


def joined(*content: Content) -> Markup:
    """Return all of it as HTML; plain text is escaped, None is nothing."""
    return Markup("".join(_flat(content)))


def el(tag: str, /, *content: Content, **attributes: str | int | bool | None) -> Markup:
    """Return an element. `class_` is class, `data_x` is data-x; True stands alone, None is left out."""
    parts = [tag]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        parts.append(word if value is True else f'{word}="{escape(str(value))}"')
    if tag in VOID:
        return Markup(f"<{' '.join(parts)}>")
    return Markup(f"<{' '.join(parts)}>{joined(*content)}</{tag}>")


def page(title: str, *body: Content) -> str:
    """Return a whole page, with our style and script and nothing from elsewhere."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("link", rel="stylesheet", href="/assets/page.css"),
        el("link", rel="icon", href="/assets/page.svg"),
        el("script", src="/assets/page.js", defer=True),
    )
    return "<!doctype html>\n" + el("html", head, el("body", *body), lang="en")


def _flat(content: Content) -> Iterable[str]:
    if content is None:
        return
    if isinstance(content, Markup):
        yield content
    elif isinstance(content, str):
        yield escape(content)
    else:
        for one in content:
            yield from _flat(one)

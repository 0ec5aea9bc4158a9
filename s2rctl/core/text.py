"""Text from outside (files, peers, arguments, exceptions), made safe to show."""


def printable(text: str) -> str:
    r"""Return the text with everything that steers a terminal or a reader's eye as an escape like ``\x1b``.

    Line feeds and tabs stay; control characters, bidirectional overrides, characters without width, lone surrogates
    and separators of lines do not.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _escape(char) for char in text)


def one_line(text: str) -> str:
    """Return the text as ``printable`` does, on one line: what goes into a cell of a table cannot end the row."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(char: str) -> str:
    r"""Return ``\x1b``, ``\u202e`` or ``\U000e0001``; a space of another width stays."""
    if char.isspace() and ord(char) >= 0xA0 and char not in "\u2028\u2029":
        return char
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"

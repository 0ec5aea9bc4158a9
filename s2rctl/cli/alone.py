"""Options that may stand alone, which Typer does not have: the word that then follows is put in."""

from collections.abc import Callable, Sequence


def completed(args: Sequence[str], option: str, word: str, follows: Callable[[str], bool]) -> list[str]:
    """Return the words of a command line with ``word`` behind each ``option`` whose next word is not its value."""
    words: list[str] = []
    for number, given in enumerate(args):
        words.append(given)
        after = args[number + 1] if number + 1 < len(args) else None
        if given == option and (after is None or not follows(after)):
            words.append(word)
    return words

"""Which commands a shell's text runs, with variables expanded and branches followed as far as the text says.

It runs nothing. A branch that depends on something unknown is followed, and its commands are uncertain; one whose
condition is known to be false is left out, so that `entrypoint.sh api` does not start the script's worker.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from surfaces.audit.model import UNKNOWN
from surfaces.audit.texts import word_set

MAX_TOKENS = 50_000  # of a script; nobody writes more by hand
MAX_CALLS = 8  # of functions within functions

_OPERATORS = ("&&", "||", ";;", ";", "|", "&", "(", ")", "\n")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=(.*)", re.DOTALL)
_BRACES = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[0-9@*#])(?:(:?[-=+?])(.*)|(.*))", re.DOTALL)
_RESERVED = word_set("if then elif else fi for while until do done case esac { } function ! time select coproc")


@dataclass(frozen=True)
class Piece:
    """A part of a word and the quote it stands in: a single one, a double one, or none."""

    text: str
    quote: str


@dataclass(frozen=True)
class Token:
    """A word (its pieces), or an operator (its text)."""

    line: int
    pieces: tuple[Piece, ...] = ()
    operator: str = ""

    @property
    def raw(self) -> str:
        """The word without its quotes, before expansion."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def bare(self) -> str:
        """The word if none of it is quoted: only that can be a reserved word."""
        return "" if any(piece.quote for piece in self.pieces) else self.raw


@dataclass(frozen=True)
class SimpleCommand:
    """One command after expansion: its words, and the variables that hold while it runs."""

    words: tuple[str, ...]
    line: int
    certain: bool
    variables: Mapping[str, str]


def tokens(text: str) -> list[Token]:
    """Return words and operators; text that ends within a quote ends the word."""
    return list(_Lexer(text).tokens())


def split(text: str, variables: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return a text's words as a shell splits them, without its operators."""
    words: list[str] = []
    for token in tokens(text):
        if not token.operator:
            words.extend(_expand(token, dict(variables or {}), None))
    return tuple(words)


def commands(
    text: str, variables: Mapping[str, str] | None = None, arguments: Sequence[str] | None = None
) -> list[SimpleCommand]:
    """Return every command that may run, in order. `arguments` are $1 and so on; None where they are not known."""
    runner = _Runner(dict(variables or {}), None if arguments is None else list(arguments))
    runner.run(tokens(text))
    return runner.found


class _Lexer:
    """Splits a text into tokens. It knows quotes, comments, `$(...)` and `${...}`, and leaves out here-documents."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line = 1
        self.pieces: list[Piece] = []
        self.begun = 0
        self.documents: list[str] = []

    def tokens(self) -> Iterator[Token]:
        """Yield them; no more than MAX_TOKENS."""
        count = 0
        while self.at < len(self.text) and count < MAX_TOKENS:
            for token in self._next():
                count += 1
                yield token
        yield from self._word()

    def _next(self) -> Iterator[Token]:
        char = self.text[self.at]
        if char in " \t":
            self._skip(1)
            yield from self._word()
        elif char == "\\":
            self._escape()
        elif char in "'\"":
            self._quoted(char)
        elif char == "#" and not self.pieces:
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
        elif char in "$`":
            self._add(self._substitution(), "")
        elif operator := next((name for name in _OPERATORS if self.text.startswith(name, self.at)), ""):
            yield from self._operator(operator)
        else:
            self._plain()

    def _plain(self) -> None:
        here = re.compile(r"<<-?\s*(['\"\\]?)([A-Za-z_]\w*)\1").match(self.text, self.at)
        if here and not self.text.startswith("<<<", self.at):
            self.documents.append(here[2])
            self._skip(here.end() - self.at)
        else:
            self._add(self._skip(1), "")

    def _operator(self, operator: str) -> Iterator[Token]:
        yield from self._word()
        yield Token(self.line, operator=operator)
        self._skip(len(operator))
        if operator == "\n" and self.documents:
            self._skip_documents()

    def _skip_documents(self) -> None:
        for name in self.documents:
            end = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*$", re.MULTILINE).search(self.text, self.at)
            self._skip((end.end() if end else len(self.text)) - self.at)
        self.documents = []

    def _escape(self) -> None:
        if self.text.startswith("\\\n", self.at):
            self._skip(2)
            return
        self._add(self._skip(2)[1:], "'")

    def _quoted(self, quote: str) -> None:
        self._add("", quote)
        self._skip(1)
        while self.at < len(self.text) and self.text[self.at] != quote:
            char = self.text[self.at]
            if quote == '"' and char in "$`":
                self._add(self._substitution(), quote)
            elif quote == '"' and char == "\\" and self.text[self.at + 1 : self.at + 2] in '"\\$`\n':
                self._add(self._skip(2)[1:].replace("\n", ""), "'")
            else:
                self._add(self._skip(1), quote)
        self._skip(1)

    def _substitution(self) -> str:
        start = self.at
        if self.text[self.at] == "`":
            end = self.text.find("`", self.at + 1)
            return self._skip((len(self.text) if end < 0 else end + 1) - start)
        opening = self.text[self.at + 1 : self.at + 2]
        if opening not in ("(", "{") or not opening:
            return self._skip(1)
        closing, depth, end = {"(": ")", "{": "}"}[opening], 0, start + 1
        while end < len(self.text):
            depth += (self.text[end] == opening) - (self.text[end] == closing)
            end += 1
            if depth == 0:
                break
        return self._skip(end - start)

    def _skip(self, count: int) -> str:
        passed = self.text[self.at : self.at + count]
        self.at += count
        self.line += passed.count("\n")
        return passed

    def _add(self, text: str, quote: str) -> None:
        if not self.pieces:
            self.begun = self.line
        if self.pieces and self.pieces[-1].quote == quote:
            self.pieces[-1] = Piece(self.pieces[-1].text + text, quote)
        else:
            self.pieces.append(Piece(text, quote))

    def _word(self) -> Iterator[Token]:
        if self.pieces:
            yield Token(self.begun, tuple(self.pieces))
            self.pieces = []


def substitute(text: str, variables: Mapping[str, str], arguments: Sequence[str] | None = None) -> str:
    """Return a text with `$NAME`, `${NAME:-default}` and the like replaced; what is not known becomes UNKNOWN."""
    result, at = "", 0
    while (dollar := _next_substitution(text, at)) >= 0:
        result += text[at:dollar]
        value, at = _value_at(text, dollar, variables, arguments)
        result += value
    return result + text[at:]


def _next_substitution(text: str, at: int) -> int:
    places = [place for place in (text.find("$", at), text.find("`", at)) if place >= 0]
    return min(places, default=-1)


def _value_at(text: str, dollar: int, variables: Mapping[str, str], arguments: Sequence[str] | None) -> tuple[str, int]:
    if text[dollar] == "`":
        end = text.find("`", dollar + 1)
        return UNKNOWN, len(text) if end < 0 else end + 1
    if text.startswith("$(", dollar):
        return UNKNOWN, _balanced(text, dollar + 1, "()")
    if text.startswith("${", dollar):
        end = _balanced(text, dollar + 1, "{}")
        return _braced(text[dollar + 2 : end - 1], variables, arguments), end
    if match := _NAME.match(text, dollar + 1):
        return variables.get(match[0], UNKNOWN), match.end()
    if text[dollar + 1 : dollar + 2] in set("0123456789@*#"):
        return _argument(text[dollar + 1], arguments), dollar + 2
    if text[dollar + 1 : dollar + 2] in set("?$!-"):
        return UNKNOWN, dollar + 2
    return "$", dollar + 1


def _balanced(text: str, at: int, pair: str) -> int:
    depth = 0
    while at < len(text):
        depth += (text[at] == pair[0]) - (text[at] == pair[1])
        at += 1
        if depth == 0:
            return at
    return at


def _braced(inside: str, variables: Mapping[str, str], arguments: Sequence[str] | None) -> str:
    match = _BRACES.fullmatch(inside)
    if match is None:
        return UNKNOWN
    name, operator, word, rest = match[1], match[2], match[3] or "", match[4]
    value = variables.get(name) if _NAME.fullmatch(name) else _argument(name, arguments)
    if rest:  # ${NAME%suffix}, ${NAME[0]} and the like
        return UNKNOWN
    if operator in (":-", ":=", "-", "="):
        absent = value is None or value == UNKNOWN or (operator[0] == ":" and not value)
        return substitute(word, variables, arguments) if absent else str(value)
    if operator in (":+", "+"):
        return substitute(word, variables, arguments) if value else ""
    return UNKNOWN if value is None else value


def _argument(name: str, arguments: Sequence[str] | None) -> str:
    if arguments is None:
        return UNKNOWN
    if name in "@*":
        return " ".join(arguments)
    if name == "#":
        return str(len(arguments))
    index = int(name)
    return UNKNOWN if index == 0 else (arguments[index - 1] if index <= len(arguments) else "")


def _expand(token: Token, variables: Mapping[str, str], arguments: Sequence[str] | None) -> list[str]:
    """Return what a word becomes: several words where an unquoted variable has spaces, none where it is empty."""
    if arguments is not None and token.raw in ("$@", "$*", "${@}"):
        return list(arguments)
    words, started = [""], False
    for piece in token.pieces:
        text = piece.text if piece.quote == "'" else substitute(piece.text, variables, arguments)
        if piece.quote or "$" not in piece.text:
            words[-1] += text
            started = started or bool(piece.quote or text)
            continue
        parts = re.split(r"[ \t\n]+", text)
        words[-1] += parts[0]
        words.extend(parts[1:])
        started = started or bool(text)
    return [word for word in words if word or (started and len(words) == 1)]


@dataclass
class _Frame:
    """An open if, case or loop: whether its present branch runs, and whether an earlier one surely did."""

    kind: str
    runs: bool | None
    taken: bool = False
    subject: str = ""
    patterns: bool = False  # a case that waits for its next patterns


@dataclass
class _Runner:
    """Follows tokens, and keeps what the commands among them say."""

    variables: dict[str, str]
    arguments: list[str] | None
    found: list[SimpleCommand] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    functions: dict[str, list[Token]] = field(default_factory=dict)
    calls: int = 0
    ended: bool = False
    following: bool | None = True  # whether `&&` or `||` lets the next command run

    def run(self, stream: list[Token]) -> None:
        """Follow all tokens."""
        at = 0
        while at < len(stream) and not self.ended:
            at = self._function(stream, at) or self._step(stream, at)

    def _function(self, stream: list[Token], at: int) -> int:
        """Keep a function's body and return where it ends; 0 where none begins."""
        kinds = [token.operator or token.bare for token in stream[at : at + 5]]
        if kinds[:1] == ["function"] and len(kinds) > 1:
            name, begin = kinds[1], at + (4 if kinds[2:4] == ["(", ")"] else 2)
        elif kinds[1:3] == ["(", ")"] and _NAME.match(kinds[0] or " "):
            name, begin = kinds[0], at + 3
        else:
            return 0
        while begin < len(stream) and stream[begin].operator == "\n":
            begin += 1
        if begin >= len(stream) or stream[begin].bare != "{":
            return 0
        depth, end = 0, begin
        while end < len(stream):
            depth += (stream[end].bare == "{") - (stream[end].bare == "}")
            end += 1
            if depth == 0:
                break
        self.functions[name] = stream[begin + 1 : end - 1]
        return end

    def _step(self, stream: list[Token], at: int) -> int:
        if self.frames and self.frames[-1].patterns:
            return self._patterns(stream, at)
        token = stream[at]
        if token.operator:
            self._operator(token.operator)
            return at + 1
        if token.bare in _RESERVED:
            return self._reserved(token.bare, stream, at)
        end = _end_of_command(stream, at)
        after = stream[end].operator if end < len(stream) else ""
        self._command(stream[at:end], after)
        return end

    def _operator(self, operator: str) -> None:
        if operator in (";", "\n", "&", "|"):
            self.following = True
        elif operator == ";;" and self.frames and self.frames[-1].kind == "case":
            self.frames[-1].patterns = True

    def _reserved(self, word: str, stream: list[Token], at: int) -> int:
        if word in ("if", "elif", "while", "until"):
            end = _end_of_condition(stream, at + 1)
            self._condition(word, stream[at + 1 : end])
            return end
        if word == "for" or word == "select":
            end = _end_of_command(stream, at)
            self._loop(stream[at:end])
            return end
        if word == "case":
            return self._case(stream, at)
        if word == "else" and self.frames:
            frame = self.frames[-1]
            frame.runs = False if frame.taken else (None if frame.runs is None or frame.subject == "?" else True)
        elif word in ("fi", "done", "esac") and self.frames:
            self.frames.pop()
        return at + 1

    def _condition(self, word: str, condition: list[Token]) -> None:
        truth = self._truth(condition)
        if word in ("while", "until"):
            self.frames.append(_Frame("loop", None))
            return
        if word == "if":
            self.frames.append(_Frame("if", truth, taken=truth is True, subject="?" if truth is None else ""))
            return
        if self.frames:
            frame = self.frames[-1]
            frame.runs = False if frame.taken else (None if frame.subject == "?" and truth is not False else truth)
            frame.taken = frame.taken or truth is True
            frame.subject = "?" if truth is None else frame.subject

    def _loop(self, header: list[Token]) -> None:
        self.frames.append(_Frame("loop", True))
        if len(header) > 1 and _NAME.fullmatch(header[1].raw):
            values = [word for token in header[3:] for word in _expand(token, self.variables, self.arguments)]
            self.variables[header[1].raw] = values[0] if len(values) == 1 else UNKNOWN

    def _case(self, stream: list[Token], at: int) -> int:
        subject = _expand(stream[at + 1], self.variables, self.arguments) if at + 1 < len(stream) else []
        end = at + 2
        while end < len(stream) and stream[end].bare != "in":
            end += 1
        self.frames.append(_Frame("case", False, subject=" ".join(subject), patterns=True))
        return end + 1

    def _patterns(self, stream: list[Token], at: int) -> int:
        frame, patterns = self.frames[-1], []
        while at < len(stream) and stream[at].operator != ")":
            if stream[at].bare == "esac":
                self.frames.pop()
                return at + 1
            if not stream[at].operator:
                patterns.append("".join(_expand(stream[at], self.variables, self.arguments)))
            at += 1
        frame.patterns = False
        if frame.taken:
            frame.runs = False
        elif UNKNOWN in frame.subject:
            frame.runs = None
        else:
            frame.runs = any(fnmatchcase(frame.subject, pattern) for pattern in patterns)
            frame.taken = frame.runs
        return at + 1

    def _truth(self, condition: list[Token]) -> bool | None:
        parts = [token for token in condition if not token.operator]
        words = [word for token in parts for word in _expand(token, self.variables, self.arguments) or [""]]
        if any(token.operator in ("&&", "||", "|") for token in condition):
            return None
        return _test(words)

    def _active(self) -> bool | None:
        states = [frame.runs for frame in self.frames] + [self.following]
        if False in states:
            return False
        return None if None in states else True

    def _command(self, parts: list[Token], after: str) -> None:
        active = self._active()
        if active is False:
            return
        if parts[0].bare in ("[", "[[", "test") and after in ("&&", "||"):
            truth = self._truth(parts)
            self.following = truth if after == "&&" or truth is None else not truth
            return
        words, local = self._assign([*parts], active)
        if not words:
            return
        if words[0] in self.functions and self.calls < MAX_CALLS:
            self._call(words)
        elif not self._builtin(words):
            self.found.append(SimpleCommand(tuple(words), parts[0].line, active is True, {**self.variables, **local}))
        if words[0] in ("exec", "exit") and len(words) > (words[0] == "exec") and active is True and not after:
            self.ended = True
        elif words[0] in ("exec", "exit") and len(words) > (words[0] == "exec") and active is True:
            self.ended = after in (";", "\n", ";;")

    def _assign(self, parts: list[Token], active: bool | None) -> tuple[list[str], dict[str, str]]:
        local: dict[str, str] = {}
        while parts and (match := _ASSIGNMENT.fullmatch(parts[0].raw)) and parts[0].pieces[0].quote == "":
            value = self._assigned(parts[0], match)
            local[match[1]] = value
            parts.pop(0)
        words = [word for token in parts for word in _expand(token, self.variables, self.arguments)]
        if words[:1] and words[0] in ("export", "declare", "local", "readonly", "typeset"):
            for word in words[1:]:
                name, equals, value = word.partition("=")
                if equals:
                    local[name] = value
            words = []
        if not words:
            for name, value in local.items():
                self.variables[name] = value if active else UNKNOWN
        return words, local

    def _assigned(self, token: Token, match: re.Match[str]) -> str:
        skip = len(match[1]) + len(match[2]) + 1
        first = Piece(token.pieces[0].text[skip:], "")
        value = " ".join(_expand(Token(token.line, (first, *token.pieces[1:])), self.variables, self.arguments))
        return self.variables.get(match[1], UNKNOWN) + value if match[2] else value

    def _call(self, words: list[str]) -> None:
        kept, self.arguments = self.arguments, words[1:]
        frames, self.frames = self.frames, [_Frame("call", self._active())]
        self.calls += 1
        self.run(self.functions[words[0]])
        self.calls -= 1
        self.arguments, self.frames, self.following = kept, frames, True

    def _builtin(self, words: list[str]) -> bool:
        """Do what `set --` and `shift` do to the arguments, and `: ${NAME:=default}` to a variable."""
        if words[:2] == ["set", "--"]:
            self.arguments = words[2:]
        elif words[0] == "shift" and self.arguments is not None:
            count = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 1
            self.arguments = self.arguments[count:]
        else:
            return words[0] in ("set", "shift", ":", "cd", "source", ".")
        return True


def _end_of_command(stream: list[Token], at: int) -> int:
    while at < len(stream) and not stream[at].operator:
        at += 1
    return at


def _end_of_condition(stream: list[Token], at: int) -> int:
    while at < len(stream) and stream[at].bare not in ("then", "do"):
        at += 1
    # The separator before `then` belongs to neither.
    return at


def _test(words: list[str]) -> bool | None:
    if not words or words[0] not in ("[", "[[", "test"):
        return None
    words = [word for word in words[1:] if word not in ("]", "]]")]
    if words[:1] == ["!"]:
        truth = _test(["[", *words[1:]])
        return None if truth is None else not truth
    if any(UNKNOWN in word for word in words):
        return None
    if len(words) == 2 and words[0] in ("-z", "-n"):
        return (not words[1]) == (words[0] == "-z")
    if len(words) == 3 and words[1] in ("=", "==", "!=", "-eq", "-ne"):
        return fnmatchcase(words[0], words[2]) == (words[1] not in ("!=", "-ne"))
    return bool(words[0]) if len(words) == 1 else None

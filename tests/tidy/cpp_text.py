# Views of C++ text that the tidy rules need: comments and literals blanked, brackets matched.
import re

OPEN, CLOSE = "([{", ")]}"


def blanked(text):
    """`text` with comments, string and character literals blanked; offsets and line numbers are kept."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'",
        re.S,
    )

    def blank(match):
        piece = match.group(0)
        hollow = re.sub(r"[^\n]", " ", piece)
        return '"' + hollow[1:-1] + '"' if piece[0] == '"' else hollow

    return token.sub(blank, text)


def without_directives(text):
    """Blanks preprocessor lines too: their brackets need not match."""
    return re.sub(
        r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.M
    )


def bracket_pairs(code):
    """Maps every opening bracket's offset to its closing one's and back."""
    pairs, stack = {}, []
    for at, char in enumerate(code):
        if char in OPEN:
            stack.append(at)
        elif char in CLOSE and stack:
            begin = stack.pop()
            pairs[begin], pairs[at] = at, begin
    return pairs


def line_of(text, at):
    return text.count("\n", 0, at) + 1


BLOCK_WORDS = re.compile(r"\b(else|do|try|const|noexcept|mutable|override|final|constexpr|static)$")
RETURN_TYPE = re.compile(r"\)[\w\s]*->\s*[\w:<>,\s&*()]+$")


def opens_block(code, at):
    """Whether the brace at `at` begins a block of statements (and not an initializer)."""
    before = code[max(0, at - 300) : at].rstrip()
    if not before or before[-1] in ");}{:]":
        return True
    return bool(BLOCK_WORDS.search(before) or RETURN_TYPE.search(before))


def full_expression(code, pairs, at):
    """The span of the full expression around the offset `at` of a co_await."""
    begin = at
    while begin > 0:
        char = code[begin - 1]
        if char in CLOSE:
            if char == "}" and opens_block(code, pairs.get(begin - 1, begin - 1)):
                break
            begin = pairs.get(begin - 1, begin - 1)
            continue
        if char == ";" or (char == "{" and opens_block(code, begin - 1)):
            break
        begin -= 1
    head = re.match(r"\s*(?:for|if|while|switch)\b(?:\s*constexpr)?\s*(?=\()", code[begin:])
    if head and begin + head.end() <= at:
        paren = begin + head.end()
        if at < pairs.get(paren, at):
            return paren, pairs[paren]
        return full_span_end(code, pairs, pairs[paren] + 1)
    return full_span_end(code, pairs, begin)


def full_span_end(code, pairs, begin):
    end = begin
    while end < len(code) and code[end] not in ";" + CLOSE:
        end = pairs.get(end, end) + 1 if code[end] in OPEN else end + 1
    return begin, end

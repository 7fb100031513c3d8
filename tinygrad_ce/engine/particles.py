"""Korean particles, which a translation has in both forms: ``{name}을(를)`` is x를, and n을.

Which form is right depends on the last sound before it: that of a Hangul letter is written in it;
digits and Latin letters have that of how they are read in Korean.
"""

import re
from unicodedata import normalize

PAIRS = {"을(를)": "을를", "이(가)": "이가", "은(는)": "은는", "과(와)": "과와"}
FIRST = 0xAC00  # the first syllable; each beginning has 28, one an ending, of which ㄹ is the 8th
READ = dict(zip("0123456789", "영일이삼사오육칠팔구"))
READ |= dict(
    zip("abcdefghijklmnopqrstuvwxyz", "이비시디이프지이이이이엘엠엔오피큐알스티유이유스이트")
)
READ |= dict(zip("αβγδεζηθικλμνξοπρστυφχψω", "파타마타론타타타타파다뮤뉴이론이로마우론이이이가"))
READ |= {"∞": "대", "²": "곱", "³": "곱", "%": "트", "′": "임"}
# The ends of English words that Korean ends with a consonant too, beside those in l, m, n.
CLOSED = re.compile(r"(?<![aeiou])[aeiou](?:t|p|c|k|ck|b)$|(?:ng|out|oup|ook|type|epoch)$")
SOUNDS = f"가-힣A-ZΑ-Ω₀-₉ₐ-ₜᵢⱼ{''.join(READ)}"
LETTERS = re.compile(r"[^aeiouy]+|[A-Z]+|.")  # which are read by their names: x, lr, NLL


def ending(text: str) -> str:
    """What a text ends with as it is read: "" for a vowel, "ㄹ", "ㄴ" for others; "?" if unknown.

    Examples
    --------
    >>> [ending(word) for word in ("기울기", "확률", "값", "x", "n", "W1", "loss", "label", "pᵢ")]
    ['', 'ㄹ', 'ㄴ', '', 'ㄴ', 'ㄹ', '', 'ㄹ', '']
    """
    bare = re.sub(r"\s\([^()]*\)$", "", text)  # what is in brackets behind a word is not read
    bare = re.sub(rf"[^{SOUNDS}]+$", "", bare)
    word = re.search(r"[A-Za-z]*$", bare)[0]  # type: ignore[index]
    if len(word) > 1 and not LETTERS.fullmatch(word):
        word = word.lower()
        if rest := re.search(r"([lmn])e?$", word):
            return "ㄹ" if rest[1] == "l" else "ㄴ"
        return "ㄴ" if CLOSED.search(word) else ""
    last = READ.get(bare[-1:]) or normalize("NFKC", bare[-1:]).lower()  # of pᵢ, i
    last = READ.get(last, last)
    if not "가" <= last <= "힣":
        return "?"
    return {0: "", 8: "ㄹ"}.get((ord(last) - FIRST) % 28, "ㄴ")


def particles(text: str) -> str:
    """A text with one form of each particle; with both where the sound before it is not known.

    Examples
    --------
    >>> particles("x을(를) 2(으)로 나눈 값이(가) n은(는) 아닙니다")
    'x를 2로 나눈 값이 n은 아닙니다'
    """

    def right(match: re.Match[str]) -> str:
        sound, both = ending(text[: match.start()]), match[0]
        if sound == "?":
            return both
        if both in PAIRS:
            return PAIRS[both][not sound]
        inner, rest = both[1], both[3:]  # (으)로, (이)어야, (이)라고
        if not sound and rest == "어":
            return "여"
        return ("" if not sound or (sound == "ㄹ" and inner == "으") else inner) + rest

    both = r"을\(를\)|이\(가\)|은\(는\)|과\(와\)|\(으\)로|\(이\)(?:어(?=야)|(?=[가-힣]))"
    return re.sub(both, right, text)

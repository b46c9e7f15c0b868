"""Evasions of blocked terms, made by the ways people make them, and innocent lines in ten scripts."""

from __future__ import annotations

from collections.abc import Callable

TERMS = ["idiot", "scammer", "loser", "trash", "ass", "hell", "shut up", "kill yourself", "nazi*", "дурак", "白痴"]
LATIN = ["idiot", "scammer", "loser", "trash", "nazi", "nazis"]

_CYRILLIC = str.maketrans("aeocpxyis", "аеосрхуіѕ")
_GREEK = str.maketrans("aioknptuv", "αιοκηρτυν")
_GREEK_CAPITALS = str.maketrans("ABEHIKMNOPTXYZ", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖ")
_LEET = str.maketrans("aeiost", "4310$7")
_SMALL_CAPITALS = str.maketrans("abcdeghiklmnoprstuz", "ᴀʙᴄᴅᴇɢʜɪᴋʟᴍɴᴏᴘʀꜱᴛᴜᴢ")


def _shifted(word: str, first: int) -> str:
    return "".join(chr(first + ord(char) - ord("a")) for char in word)


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": lambda word: word,
    "capitals": str.upper,
    "every other capital": lambda word: "".join(c.upper() if n % 2 else c for n, c in enumerate(word)),
    "full width": lambda word: _shifted(word, 0xFF41),
    "mathematical bold": lambda word: _shifted(word, 0x1D41A),
    "mathematical script": lambda word: _shifted(word, 0x1D4EA),
    "double-struck": lambda word: _shifted(word, 0x1D552),
    "circled": lambda word: _shifted(word, 0x24D0),
    "squared": lambda word: _shifted(word, 0x1F130),
    "small capitals": lambda word: word.translate(_SMALL_CAPITALS),
    "accents": lambda word: "".join(char + "\u0301" for char in word),
    "zalgo": lambda word: "".join(char + "\u0335\u0322\u0489" for char in word),
    "zero-width spaces": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "word joiners": "\u2060".join,
    "Cyrillic letters": lambda word: word.translate(_CYRILLIC),
    "Greek letters": lambda word: word.translate(_GREEK),
    "Greek capitals": lambda word: word.upper().translate(_GREEK_CAPITALS),
    "leet": lambda word: word.translate(_LEET),
    "one leet digit": lambda word: word.replace("o", "0", 1).replace("a", "@", 1),
    "spelled out": " ".join,
    "dots": ".".join,
    "dashes": "-".join,
    "underscores": "_".join,
    "asterisks": "*".join,
    "stretched": lambda word: word[0] + word[1] * 5 + word[2:],
    "stretched at the end": lambda word: word + word[-1] * 4,
    "in quotation marks": lambda word: f"«{word}»!!!",
    "inside a sentence": lambda word: f"honestly, what a {word} you are",
    "stuck to an emoji": lambda word: f"🔥{word}🔥",
}

PHRASES = [
    "shut up",
    "SHUT UP!!!",
    "shut   up",
    "s h u t u p",
    "shut-up",
    "ｓｈｕｔ ｕｐ",
    "kill yourself",
    "k1ll yourself",
]
OTHER_SCRIPTS = ["какой ты дурак", "ДУРАК", "дуууурак", "д у р а к", "д.у.р.а.к", "你是白痴吧", "白痴"]


def evasions() -> list[tuple[str, str]]:
    """(the way, the line)."""
    made = [(way, change(word)) for word in LATIN for way, change in WAYS.items()]
    return made + [("phrase", line) for line in PHRASES] + [("other script", line) for line in OTHER_SCRIPTS]


INNOCENT: dict[str, list[str]] = {
    "Latin": [
        "hello everyone, watching from Scunthorpe",
        "the class assessment was in a massive glass house",
        "shell buttons and seashells, gorgeous",
        "is the jacket lined? what about the lining at the hem",
        "I'd pass on the first one but the second is classy",
        "100% wool or a blend? size 38 please",
        "he'll love it, she'll too, we'll see",
        "closer to the camera please, is that trashed denim?",
        "a skill yourself can learn",
        "grüße aus Köln, wunderschöner Mantel!",
        "c'est magnifique, j'adore la robe n° 3",
        "¿cuánto cuesta el abrigo? ¡qué bonito!",
        "bellissima! quanto costa in euro?",
        "o que é isso? que lindo casaco, coração",
        "świetna kurtka, ile kosztuje wysyłka?",
        "çok güzel, fiyatı ne kadar acaba ışıl ışıl",
        "đẹp quá, áo này giá bao nhiêu vậy chị",
        "sooooo good!!! yesssss",
        "a b c d sizes? i want xs or s",
        "look 7 > look 3, no?",
        "an ass-length jacket, at last",  # held: a blocked word on its own before a hyphen
    ],
    "Cyrillic": [
        "какое красивое пальто, сколько стоит?",
        "привет из Москвы, очень красиво",
        "а есть размер побольше?",
        "хочу такое же, где купить",
        "Дякую, дуже гарна сукня",
        "Здравейте от София, страхотно яке",
        "у нас уже ночь, но я смотрю",
        "дураков нет, все купили сразу",
    ],
    "Greek": [
        "τι όμορφο παλτό, πόσο κάνει;",
        "καλησπέρα από την Αθήνα",
        "υπάρχει σε μικρότερο μέγεθος;",
        "πολύ ωραία η τρίτη εμφάνιση",
        "το θέλω σε μαύρο",
    ],
    "Arabic": [
        "ما شاء الله معطف جميل جدا",
        "كم السعر من فضلك؟",
        "هل يتوفر مقاس أكبر",
        "تحياتي من القاهرة",
        "خیلی قشنگ است، قیمتش چند است؟",
    ],
    "Hebrew": ["איזה מעיל יפה", "כמה זה עולה בבקשה?", "שלום מתל אביב", "יש מידה גדולה יותר?"],
    "Devanagari": [
        "बहुत सुंदर कोट है",
        "इसकी कीमत क्या है?",
        "नमस्ते दिल्ली से",
        "क्या यह काले रंग में मिलेगा",
        "मला हा ड्रेस खूप आवडला",
    ],
    "Thai": ["สวยมากเลยค่ะ", "ราคาเท่าไหร่คะ", "มีไซส์ใหญ่กว่านี้ไหม", "สวัสดีจากกรุงเทพ"],
    "Han": ["这件外套真好看", "多少钱?", "有大一点的尺码吗", "从上海来的问候", "這件洋裝好漂亮", "白色的还有吗"],
    "Kana": [
        "このコートすごくかわいい",
        "いくらですか?",
        "大阪から見ています",
        "もっと大きいサイズはありますか",
        "素敵です",
    ],
    "Hangul": ["코트 정말 예뻐요", "얼마예요?", "서울에서 보고 있어요", "더 큰 사이즈 있나요", "세 번째 룩이 최고"],
}


# More of what people say at a show, so that one line in two hundred can be told from none: sentences about pieces and
# sizes in each script.
SAID: dict[str, tuple[list[str], list[str]]] = {
    "Latin": (
        ["I love {}", "is {} still there", "how does {} fit", "j'adore {}", "quanto costa {}", "wo finde ich {}",
         "{} is to die for, size 38?", "ok {} it is", "who made {}? wow.so good"],
        ["the floor-length hem", "la robe n° 7", "der Mantel", "il cappotto", "the glass beads", "passementerie",
         "the analyst's blazer", "cocktail dresses", "the Essex trench", "shiitake brown"],
    ),
    "Cyrillic": (
        ["сколько стоит {}", "есть ли {} в чёрном", "{} просто чудо", "где сшили {}", "мне нравится {}",
         "{} ещё есть?"],
        ["пальто", "платье", "эта юбка", "рубашка с воротником", "худи", "куртка", "шарф", "дублёнка"],
    ),
    "Greek": (
        ["πόσο κάνει {}", "υπάρχει {} σε μαύρο", "λατρεύω {}", "{} είναι υπέροχο", "θέλω {}"],
        ["το παλτό", "το φόρεμα", "η φούστα", "το πουκάμισο", "η ζακέτα", "το κασκόλ", "το σακάκι"],
    ),
    "Arabic": (
        ["كم سعر {}", "هل يوجد {} باللون الأسود", "أحب {}", "{} رائع جدا", "أريد {}"],
        ["المعطف", "الفستان", "التنورة", "القميص", "الوشاح", "السترة", "هذا الحذاء"],
    ),
    "Hebrew": (
        ["כמה עולה {}", "יש {} בשחור", "אני אוהבת את {}", "{} מהמם", "אני רוצה {}"],
        ["המעיל", "השמלה", "החצאית", "החולצה", "הצעיף", "הז'קט", "הנעליים"],
    ),
    "Devanagari": (
        ["{} कितने का है", "क्या {} काले रंग में है", "मुझे {} पसंद है", "{} बहुत सुंदर है", "{} कहाँ मिलेगा"],
        ["कोट", "यह ड्रेस", "स्कर्ट", "कमीज़", "दुपट्टा", "जैकेट", "साड़ी"],
    ),
    "Thai": (
        ["{}ราคาเท่าไหร่", "มี{}สีดำไหม", "ชอบ{}มาก", "{}สวยจัง", "อยากได้{}"],
        ["เสื้อโค้ท", "ชุดเดรส", "กระโปรง", "เสื้อเชิ้ต", "ผ้าพันคอ", "แจ็คเก็ต", "รองเท้า"],
    ),
    "Han": (
        ["{}多少钱", "{}有黑色吗", "我喜欢{}", "{}太美了", "想要{}"],
        ["这件大衣", "这条裙子", "衬衫", "围巾", "外套", "白色的鞋", "毛衣"],
    ),
    "Kana": (
        ["{}はいくらですか", "{}の黒はありますか", "{}が好き", "{}すてき", "{}ほしいです"],
        ["コート", "ワンピース", "スカート", "シャツ", "マフラー", "ジャケット", "くつ"],
    ),
    "Hangul": (
        ["{} 얼마예요", "{} 검정색 있어요?", "{} 너무 예뻐요", "{} 사고 싶어요", "{} 어디서 사요"],
        ["코트", "원피스", "치마", "셔츠", "목도리", "자켓", "신발"],
    ),
}  # fmt: skip


def innocent() -> list[tuple[str, str]]:
    """(the script, the line)."""
    written = [(script, line) for script, lines in INNOCENT.items() for line in lines]
    said = [
        (script, sentence.format(piece))
        for script, (sentences, pieces) in SAID.items()
        for sentence in sentences
        for piece in pieces
    ]
    return written + said

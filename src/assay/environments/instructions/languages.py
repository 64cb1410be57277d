"""Languages: which one a text is in, by its script and its commonest words.

Small on purpose: it tells the languages that prompts ask for from each other and from English, and says None where it
cannot.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping

from assay.environments.instructions.reading import AnswerText, words_of

SCRIPTS: Mapping[str, str] = {
    **dict.fromkeys(("hi", "mr", "ne"), "DEVANAGARI"),
    **dict.fromkeys(("ar", "fa", "ur"), "ARABIC"),
    **dict.fromkeys(("ru", "bg"), "CYRILLIC"),
    **dict.fromkeys(("en", "de", "fr", "es", "it", "pt", "fi", "sw", "vi"), "LATIN"),
    "bn": "BENGALI",
    "gu": "GUJARATI",
    "kn": "KANNADA",
    "ko": "HANGUL",
    "pa": "GURMUKHI",
    "ta": "TAMIL",
    "te": "TELUGU",
    "th": "THAI",
}
"""Language code to the script that it is written in."""
NAMES: Mapping[str, str] = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "gu": "Gujarati",
    "hi": "Hindi",
    "it": "Italian",
    "kn": "Kannada",
    "ko": "Korean",
    "mr": "Marathi",
    "ne": "Nepali",
    "pa": "Punjabi",
    "pt": "Portuguese",
    "ru": "Russian",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "ur": "Urdu",
    "vi": "Vietnamese",
}
_COMMON: Mapping[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the and of to is a in that it for was on with as you are this be i have not they at by from or we but "
        "my your can will all an if has more what which when there their one so about do how its our would who",
        "de": "der die das und ist nicht ein eine einen einem zu den von mit auf ich sie für im dem des es er wir "
        "auch sich als an wie sind oder bei noch nach nur über wenn aber war hat haben kann aus ihr mein dein was",
        "fr": "le la les de des et est un une que en pour dans ne pas du ce qui sur au avec plus il elle nous vous je "
        "se sont par mais ou son sa ses cette tout être à aux leur comme très si on bien",
        "es": "el la los las de y que en un una es no por con para del se su al lo como más pero sus le ya o este sí "
        "porque esta entre cuando muy sin sobre también me hasta hay donde quien son está todo nos a",
        "it": "il lo la i gli le di e che un una per non è con sono del della dei in si più come ma anche da al alla "
        "nel questo questa ha ho io mi ti ci se molto ogni suo tutto tutti quando o a l",
        "pt": "o os as de e que um uma para com não em do da dos das é mais por se na no ao como mas foi ele ela seu "
        "sua ou quando muito já eu também só pelo pela até isso você nós são está a à",
        "fi": "ja on ei että se ovat oli hän mutta kun myös kuin niin tämä ole voi minä sinä me he joka mitä sitä jos "
        "vain nyt tai sen olla hyvin kaikki mukaan ne en minun hänen kanssa sekä",
        "sw": "na ya wa kwa ni katika la za kuwa hii yake cha au pia sana huo hiyo huyo kama lakini watu mtu yangu "
        "wetu yao wako kila vya hivyo hapa sisi wewe mimi ili baada kabla zaidi ambayo ambao",
        "vi": "và là của có không được một cho trong người những các với này đã để khi tôi bạn về như đến rất từ cũng "
        "ra nhiều làm sẽ chúng ta nhưng thì mà hay hơn",
        "hi": "है हैं का की के में और को से पर यह नहीं था थी थे एक हो कर वह इस भी जो ने तो ही लिए हम आप मैं अपने किया करने",
        "mr": "आहे आहेत आणि हे ही तो नाही होते होता या ते त्या मी एक साठी मध्ये पण की का आपण त्यांच्या करण्यासाठी तुम्ही आम्ही "
        "असे जे केले खूप आपल्या माझ्या",
        "ne": "छ छन् र हो यो पनि हुन्छ तपाईं म थियो भयो छैन लागि हुन् गर्न गर्नुहोस् एक हामी तर यस मेरो भन्ने गरेको "
        "गर्छ तपाईंको हाम्रो धेरै तिनीहरू",
        "ar": "في من على إلى أن هذا هذه التي الذي هو هي مع لا ما كان عن أو كل قد بين كما لم ذلك بعد يا أنت أنا نحن ثم "
        "لكن كانت",
        "fa": "و در به از که این را با است برای آن یک می های خود تا بر هم نیز شده ما من شما اما هر بود کرد او باید "
        "کنید کند",
        "ur": "ہے ہیں کی کے کا میں اور سے کو پر نہیں یہ ایک وہ نے اس بھی تھا تھی ہو جو کر کہ تو ہم آپ لیے ان",
        "ru": "и в не на что с это как по я он она мы вы но из у за то все так его к о же от для бы был только или при "
        "они меня есть когда очень",
        "bg": "и в на да се от за не е са ще че с по как но това му ги към до или ни при съм бъде които който която аз "
        "той тя ние вие има беше много",
    }.items()
}
MIN_SHARE_OF_SCRIPT = 0.8
"""Share of a text's letters that must be of the language's script: names and addresses may be of another."""
MIN_SHARE_COMMON = 0.08
"""Share of a text's words that must be among its language's commonest."""
CHUNK_WORDS = 30
"""Words that are looked at together, so that no part of a text is in another language."""
_MIN_CHUNK = 12


def is_in(text: AnswerText, code: str) -> bool:
    """Return whether all of a text is in a language: by most letters' script, by common words, and part by part."""
    words = text.words
    if not words or _script_share(words, SCRIPTS[code]) < MIN_SHARE_OF_SCRIPT:
        return False
    if code not in _COMMON:
        return True  # the only language here of its script
    if language_of(words) != code:
        return False
    chunks = [words[start : start + CHUNK_WORDS] for start in range(0, len(words), CHUNK_WORDS)]
    lines = [words_of(line) for line in text.lines]
    return all(language_of(part) in (code, None) for part in (*chunks, *lines) if len(part) >= _MIN_CHUNK)


def is_other_than(text: AnswerText, code: str) -> bool:
    """Return whether a text is plainly in another language than this one: short texts often are in none plainly."""
    if _script_share(text.words, SCRIPTS[code]) < MIN_SHARE_OF_SCRIPT:
        return True
    return len(text.words) >= _MIN_CHUNK and language_of(text.words) not in (code, None)


def language_of(words: tuple[str, ...]) -> str | None:
    """Return the language whose commonest words make up most of these; None where none do, or two do alike."""
    counts = Counter(word.casefold() for word in words)
    shares = {
        code: sum(counts[word] for word in common) / max(1, len(words))
        for code, common in _COMMON.items()
        if _script_share(words, SCRIPTS[code]) >= 0.5
    }
    ranked = sorted(shares, key=shares.__getitem__, reverse=True)
    if not ranked or shares[ranked[0]] < MIN_SHARE_COMMON:
        return None
    return None if len(ranked) > 1 and shares[ranked[1]] == shares[ranked[0]] else ranked[0]


def _script_share(words: tuple[str, ...], script: str) -> float:
    letters = Counter(character for word in words for character in word if character.isalpha())
    total = sum(letters.values())
    return sum(n for letter, n in letters.items() if script in unicodedata.name(letter, "")) / total if total else 0.0

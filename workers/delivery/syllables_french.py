"""Syllables of French words by rule, as they are spoken: a final e is silent, a u or i before a vowel mostly glides."""

from __future__ import annotations

import re
from typing import Final

_V: Final = "aeiouyàâæéèêëîïôöœùûüÿ"
_VOWELS: Final = re.compile(f"[{_V}]+")
_ELIDED: Final = re.compile("^([cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)'")
_MUTE_U: Final = re.compile("(?<=q)u|(?<=g)u(?=[eéèêiîâ])|(?<=g)e(?=[aoâ])")
_MUTE_E: Final = re.compile(f"(?<=[^{_V}])es?$|(?<=[éiuûïyœ])es?$")
_MUTE_ENT: Final = re.compile(f"(?<=[^{_V}m])ent$|(?<=[aouû])i?ent$|(?<=[aou]i)ent$")
_DROPPED_E: Final = re.compile(
    f"(?<=[{_V}][^{_V}])e(?=[^{_V}][{_V}])|(?<=[{_V}](?:ss|ll|tt|pp|ch|gn))e(?=[^{_V}][{_V}])"
)
"""Between single consonants inside a word: samedi, lentement."""

_HIATUS: Final = re.compile(
    "é(?=[aouàâéèêœ]|e[lnr])|[ao](?=[éèï])|[aeou][ëïü]|[aou]y(?=[aeouéèê])|ao(?!u)"
    "|(?<![aeoqgéè])u(?=[aeéèoêâ])|(?<=[bcdfgptv][lr])i(?=[aeéèoêâ])|ou(?=[aeéèêâ])"
)
# A final -ent is a syllable of these nouns and adjectives, but is silent in verbs; of -ment the reverse.
_SPOKEN: Final = (
    "souvent argent agent président accident incident excellent talent client patient parent absent présent récent "
    "différent vent cent pourcent dent lent évident violent précédent innocent compétent permanent fréquent content "
    "continent intelligent urgent équivalent conscient inconscient ingrédient orient occident résident serpent torrent "
    "couvent transparent concurrent cohérent pertinent éminent adolescent décent ardent prudent "
    "dissident antécédent insolent indulgent négligent divergent réticent imminent apparent "
    "adhérent sergent régent avent auvent paravent trident référent"
)
_UNSPOKEN: Final = "aiment forment dorment affirment confirment estiment expriment consomment nomment assument ferment"
_PRONOUNCED_ENT: Final = frozenset(_SPOKEN.split())
_SILENT_MENT: Final = frozenset(_UNSPOKEN.split())

_WORDS: Final = {"pays": 2, "paysage": 3, "août": 1, "etc": 4, "maintenant": 2, "hier": 1, "oui": 1, "ouais": 1}


def french(word: str) -> int:
    """Syllables of a word in lower case; 0 without a letter that can be a vowel."""
    word = _ELIDED.sub("", word)
    if word in _WORDS:
        return _WORDS[word]
    stem = _MUTE_E.sub("", _DROPPED_E.sub("", _MUTE_U.sub("", word)))
    if word.endswith("ent") and (word in _SILENT_MENT or (word not in _PRONOUNCED_ENT and _MUTE_ENT.search(word))):
        stem = stem.removesuffix("ent")
    groups = len(_VOWELS.findall(stem))
    if not groups:
        return 1 if _VOWELS.search(word) else 0
    return groups + len(_HIATUS.findall(stem))

// The languages that the speech models know, by name. The tags are those of Whisper.

const TAGS =
  "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id is it ja " +
  "jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq " +
  "sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh";

const names = new Intl.DisplayNames(["en"], { type: "language" });

// "jw" is Whisper's tag for Javanese, which is "jv" elsewhere. Some browsers have no names for the other two.
const NAMES = { jw: "Javanese", ba: "Bashkir", bo: "Tibetan" };

export const nameOf = (tag) => NAMES[tag] ?? names.of(tag) ?? tag;

export function fillLanguages(select) {
  const named = TAGS.split(" ").map((tag) => [nameOf(tag), tag]);
  named.sort(([one], [other]) => one.localeCompare(other, "en"));
  select.append(...named.map(([name, tag]) => new Option(name, tag)));
}

/** A byte string that tells a secret. */
export interface SecretForm {
  /** Name of the secret. */
  readonly secret: string;
  readonly form: 'plain' | 'base64' | 'hex' | 'URL-encoded' | 'JSON-escaped';
  readonly bytes: Buffer;
}

/** Shorter values are masked nowhere: they would hide every word that holds them. */
const SHORTEST_MASKED = 4;
/** Shorter values are in any binary by chance. */
const SHORTEST_SEARCHED = 8;
/** Of longer values a part is looked for. */
const LONGEST_PATTERN = 1024;

/** True where the value is too short to be looked for in layers. */
export function isTooShort(value: Buffer): boolean {
  return trimmed(value).length < SHORTEST_SEARCHED;
}

/**
 * What a layer or a config must not hold of a secret: its value without the line ends around it, in base64 at each of the three
 * places where it can begin in a longer text, in hex, URL-encoded and JSON-escaped, and of several lines each one that looks
 * random by itself. Of long values, which programs encode in lines, base64 and hex are looked for by two neighboring
 * pieces: a line end can part one of them only.
 */
export function searchedForms(secret: string, value: Buffer): SecretForm[] {
  const whole = trimmed(value);
  if (whole.length < SHORTEST_SEARCHED) return [];
  const part = whole.subarray(0, LONGEST_PATTERN);
  return distinct([
    ...[part, ...linesOf(whole).filter(looksRandom)].map((bytes) => ({
      secret,
      form: 'plain' as const,
      bytes,
    })),
    ...escapedForms(secret, part),
    ...piecesOf(whole, 24).flatMap((piece) => base64Forms(secret, piece)),
    ...piecesOf(whole, 14).flatMap((piece) => hexForms(secret, piece)),
  ]);
}

/**
 * What output must not show of a secret: the same, but each of its lines, and base64 and hex whole and in the lines that `base64`,
 * `openssl` and `xxd` write.
 */
export function maskedForms(secret: string, value: Buffer): SecretForm[] {
  const whole = trimmed(value);
  if (whole.length < SHORTEST_MASKED) return [];
  const lines = linesOf(whole);
  const plain = (
    lines.length > 1 ? lines.filter((line) => line.length >= SHORTEST_SEARCHED) : [whole]
  ).flatMap(cut);
  const forms: SecretForm[] = plain.map((bytes) => ({ secret, form: 'plain', bytes }));
  if (whole.length < SHORTEST_SEARCHED) return forms;
  const encoded = [whole, value].flatMap((bytes) => [
    ...[64, 76].flatMap((columns) => inLines(bytes.toString('base64'), columns)),
    ...inLines(bytes.toString('hex'), 60),
  ]);
  return distinct([
    ...forms,
    ...encoded.map((text) => ({ secret, form: 'base64' as const, bytes: Buffer.from(text) })),
    ...escapedForms(secret, whole.subarray(0, LONGEST_PATTERN)),
    ...[...piecesOf(whole, 24), whole.subarray(0, LONGEST_PATTERN)].flatMap((piece) =>
      base64Forms(secret, piece),
    ),
    ...[...piecesOf(whole, 14), whole.subarray(0, LONGEST_PATTERN)].flatMap((piece) =>
      hexForms(secret, piece),
    ),
  ]);
}

function trimmed(value: Buffer): Buffer {
  const isLineEnd = (byte: number | undefined) => byte === 10 || byte === 13;
  let [start, end] = [0, value.length];
  while (start < end && isLineEnd(value[start])) start += 1;
  while (end > start && isLineEnd(value[end - 1])) end -= 1;
  return value.subarray(start, end);
}

function linesOf(value: Buffer): Buffer[] {
  const lines = value.toString('latin1').split(/[\r\n]+/);
  return lines.map((line) => Buffer.from(line.trim(), 'latin1')).filter((line) => line.length > 0);
}

/** A token of a config file or a line of a key, not a line of prose, a heading or an address. */
function looksRandom(line: Buffer, _: number, all: readonly Buffer[]): boolean {
  if (all.length < 2 || line.length > LONGEST_PATTERN) return false;
  return line
    .toString('latin1')
    .split(/[^A-Za-z0-9+/_-]+/)
    .some((word) => word.length >= 20 && /\d/.test(word) && /[A-Za-z]/.test(word));
}

function cut(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += LONGEST_PATTERN)
    parts.push(bytes.subarray(at, at + LONGEST_PATTERN));
  const last = parts.at(-1)!;
  return last.length < SHORTEST_MASKED ? parts.slice(0, -1) : parts;
}

function inLines(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += columns) lines.push(text.slice(at, at + columns));
  return lines.filter((line) => line.length >= SHORTEST_SEARCHED);
}

/** A short value whole; of a long one two neighbors from its middle, since keys begin and end with words that are no secret. */
function piecesOf(value: Buffer, bytes: number): Buffer[] {
  if (value.length <= 2 * bytes) return [value];
  const middle = value.length >> 1;
  return [value.subarray(middle - bytes, middle), value.subarray(middle, middle + bytes)];
}

/** The characters that depend on nothing but the value, whatever stands before and after it; both alphabets. */
function base64Forms(secret: string, value: Buffer): SecretForm[] {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), value])
      .toString('base64')
      .replace(/=+$/, '');
    const first = Math.ceil((before * 8) / 6);
    const certain = text.slice(first, Math.floor(((before + value.length) * 8) / 6));
    const other = certain.replaceAll('+', '-').replaceAll('/', '_');
    return [certain, other].map((form) => ({ secret, form: 'base64' as const, bytes: Buffer.from(form) }));
  });
}

function hexForms(secret: string, value: Buffer): SecretForm[] {
  const text = value.toString('hex');
  return [text, text.toUpperCase()].map((form) => ({ secret, form: 'hex', bytes: Buffer.from(form) }));
}

/** Where they differ from the value itself. */
function escapedForms(secret: string, value: Buffer): SecretForm[] {
  const percent = (kept: RegExp, lower: boolean) =>
    [...value]
      .map((byte) => {
        const char = String.fromCharCode(byte);
        const code = byte.toString(16).padStart(2, '0');
        return kept.test(char) ? char : `%${lower ? code : code.toUpperCase()}`;
      })
      .join('');
  const forms = [/[\w.~-]/, /[\w.~!*'()-]/].flatMap((kept) => [
    percent(kept, false),
    percent(kept, true),
    percent(kept, false).replaceAll('%20', '+'),
  ]);
  const json = JSON.stringify(value.toString('utf8')).slice(1, -1);
  return [
    ...forms.map((text) => ({ secret, form: 'URL-encoded' as const, bytes: Buffer.from(text) })),
    { secret, form: 'JSON-escaped' as const, bytes: Buffer.from(json) },
  ].filter(({ bytes }) => !bytes.equals(value));
}

function distinct(forms: readonly SecretForm[]): SecretForm[] {
  return [
    ...new Map(forms.toReversed().map((form) => [form.bytes.toString('latin1'), form])).values(),
  ].toReversed();
}

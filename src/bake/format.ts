import type { FunctionArgs } from './function-args.js';
import { formatNumber, goJsonText, textOf, toJson, type Value } from './value.js';

const VERB = /%([-+ 0#]*)(\d*)(?:\.(\d+))?(?:\[(\d+)\])?([a-zA-Z%])/g;

/** `format`: the verbs of Go that HCL has. */
export function formatText(args: FunctionArgs): string {
  let next = 1;
  return args
    .text(0)
    .replace(VERB, (whole, flags: string, width: string, precision: string, place: string, verb: string) => {
      if (verb === '%') return '%';
      const index = place ? Number(place) : next++;
      const text = verbText(
        args,
        index,
        verb,
        precision === undefined ? undefined : Number(precision),
        whole,
      );
      const signed =
        flags.includes('+') && /^[dfgeE]$/.test(verb) && !text.startsWith('-') ? `+${text}` : text;
      return padded(signed, flags, Number(width || 0));
    });
}

function padded(text: string, flags: string, width: number): string {
  if (flags.includes('-')) return text.padEnd(width);
  if (!flags.includes('0')) return text.padStart(width);
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  return sign + text.slice(sign.length).padStart(width - sign.length, '0');
}

function verbText(
  args: FunctionArgs,
  index: number,
  verb: string,
  precision: number | undefined,
  whole: string,
): string {
  switch (verb) {
    case 'v':
    case 's':
      return anyText(args.any(index), verb).slice(0, precision);
    case 'q':
      return goJsonText(args.text(index));
    case 't':
      return String(args.boolean(index));
    case 'd':
      return formatNumber(Math.trunc(args.number(index)));
    case 'x':
    case 'X': {
      const hex = Math.trunc(args.number(index)).toString(16);
      return verb === 'X' ? hex.toUpperCase() : hex;
    }
    case 'b':
    case 'o':
      return Math.trunc(args.number(index)).toString(verb === 'b' ? 2 : 8);
    case 'f':
      return fixed(args.number(index), precision ?? 6);
    case 'e':
      return args
        .number(index)
        .toExponential(precision ?? 6)
        .replace(/e([+-])(\d)$/, 'e$10$2');
    case 'g':
      return formatNumber(args.number(index));
    default:
      throw new Error(`does not know "${whole}"`);
  }
}

/** A half goes to the even digit, as in Go. */
function fixed(value: number, digits: number): string {
  const scaled = value * 10 ** digits;
  const floor = Math.floor(scaled);
  if (scaled - floor !== 0.5) return value.toFixed(digits);
  return ((floor % 2 === 0 ? floor : floor + 1) / 10 ** digits).toFixed(digits);
}

function anyText(value: Value, verb: string): string {
  const text = textOf(value);
  if (text !== undefined) return text;
  if (verb === 'v') return toJson(value);
  throw new Error('"%s" takes a text, use "%v" for lists and objects');
}

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
);
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** `formatdate`: YYYY-MM-DD'T'hh:mm:ssZ and the like, of a time as RFC 3339 has it. */
export function formatDate(form: string, time: string): string {
  const parts = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|z|[+-]\d\d:\d\d)$/.exec(time);
  if (!parts) throw new Error(`"${time}" is no time such as 2006-01-02T15:04:05Z`);
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const zone = parts[7]!.toUpperCase();
  const weekday = DAYS[new Date(Date.UTC(year, month - 1, day)).getUTCDay()]!;
  const two = (value: number) => String(value).padStart(2, '0');
  const twelve = hour % 12 === 0 ? 12 : hour % 12;
  const words: Readonly<Record<string, string>> = {
    YYYY: String(year).padStart(4, '0'),
    YY: two(year % 100),
    MMMM: MONTHS[month - 1] ?? '',
    MMM: (MONTHS[month - 1] ?? '').slice(0, 3),
    MM: two(month),
    M: String(month),
    DD: two(day),
    D: String(day),
    EEEE: weekday,
    EEE: weekday.slice(0, 3),
    hh: two(hour),
    h: String(hour),
    HH: two(twelve),
    H: String(twelve),
    AA: hour < 12 ? 'AM' : 'PM',
    aa: hour < 12 ? 'am' : 'pm',
    mm: two(minute),
    m: String(minute),
    ss: two(second),
    s: String(second),
    ZZZZZ: zone === 'Z' ? '+00:00' : zone,
    ZZZZ: zone === 'Z' ? '+0000' : zone.replace(':', ''),
    ZZZ: zone === 'Z' ? 'UTC' : zone.replace(':', ''),
    Z: zone,
  };
  return form.replace(/'((?:[^']|'')*)'|([A-Za-z])\2*/g, (word, quoted: string | undefined) => {
    if (quoted !== undefined) return quoted.replaceAll("''", "'");
    const text = words[word];
    if (text === undefined) throw new Error(`does not know "${word}"; put words between single quotes`);
    return text;
  });
}

/** `timeadd`: a duration as Go writes it, such as `1h30m` or `-10m`. */
export function addTime(time: string, duration: string): string {
  const start = Date.parse(time);
  if (Number.isNaN(start)) throw new Error(`"${time}" is no time such as 2006-01-02T15:04:05Z`);
  if (!/^[+-]?(\d+(\.\d+)?(h|m|s|ms))+$/.test(duration))
    throw new Error(`"${duration}" is no duration such as 1h30m`);
  const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
  let total = 0;
  for (const [, amount, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g))
    total += Number(amount) * units[unit!]!;
  return new Date(start + (duration.startsWith('-') ? -total : total)).toISOString().replace(/\.\d+Z$/, 'Z');
}

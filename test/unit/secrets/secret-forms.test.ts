import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { ByteSearch } from '../../../src/secrets/byte-search.js';
import { LogMask } from '../../../src/secrets/log-mask.js';
import { redactUrls } from '../../../src/secrets/redact-text.js';
import { maskedForms, searchedForms } from '../../../src/secrets/secret-forms.js';

const SECRET = 'p@ss w0rd/7f3a"9c+#é';
const KEY = `-----BEGIN PRIVATE KEY-----\n${randomBytes(600).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;

function find(value: string, text: string): string | undefined {
  const forms = searchedForms('s', Buffer.from(value));
  if (forms.length === 0) return undefined;
  const match = new ByteSearch(forms.map(({ bytes }) => bytes)).find(Buffer.from(text));
  return match && forms[match.pattern]!.form;
}

function mask(value: string, text: string): string {
  const forms = maskedForms('s', Buffer.from(value));
  if (forms.length === 0) return text;
  const masked = new LogMask(new ByteSearch(forms.map(({ bytes }) => bytes)));
  return Buffer.concat([masked.mask(Buffer.from(text)), masked.end()]).toString('utf8');
}

const wrapped = (text: string, columns: number) => text.replace(new RegExp(`.{${columns}}`, 'g'), '$&\n');

describe('forms of a secret', () => {
  for (const before of ['', 'a', 'ab', 'abc', 'user:']) {
    it(`base64 behind "${before}" is found`, () => {
      const text = Buffer.from(`${before}${SECRET}:after`).toString('base64');
      expect(find(SECRET, text)).to.equal('base64');
      expect(find(SECRET, text.replaceAll('+', '-').replaceAll('/', '_'))).to.equal('base64');
      expect(find(KEY, wrapped(Buffer.from(`${before}${KEY}`).toString('base64'), 76))).to.equal('base64');
    });
  }

  for (const [name, text, form] of [
    ['plain', `x${SECRET}y`, 'plain'],
    ['hex', Buffer.from(`a${SECRET}`).toString('hex'), 'hex'],
    ['HEX', Buffer.from(SECRET).toString('hex').toUpperCase(), 'hex'],
    ['a URL', encodeURIComponent(SECRET), 'URL-encoded'],
    ['a form', new URLSearchParams({ a: SECRET }).toString(), 'URL-encoded'],
    ['JSON', JSON.stringify({ a: SECRET }), 'JSON-escaped'],
  ] as const) {
    it(`${name} is found`, () => expect(find(SECRET, text)).to.equal(form));
  }

  it('of a key in lines one line, its hex and its base64 are enough, its heading is not', () => {
    expect(find(KEY, KEY)).to.equal('plain');
    expect(find(KEY, KEY.split('\n')[3]!)).to.equal('plain');
    expect(find(KEY, wrapped(Buffer.from(KEY).toString('hex'), 60))).to.equal('hex');
    expect(find(KEY, '-----BEGIN PRIVATE KEY-----\nother\n-----END PRIVATE KEY-----\n')).to.equal(undefined);
  });

  it('of a config file its token is enough, its other lines are not', () => {
    const npmrc =
      'registry=https://registry.example.org/npm/\n//registry.example.org/:_authToken=npm_8Fh2kQ0zLw9Xv3Rt6Yb1\nalways-auth=true\n';
    expect(find(npmrc, '//registry.example.org/:_authToken=npm_8Fh2kQ0zLw9Xv3Rt6Yb1')).to.equal('plain');
    expect(find(npmrc, 'registry=https://registry.example.org/npm/\nalways-auth=true')).to.equal(undefined);
  });

  it('a value of fewer than 8 bytes is not looked for, one of fewer than 4 not even masked', () => {
    expect(find('1234567', '1234567')).to.equal(undefined);
    expect(find('12345678', '12345678')).to.equal('plain');
    expect(mask('abc\n', 'abc')).to.equal('abc');
    expect(mask('1234\n', 'pin 1234.')).to.equal('pin ***.');
  });
});

describe('output', () => {
  it('shows no line of a secret, whatever encodes it', () => {
    const value = Buffer.from(KEY);
    const texts = [KEY, value.toString('hex'), wrapped(value.toString('hex'), 60)];
    for (const columns of [1e6, 76, 64]) texts.push(wrapped(value.toString('base64'), columns));
    for (const text of texts) {
      const left = mask(KEY, text).replaceAll('***', '');
      expect(left.replace(/\s/g, '').length, left).to.be.lessThan(16);
    }
  });

  it('shows nothing of a short one', () => {
    for (const text of [SECRET, encodeURIComponent(SECRET), Buffer.from(SECRET).toString('base64')])
      expect(mask(SECRET, `(${text})`)).to.equal('(***)');
    expect(mask(`${SECRET}\n`, Buffer.from(`${SECRET}\n`).toString('base64'))).to.equal('***');
  });
});

describe('URLs in messages', () => {
  for (const [text, shown] of [
    ['GET https://user:pw@host/p failed', 'GET https://***@host/p failed'],
    ['"https://ghp_token@github.com/a.git"', '"https://***@github.com/a.git"'],
    ['ssh://git@host/repo', 'ssh://git@host/repo'],
    ['ssh://git:pw@host/repo', 'ssh://git:***@host/repo'],
    ['http://[::1]:5000/v2/ and a@b', 'http://[::1]:5000/v2/ and a@b'],
  ] as const) {
    it(shown, () => expect(redactUrls(text)).to.equal(shown));
  }
});

import { type OracleAddress, type OracleNetwork, bitsOf, plainText } from './address-oracle.js';
import type { Random } from './random.js';

/** Lists whose edges matter. */
export const FIXED_LISTS: readonly (readonly string[])[] = [
  ['0.0.0.0/0'],
  ['::/0'],
  ['0.0.0.0/1', '8000::/1'],
  ['203.0.113.7'],
  ['203.0.113.0/24'],
  ['203.0.113.128/25', '203.0.113.2/31'],
  ['::ffff:198.51.100.0/120'],
  ['::ffff:198.51.100.9'],
  ['2001:db8:1::/48'],
  ['2001:db8::5'],
  ['2001:db8:0:8000::/49', '2001:db8::fffe/127'],
  ['fe80::/10'],
  ['::/96'],
  ['64:ff9b::/96'],
  // What proxies have: no client's.
  ['10.0.0.0/8'],
  ['127.0.0.0/8', '::1'],
  // What clients of the experiment have.
  ['127.0.0.9'],
];

/** One to three networks, with no bits behind their prefixes. */
export function drawnList(random: Random): string[] {
  return Array.from({ length: 1 + random.integer(3) }, () => {
    const family = random.pick([4, 6] as const);
    const prefix = 1 + random.integer(family === 4 ? 32 : 128);
    const bits = bitsOf(drawnAddress(random, family)).slice(0, prefix);
    return `${plainText(addressOf(family, bits, '0'))}/${prefix}`;
  });
}

/** An address in or near one of the networks, or anywhere. */
export function addressNear(networks: readonly OracleNetwork[], random: Random): OracleAddress {
  const { family, bits } = random.pick(networks);
  const width = family === 4 ? 32 : 128;
  const anything = bitsOf(drawnAddress(random, family));
  return random.pick([
    () => addressOf(family, bits, '0'),
    () => addressOf(family, bits, '1'),
    () => ({ family, bytes: bytesOf(bits + anything.slice(bits.length)) }),
    () => ({ family, bytes: bytesOf(bits + anything.slice(bits.length)) }),
    () => stepped(addressOf(family, bits, '0'), -1n, width),
    () => stepped(addressOf(family, bits, '1'), 1n, width),
    // The last bit of the prefix is another.
    () => ({
      family,
      bytes: bytesOf(
        bits === '' ? anything : bits.slice(0, -1) + (bits.endsWith('1') ? '0' : '1') + anything.slice(bits.length),
      ),
    }),
    () => drawnAddress(random, random.pick([4, 6] as const)),
  ])();
}

export function drawnAddress(random: Random, family: 4 | 6): OracleAddress {
  // Many groups of zeros, so that `::` may stand in more than one place.
  const bytes = Array.from({ length: family === 4 ? 4 : 16 }, () =>
    family === 6 && random.integer(2) === 0 ? 0 : random.integer(256),
  );
  return { family, bytes };
}

/** One of the many texts of an address, or of what only looks like it. Which it is, the oracle says. */
export function spelled(address: OracleAddress, random: Random): string {
  const bare = random.pick(address.family === 4 ? FOUR : SIX)(address, random);
  return random.pick(AROUND)(bare);
}

/** The same as an entry of a list, with a prefix length that may be none. */
export function spelledNetwork(address: OracleAddress, random: Random): string {
  const bare = random.pick(address.family === 4 ? FOUR : SIX)(address, random);
  return (
    bare +
    random.pick([
      '',
      '',
      '/32',
      '/24',
      '/25',
      '/128',
      '/96',
      '/104',
      '/120',
      '/64',
      '/48',
      '/0',
      '/33',
      '/129',
      '/08',
      '/+8',
      '/',
      '/8/8',
      '/1e1',
      '/255.0.0.0',
      '/-1',
      '/ 8',
    ])
  );
}

type Spelling = (address: OracleAddress, random: Random) => string;

const dotted = (bytes: readonly number[]) => bytes.join('.');
const hexOf = (bytes: readonly number[]) =>
  plainText({ family: 6, bytes: [...new Array<number>(12).fill(0), ...bytes] })
    .split(':')
    .slice(6)
    .join(':');

const FOUR: readonly Spelling[] = [
  ...new Array<Spelling>(14).fill(({ bytes }) => dotted(bytes)),
  ({ bytes }) => `::ffff:${dotted(bytes)}`,
  ({ bytes }) => `::FFFF:${hexOf(bytes)}`,
  ({ bytes }) => `0:0:0:0:0:ffff:${dotted(bytes)}`,
  ({ bytes }) => `0::0:ffff:${hexOf(bytes)}`,
  // Addresses of their own, whatever they are made of.
  ({ bytes }) => `::${dotted(bytes)}`,
  ({ bytes }) => `64:ff9b::${dotted(bytes)}`,
  ({ bytes }) => `::fffe:${dotted(bytes)}`,
  // Octal, hexadecimal, short, one number, too much of it.
  ({ bytes }, random) => bytes.map((byte, at) => (at === random.integer(4) ? `0${byte.toString(8)}` : byte)).join('.'),
  ({ bytes }) => `0${dotted(bytes)}`,
  ({ bytes }) => bytes.map((byte) => `0x${byte.toString(16)}`).join('.'),
  ({ bytes }) => bytes.map((byte) => String(byte).padStart(3, '0')).join('.'),
  ({ bytes }) => `${bytes[0]}.${bytes[1]}.${bytes[2]! * 256 + bytes[3]!}`,
  ({ bytes }) => String(bytes.reduce((sum, byte) => sum * 256 + byte, 0)),
  ({ bytes }) => `${dotted(bytes)}.`,
  ({ bytes }) => `${dotted(bytes)}.0`,
  ({ bytes }) => `${bytes[0]! + 256}.${bytes.slice(1).join('.')}`,
  ({ bytes }) => `${dotted(bytes)}%eth0`,
  ({ bytes }) => `::ffff:0${dotted(bytes)}`,
];

const SIX: readonly Spelling[] = [
  ...new Array<Spelling>(3).fill((address) => plainText(address)),
  ...new Array<Spelling>(10).fill(compressed),
  (address) => plainText(address).toUpperCase(),
  (address) =>
    plainText(address)
      .split(':')
      .map((group) => group.padStart(4, '0'))
      .join(':'),
  (address, random) => `${compressed(address, random)}%eth0`,
  (address, random) => `${compressed(address, random)}%25en0.7`,
  (address) => `${plainText(address).split(':').slice(0, 6).join(':')}:${dotted(address.bytes.slice(12))}`,
  // None of these is an address.
  (address) => `${plainText(address)}:0`,
  (address) => plainText(address).split(':').slice(1).join(':'),
  (address) =>
    plainText(address)
      .replace(':', '::')
      .replace(/:([^:]*)$/, '::$1'),
  (address) =>
    `0${plainText(address)
      .split(':')
      .map((group) => group.padStart(4, '0'))
      .join(':')}`,
  (address) => `${plainText(address)}%`,
  (address) => `${plainText(address)}%et h`,
];

/** What proxies put around it. */
const AROUND: readonly ((text: string) => string)[] = [
  ...new Array<(text: string) => string>(24).fill((text) => text),
  (text) => ` ${text}\t`,
  (text) => `${text}:443`,
  (text) => `[${text}]`,
  (text) => `[${text}]:54321`,
  (text) => `"[${text}]:443"`,
  (text) => `"${text}"`,
  (text) => `${text}:_hidden`,
  (text) => `[${text}`,
  (text) => `[${text}]443`,
  (text) => `${text}:123456`,
  (text) => `${text}/32`,
  (text) => `"${text}`,
];

/** With `::` for one of its runs of zeros, be it the longest or not, or a part of one. */
function compressed(address: OracleAddress, random: Random): string {
  const groups = plainText(address).split(':');
  const zeros = groups.flatMap((group, at) => (group === '0' ? [at] : []));
  if (zeros.length === 0) return groups.join(':');
  const start = random.pick(zeros);
  let end = start + 1;
  while (groups[end] === '0' && random.integer(4) > 0) end += 1;
  return `${groups.slice(0, start).join(':')}::${groups.slice(end).join(':')}`;
}

function addressOf(family: 4 | 6, bits: string, rest: '0' | '1'): OracleAddress {
  return { family, bytes: bytesOf(bits.padEnd(family === 4 ? 32 : 128, rest)) };
}

function bytesOf(bits: string): number[] {
  return bits.match(/.{8}/g)!.map((byte) => Number.parseInt(byte, 2));
}

function stepped({ family, bytes }: OracleAddress, step: bigint, width: number): OracleAddress {
  const value = BigInt.asUintN(width, BigInt(`0b${bitsOf({ family, bytes })}`) + step);
  return { family, bytes: bytesOf(value.toString(2).padStart(width, '0')) };
}

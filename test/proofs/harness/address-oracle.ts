import { BlockList } from 'node:net';

/**
 * Reads addresses as RFC 4291, RFC 4007 and RFC 7239 write them, without any code of the product: character by
 * character into bytes, and networks as strings of bits.
 */
export interface OracleAddress {
  readonly family: 4 | 6;
  readonly bytes: readonly number[];
}

export interface OracleNetwork {
  readonly family: 4 | 6;
  /** The bits before the prefix length, as `0` and `1`. */
  readonly bits: string;
}

const DIGITS = '0123456789';
const HEX = '0123456789abcdefABCDEF';
const NAME = `${DIGITS}abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-`;

const consistsOf = (text: string, characters: string): boolean =>
  text.length > 0 && [...text].every((one) => characters.includes(one));

/** An address that is nothing but an address; null: it is none. */
export function readBare(text: string): OracleAddress | null {
  const four = readFour(text);
  if (four !== null) return { family: 4, bytes: four };
  const six = readSix(text);
  if (six === null) return null;
  const isMapped = six.slice(0, 12).join() === '0,0,0,0,0,0,0,0,0,0,255,255';
  return isMapped ? { family: 4, bytes: six.slice(12) } : { family: 6, bytes: six };
}

/** An address as proxies write it: with blanks, quotes, brackets, a zone or a port around it. */
export function readHop(text: string): OracleAddress | null {
  let written = text.replaceAll('\t', ' ');
  while (written.startsWith(' ')) written = written.slice(1);
  while (written.endsWith(' ')) written = written.slice(0, -1);
  if (written.length > 1 && written.startsWith('"') && written.endsWith('"')) written = written.slice(1, -1);
  if (written.includes('"')) return null;
  if (written.startsWith('[')) {
    const end = written.indexOf(']');
    const port = written.slice(end + 1);
    return end === -1 || !(port === '' || isPort(port)) ? null : readZoned(written.slice(1, end));
  }
  const colons = written.split(':').length - 1;
  if (colons > 1) return readZoned(written);
  if (colons === 0) return readBare(written);
  const [host, port] = written.split(':') as [string, string];
  const four = readFour(host);
  return four !== null && isPort(`:${port}`) ? { family: 4, bytes: four } : null;
}

/** A network, or one address; null: not to be taken, as one with bits behind its prefix. */
export function readNetwork(text: string): OracleNetwork | null {
  const parts = text.split('/');
  const address = readBare(parts[0]!);
  if (address === null || parts.length > 2) return null;
  const all = bitsOf(address);
  if (parts.length === 1) return { family: address.family, bits: all };
  const length = parts[1]!;
  if (!consistsOf(length, DIGITS) || (length.length > 1 && length.startsWith('0'))) return null;
  const prefix = Number(length) - (address.family === 4 && parts[0]!.includes(':') ? 96 : 0);
  if (prefix < 0 || prefix > all.length || all.slice(prefix).includes('1')) return null;
  return { family: address.family, bits: all.slice(0, prefix) };
}

export function includes(networks: readonly OracleNetwork[], address: OracleAddress): boolean {
  return networks.some(({ family, bits }) => family === address.family && bitsOf(address).startsWith(bits));
}

/** The same by Node. Families are kept apart here: Node takes every IPv4 address for one of `::/0`. */
export function nodeIncludes(networks: readonly OracleNetwork[], address: OracleAddress): boolean {
  const list = new BlockList();
  for (const { family, bits } of networks) {
    if (family !== address.family) continue;
    const bytes = bits
      .padEnd(family === 4 ? 32 : 128, '0')
      .match(/.{8}/g)!
      .map((byte) => Number.parseInt(byte, 2));
    list.addSubnet(plainText({ family, bytes }), bits.length, family === 4 ? 'ipv4' : 'ipv6');
  }
  return list.check(plainText(address), address.family === 4 ? 'ipv4' : 'ipv6');
}

/** The client as a chain of hops has it; null: it is unknown. The last hop is the peer of the connection. */
export function clientOfChain(hops: readonly string[], trusted: readonly OracleNetwork[]): OracleAddress | null {
  const last = hops.at(-1);
  const address = last === undefined ? null : readHop(last);
  if (address === null || !includes(trusted, address)) return address;
  return clientOfChain(hops.slice(0, -1), trusted);
}

export function plainText({ family, bytes }: OracleAddress): string {
  if (family === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, at) => (bytes[2 * at]! * 256 + bytes[2 * at + 1]!).toString(16)).join(':');
}

export function bitsOf({ bytes }: OracleAddress): string {
  return bytes.map((byte) => byte.toString(2).padStart(8, '0')).join('');
}

function readZoned(text: string): OracleAddress | null {
  const [address = '', zone, ...more] = text.split('%');
  if (more.length > 0 || !address.includes(':')) return null;
  return zone === undefined || consistsOf(zone, `${NAME}~`) ? readBare(address) : null;
}

function isPort(text: string): boolean {
  const port = text.slice(1);
  if (!text.startsWith(':') || port === '') return false;
  if (port.startsWith('_')) return consistsOf(port.slice(1), NAME);
  return port.length <= 5 && consistsOf(port, DIGITS);
}

/** Four decimal parts. A leading zero means octal to some readers: such a text is no address. */
function readFour(text: string): number[] | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  const isByte = (part: string) =>
    consistsOf(part, DIGITS) && part.length <= 3 && Number(part) <= 255 && (part === '0' || !part.startsWith('0'));
  return parts.every(isByte) ? parts.map(Number) : null;
}

function readSix(text: string): number[] | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const before = groupsOf(halves[0]!, halves.length === 1);
  const after = halves.length === 2 ? groupsOf(halves[1]!, true) : [];
  if (before === null || after === null) return null;
  const known = before.length + after.length;
  if (halves.length === 1) return known === 16 ? before : null;
  // `::` stands for one group at least.
  return known <= 14 ? [...before, ...new Array<number>(16 - known).fill(0), ...after] : null;
}

/** Bytes of groups; the last may be an IPv4 address where the text ends with it. */
function groupsOf(text: string, mayEndWithFour: boolean): number[] | null {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    const four = mayEndWithFour && index === groups.length - 1 ? readFour(group) : null;
    if (four !== null) bytes.push(...four);
    else if (consistsOf(group, HEX) && group.length <= 4)
      bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255);
    else return null;
  }
  return bytes;
}

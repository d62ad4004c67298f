/**
 * An IP address. An IPv4-mapped IPv6 address (`::ffff:1.2.3.4`, however it is written) is the IPv4 address: sockets
 * that listen on both families report IPv4 clients that way.
 *
 * @see RFC 4291, section 2.5.5.2
 */
export interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

/** A network, or a single address when `prefixLength` equals `bits`. All bits behind the prefix are 0. */
export interface Cidr extends Address {
  readonly prefixLength: number;
}

const MAPPED_NETWORK = 0xffffn;
const MAPPED_PREFIX_LENGTH = 96;
const MAX_ADDRESS_CHARACTERS = 45;
/** An address, a zone, a port and what is around them. */
const MAX_WRITTEN_CHARACTERS = 128;
const QUOTES = /^(?:"([^"]*)"|([^"]*))$/;
/** `[IPv6%zone]:port`, `IPv4:port` or `IPv6%zone`; zone and port may be missing, a port may be obfuscated. */
const BRACKETED = /^\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(?:%[\w.~-]+)?\](?::(?:\d{1,5}|_[\w.-]+))?$/;
const WITH_PORT = /^([\d.]+):(?:\d{1,5}|_[\w.-]+)$/;
const WITH_ZONE = /^([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)%[\w.~-]+$/;
/** 0n to 128n: asked for on every call of a key with an address list, where making them would show. */
const HOST_BITS: readonly bigint[] = Array.from({ length: 129 }, (_, bits) => BigInt(bits));
const DOT = 0x2e;
const ZERO = 0x30;
const V4_PART = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const V4 = `(?:${V4_PART}\\.){3}${V4_PART}`;
const V6_GROUP = '[0-9a-fA-F]{1,4}';
/** What `isIPv4` and `isIPv6` of Node.js accept, for browsers as well; a test compares the two. */
const IPV4 = new RegExp(`^${V4}$`);
const IPV6 = new RegExp(
  `^(?:(?:${V6_GROUP}:){7}(?:${V6_GROUP}|:)|` +
    `(?:${V6_GROUP}:){6}(?:${V4}|:${V6_GROUP}|:)|` +
    [5, 4, 3, 2, 1]
      .map((groups) => {
        const rest = `(?::${V6_GROUP}){1,${7 - groups}}`;
        return `(?:${V6_GROUP}:){${groups}}(?:(?::${V6_GROUP}){0,${5 - groups}}:${V4}|${rest}|:)|`;
      })
      .join('') +
    `:(?:(?::${V6_GROUP}){0,5}:${V4}|(?::${V6_GROUP}){1,7}|:))$`,
);
const PREFIX_LENGTH_SHAPE = /^(?:0|[1-9]\d{0,2})$/;

/**
 * Reads one address, strictly: four decimal parts without leading zeros, or IPv6 text. No short forms (`1.2.3`), no
 * octal or hexadecimal parts, no zone, brackets, port or surrounding space. Anything else is null.
 * `::1.2.3.4`, long deprecated, is an IPv6 address and not the IPv4 one.
 */
export function parseAddress(text: string): Address | null {
  if (text.length > MAX_ADDRESS_CHARACTERS || text.includes('%')) return null;
  if (IPV4.test(text)) return { bits: 32, value: ipv4Value(text) };
  if (!IPV6.test(text)) return null;
  const value = ipv6Value(text);
  return value >> 32n === MAPPED_NETWORK ? { bits: 32, value: value & 0xffff_ffffn } : { bits: 128, value };
}

/**
 * The address in what proxies and frameworks make of one: with a port (`203.0.113.7:443`), brackets
 * (`[2001:db8::5]:443`),
 * a zone (`fe80::1%eth0`), the quotes of `Forwarded`, blanks around it. null where there is none: the address is then
 * unknown. Never throws.
 *
 * @see RFC 7239, section 6, and RFC 4007, section 11
 */
export function addressIn(text: string): Address | null {
  const plain = parseAddress(text);
  if (plain !== null || text.length > MAX_WRITTEN_CHARACTERS) return plain;
  const [, quoted, bare] = QUOTES.exec(trimBlanks(text)) ?? [];
  const written = quoted ?? bare ?? '';
  const [, address] = BRACKETED.exec(written) ?? WITH_PORT.exec(written) ?? WITH_ZONE.exec(written) ?? [];
  return parseAddress(address ?? written);
}

/** Reads an address or a network; null where {@link cidrProblem} has something to say. */
export function parseCidr(text: string): Cidr | null {
  const result = readCidr(text);
  return typeof result === 'string' ? null : result;
}

/** What is wrong with an address or network, as the end of a sentence that begins with its name; null if nothing is. */
export function cidrProblem(text: string): string | null {
  const result = readCidr(text);
  return typeof result === 'string' ? result : null;
}

/** The one text of an address: RFC 5952 for IPv6, four decimal parts for IPv4 and what is mapped to it. */
export function formatAddress(address: Address): string {
  return address.bits === 32 ? ipv4Text(address.value) : ipv6Text(address.value);
}

/** The one text of a network; a single address is written without a prefix length. Equal networks have equal texts. */
export function formatCidr(cidr: Cidr): string {
  const text = formatAddress(cidr);
  return cidr.prefixLength === cidr.bits ? text : `${text}/${cidr.prefixLength}`;
}

/**
 * Whether every address of `inner` is one of `outer`. The families never mix: `::/0` contains no IPv4 address,
 * not even a mapped one, because that is an IPv4 address here.
 */
export function contains(outer: Cidr, inner: Cidr): boolean {
  return inner.prefixLength >= outer.prefixLength && includes(outer, inner);
}

/** Whether an entry includes the address. An empty list includes nothing: what "no list" means is the caller's rule. */
export function matches(entries: readonly Cidr[], address: Address): boolean {
  return entries.some((entry) => includes(entry, address));
}

/**
 * The address of the client behind trusted proxies, in its one text; null where it is unknown. Starting from the peer
 * of the connection, it takes the next entry of `X-Forwarded-For` from the right as long as the hop that reported it is
 * trusted, so that nothing a client writes into the header is believed. A trusted proxy that names no client, or
 * something that is no address, leaves the client unknown: an address inside of `trusted` is never a client's, so that
 * a key that is allowed from the network of the proxies is not allowed from everywhere. Only as much of the header is
 * read as there are trusted hops.
 *
 * @param remote the peer of the connection; no address, as with a Unix socket, is unknown.
 * @param forwardedFor the header's value, several headers joined by commas in their order.
 */
export function clientAddress(
  remote: string,
  forwardedFor: string | undefined,
  trusted: readonly Cidr[],
): string | null {
  let client = addressIn(remote);
  let rest = forwardedFor;
  while (client !== null && matches(trusted, client)) {
    if (rest === undefined) return null;
    const comma = rest.lastIndexOf(',');
    client = addressIn(rest.slice(comma + 1));
    rest = comma === -1 ? undefined : rest.slice(0, comma);
  }
  return client === null ? null : formatAddress(client);
}

function includes(network: Cidr, address: Address): boolean {
  return (
    network.bits === address.bits &&
    (network.value ^ address.value) >> HOST_BITS[network.bits - network.prefixLength]! === 0n
  );
}

function readCidr(text: string): Cidr | string {
  const slash = text.indexOf('/');
  const address = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (address === null) return 'must be an IPv4 or IPv6 address, or a network such as 10.0.0.0/8';
  if (slash === -1) return { ...address, prefixLength: address.bits };
  const isMapped = address.bits === 32 && text.includes(':');
  const prefixLength = readPrefixLength(text.slice(slash + 1), isMapped ? MAPPED_PREFIX_LENGTH : 0, address.bits);
  if (prefixLength === null) return prefixProblem(address.bits, isMapped);
  const network = { ...address, value: address.value & ~hostMask(address.bits, prefixLength), prefixLength };
  if (network.value === address.value) return network;
  return `has host bits; ${formatCidr(network)}?`;
}

function readPrefixLength(digits: string, offset: number, bits: number): number | null {
  if (!PREFIX_LENGTH_SHAPE.test(digits)) return null;
  const prefixLength = Number(digits) - offset;
  return prefixLength >= 0 && prefixLength <= bits ? prefixLength : null;
}

function prefixProblem(bits: number, isMapped: boolean): string {
  if (isMapped) return 'must have a prefix length from 96 to 128, being an IPv4 address written as IPv6';
  return `must have a prefix length from 0 to ${bits}`;
}

function hostMask(bits: number, prefixLength: number): bigint {
  return (1n << BigInt(bits - prefixLength)) - 1n;
}

/** Of a text that is known to be IPv4; in numbers, and once in a bigint, for the same reason. */
function ipv4Value(text: string): bigint {
  let value = 0;
  let part = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      value = value * 256 + part;
      part = 0;
    } else {
      part = part * 10 + code - ZERO;
    }
  }
  return BigInt(value * 256 + part);
}

/** Of a text that is known to be IPv6 without a zone. */
function ipv6Value(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const before = ipv6Groups(head);
  if (tail === undefined) return joinGroups(before);
  const after = ipv6Groups(tail);
  return joinGroups([...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0n), ...after]);
}

function ipv6Groups(text: string): bigint[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [BigInt(`0x${group}`)];
    const value = ipv4Value(group);
    return [value >> 16n, value & 0xffffn];
  });
}

function joinGroups(groups: readonly bigint[]): bigint {
  return groups.reduce((value, group) => (value << 16n) | group, 0n);
}

function ipv4Text(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 0xffn).toString()).join('.');
}

/** Lower case, no leading zeros, the first of the longest runs of two or more zero groups shortened to `::`. */
function ipv6Text(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  const run = longestZeroRun(groups);
  if (run.length < 2) return groups.join(':');
  return `${groups.slice(0, run.start).join(':')}::${groups.slice(run.start + run.length).join(':')}`;
}

function longestZeroRun(groups: readonly string[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== '0') start = index + 1;
    else if (index + 1 - start > longest.length) longest = { start, length: index + 1 - start };
  }
  return longest;
}

/** Without the optional white space of HTTP, which is nothing but spaces and tabs. */
function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charAt(start))) start += 1;
  while (end > start && isBlank(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(character: string): boolean {
  return character === ' ' || character === '\t';
}

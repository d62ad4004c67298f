import { type Address, type Cidr, addressIn, formatCidr } from '../../packages/contract/src/address.js';

/** One network that a client belongs to. */
export interface ClientNetwork {
  /** Its one text. */
  readonly network: string;
  /** How many times as much as a single host its clients may do together. */
  readonly share: number;
}

/** What one customer may hold, the narrowest first; IPv6 begins with what a single host gets. */
const NETWORKS = {
  32: [
    { prefixLength: 32, share: 1 },
    { prefixLength: 24, share: 4 },
  ],
  128: [
    { prefixLength: 64, share: 1 },
    { prefixLength: 56, share: 2 },
    { prefixLength: 48, share: 4 },
  ],
} as const;

/** `64:ff9b::/96`: an IPv4 address that a translator has written as IPv6. @see RFC 6052 */
const TRANSLATED = 0x0064_ff9b_0000_0000_0000_0000n;

/** Clients whose address is not known: they are one. */
const UNKNOWN: readonly ClientNetwork[] = [{ network: 'unknown', share: 1 }];

/**
 * The networks that an address belongs to, the narrowest first: the address and its /24 (IPv4), or its /64, /56 and /48
 * (IPv6). A limit that counts single IPv6 addresses counts nothing: a customer gets 2^64 of them at least, and often a
 * /56 or a /48.
 *
 * @see RFC 6177
 */
export function networksOf(ip: string | null): readonly ClientNetwork[] {
  const address = ip === null ? null : ipv4Within(addressIn(ip));
  if (address === null) return UNKNOWN;
  return NETWORKS[address.bits].map(({ prefixLength, share }) => ({
    network: formatCidr(networkOf(address, prefixLength)),
    share,
  }));
}

function networkOf({ bits, value }: Address, prefixLength: number): Cidr {
  const hostBits = BigInt(bits - prefixLength);
  return { bits, value: (value >> hostBits) << hostBits, prefixLength };
}

function ipv4Within(address: Address | null): Address | null {
  if (address === null || address.bits === 32 || address.value >> 32n !== TRANSLATED) return address;
  return { bits: 32, value: address.value & 0xffff_ffffn };
}

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { ADDRESS_FORMS } from '../../../test/support/address-forms.js';
import {
  addressIn,
  cidrProblem,
  clientAddress,
  contains,
  formatAddress,
  formatCidr,
  matches,
  parseAddress,
  parseCidr,
  type Address,
  type Cidr,
} from './address.js';

const address = (text: string): Address => {
  const result = parseAddress(text);
  if (result === null) throw new Error(`${text} is no address`);
  return result;
};
const cidr = (text: string): Cidr => {
  const result = parseCidr(text);
  if (result === null) throw new Error(`${text} is no network`);
  return result;
};

const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6();
const networks = fc
  .oneof(
    fc.record({ bits: fc.constant(32 as const), value: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }) }),
    // Few distinct high bits, so that networks overlap often enough to say something.
    fc.record({ bits: fc.constant(32 as const), value: fc.bigInt({ min: 0n, max: 15n }).map((n) => n << 28n) }),
    fc.record({ bits: fc.constant(128 as const), value: fc.bigInt({ min: 2n ** 64n, max: 2n ** 128n - 1n }) }),
  )
  .chain(({ bits, value }) =>
    fc.integer({ min: 0, max: bits }).map((prefixLength): Cidr => {
      const hostBits = BigInt(bits - prefixLength);
      return { bits, value: (value >> hostBits) << hostBits, prefixLength };
    }),
  );
const lastOf = ({ bits, value, prefixLength }: Cidr): Address => ({
  bits,
  value: value | ((1n << BigInt(bits - prefixLength)) - 1n),
});

describe('parseAddress', () => {
  it.each([
    ['0.0.0.0', '0.0.0.0'],
    ['1.2.3.4', '1.2.3.4'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8::A', '2001:db8::a'],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:1.2.3.4', '1.2.3.4'],
    ['::ffff:102:304', '1.2.3.4'],
    ['0:0:0:0:0:ffff:1.2.3.4', '1.2.3.4'],
    ['::1.2.3.4', '::102:304'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['::fffe:1.2.3.4', '::fffe:102:304'],
    ['ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ])('reads %s as %s', (text, canonical) => {
    expect(formatAddress(address(text))).toBe(canonical);
  });

  it.each([
    '',
    ' ',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '010.0.0.1',
    '1.2.3.04',
    '00.0.0.0',
    '0x1.2.3.4',
    '256.1.1.1',
    '1.2.3.-4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3.4\0',
    '1.2.3.4/32',
    '1.2.3.4:80',
    '16909060',
    '１.2.3.4',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2:3:4:5:6:7:8',
    '12345::',
    'g::',
    '[::1]',
    'fe80::1%eth0',
    'fe80::1%1',
    '::ffff:1.2.3',
    '::ffff:010.0.0.1',
    '::ffff:1.2.3.4:5',
    '1.2.3.4::',
    'localhost',
    '::'.repeat(40),
  ])('refuses %j', (text) => {
    expect(parseAddress(text)).toBeNull();
    expect(parseCidr(`${text}/8`)).toBeNull();
  });

  it('agrees with an independent reader on every address, and so does its text', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (text) => {
        // ipaddr.js takes the long deprecated `::1.2.3.4` for a mapped address; RFC 4291 does not.
        fc.pre(!/^::[^:]+\./.test(text));
        const other = ipaddr.process(text);
        const expected = other instanceof ipaddr.IPv6 ? other.toRFC5952String() : other.toString();
        expect(formatAddress(address(text))).toBe(expected);
        expect(address(expected)).toEqual(address(text));
      }),
      { numRuns: 2000 },
    );
  });

  it('reads an IPv4 address mapped to IPv6, however written, as the IPv4 address', () => {
    fc.assert(
      fc.property(ipv4, (text) => {
        const hex = address(text).value.toString(16).padStart(8, '0');
        for (const mapped of [`::ffff:${text}`, `0::FFFF:${hex.slice(0, 4)}:${hex.slice(4)}`]) {
          expect(address(mapped)).toEqual(address(text));
        }
      }),
    );
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:./%]{0,50}$/)), (text) => {
        const result = parseCidr(text);
        expect(result === null).toBe(cidrProblem(text) !== null);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('parseCidr', () => {
  it.each([
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3/32', '10.1.2.3'],
    ['255.255.255.254/31', '255.255.255.254/31'],
    ['::/0', '::/0'],
    ['::1/128', '::1'],
    ['2001:DB8:0::/48', '2001:db8::/48'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    ['::ffff:10.1.2.3/128', '10.1.2.3'],
    ['::/96', '::/96'],
  ])('reads %s as %s', (text, canonical) => {
    expect(cidrProblem(text)).toBeNull();
    expect(formatCidr(cidr(text))).toBe(canonical);
  });

  it.each([
    ['10.0.0.1/8', 'has host bits; 10.0.0.0/8?'],
    ['10.1.2.3/0', 'has host bits; 0.0.0.0/0?'],
    ['::1/127', 'has host bits; ::/127?'],
    ['2001:db8::1/32', 'has host bits; 2001:db8::/32?'],
    ['::ffff:10.0.0.1/104', 'has host bits; 10.0.0.0/8?'],
    ['10.0.0.0/33', 'from 0 to 32'],
    ['::/129', 'from 0 to 128'],
    ['::ffff:10.0.0.0/8', 'from 96 to 128'],
    ['::ffff:10.0.0.0/129', 'from 96 to 128'],
    ['10.0.0.0/', 'from 0 to 32'],
    ['10.0.0.0/08', 'from 0 to 32'],
    ['10.0.0.0/+8', 'from 0 to 32'],
    ['10.0.0.0/-1', 'from 0 to 32'],
    ['10.0.0.0/8 ', 'from 0 to 32'],
    ['10.0.0.0/8.0', 'from 0 to 32'],
    ['10.0.0.0/1e1', 'from 0 to 32'],
    ['10.0.0.0/0x8', 'from 0 to 32'],
    ['10.0.0.0/255.0.0.0', 'from 0 to 32'],
    ['10.0.0.0/8/8', 'from 0 to 32'],
    ['10.0.0.0/99999999999999999999', 'from 0 to 32'],
    ['/8', 'must be an IPv4 or IPv6 address'],
    ['10/8', 'must be an IPv4 or IPv6 address'],
    ['1.2.3', 'must be an IPv4 or IPv6 address'],
    ['010.0.0.0/8', 'must be an IPv4 or IPv6 address'],
    ['fe80::%eth0/64', 'must be an IPv4 or IPv6 address'],
    ['*', 'must be an IPv4 or IPv6 address'],
  ])('refuses %j: %s', (text, problem) => {
    expect(parseCidr(text)).toBeNull();
    expect(cidrProblem(text)).toContain(problem);
  });

  it('reads the text it writes as the same network', () => {
    fc.assert(
      fc.property(networks, (network) => {
        fc.pre(network.value >> 32n !== 0xffffn);
        expect(cidr(formatCidr(network))).toEqual(network);
      }),
      { numRuns: 1000 },
    );
  });

  it('refuses a network as soon as one bit behind its prefix is set', () => {
    fc.assert(
      fc.property(networks, fc.nat(), (network, seed) => {
        const hostBits = network.bits - network.prefixLength;
        fc.pre(hostBits > 0);
        const value = network.value | (1n << BigInt(seed % hostBits));
        const text = `${formatAddress({ bits: network.bits, value })}/${network.prefixLength}`;
        expect(cidrProblem(text)).toContain(`has host bits; ${formatCidr(network)}?`);
      }),
    );
  });
});

describe('contains', () => {
  it.each([
    ['10.0.0.0/8', '10.1.0.0/16', true],
    ['10.0.0.0/8', '10.0.0.0/8', true],
    ['10.0.0.0/8', '10.0.0.1', true],
    ['10.0.0.0/8', '0.0.0.0/0', false],
    ['10.0.0.0/8', '11.0.0.0/16', false],
    ['10.1.0.0/16', '10.0.0.0/8', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['::/0', '2001:db8::/32', true],
    ['::/0', '10.0.0.0/8', false],
    ['0.0.0.0/0', '::/0', false],
    ['::/0', '::ffff:10.0.0.1', false],
    ['10.0.0.0/8', '::ffff:10.0.0.1', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['1.2.3.4', '1.2.3.4', true],
    ['1.2.3.4', '1.2.3.5', false],
  ])('says whether %s contains %s: %p', (outer, inner, expected) => {
    expect(contains(cidr(outer), cidr(inner))).toBe(expected);
  });

  it('is the inclusion of the first and the last address', () => {
    fc.assert(
      fc.property(networks, networks, (outer, inner) => {
        const includesEnds = matches([outer], inner) && matches([outer], lastOf(inner));
        expect(contains(outer, inner)).toBe(includesEnds);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('matches', () => {
  it.each([
    [['10.0.0.0/8'], '10.255.255.255', true],
    [['10.0.0.0/8'], '11.0.0.0', false],
    [['10.0.0.0/8'], '::ffff:10.0.0.1', true],
    [['::ffff:10.0.0.0/104'], '10.0.0.1', true],
    [['1.2.3.4', '2001:db8::/32'], '2001:db8::1', true],
    [['1.2.3.4', '2001:db8::/32'], '1.2.3.5', false],
    [['0.0.0.0/0'], '::1', false],
    [['::/0'], '1.2.3.4', false],
    [['::/96'], '::102:304', true],
    [['::/96'], '1.2.3.4', false],
    [[], '1.2.3.4', false],
  ])('with %j says of %s: %p', (entries, text, expected) => {
    expect(matches(entries.map(cidr), address(text))).toBe(expected);
  });

  it('holds exactly between the first and the last address of a network', () => {
    fc.assert(
      fc.property(networks, fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), (network, seed) => {
        const value = seed % 2n ** BigInt(network.bits);
        const expected = value >= network.value && value <= lastOf(network).value;
        expect(matches([network], { bits: network.bits, value })).toBe(expected);
        expect(matches([network], lastOf(network))).toBe(true);
      }),
    );
  });
});

describe('clientAddress', () => {
  const trusted = ['10.0.0.0/8', '2001:db8:1::/48', '127.0.0.1'].map(cidr);

  it.each([
    ['no header', '10.0.0.1', undefined, null],
    ['an untrusted peer, whatever it claims', '1.2.3.4', '5.6.7.8', '1.2.3.4'],
    ['one trusted hop', '10.0.0.1', '5.6.7.8', '5.6.7.8'],
    ['a claim of the client in front', '10.0.0.1', '9.9.9.9, 5.6.7.8', '5.6.7.8'],
    ['two trusted hops', '10.0.0.1', '9.9.9.9, 5.6.7.8, 10.0.0.2', '5.6.7.8'],
    ['trusted hops only', '10.0.0.1', '10.0.0.3, 10.0.0.2', null],
    ['a trusted address claimed by the client', '10.0.0.1', '127.0.0.1, 5.6.7.8', '5.6.7.8'],
    ['a mapped peer', '::ffff:10.0.0.1', '5.6.7.8', '5.6.7.8'],
    ['a mapped hop', '10.0.0.1', '5.6.7.8, ::ffff:10.0.0.2', '5.6.7.8'],
    ['IPv6', '2001:db8:1::5', '2001:DB8:2::0:1', '2001:db8:2::1'],
    ['blanks and tabs', '10.0.0.1', ' \t5.6.7.8\t ,\t10.0.0.2 ', '5.6.7.8'],
    ['an empty header', '10.0.0.1', '', null],
    ['an empty last entry', '10.0.0.1', '5.6.7.8,', null],
    ['an empty entry in between', '10.0.0.1', '5.6.7.8,,10.0.0.2', null],
    ['a word', '10.0.0.1', '5.6.7.8, unknown', null],
    ['a port', '10.0.0.1', '5.6.7.8:1234', '5.6.7.8'],
    ['brackets and a port', '10.0.0.1', '[2001:db8::1]:443', '2001:db8::1'],
    ['a zone', '10.0.0.1', 'fe80::1%eth0', 'fe80::1'],
    ['octal', '10.0.0.1', '010.0.0.5', null],
    ['malformed text beyond the client', '10.0.0.1', 'garbage, 5.6.7.8', '5.6.7.8'],
    ['malformed text behind a trusted hop', '10.0.0.1', '5.6.7.8, x, 10.0.0.2', null],
    ['a space of another kind', '10.0.0.1', '5.6.7.8\u00a0', null],
    ['a zone in the peer', 'fe80::1%eth0', '5.6.7.8', 'fe80::1'],
    ['no peer address', '', '5.6.7.8', null],
  ])('with %s', (_, remote, header, expected) => {
    expect(clientAddress(remote, header, trusted)).toBe(expected);
  });

  it('trusts nobody without a list', () => {
    expect(clientAddress('10.0.0.1', '5.6.7.8', [])).toBe('10.0.0.1');
  });

  it('cannot be steered by what stands left of the address that a trusted hop reported', () => {
    const outside = ipv4.filter((text) => !matches(trusted, address(text)));
    fc.assert(
      fc.property(fc.string(), outside, fc.array(fc.constantFrom('10.0.0.2', '127.0.0.1')), (claimed, client, hops) => {
        expect(clientAddress('10.0.0.1', [claimed, client, ...hops].join(', '), trusted)).toBe(client);
      }),
    );
  });

  it('is never the address of a proxy, whatever they all say', () => {
    const said = fc.oneof(
      fc.constantFrom('10.0.0.2', '127.0.0.1', '2001:db8:1::9', '::ffff:10.9.9.9', '', 'x', 'unknown'),
      ipv4,
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(said), (chain) => {
        const client = clientAddress('10.0.0.1', chain.length === 0 ? undefined : chain.join(','), trusted);
        expect(client !== null && matches(trusted, address(client))).toBe(false);
      }),
    );
  });

  it('comes to its end with a huge header', () => {
    expect(clientAddress('10.0.0.1', `x${' '.repeat(200_000)}x`, trusted)).toBeNull();
    expect(clientAddress('10.0.0.1', '10.0.0.1,'.repeat(20_000) + '10.0.0.9', trusted)).toBeNull();
  });
});

describe('addressIn', () => {
  it.each(ADDRESS_FORMS)('reads %j as %j', (written, address) => {
    const read = addressIn(written);
    expect(read === null ? null : formatAddress(read)).toBe(address);
  });

  it('never throws, and finds in every address with a port that very address', () => {
    fc.assert(fc.property(fc.string({ maxLength: 140 }), (text) => void addressIn(text)));
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), fc.nat(65_535), (v4, v6, port) => {
        expect(addressIn(`${v4}:${port}`)).toEqual(parseAddress(v4));
        expect(addressIn(`[${v6}]:${port}`)).toEqual(parseAddress(v6));
      }),
    );
  });
});

describe('parseAddress', () => {
  it('takes what Node.js takes for an address, and nothing else', () => {
    const groups = fc.array(fc.constantFrom('0', 'ffff', '1a', '12345', 'g', '', '1.2.3.4', '01.2.3.4', '256.1.1.1'), {
      maxLength: 10,
    });
    const written = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      groups.map((parts) => parts.join(':')),
      groups.map((parts) => parts.join('.')),
      fc.string({ unit: fc.constantFrom(...'0123456789abcf:./%'), maxLength: 20 }),
    );
    let addresses = 0;
    fc.assert(
      fc.property(written, (text) => {
        const isAddress = isIPv4(text) || (isIPv6(text) && !text.includes('%'));
        if (isAddress) addresses += 1;
        expect(parseAddress(text) !== null).toBe(isAddress);
      }),
      { numRuns: 3000 },
    );
    expect(addresses).toBeGreaterThan(300);
  });
});

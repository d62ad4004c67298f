import { describe, expect, it } from '@jest/globals';
import { networksOf } from './address-networks.js';

describe('networksOf', () => {
  it.each([
    ['198.51.100.7', ['198.51.100.7', '198.51.100.0/24']],
    ['::ffff:198.51.100.7', ['198.51.100.7', '198.51.100.0/24']],
    ['64:ff9b::198.51.100.7', ['198.51.100.7', '198.51.100.0/24']],
    ['2001:db8:1:23ab::5', ['2001:db8:1:23ab::/64', '2001:db8:1:2300::/56', '2001:db8:1::/48']],
    ['[2001:db8:1:23ab::5]:443', ['2001:db8:1:23ab::/64', '2001:db8:1:2300::/56', '2001:db8:1::/48']],
    ['unknown', ['unknown']],
    [null, ['unknown']],
  ])('gives the networks of %s', (ip, networks) => {
    expect(networksOf(ip).map(({ network }) => network)).toEqual(networks);
  });

  it('gives the whole /64, /56 and /48 of one customer the same networks', () => {
    const ofCustomer = Array.from({ length: 256 }, (_, index) =>
      networksOf(`2001:db8:7:${(0x1200 + index).toString(16)}::1`).map(({ network }) => network),
    );
    expect(new Set(ofCustomer.map(([host]) => host)).size).toBe(256);
    expect(new Set(ofCustomer.map(([, customer]) => customer)).size).toBe(1);
    expect(new Set(ofCustomer.map(([, , site]) => site)).size).toBe(1);
  });

  it('gives wider networks more than one host, and less than all their hosts', () => {
    expect(networksOf('198.51.100.7').map(({ share }) => share)).toEqual([1, 4]);
    expect(networksOf('2001:db8::1').map(({ share }) => share)).toEqual([1, 2, 4]);
  });
});

import ipaddr from 'ipaddr.js';

/** What is wrong with an address or network as the server sees it; null if nothing is. The server has the last word. */
export function addressProblem(text: string): string | null {
  const [address = '', prefix, ...rest] = text.split('/');
  if (rest.length > 0 || !isAddress(address)) return 'is neither an address nor a network such as 10.0.0.0/8';
  if (prefix === undefined) return null;
  const bits = address.includes(':') ? 128 : 32;
  if (!/^(0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > bits) return `needs a prefix length from 0 to ${bits}`;
  const network = networkOf(text);
  if (network === address || ipaddr.parse(network).toString() === ipaddr.parse(address).toString()) return null;
  return `has bits set behind its prefix; the network is ${network}/${prefix}`;
}

function isAddress(text: string): boolean {
  if (text.includes(':')) return !text.includes('%') && ipaddr.IPv6.isValid(text);
  return ipaddr.IPv4.isValidFourPartDecimal(text) && text.split('.').every((part) => part === String(Number(part)));
}

function networkOf(cidr: string): string {
  return cidr.includes(':')
    ? ipaddr.IPv6.networkAddressFromCIDR(cidr).toString()
    : ipaddr.IPv4.networkAddressFromCIDR(cidr).toString();
}

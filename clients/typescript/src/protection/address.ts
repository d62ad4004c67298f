import { isIP } from 'node:net';

/** `[IPv6%zone]:port`, `IPv4:port` or `IPv6%zone`; zone and port may be missing, a port may be obfuscated. */
const BRACKETED = /^\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(?:%[\w.~-]+)?\](?::(?:\d{1,5}|_[\w.-]+))?$/;
const WITH_PORT = /^([\d.]+):(?:\d{1,5}|_[\w.-]+)$/;
const WITH_ZONE = /^([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)%[\w.~-]+$/;
const QUOTES = /^(?:"([^"]*)"|([^"]*))$/;
const MAX_CHARACTERS = 128;

/**
 * The address in what a proxy or a framework makes of one: with a port, brackets, a zone, quotes, blanks around it.
 * undefined where there is none: the address is then unknown, which only a key with a list of addresses minds. The
 * server
 * reads the same forms.
 */
export function addressIn(text: string | undefined): string | undefined {
  if (typeof text !== 'string' || text.length > MAX_CHARACTERS) return undefined;
  const [, quoted, bare] = QUOTES.exec(text.replace(/^[ \t]+|[ \t]+$/g, '')) ?? [];
  const written = quoted ?? bare ?? '';
  const [, address] = BRACKETED.exec(written) ??
    WITH_PORT.exec(written) ??
    WITH_ZONE.exec(written) ?? [written, written];
  return address !== undefined && isIP(address) !== 0 && !address.includes('%') ? address : undefined;
}

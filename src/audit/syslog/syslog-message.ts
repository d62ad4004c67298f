import { hostname } from 'node:os';
import { lineWithoutPersonal } from '../copies/event-line.js';
import type { AuditedEvent } from '../stored-event.js';

/** Facility 13, "log audit". @see RFC 5424, section 6.2.1 */
const FACILITY = 13;
const SEVERITY = { success: 6, refused: 5 } as const;
/** The number that RFC 5612 keeps for examples: Latchkey has no enterprise number of its own. */
const STRUCTURED_DATA = 'latchkey@32473';
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;
const HOSTNAME = plain(hostname(), 255);

/**
 * An event of the trail as one syslog message (RFC 5424) behind its length in octets (RFC 6587, 3.4.1). Its text is the
 * line of a copy, in printable ASCII: receivers escape other characters, each in a way of its own.
 */
export function syslogMessage(event: AuditedEvent): Buffer {
  const { seq, at, action, outcome, chain } = event.record;
  const priority = FACILITY * 8 + (SEVERITY[outcome] ?? SEVERITY.refused);
  const head = `<${priority}>1 ${INSTANT.test(at) ? at : '-'} ${HOSTNAME} latchkey ${process.pid} ${plain(action, 32)}`;
  const data = `[${STRUCTURED_DATA} chain="${chain ?? 'changes'}" seq="${seq}" hash="${event.hash.toString('hex')}"]`;
  const message = `${head} ${data} ${ascii(lineWithoutPersonal(event).trimEnd())}`;
  return Buffer.from(`${message.length} ${message}`, 'latin1');
}

/** JSON that says the same in printable ASCII. */
function ascii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A field of the head: printable, without spaces, and not empty. */
function plain(text: string, maxLength: number): string {
  return text.replace(/[^\x21-\x7e]/g, '_').slice(0, maxLength) || '-';
}

import { AuditEventView } from '../audit-event.view.js';
import type { AuditedEvent } from '../stored-event.js';

/** An event as export and stream write it: one line of JSON with its line break. */
export function lineOf(event: AuditedEvent): string {
  return `${JSON.stringify(AuditEventView.from(event))}\n`;
}

/** The same as a file keeps it: what says who a person is stays where an erasure reaches it. No check needs it. */
export function lineWithoutPersonal({ openings: _, ...event }: AuditedEvent): string {
  return lineOf(event);
}

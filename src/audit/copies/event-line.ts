import { AuditEventView } from '../audit-event.view.js';
import type { AuditedEvent } from '../stored-event.js';

/** An event as export, stream and sinks write it: one line of JSON with its line break. */
export function lineOf(event: AuditedEvent): string {
  return `${JSON.stringify(AuditEventView.from(event))}\n`;
}

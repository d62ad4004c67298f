import type { OutgoingHttpHeader } from 'node:http';
import type { AnswerHeaders } from '../security-headers.js';

export const JSON_TYPE = 'application/json; charset=utf-8';

/**
 * The headers of a 200 with JSON, as Node takes them in a row: names and values in turn. One list for all answers of a
 * route, because Node has read it when `writeHead` returns.
 */
export class JsonHead {
  private readonly fields: OutgoingHttpHeader[];

  constructor(headers: AnswerHeaders) {
    const all = { ...headers, 'x-request-id': '', 'content-type': JSON_TYPE, 'content-length': '' };
    this.fields = Object.entries(all).flat();
  }

  /** Good until the next call. */
  of(requestId: string, bytes: number): OutgoingHttpHeader[] {
    const { fields } = this;
    fields[fields.length - 5] = requestId;
    fields[fields.length - 1] = String(bytes);
    return fields;
  }
}

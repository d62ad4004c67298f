import { type Span, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { Client } from 'pg';
import { openSpan } from './active-span.js';
import { statementName } from './statement-name.js';

type Query = (this: Client, ...args: unknown[]) => unknown;
type Answered = (error: Error | null, result?: unknown) => void;

let isPatched = false;

/**
 * Makes spans of the statements that a recorded request or work sends, on every connection of this process. They have
 * the name of the statement and, where it failed, the SQLSTATE: neither its text nor its values.
 */
export function traceStatements(): void {
  if (isPatched) return;
  isPatched = true;
  const prototype = Client.prototype as unknown as { query: Query };
  const { query } = prototype;
  prototype.query = function (this: Client, ...args: unknown[]) {
    const active = openSpan();
    const name = active === undefined ? null : nameOf(args[0]);
    if (active === undefined || name === null) return query.apply(this, args);
    const attributes = { 'db.system.name': 'postgresql', 'db.query.summary': name };
    const span = active.tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, active.context);
    const last = args.at(-1);
    if (typeof last === 'function') {
      const answered: Answered = (error, result) => {
        end(span, error);
        (last as Answered)(error, result);
      };
      return query.apply(this, [...args.slice(0, -1), answered]);
    }
    const answer = query.apply(this, args);
    if (answer instanceof Promise)
      answer.then(
        () => end(span, null),
        (error: Error) => end(span, error),
      );
    else end(span, null);
    return answer;
  };
}

function nameOf(statement: unknown): string | null {
  if (typeof statement === 'string') return statementName(statement);
  const { name, text } = (statement ?? {}) as { name?: unknown; text?: unknown };
  if (typeof text !== 'string') return null;
  return typeof name === 'string' && name !== '' ? name : statementName(text);
}

function end(span: Span, error: Error | null): void {
  if (error) {
    const { code } = error as { code?: unknown };
    span.setStatus({ code: SpanStatusCode.ERROR });
    if (typeof code === 'string') span.setAttribute('db.response.status_code', code.slice(0, 16));
  }
  span.end();
}

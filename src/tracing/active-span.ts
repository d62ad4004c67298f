import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context, Tracer } from '@opentelemetry/api';

/** The span that what runs now is a part of. */
export interface ActiveSpan {
  readonly tracer: Tracer;
  readonly context: Context;
}

/** Of what runs now; nothing while no span is recorded. */
export const activeSpan = new AsyncLocalStorage<ActiveSpan>();

import { AsyncLocalStorage } from 'node:async_hooks';
import { type Context, trace, type Tracer } from '@opentelemetry/api';

/** The span that what runs now is a part of. */
export interface ActiveSpan {
  readonly tracer: Tracer;
  readonly context: Context;
}

/** Of what runs now; nothing while no span is recorded. Timers and events that it leaves behind keep it for ever. */
export const activeSpan = new AsyncLocalStorage<ActiveSpan>();

/** The span that what runs now is a part of; none once it has ended: what runs then is no longer a part of it. */
export function openSpan(): ActiveSpan | undefined {
  const active = activeSpan.getStore();
  return active !== undefined && trace.getSpan(active.context)?.isRecording() === true ? active : undefined;
}

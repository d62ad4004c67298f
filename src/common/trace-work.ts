/** Runs work, and shows it in traces. */
export type TraceWork = <T>(name: string, work: () => Promise<T>) => Promise<T>;

let trace: TraceWork | null = null;

/** Runs work that no request has to itself: statements of many requests together. `name` is of a small set. */
export function traceWork<T>(name: string, work: () => Promise<T>): Promise<T> {
  return trace === null ? work() : trace(name, work);
}

/** Sets what shows such work of this process; null: nothing does. */
export function setTraceWork(next: TraceWork | null): void {
  trace = next;
}

/**
 * Loaded into every replica: says on standard error when its event loop stood still for long, and whether it was busy
 * then or waited for a processor. A time that is missed on a busy machine is told apart from one that is our own.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { performance } from 'node:perf_hooks';

const LOOK_MS = 50;
const LONG_MS = 400;

/** Milliseconds this thread has run, and has waited for a processor; Linux only. */
function times() {
  try {
    const [ran, waited] = readFileSync('/proc/self/schedstat', 'utf8')
      .split(' ')
      .map((text) => Number(text) / 1e6);
    return { ran, waited };
  } catch {
    return { ran: 0, waited: 0 };
  }
}

let last = performance.now();
let before = times();
setInterval(() => {
  const now = performance.now();
  if (now - last > LONG_MS) {
    const { ran, waited } = times();
    const text = `${Math.round(now - last)} ms, ran ${Math.round(ran - before.ran)}, waited for a processor ${Math.round(waited - before.waited)}`;
    process.stderr.write(`STALL ${new Date().toISOString()} ${text}\n`);
  }
  last = performance.now();
  before = times();
}, LOOK_MS).unref();

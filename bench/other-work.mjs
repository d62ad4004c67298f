/**
 * What others do with the machine while the bench measures: processor time of the machine less that of this process and
 * all that it has started. The load average cannot tell the two apart: servers, PostgreSQL and loader of a bench raise
 * it by themselves.
 */
import { readFileSync, readdirSync } from 'node:fs';

/** Ticks of `/proc` in a second. */
const TICKS_PER_SECOND = 100;
const SAMPLE_SECONDS = 30;
/** Where others keep more than this of a processor busy for `SAMPLE_SECONDS`, no figure of the run counts. */
const MOST_OTHERS = 0.25;

/**
 * Ticks that the processors of the machine were busy for processes, by `/proc/stat`, with what its host took away.
 * Interrupts are left out: those of the bench's own connections are among them, and no process has them.
 */
export function busyTicks(stat) {
  const [user, nice, system, , , , , steal = 0] = stat
    .slice(0, stat.indexOf('\n'))
    .trim()
    .split(/ +/)
    .slice(1)
    .map(Number);
  return user + nice + system + steal;
}

/** A process by `/proc/<pid>/stat`; `ticks` are its own and those of its children that have ended. */
export function processOf(stat) {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { pid: Number.parseInt(stat, 10), parent: Number(fields[1]), ticks };
}

/** Ticks of a process and of all that descend from it, those that have ended among them. */
export function ticksOfTree(processes, pid) {
  const children = groupedByParent(processes);
  let sum = processes.find((one) => one.pid === pid)?.ticks ?? 0;
  for (const child of children.get(pid) ?? []) sum += ticksBelow(child, children);
  return sum;
}

function ticksBelow({ pid, ticks }, children) {
  return (children.get(pid) ?? []).reduce((sum, child) => sum + ticksBelow(child, children), ticks);
}

function groupedByParent(processes) {
  const groups = new Map();
  for (const one of processes) groups.set(one.parent, [...(groups.get(one.parent) ?? []), one]);
  return groups;
}

/** Processors that others kept busy between two readings. */
export function othersBetween(before, after) {
  const seconds = (after.atMs - before.atMs) / 1000;
  const ticks = after.busy - before.busy - (after.own - before.own);
  return Math.max(0, ticks / TICKS_PER_SECOND / seconds);
}

/** What the machine and the tree of this process have spent until now. */
function read() {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [processOf(readFileSync(`/proc/${name}/stat`, 'utf8'))];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
  const busy = busyTicks(readFileSync('/proc/stat', 'utf8'));
  return { atMs: performance.now(), busy, own: ticksOfTree(processes, process.pid) };
}

/** Watches what others do from its making until `end`. */
export class OtherWork {
  #first = read();
  #last = this.#first;
  #most = 0;
  #timer = setInterval(() => this.#sample(), SAMPLE_SECONDS * 1000).unref();

  /** Processors that others kept busy: on average, and in the busiest half a minute; and whether the run is void. */
  end() {
    clearInterval(this.#timer);
    // What is left is too short to be told apart from the time a reading takes.
    if (this.#last === this.#first || performance.now() - this.#last.atMs > 1_000) this.#sample();
    const mean = othersBetween(this.#first, this.#last);
    return { mean: rounded(mean), most: rounded(this.#most), isVoid: this.#most > MOST_OTHERS };
  }

  #sample() {
    const now = read();
    this.#most = Math.max(this.#most, othersBetween(this.#last, now));
    this.#last = now;
  }
}

/** What a run says of the work of others, and of the load average, which its own work raises as well. */
export function sentenceOf({ mean, most, isVoid }, load) {
  const busy = `others kept ${mean} of a processor busy, ${most} in the busiest ${SAMPLE_SECONDS} s; the load average was ${load.toFixed(1)}, own work included`;
  return isVoid ? `VOID: ${busy}. More than ${MOST_OTHERS} is too much.` : `The run counts: ${busy}.`;
}

function rounded(value) {
  return Math.round(value * 100) / 100;
}

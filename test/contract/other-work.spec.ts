import { describe, expect, it } from '@jest/globals';

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}
interface Reading {
  readonly atMs: number;
  readonly busy: number;
  readonly own: number;
}
const { busyTicks, othersBetween, processOf, sentenceOf, ticksOfTree } = (await import(
  new URL('../../bench/other-work.mjs', import.meta.url).href
)) as {
  busyTicks: (stat: string) => number;
  processOf: (stat: string) => Process;
  ticksOfTree: (processes: readonly Process[], pid: number) => number;
  othersBetween: (before: Reading, after: Reading) => number;
  sentenceOf: (others: { mean: number; most: number; isVoid: boolean }, load: number) => string;
};

/** Fields of `/proc/<pid>/stat` behind the flags: own time in user and system, and that of children that have ended. */
const statOf = (pid: number, name: string, parent: number, times: string) =>
  `${pid} (${name}) S ${parent} ${pid} ${pid} 0 -1 4194304 1 2 3 4 ${times} 20 0 1 0 100 0 0`;

describe('what a bench counts as the work of others', () => {
  it('reads the time of processes and what the host took, without idle time and interrupts', () => {
    expect(busyTicks('cpu  100 20 30 9000 400 50 60 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n')).toBe(157);
  });

  it('reads a process whose name has spaces and brackets, with its children that have ended', () => {
    const postgres = statOf(12, 'postgres: a (b) c', 7, '10 5 200 30');
    expect(processOf(postgres)).toEqual({ pid: 12, parent: 7, ticks: 245 });
  });

  it('counts its servers, their sessions and what has ended as its own', () => {
    const processes = [
      statOf(1, 'init', 0, '900 0 0 0'),
      statOf(7, 'node bench', 1, '10 0 40 0'),
      statOf(8, 'node server', 7, '100 20 0 0'),
      statOf(9, 'postgres', 7, '1 0 300 0'),
      statOf(10, 'postgres: session', 9, '50 0 0 0'),
      statOf(20, 'another build', 1, '700 0 0 0'),
    ].map(processOf);
    expect(ticksOfTree(processes, 7)).toBe(10 + 40 + 120 + 301 + 50);
  });

  it('gives the processors that others kept busy, whatever the bench itself does', () => {
    const before = { atMs: 0, busy: 1_000, own: 500 };
    expect(othersBetween(before, { atMs: 10_000, busy: 3_000, own: 2_500 })).toBe(0);
    expect(othersBetween(before, { atMs: 10_000, busy: 3_000, own: 1_500 })).toBe(1);
    // Two readings that are not of one instant.
    expect(othersBetween(before, { atMs: 10_000, busy: 3_000, own: 2_501 })).toBe(0);
  });

  it('tells of others and of the load average', () => {
    expect(sentenceOf({ mean: 0.02, most: 0.1, isVoid: false }, 3.84)).toMatch(
      /^The run counts: others kept 0\.02 .* 3\.8, own work included\.$/,
    );
    expect(sentenceOf({ mean: 0.3, most: 0.6, isVoid: true }, 3.84)).toMatch(/^VOID: others kept 0\.3 /);
  });
});

import { describe, expect, it } from '@jest/globals';
import { Lane, LaneFull, type Leave } from './lane.js';

const LIMITS = { running: 3, runningOfOne: 2, waitingOfOne: 5 };
const MAX_WAIT_MS = 60_000;

/** Enters for each party in order; tells who has got in, and lets them leave. */
function driven(lane: Lane) {
  const inside: { party: string; leave: Leave }[] = [];
  const enter = (party: string) => {
    const place = lane.enter(party, MAX_WAIT_MS);
    // Those that still wait when a test ends are refused a minute later, in the middle of another file's tests.
    if (place instanceof Promise)
      place.then(
        (leave) => inside.push({ party, leave }),
        () => undefined,
      );
    else inside.push({ party, leave: place });
  };
  const parties = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return inside.map(({ party }) => party).join('');
  };
  const leave = (party: string) =>
    inside
      .splice(
        inside.findIndex((one) => one.party === party),
        1,
      )[0]!
      .leave();
  return { enter, parties, leave };
}

describe('Lane', () => {
  it('lets one party have its share, and others the rest', async () => {
    const { enter, parties } = driven(new Lane(LIMITS));
    for (const party of 'aaaab') enter(party);
    expect(await parties()).toBe('aab');
  });

  it('lets those that wait take turns, whatever the backlog of one is', async () => {
    const lane = new Lane({ ...LIMITS, running: 1, runningOfOne: 1 });
    const { enter, parties, leave } = driven(lane);
    for (const party of 'xaaaabc') enter(party);
    const order: string[] = [];
    for (let turn = 0; turn < 7; turn += 1) {
      const party = await parties();
      order.push(party);
      leave(party);
    }
    expect(order.join('')).toBe('xabcaaa');
    expect(lane.size).toBe(0);
  });

  it('gives a place back once, also when it is given back twice', async () => {
    const lane = new Lane({ ...LIMITS, running: 1, runningOfOne: 1 });
    const leave = lane.enter('a', MAX_WAIT_MS) as Leave;
    leave();
    leave();
    const { enter, parties } = driven(lane);
    for (const party of 'ab') enter(party);
    expect(await parties()).toBe('a');
  });

  it('refuses what a party has waiting beyond its share, and nothing of another', async () => {
    const lane = new Lane({ running: 1, runningOfOne: 1, waitingOfOne: 1 });
    const leave = lane.enter('a', MAX_WAIT_MS) as Leave;
    const second = lane.enter('a', MAX_WAIT_MS);
    await expect(lane.enter('a', MAX_WAIT_MS)).rejects.toThrow(LaneFull);
    const other = lane.enter('b', MAX_WAIT_MS);
    leave();
    (await second)();
    (await other)();
  });

  it('refuses what has waited for too long, and goes on with the next', async () => {
    const lane = new Lane({ ...LIMITS, running: 1, runningOfOne: 1 });
    const leave = lane.enter('a', MAX_WAIT_MS) as Leave;
    await expect(lane.enter('b', 1)).rejects.toThrow(LaneFull);
    expect(lane.size).toBe(0);
    const other = lane.enter('c', MAX_WAIT_MS);
    leave();
    expect(await other).toBeInstanceOf(Function);
  });
});

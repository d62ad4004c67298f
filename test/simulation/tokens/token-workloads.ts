import type { TokenSimulation } from './token-simulation.js';

/**
 * What callers do. Random load finds wrong rules of refunds in one of many seeds; the others are directed at them: they
 * fill a window, give back at a chosen moment, and fill it again.
 */
export const WORKLOADS: Readonly<Record<string, (run: TokenSimulation) => Promise<void>>> = {
  /** Calls of all sizes, which report when they like. */
  'at random': async (run) => {
    await run.atRandom(110_000);
  },
  /** Hold all, settle at 0 at 50 s, fill again, ask at 62 s. */
  'settles at 0 and fills again': async (run) => {
    for (let times = 0; times < 2; times++) {
      const held = await run.fill();
      await run.pass(50_000 - run.random.between(0, 4_000));
      for (const call of held) run.end(call, 'settle', 0);
      await run.fill();
      await run.pass(9_000);
      for (let asks = 0; asks < 20; asks++) {
        await run.fill();
        await run.pass(500);
      }
      await run.pass(run.random.between(5_000, 70_000));
    }
  },
  /** Calls end before the lease is closed that they were drawn from. */
  'gives back before the close': async (run) => {
    for (let times = 0; times < 6; times++) {
      for (let calls = 0; calls < 60; calls++) {
        run.call(run.random.between(1, 30), (call) => {
          if (!run.random.chance(0.2)) run.end(call, run.random.chance(0.5) ? 'release' : 'settle', 0);
        });
        await run.pass(run.random.between(1, 40));
      }
      await run.pass(run.random.between(500, 4_000));
      await run.fill();
    }
  },
  /** A crash loses the grants of some calls, which end afterwards. */
  'crashes between grant and end': async (run) => {
    for (let times = 0; times < 3; times++) {
      const kept = await run.fill(run.random.between(30, 70) / 100);
      await run.pass(run.random.between(0, 900));
      run.flush();
      const lost = await run.fill(run.random.between(30, 70) / 100);
      run.crash();
      await run.pass(run.random.between(100, 1_500));
      for (const call of lost) run.end(call, 'settle', 0);
      await run.fill();
      for (const call of kept) run.end(call, 'settle', 0);
      await run.fill();
      await run.pass(run.random.between(10_000, 70_000));
    }
  },
  /** The clock steps back, and reaches later the buckets that it had been in. */
  'meets its past again': async (run) => {
    const backMs = run.random.between(20_000, 180_000);
    const early = await run.fill(0.5);
    run.stepBack(backMs);
    await run.pass(5_000);
    await run.fill();
    await run.pass(backMs - 6_000);
    for (let times = 0; times < 6; times++) {
      await run.fill();
      for (const call of early.splice(0, Math.ceil(early.length / 3))) run.end(call, 'settle', 0);
      await run.fill();
      await run.pass(1_000);
    }
  },
  /** Calls are released, and report all the same. */
  'reports after a release': async (run) => {
    for (let times = 0; times < 3; times++) {
      const held = await run.fill();
      await run.pass(run.random.between(100, 20_000));
      for (const call of held) run.end(call, 'release', 0);
      await run.pass(run.random.between(100, 2_000));
      for (const call of held) run.end(call, 'settle', run.random.pick([0, call.reserved, null]));
      for (let asks = 0; asks < 30; asks++) {
        await run.fill();
        await run.pass(2_000);
      }
    }
  },
  /** Reports say more than was reserved, up to more than can be counted. */
  'reports too much': async (run) => {
    for (let times = 0; times < 3; times++) {
      const held = await run.fill(0.5);
      await run.pass(run.random.between(100, 5_000));
      for (const call of held.slice(0, 4))
        run.end(call, 'settle', call.reserved + run.random.pick([1, 1_000, 1_500_000_000, 4_294_967_295]));
      await run.pass(1_600);
      for (let asks = 0; asks < 32; asks++) {
        await run.fill();
        await run.pass(2_000);
      }
    }
  },
  /** Calls that reserve nothing, beside others that do. */
  'reserves nothing': async (run) => {
    for (let times = 0; times < 3; times++) {
      for (let calls = 0; calls < 40; calls++) {
        run.call(0, (call) => run.end(call, 'settle', run.random.between(1, 2_000)));
        await run.pass(run.random.between(50, 1_500));
      }
      await run.fillUp();
      // Leases of that moment are over.
      await run.pass(1_500);
      await run.fillUp();
      await run.pass(1_200);
      for (let asks = 0; asks < 10; asks++) run.call(0, (call) => run.passedFull(call));
      await run.pass(10_000);
    }
  },
  /** Calls draw late from leases that are in use all the time. */
  'uses leases to their end': async (run) => {
    for (let times = 0; times < 2; times++) {
      for (let calls = 0; calls < 30; calls++) {
        run.callPart(100);
        await run.pass(10);
      }
      for (let waits = 0; waits < 24; waits++) {
        for (let calls = 0; calls < 9; calls++) run.callPart(10_000);
        await run.pass(300);
      }
      for (let calls = 0; calls < 30; calls++) run.callPart(100);
      await run.pass(55_000);
      for (let asks = 0; asks < 5; asks++) {
        await run.fill();
        await run.pass(500);
      }
    }
  },
};

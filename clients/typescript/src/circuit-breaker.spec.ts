import { beforeEach, describe, expect, it } from '@jest/globals';
import { FakeRuntime } from '../test/fake-runtime.js';
import { CircuitBreaker } from './circuit-breaker.js';

describe('the circuit breaker', () => {
  let runtime: FakeRuntime;
  let breaker: CircuitBreaker;

  beforeEach(() => {
    runtime = new FakeRuntime();
    runtime.luck = 0.5;
    breaker = new CircuitBreaker(runtime, { failures: 3, openMs: 1_000 });
  });

  const fail = (times: number) => {
    for (let time = 0; time < times; time += 1) breaker.enter()!.failed();
  };

  it('lets questions through until so many have failed in a row', () => {
    fail(2);
    breaker.enter()!.succeeded();
    fail(2);
    expect(breaker.enter()).not.toBeNull();
    fail(1);
    expect(breaker.enter()).toBeNull();
  });

  it('lets one question try after its time, and no second beside it', async () => {
    fail(3);
    await runtime.advance(999);
    expect(breaker.enter()).toBeNull();
    expect(breaker.waitMs).toBe(1);
    await runtime.advance(1);
    const trial = breaker.enter();
    expect(trial).not.toBeNull();
    expect(breaker.enter()).toBeNull();
    trial!.succeeded();
    expect(breaker.enter()).not.toBeNull();
  });

  it('opens anew when the try fails', async () => {
    fail(3);
    await runtime.advance(1_000);
    breaker.enter()!.failed();
    expect(breaker.enter()).toBeNull();
    await runtime.advance(1_000);
    expect(breaker.enter()).not.toBeNull();
  });

  it('lets another try when the one who tried gave up', async () => {
    fail(3);
    await runtime.advance(1_000);
    breaker.enter()!.abandoned();
    expect(breaker.enter()).not.toBeNull();
  });

  it('is not closed by the late answer to a question asked before it opened', () => {
    const early = breaker.enter()!;
    fail(3);
    early.succeeded();
    expect(breaker.enter()).toBeNull();
  });

  it('begins to count anew after it was closed', async () => {
    fail(3);
    await runtime.advance(1_000);
    breaker.enter()!.succeeded();
    fail(2);
    expect(breaker.enter()).not.toBeNull();
  });
});

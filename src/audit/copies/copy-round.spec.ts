import { describe, expect, it } from '@jest/globals';
import { Attempts } from '../../common/attempts.js';
import { addWhatLacks } from './copy-round.js';

const failure = () => Promise.reject(new Error('no answer'));

describe('A round of a copy that replicas add to by turns', () => {
  const passed: string[] = [];
  const turn = (isOurs: boolean) => ({
    isOurs: () => Promise.resolve(isOurs),
    pass: async () => void passed.push('pass'),
    rest: async () => void passed.push('rest'),
  });
  /** A copy that lacks this many entries, and takes one with each batch. */
  const copyThatLacks = (entries: number) => ({
    lacking: async () => entries,
    addBatch: async () => {
      entries -= 1;
      return entries >= 0;
    },
  });
  const frozen = () => new Attempts(() => 0);

  it('adds batch after batch until nothing is missing, and passes the turn', async () => {
    const attempts = frozen();
    attempts.failed();
    const copy = copyThatLacks(3);
    await addWhatLacks(copy, turn(true), attempts);
    expect(await copy.lacking()).toBe(-1);
    expect([attempts.areFailing, passed.splice(0)]).toEqual([false, ['pass']]);
  });

  it('leaves a failure standing while it is the turn of another replica', async () => {
    const attempts = frozen();
    attempts.failed();
    await addWhatLacks(copyThatLacks(1), turn(false), attempts);
    expect([attempts.areFailing, passed.splice(0)]).toEqual([true, ['pass']]);
  });

  it('leaves a failure standing when it finds entries missing, until a batch is taken', async () => {
    const attempts = frozen();
    attempts.failed();
    const whileAdding: boolean[] = [];
    const addBatch = async () => whileAdding.push(attempts.areFailing) === 1;
    await addWhatLacks({ ...copyThatLacks(1), addBatch }, turn(true), attempts);
    expect(whileAdding[0]).toBe(true);
    expect([attempts.areFailing, passed.splice(0)]).toEqual([false, ['pass']]);
  });

  it('fails where the look, the turn or a batch does, and has no failure left where nothing is missing', async () => {
    for (const [copy, broken] of [
      [{ ...copyThatLacks(1), lacking: failure }, turn(true)],
      [copyThatLacks(1), { ...turn(true), isOurs: failure }],
      [{ ...copyThatLacks(1), addBatch: failure }, turn(true)],
    ] as const) {
      const attempts = frozen();
      await expect(addWhatLacks(copy, broken, attempts)).rejects.toThrow('no answer');
      expect(attempts.areFailing).toBe(true);
      passed.length = 0;
      await addWhatLacks(copyThatLacks(0), turn(true), attempts);
      expect([attempts.areFailing, passed.splice(0)]).toEqual([false, ['rest']]);
    }
  });
});

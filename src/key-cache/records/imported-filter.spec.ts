import { describe, expect, it } from '@jest/globals';
import { ImportedFilter } from './imported-filter.js';

const mac = (byte: number) => Buffer.alloc(32, byte);

describe('ImportedFilter', () => {
  it('knows nothing before everything has been read', () => {
    const filter = new ImportedFilter();
    filter.restart('epoch');
    const reading = filter.beginReading();
    expect(filter.mayHave([mac(1)])).toBeNull();
    expect(filter.take(reading, { epoch: 'epoch', macs: [mac(1)] })).toBe(true);
    expect(filter.mayHave([mac(1)])).toBeNull();
    filter.endReading(reading);
    expect([filter.mayHave([mac(2), mac(1)]), filter.mayHave([mac(2)]), filter.mayHave([])]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('is empty once everything has been read and there is nothing, until something is imported', () => {
    const filter = new ImportedFilter();
    filter.restart('epoch');
    expect(filter.isEmpty).toBe(false);
    filter.endReading(filter.beginReading());
    expect(filter.isEmpty).toBe(true);
    filter.add(mac(0));
    expect(filter.isEmpty).toBe(false);
    filter.restart('other');
    expect(filter.isEmpty).toBe(false);
  });

  it('has what was added while it was read, before and after its page', () => {
    const filter = new ImportedFilter();
    filter.restart('epoch');
    const reading = filter.beginReading();
    expect(filter.add(mac(1))).toBe(true);
    filter.take(reading, { epoch: 'epoch', macs: [mac(1), mac(3)] });
    expect([filter.add(mac(2)), filter.add(mac(3))]).toEqual([true, false]);
    filter.endReading(reading);
    expect([1, 2, 3, 4].map((byte) => filter.mayHave([mac(byte)]))).toEqual([true, true, true, false]);
  });

  it('takes nothing of another history, before it is told of it or after', () => {
    const filter = new ImportedFilter();
    filter.restart('epoch');
    const reading = filter.beginReading();
    expect(filter.take(reading, { epoch: 'other', macs: [mac(1)] })).toBe(false);
    filter.restart('other');
    expect(filter.take(reading, { epoch: 'epoch', macs: [mac(1)] })).toBe(false);
    filter.endReading(reading);
    expect([filter.isCurrent(reading), filter.isReady, filter.stats().keys]).toEqual([false, false, 0]);
  });
});

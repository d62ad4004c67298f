import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { eventCursorAt, eventPlaceOf, isEventCursor } from './event-cursor.js';

const place = { atMicros: '1795985575120345', callerId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', eventId: 'a.b\n🔑' };

describe('A cursor of events', () => {
  it('stands for the place that it was made of', () => {
    expect(eventPlaceOf(eventCursorAt(place))).toEqual(place);
  });

  it('is nothing else, and no second spelling of one', () => {
    expect(isEventCursor(`${eventCursorAt(place)}=`)).toBe(false);
    expect(isEventCursor(eventCursorAt({ ...place, callerId: '-'.repeat(36) }))).toBe(false);
    expect(isEventCursor(eventCursorAt({ ...place, eventId: '\0' }))).toBe(false);
    fc.assert(fc.property(fc.string(), (text) => expect(isEventCursor(text)).toBe(false)));
  });
});

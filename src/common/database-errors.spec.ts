import { describe, expect, it } from '@jest/globals';
import { DatabaseError } from 'pg';
import { QueryFailedError } from 'typeorm';
import {
  isConnectionLost,
  isDatabaseAway,
  isRetriable,
  isUnfitData,
  sqlState,
  violatedConstraint,
} from './database-errors.js';

function refused(code: string, constraint?: string): DatabaseError {
  return Object.assign(new DatabaseError('refused', 7, 'error'), { code, constraint });
}

function failed(code: string, message = 'failed'): Error {
  return Object.assign(new Error(message), { code });
}

const wrapped = (error: Error) => new QueryFailedError('SELECT 1', [], error);

describe('Errors of the database', () => {
  it('have the same SQLSTATE and constraint by themselves and wrapped by TypeORM', () => {
    const error = refused('23505', 'role_pkey');
    for (const one of [error, wrapped(error)]) {
      expect(sqlState(one)).toBe('23505');
      expect(violatedConstraint(one)).toBe('role_pkey');
    }
  });

  it.each(['EPIPE', 'EPERM', 'ECONNRESET'])('take %s of the network for no SQLSTATE', (code) => {
    expect(sqlState(failed(code))).toBe('');
  });

  it.each([undefined, null, 'text', 7, {}])('have no SQLSTATE where %p is thrown', (thrown) => {
    expect(sqlState(thrown)).toBe('');
    expect(isConnectionLost(thrown)).toBe(false);
  });

  it.each([
    ['40P01', { retriable: true, away: true, lost: false, unfit: false }],
    ['40001', { retriable: true, away: true, lost: false, unfit: false }],
    ['55P03', { retriable: false, away: true, lost: false, unfit: false }],
    ['57014', { retriable: false, away: true, lost: false, unfit: false }],
    ['57P01', { retriable: false, away: true, lost: true, unfit: false }],
    ['25P03', { retriable: false, away: true, lost: true, unfit: false }],
    ['26000', { retriable: false, away: false, lost: true, unfit: false }],
    ['08006', { retriable: false, away: true, lost: true, unfit: false }],
    ['25006', { retriable: false, away: true, lost: false, unfit: false }],
    ['53100', { retriable: false, away: true, lost: false, unfit: false }],
    ['22003', { retriable: false, away: false, lost: false, unfit: true }],
    ['23514', { retriable: false, away: false, lost: false, unfit: false }],
    ['42P01', { retriable: false, away: false, lost: false, unfit: false }],
  ])('of SQLSTATE %s mean the same wherever they are asked about', (code, expected) => {
    for (const error of [refused(code), wrapped(refused(code))]) {
      expect({
        retriable: isRetriable(error),
        away: isDatabaseAway(error),
        lost: isConnectionLost(error),
        unfit: isUnfitData(error),
      }).toEqual(expected);
    }
  });

  it.each([
    failed('ECONNRESET'),
    failed('EPIPE'),
    failed('', 'Connection terminated unexpectedly'),
    failed('', 'Query read timeout'),
    Object.assign(new Error('released'), { name: 'QueryRunnerAlreadyReleasedError' }),
  ])('tell of a lost connection: %p', (error) => {
    expect(isConnectionLost(error)).toBe(true);
    expect(isConnectionLost(wrapped(error))).toBe(error.name !== 'QueryRunnerAlreadyReleasedError');
    expect(isDatabaseAway(error)).toBe(true);
  });

  it.each([failed('ECONNREFUSED'), failed('ENOTFOUND'), failed('', 'timeout exceeded when trying to connect')])(
    'tell of a database that cannot be reached, over no connection: %p',
    (error) => {
      expect(isConnectionLost(error)).toBe(false);
      expect(isDatabaseAway(error)).toBe(true);
    },
  );
});

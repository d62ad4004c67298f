import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import type { Config } from '../config/config.js';
import { PasswordRules } from './password-rules.js';

const rules = new PasswordRules({ publicUrl: 'https://keys.contoso.example', jwtIssuer: 'latchkey' } as Config);
const ADA = { email: 'ada.lovelace@example.com', name: 'Ada Lovelace' };

describe('PasswordRules', () => {
  it.each([
    ['aaaaaaaaaaaa', 'repeats itself'],
    ['letmeinletmein', 'repeats itself'],
    ['123456789012', 'common'],
    ['password1234', 'common'],
    ['P@ssw0rd1234', 'common'],
    ['iloveyou1234', 'common'],
    ['abcdefghijkl', 'sequence'],
    ['qwertyuiop[]', 'sequence'],
    ['changeme1234', 'common'],
    ['latchkeylatchkey', 'account or installation'],
    ['latchkey2026!', 'account or installation'],
    ['lovelace1815!', 'account or installation'],
    ['contosocontoso', 'account or installation'],
    ['Contoso-12345', 'account or installation'],
    ['ada.lovelace@example.com', 'account or installation'],
    ['a'.repeat(40), 'repeats itself'],
  ])('refuses %s, and says that %s', async (password, reason) => {
    expect(await rules.problem(password, ADA)).toMatch(/^is too easy to guess: /);
    expect(await rules.problem(password, ADA)).toContain(reason);
  });

  it.each([
    'correct horse battery staple',
    'a long enough password',
    'Zürich ist schön',
    'nine small boats',
    'xK9aQw2Lm4Pz',
  ])('accepts %s', async (password) => {
    expect(await rules.problem(password, ADA)).toBeNull();
  });

  it('accepts what was drawn at random, of any length, without taking long', async () => {
    for (let round = 0; round < 50; round += 1) {
      expect(await rules.problem(randomBytes(9 + round).toString('base64url'), ADA)).toBeNull();
    }
    const startedMs = performance.now();
    await rules.problem(randomBytes(700).toString('base64url'), ADA);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });

  it('looks at the account: what one person may have, another may not', async () => {
    expect(await rules.problem('grace.hopper1906', ADA)).toBeNull();
    expect(
      await rules.problem('grace.hopper1906', { email: 'grace.hopper@example.com', name: 'Grace' }),
    ).not.toBeNull();
  });
});

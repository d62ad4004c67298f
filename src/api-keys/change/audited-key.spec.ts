import { describe, expect, it } from '@jest/globals';
import { API_KEY_FIELDS, type ApiKeyFieldName } from '../../../packages/contract/src/api-key-fields.js';
import { versionOf } from '../../common/version.js';
import type { KeyState } from '../settings/settings.js';
import { auditedKey, keySettings } from './audited-key.js';

const AT = new Date('2026-11-30T00:00:00Z');

/** What the server says of a key that was just made. */
const SERVER_FIELDS = {
  ...{ id: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', ownerId: '019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55', projectId: null },
  ...{ isActive: true, deactivatedAt: null, deactivatedBy: null, budgetLimitMicroCents: null, lastBudgetType: null },
  ...{ maxExpiresAt: null, revokedAt: null, revokedReason: null },
  ...{ handOverBy: null, handOverUntil: null, handOverOverlapSeconds: null, createdAt: AT, updatedAt: AT },
} satisfies Omit<KeyState, ApiKeyFieldName>;

const defaults = Object.entries(API_KEY_FIELDS).map(([name, field]) => [name, field.default]);

/** A key as an empty body makes it. */
const PLAIN = { ...Object.fromEntries(defaults), ...SERVER_FIELDS } as KeyState;

const LIMITED: KeyState = { ...PLAIN, name: 'Limited', budgetLimitMicroCents: 500_000_000n, budgetType: 'monthly' };

const version = (key: KeyState) => versionOf(keySettings(key));

describe('the version of a key', () => {
  it('is what the first release that told versions computes of it', () => {
    expect([version(PLAIN), version(LIMITED)]).toEqual(['fBYo5dRtROVw-u6M', '9VlYDYi5Lu9EEefk']);
  });

  it('changes with what came later', () => {
    const raise = { cents: 1, until: AT.toISOString(), reason: 'Load test' };
    const versions = [LIMITED, { ...LIMITED, budgetRaise: raise }, { ...LIMITED, projectId: PLAIN.id }].map(version);
    expect(new Set(versions).size).toBe(3);
  });

  it('leaves nothing out of the trail', () => {
    expect(auditedKey(PLAIN)).toMatchObject({ budgetRaise: null, projectId: null });
  });
});

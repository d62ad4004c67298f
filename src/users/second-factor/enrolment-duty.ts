import { Injectable } from '@nestjs/common';
import { covers } from '../../access/permission-grammar.js';
import type { Permission } from '../../access/permissions.js';
import { Config } from '../../config/config.js';
import { SecondFactorRepository } from './second-factor.repository.js';

/**
 * Who counts as an admin for `MFA_REQUIRED=admins`: a person who may change people, roles, or keys of others, by any
 * one of these permissions.
 */
export const ADMIN_PERMISSIONS: readonly Permission[] = [
  'platform:users:create',
  'platform:users:update',
  'platform:users:delete',
  'platform:roles:create',
  'platform:roles:update',
  'platform:roles:delete',
  'platform:api-keys:update',
  'platform:api-keys:delete',
  'platform:api-keys:assign',
];

/** Whether `MFA_REQUIRED` asks a person with these grants for a second factor. */
export function isAsked(mfaRequired: Config['mfaRequired'], grants: readonly string[]): boolean {
  if (mfaRequired !== 'admins') return mfaRequired === 'all';
  return ADMIN_PERMISSIONS.some((permission) => covers(grants, permission));
}

/** Who has to set up a second factor before anything else. */
@Injectable()
export class EnrolmentDuty {
  constructor(
    private readonly factors: SecondFactorRepository,
    private readonly config: Config,
  ) {}

  /** Whether a person with these grants must have a second factor. */
  concerns(grants: readonly string[]): boolean {
    return isAsked(this.config.mfaRequired, grants);
  }

  /** Whether a user signs in with a password alone; not looked up while nobody is asked for more. */
  async hasPasswordAlone(userId: string): Promise<boolean> {
    return this.config.mfaRequired !== 'none' && (await this.factors.isMissing(userId));
  }
}

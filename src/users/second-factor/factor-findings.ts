import type { EntityManager } from 'typeorm';
import type { Config } from '../../config/config.js';
import { isAsked } from './enrolment-duty.js';
import { SecondFactorRepository } from './second-factor.repository.js';

/** People who are named; the others are counted. */
const NAMED = 10;

/** Second factors that were set up or removed outside of Latchkey, a sentence each: the audit trail says otherwise. */
export async function findUntoldFactors(manager: EntityManager): Promise<string[]> {
  const found = await new SecondFactorRepository(manager).findUntold();
  return found.map(
    ({ userId, isSetUp }) =>
      `${userId} ${isSetUp ? 'has one that' : 'has none, although'} the audit trail ${isSetUp ? 'does not tell of' : 'tells that one was set up'}`,
  );
}

/** Addresses of the people whom `mfaRequired` asks for a second factor and who have none. */
export async function findPeopleWithoutFactor(
  manager: EntityManager,
  mfaRequired: Config['mfaRequired'],
): Promise<string[]> {
  const people = await new SecondFactorRepository(manager).findPeopleWithout();
  return people.filter(({ grants }) => isAsked(mfaRequired, grants)).map(({ email }) => email);
}

/** Whom `MFA_REQUIRED` asks to set up a second factor at the next sign-in, as a sentence for the operator. */
export async function findMissingFactors({ mfaRequired }: Config, manager: EntityManager): Promise<string> {
  if (mfaRequired === 'none') return 'MFA_REQUIRED=none asks nobody';
  const people = await findPeopleWithoutFactor(manager, mfaRequired);
  if (people.length === 0) return `MFA_REQUIRED=${mfaRequired}: everybody it asks has one`;
  const names = people.slice(0, NAMED).join(', ');
  const others = people.length > NAMED ? ` and ${people.length - NAMED} more` : '';
  return `MFA_REQUIRED=${mfaRequired}: ${people.length} must set one up at the next sign-in: ${names}${others}`;
}

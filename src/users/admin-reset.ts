import { lockAdministration } from '../access/administration-lock.js';
import { systemCaller } from '../access/caller.js';
import { bindPassword } from '../access/credential-binding.js';
import { Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import type { Config } from '../config/config.js';
import { auditedUser } from './audited-user.js';
import { hashPassword } from './password.js';
import { generatedPassword, insertAdmin } from './seed.js';
import { SecondFactorRepository } from './second-factor/second-factor.repository.js';
import { Sessions } from './sessions.service.js';
import { UsersRepository } from './users.repository.js';

/** What a locked-out operator gets back. */
export interface ResetAdmin {
  readonly email: string;
  readonly password: string;
  /** Whether the account had to be made anew, because it was deleted or had another address. */
  readonly created: boolean;
}

/**
 * Gives the local account of `email` a new password and the role `admin`, makes it active, removes its second factor
 * and ends its sessions; makes the account where there is none. In the audit trail it is done by the server itself.
 */
export async function resetAdmin(
  changes: Changes,
  email: string,
  { peppers }: Pick<Config, 'peppers'>,
): Promise<ResetAdmin> {
  const password = generatedPassword();
  const passwordHash = await hashPassword(password);
  return changes.transaction(systemCaller('users:update'), async (change) => {
    const { tx, record } = change;
    await lockAdministration(tx);
    const users = new UsersRepository(tx);
    const account = await users.findByEmailWithPassword(email);
    if (account === null) {
      await insertAdmin(change, email, passwordHash, peppers, true);
      return { email, password, created: true };
    }
    if (account.kind !== 'person')
      throw new Error(
        `${email} is a service account. Set ADMIN_EMAIL to a person's address, or to one that is not in use.`,
      );
    await tx.query('SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE', [account.id]);
    const before = (await users.findById(account.id))!;
    await tx.query('UPDATE users SET is_active = true, updated_at = now() WHERE id = $1', [account.id]);
    await users.setTemporaryPassword(account.id, bindPassword(peppers, account.id, passwordHash));
    await users.setRoles(account.id, [...before.roles, 'admin']);
    const hadSecondFactor = await new SecondFactorRepository(tx).remove(account.id);
    await new Sessions(tx).closeAllOf(account.id);
    const after = (await users.findById(account.id))!;
    record({
      resourceType: 'user',
      resourceId: account.id,
      changes: diff(auditedUser(before), auditedUser(after)),
      details: { credential: 'password', by: 'admin:reset' },
    });
    if (hadSecondFactor) {
      record({
        action: 'second-factors:delete',
        resourceType: 'user',
        resourceId: account.id,
        details: { credential: 'second-factor', by: 'admin:reset' },
      });
    }
    return { email: account.email ?? email, password, created: false };
  });
}

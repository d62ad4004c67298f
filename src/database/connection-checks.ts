import type { DataSource } from 'typeorm';
import type { StartCheck } from '../common/start-refusal.js';
import type { Config } from '../config/config.js';
import { type AppRole, checkSchemaAccess, findAppRole } from './app-role.js';
import { type DatabaseAddress, openSession } from './first-connection.js';
import { checkPooling, type Pooling } from './pooling-check.js';
import { checkServer } from './server-check.js';
import type { SessionClient } from './session-client.js';
import { sessionConfigOf } from './session-config.js';
import { checkSupply, countFreeSessions, countPooledSessions } from './session-supply.js';

const SILENT_NOTICES =
  'Notices do not pass between sessions: replicas hear of changes by polling, up to half a second later.';

/** What a start examines after it has connected, in this order; each throws a StartRefusal or returns what it found. */
const CHECKS = [
  { check: 'PostgreSQL is one that can be worked on', examine: server },
  { check: 'a session keeps its role and settings', examine: pooling },
  { check: 'sessions suffice for a replica', examine: supply },
  { check: 'the login may use the tables', examine: rights },
] as const;

interface Examined {
  readonly note: string;
  /** Worth a line at each start. */
  readonly isWarning: boolean;
}

/** What the checks work with: one session of the login, and what the first ones found. */
class Examination {
  private pooling: Promise<Pooling> | null = null;

  constructor(
    readonly address: DatabaseAddress,
    readonly session: SessionClient,
    readonly appRole: AppRole,
  ) {}

  poolingOnce(): Promise<Pooling> {
    return (this.pooling ??= checkPooling(this.address, this.appRole.role));
  }
}

/**
 * Examines the connection of a server that starts. Returns what its operator should know.
 *
 * @throws StartRefusal in one sentence
 */
export async function examineConnection(address: DatabaseAddress): Promise<{ appRole: AppRole; warnings: string[] }> {
  return withExamination(address, async (examination) => {
    const warnings: string[] = [];
    for (const { examine } of CHECKS) {
      const { note, isWarning } = await examine(examination);
      if (isWarning) warnings.push(note);
    }
    return { appRole: examination.appRole, warnings };
  });
}

/** The same as lines of `npm run doctor`. */
export function connectionChecks(config: Config, dataSource: DataSource): readonly StartCheck[] {
  const { session: _, ...connection } = sessionConfigOf(dataSource, 'start', 'pool');
  const address = { connection, setting: config.databaseUrl === null ? 'DATA_DIR' : 'DATABASE_URL' };
  return CHECKS.map(({ check, examine }) => ({
    check,
    run: () => withExamination(address, async (examination) => (await examine(examination)).note),
  }));
}

async function withExamination<T>(
  address: DatabaseAddress,
  work: (examination: Examination) => Promise<T>,
): Promise<T> {
  const session = await openSession(address);
  try {
    return await work(new Examination(address, session, await findAppRole(session)));
  } finally {
    session.end().catch(() => undefined);
  }
}

async function server({ session, address }: Examination): Promise<Examined> {
  return { note: await checkServer(session, address), isWarning: false };
}

async function pooling(examination: Examination): Promise<Examined> {
  const { isPooled, hearsNotices } = await examination.poolingOnce();
  if (!hearsNotices) return { note: SILENT_NOTICES, isWarning: true };
  return { note: isPooled ? 'through a connection pooler' : 'directly', isWarning: false };
}

async function supply(examination: Examination): Promise<Examined> {
  const { address, session } = examination;
  const { isPooled } = await examination.poolingOnce();
  const found = isPooled ? await countPooledSessions(address) : await countFreeSessions(session);
  const { note, isScarce } = checkSupply(found, session, address);
  return { note, isWarning: isScarce };
}

async function rights({ address, appRole }: Examination): Promise<Examined> {
  const session = await openSession(address, {
    kind: 'pool',
    ...(appRole.role === undefined ? {} : { role: appRole.role }),
  });
  try {
    const warning = await checkSchemaAccess(session, address);
    return { note: warning ?? appRole.note, isWarning: warning !== null || !appRole.isProtected };
  } finally {
    session.end().catch(() => undefined);
  }
}

import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { changeAuditKey } from '../audit/change-audit-key.js';
import { Changes } from '../audit/changes.js';
import { createApp } from './app.setup.js';
import { audienceWarning } from '../auth/oidc/oidc-examination.js';
import { historyCheck } from '../backup/history-check.js';
import { cookieSentence } from '../auth/session-finding.js';
import { printBanner } from './banner.js';
import { createLog, type Log } from '../common/log.js';
import { NestLogger } from '../common/nest-logger.js';
import { sentenceOf } from '../common/start-refusal.js';
import { untilAborted } from '../common/until-aborted.js';
import { type Config, ConfigError, loadConfig } from '../config/config.js';
import { EmbeddedSupervisor } from '../../packages/embedded-postgres/src/supervisor.js';
import { type Database, openDatabase } from '../database/open-database.js';
import { addDemoData, demoAccess } from './demo.js';
import { EndRequested, type EndReason, hearEndRequests } from './end-requests.js';
import { entities } from './entities.js';
import { acceptSecrets } from '../installation/accept-secrets.js';
import { Installation } from '../installation/installation.js';
import { Lifecycle } from './lifecycle.js';
import { endProcess, shutDown } from './shutdown.js';
import { firstAdminCheck } from '../users/first-admin-check.js';
import { seed } from '../users/seed.js';

/** Draining may take this long; then the process ends all the same. */
const MAX_SHUTDOWN_MS = 10_000;

/** As long as a database in the next container needs to start. */
const MAX_WAIT_FOR_DATABASE_MS = 60_000;

/** What a start had opened when it was refused or asked to end is given back for this long at most. */
const MAX_CLOSE_MS = 3_000;

/** What a start has opened so far, in the order in which it is closed again. */
interface Opened {
  app?: NestFastifyApplication;
  supervisor?: EmbeddedSupervisor;
  database?: Database;
}

async function main(): Promise<void> {
  const { demo } = readArguments();
  const config = loadConfig();
  if (demo && config.nodeEnv === 'production')
    throw new ConfigError('--demo is refused with NODE_ENV=production: its data is public knowledge');
  const log = createLog(config.logLevel);
  const life = new Lifecycle(log);
  Logger.overrideLogger(new NestLogger(log));
  for (const warning of config.warnings) log.warn({ msg: warning });
  const signal = hearEndRequests({
    onRequest: (reason) => {
      life.draining(reason);
      setTimeout(() => life.cut(MAX_SHUTDOWN_MS), MAX_SHUTDOWN_MS).unref();
    },
    onImpatience: () => life.impatience(),
  });
  life.starting();
  const opened: Opened = {};
  try {
    await start(config, demo, log, life, signal, opened);
  } catch (error) {
    await Promise.race([close(opened), sleep(MAX_CLOSE_MS)]).catch(() => undefined);
    if (error instanceof EndRequested) return life.end(0);
    life.refused(error);
    throw error;
  }
  await endInOrder(opened, await requested(signal), life);
}

function requested(signal: AbortSignal): Promise<EndReason> {
  return new Promise((resolve) => {
    const end = () => resolve((signal.reason as EndRequested).reason);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

async function endInOrder(opened: Opened, reason: EndReason, life: Lifecycle): Promise<void> {
  try {
    // At a terminal there is no load balancer to give notice to.
    await shutDown(opened.app!, reason === 'SIGINT' ? 0 : undefined);
    delete opened.app;
    await close(opened);
  } catch (error) {
    delete opened.app;
    await Promise.race([close(opened), sleep(MAX_CLOSE_MS)]).catch(() => undefined);
    process.stderr.write(`Latchkey did not end in order: ${(error as Error).stack}\n`);
    return life.notInOrder(error);
  }
  life.end(0);
}

async function start(
  config: Config,
  demo: boolean,
  log: Log,
  life: Lifecycle,
  signal: AbortSignal,
  opened: Opened,
): Promise<void> {
  const database = (opened.database = await openDatabase(config, entities, {
    log: (sentence) => life.told(sentence),
    maxWaitMs: MAX_WAIT_FOR_DATABASE_MS,
    isServer: true,
    signal,
  }));
  await life.database(database);
  const supervisor =
    database.embedded === null ? undefined : new EmbeddedSupervisor(database.embedded, life.embedded());
  if (supervisor) opened.supervisor = supervisor;
  supervisor?.start();
  await untilAborted(
    acceptHistory(config, database, (sentence) => life.told(sentence)),
    signal,
  );
  await untilAborted(firstAdminCheck(config, database.dataSource).run(), signal);
  // The password of a demo is printed for everybody who looks.
  const isPasswordTemporary = config.adminPasswordIsTemporary && !demo;
  const first = { email: config.adminEmail, password: config.adminPassword, isPasswordTemporary };
  const admin = await untilAborted(seed(new Changes(database.dataSource, config), first, config), signal);
  const app = await createApp(config, database.dataSource, {
    log,
    ...(supervisor === undefined ? {} : { embedded: supervisor }),
  });
  opened.app = app;
  signal.throwIfAborted();
  if (demo) await addDemoData(app, config);
  await app.listen(config.port, config.host);
  signal.throwIfAborted();
  // As a worker of a cluster: the one before this may leave now.
  process.send?.('listening');
  life.told(`${cookieSentence(config, app.get(Installation, { strict: false }).shortId)}.`);
  await life.ready(app);
  const warnings = [audienceWarning(config)].filter((sentence) => sentence !== null);
  for (const sentence of warnings) life.warned(sentence);
  printBanner(config, admin, [...database.warnings, ...warnings], demo ? demoAccess(config) : null);
}

async function close({ app, supervisor, database }: Opened): Promise<void> {
  await app?.close();
  // Before the database: a server that we stop must not be started again.
  await supervisor?.stop();
  await database?.close();
}

/** Nothing is written before this database is known to be the one that these secrets and checkpoints belong to. */
async function acceptHistory(
  config: Config,
  { dataSource }: Database,
  tell: (sentence: string) => void,
): Promise<void> {
  const seen = await historyCheck(config, dataSource).run();
  if (seen !== null && config.auditCheckpointFile !== null) tell(`${config.auditCheckpointFile}: ${seen}.`);
  for (const note of await acceptSecrets(dataSource, config)) tell(note);
  const change = await changeAuditKey(dataSource, config);
  if (change !== null) tell(change);
}

function readArguments(): { demo: boolean } {
  try {
    const { values } = parseArgs({ options: { demo: { type: 'boolean', default: false } } });
    return values;
  } catch (error) {
    throw new ConfigError(
      `${(error as Error).message}\nThe one option is --demo: adds data that the examples in Swagger UI work with.`,
    );
  }
}

try {
  await main();
} catch (error) {
  // What the operator can put right is one sentence; a stack is for what the product got wrong.
  const sentence = sentenceOf(error);
  process.stderr.write(
    sentence === null ? `Latchkey cannot start: ${(error as Error).stack}\n` : `Latchkey cannot start:\n${sentence}\n`,
  );
  endProcess(1);
}

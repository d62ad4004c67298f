import { readdir, readFile } from 'node:fs/promises';
import { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from './postgres.js';

const FOLDER = new URL('../fixtures/', import.meta.url);

/** What is true of a fixture's data. */
export interface FixtureFacts {
  readonly release: string;
  /** The settings that its data was made with; of this fixture alone. */
  readonly secrets: Record<string, string>;
  readonly admin: { readonly email: string; readonly password: string };
  /** Secret of a service's key, which verifies and reports. */
  readonly caller: string;
  readonly ids: Record<string, string>;
  /** What a verify says of each key, by its name. */
  readonly codes: Record<string, { readonly secret: string; readonly code: string }>;
  /** Reservations that were open when the dump was made. */
  readonly open: { readonly id: string; readonly keyId: string; readonly cents: number };
  readonly openMonthly: { readonly id: string; readonly keyId: string; readonly cents: number };
  /** An event that was reported, as it was sent. */
  readonly booked: Record<string, unknown>;
  /** What usage reads as, by the name of the key. */
  readonly usage: Record<string, { readonly totalRequests: number; readonly totalCostCents: number }>;
  readonly events: number;
  readonly entries: number;
}

/**
 * The dump may be of any day: what ends, or is forgotten after some weeks, moves, as if the dump had just been made.
 * What is counted by the hour moves by whole hours, to the last one. Keys end a minute earlier, so that the one that
 * has expired has also where a test is quick. What the audit trail says of its times cannot move.
 */
const MOVE_TO_NOW = `
SELECT usage_event_prepare(2);
CREATE TEMP TABLE age AS
  SELECT now() - last AS exactly, make_interval(hours => floor(extract(epoch FROM now() - last) / 3600)::int) AS hours
    FROM (SELECT max(received_at) AS last FROM usage_event) e;
UPDATE usage_event SET received_at = received_at + hours FROM age;
UPDATE usage_rollup_hour SET hour = hour + hours FROM age;
UPDATE usage_id SET received_at = received_at + hours FROM age;
UPDATE verdict_minute SET minute = minute + hours FROM age;
UPDATE budget_lease
   SET granted_at = granted_at + exactly, admit_until = admit_until + exactly, hold_until = hold_until + exactly FROM age;
UPDATE reservation_end SET ended_at = ended_at + exactly FROM age;
UPDATE api_key_secret SET expires_at = expires_at + exactly FROM age;
UPDATE api_key SET expires_at = expires_at + exactly - interval '1 minute' FROM age;
DROP TABLE age;`;

/** The releases that have a fixture. */
export async function fixtureReleases(): Promise<string[]> {
  const names = (await readdir(FOLDER)).filter((name) => name.startsWith('schema-'));
  return names.map((name) => name.slice('schema-'.length)).sort();
}

/** A database with the data of a release, not migrated yet, and what is true of it. */
export async function loadFixture(release: string): Promise<{ database: TestDatabase; facts: FixtureFacts }> {
  const read = (file: string) => readFile(new URL(`schema-${release}/${file}`, FOLDER), 'utf8');
  const database = await createTestDatabase('template0');
  // One session each: a dump leaves its own with an empty search_path.
  for (const sql of [await read('dump.sql'), MOVE_TO_NOW]) await execute(database.ownerUrl, sql);
  return { database, facts: JSON.parse(await read('facts.json')) as FixtureFacts };
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
